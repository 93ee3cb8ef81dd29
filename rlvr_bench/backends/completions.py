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
    stops: Sequence[str] = (),
    **options: Any,
) -> list[dict[str, Any]]:
    """Return `text`, `tokens` and `truncated` of one completion for each row of left-padded prompt ids.

    Text ends before a stop string and without the end token, which counts as a token.
    """
    import torch
    from lm_eval.models.utils_hf import stop_sequences_criteria

    torch.manual_seed(seed_from(*seed))
    if options.get("do_sample"):
        options["top_k"] = 0
    if stops:
        options["stopping_criteria"] = stop_sequences_criteria(tokenizer, list(stops), ids.shape[1], ids.shape[0])
    end = tokenizer.eos_token_id
    with torch.inference_mode():
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=limit,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=end,
            use_cache=True,
            **options,
        )
    rows = []
    for tokens in out[:, ids.shape[1] :].tolist():
        ended = end in tokens
        length = tokens.index(end) + 1 if ended else len(tokens)
        text = tokenizer.decode(tokens[:length], skip_special_tokens=True)
        found = [text.find(stop) for stop in stops if stop in text]
        text = text[: min(found)] if found else text
        rows.append({"text": text, "tokens": length, "truncated": not ended and not found})
    return rows
