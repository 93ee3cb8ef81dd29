"""Sampling that can be replayed: fixed chunks, each seeded from its stage and number, written durably when done."""

import gzip
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlvr_bench.schema.base import seed_from


class Completions:
    """The durable file of responses: one gzip member per chunk, so that a torn end loses one chunk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.chunks: dict[str, list[dict[str, Any]]] = {}
        if path.exists():
            self._read()

    def _read(self) -> None:
        data, whole = self.path.read_bytes(), 0
        while data[whole:]:
            member = zlib.decompressobj(wbits=31)
            try:
                text = member.decompress(data[whole:])
                if not member.eof:
                    break
                chunk = json.loads(text)
            except (zlib.error, ValueError):
                break
            self.chunks[chunk["key"]] = chunk["rows"]
            whole = len(data) - len(member.unused_data)
        if whole < len(data):
            with self.path.open("r+b") as file:
                file.truncate(whole)

    def add(self, key: str, rows: list[dict[str, Any]]) -> None:
        """Append one finished chunk."""
        self.chunks[key] = rows
        line = json.dumps({"key": key, "rows": rows}, ensure_ascii=False, separators=(",", ":"))
        with self.path.open("ab") as file:
            file.write(gzip.compress(line.encode() + b"\n", mtime=0))

    def tokens(self) -> int:
        """Return how many tokens were generated in all."""
        return sum(row["tokens"] for rows in self.chunks.values() for row in rows)


def generate(
    model: Any,
    tokenizer: Any,
    ids: Any,
    mask: Any,
    *,
    seed: tuple[object, ...],
    limit: int,
    ends: Sequence[int],
    stops: Sequence[str] = (),
    **options: Any,
) -> list[dict[str, Any]]:
    """Return `text`, `tokens` and `truncated` of one completion for each row of left-padded prompt ids.

    Text ends with a stop string, as training's does, and without the end token, which counts as a token; `ends` are
    the ids of tokens that end an answer.
    """
    import torch
    from lm_eval.models.utils_hf import stop_sequences_criteria

    torch.manual_seed(seed_from(*seed))
    if options.get("do_sample"):
        options["top_k"] = 0
    if stops:
        options["stopping_criteria"] = stop_sequences_criteria(tokenizer, list(stops), ids.shape[1], ids.shape[0])
    with torch.inference_mode():
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=limit,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=list(ends),
            use_cache=True,
            **options,
        )
    rows = []
    for tokens in out[:, ids.shape[1] :].tolist():
        length = next((i + 1 for i, token in enumerate(tokens) if token in ends), 0)
        ended = length > 0
        text = tokenizer.decode(tokens[:length] if ended else tokens, skip_special_tokens=True)
        found = [text.find(stop) + len(stop) for stop in stops if stop in text]
        if found:  # what follows in the batch is padding
            length = len(up_to_stop(tokenizer, tokens[:length] if ended else tokens, stops))
            text = text[: min(found)]
        count = length or len(tokens)
        rows.append({"text": text, "tokens": count, "truncated": not ended and not found})
    return rows


def up_to_stop(tokenizer: Any, ids: list[int], stops: Sequence[str]) -> list[int]:
    """Return a completion's tokens up to the one that completes a stop string; all, where there is none.

    What follows it in a batch is padding, which would be counted, and trained on.
    """
    if not any(stop in tokenizer.decode(ids, skip_special_tokens=True) for stop in stops):
        return ids
    low, high = 1, len(ids)
    while low < high:
        middle = (low + high) // 2
        text = tokenizer.decode(ids[:middle], skip_special_tokens=True)
        low, high = (low, middle) if any(stop in text for stop in stops) else (middle + 1, high)
    return ids[:low]
