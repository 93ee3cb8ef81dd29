"""Sampling that can be replayed: fixed chunks, each seeded from its stage and number, written durably when done."""

import json
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlvr_bench.schema.base import seed_from

_EXTRA = b"RB\x08\x00"
_HEAD = b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff\x0c\x00" + _EXTRA
"""How a member of our files begins (RFC 1952): gzip, with a field of its own that holds two numbers, the member's bytes
and its rows. So a reader skips what it does not want; others read it as any gzip file."""
HEAD_BYTES = len(_HEAD) + 8


def packed(chunk: dict[str, Any]) -> bytes:
    """Return one chunk as a gzip member that says how long it is and how many rows it has."""
    data = (json.dumps(chunk, ensure_ascii=False, separators=(",", ":")) + "\n").encode("utf-8", "replace")
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    body = deflate.compress(data) + deflate.flush() + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
    return _HEAD + struct.pack("<II", HEAD_BYTES + len(body), len(chunk["rows"])) + body


def read_rows(path: Path, wanted: Sequence[tuple[int, int]] | None = None) -> list[list[dict[str, Any]]]:
    """Return the rows of a file from each `start` up to `stop`, in their order; all rows, where nothing is wanted.

    Only members that hold wanted rows are unpacked; a torn end is left out, and the file is not changed. Fewer rows
    come back where the file has fewer.
    """
    spans = list(wanted) if wanted is not None else [(0, 2**62)]
    found: list[list[dict[str, Any]]] = [[] for _ in spans]
    at = 0
    with path.open("rb") as file:
        while len(head := file.read(HEAD_BYTES)) == HEAD_BYTES and head.startswith(_HEAD):
            size, rows = struct.unpack("<II", head[len(_HEAD) :])
            overlaps = [i for i, (a, b) in enumerate(spans) if a < at + rows and at < b]
            if overlaps:
                try:
                    chunk = json.loads(zlib.decompress(head + file.read(size - HEAD_BYTES), wbits=31))["rows"]
                except (zlib.error, ValueError):
                    break
                for i in overlaps:
                    found[i] += chunk[max(0, spans[i][0] - at) : max(0, spans[i][1] - at)]
            else:
                file.seek(size - HEAD_BYTES, 1)
            at += rows
    return found


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
        with self.path.open("ab") as file:
            file.write(packed({"key": key, "rows": rows}))

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
