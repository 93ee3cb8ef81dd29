"""Reading what strangers wrote: known names only, bounded sizes, no links, nothing outside the folder."""

import itertools
import json
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from rlvr_bench.catalog.files import fault_of
from rlvr_bench.errors import RefusedError

Model = TypeVar("Model", bound=BaseModel)

MOST_BYTES = 10_000_000
"""Of one file."""

MOST_UNPACKED = 200_000_000
MOST_DEPTH = 40
MOST_NODES = 300_000
"""Brackets and commas of one JSON text: what it takes in memory goes by them."""

MOST_DIGITS = 15
MOST_MEMBERS, PIECE = 20_000, 65_536

ENTRY, REPORT, OUTCOMES, STAGES = "entry.json", "report.json", "outcomes.csv.gz", "stages.jsonl.gz"
PLAN, PROVENANCE, TABLE = "inputs/plan.json", "provenance.json", "table.csv"
OF_A_RUN = frozenset({ENTRY, REPORT, OUTCOMES, STAGES, PLAN, PROVENANCE})
OF_A_TABLE = frozenset({ENTRY, TABLE})


def survey(folder: Path) -> set[str]:
    """Return the files of a submission, as paths inside it. Raises RefusedError for whatever a submission has not.

    Nothing is opened: links, devices, executable files, unknown names and large files are refused by what the file
    system says of them.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise RefusedError("not a folder", where=str(folder))
    known = {*OF_A_RUN, *OF_A_TABLE}
    found: set[str] = set()
    for root, folders, names in os.walk(folder, followlinks=False):
        here = Path(root)
        for name in folders:
            path = here / name
            if path.is_symlink() or path.relative_to(folder).as_posix() != "inputs":
                raise RefusedError(f"a folder that a submission has not: {_shown(name)}", where=str(folder))
        for name in names:
            path = here / name
            inside = path.relative_to(folder).as_posix()
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode):
                raise RefusedError(f"{_shown(inside)} is a link or no plain file", where=str(folder))
            if inside not in known:
                raise RefusedError(f"a file that a submission has not: {_shown(inside)}", where=str(folder))
            if status.st_mode & 0o111:
                raise RefusedError(f"{inside} is executable", where=str(folder), hint=f"chmod 644 {inside}")
            if status.st_size > MOST_BYTES:
                raise RefusedError(
                    f"{inside} has {status.st_size:,} bytes, more than {MOST_BYTES:,}", where=str(folder)
                )
            found.add(inside)
    return found


def _shown(name: str) -> str:
    return repr(name[:80])


def read_bytes(folder: Path, name: str) -> bytes:
    """Return a file's bytes, at most MOST_BYTES, without following a link."""
    try:
        handle = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise RefusedError(f"{name} cannot be read: {error.strerror}", where=str(folder)) from error
    with os.fdopen(handle, "rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise RefusedError(f"{name} is larger than {MOST_BYTES:,} bytes", where=str(folder))
    return data


def members(data: bytes, name: str, *, most: int = MOST_UNPACKED) -> Iterator[bytes]:
    """Yield the contents of each gzip member; bombs are refused while they unpack, torn ends too."""
    size = at = 0
    for number in itertools.count():
        if at >= len(data):
            return
        if number >= MOST_MEMBERS:
            raise RefusedError(f"{name} has more than {MOST_MEMBERS:,} gzip members")
        member = zlib.decompressobj(wbits=31)
        parts = []
        try:
            while at < len(data) and not member.eof:
                piece = data[at : at + PIECE]
                part = member.decompress(piece, 1_000_000)
                # behind a member's end the rest is unused, before it unconsumed; never count it twice
                at += len(piece) - len(member.unused_data if member.eof else member.unconsumed_tail)
                size += len(part)
                if size > most:
                    raise RefusedError(f"{name} unpacks to more than {most:,} bytes")
                parts.append(part)
        except zlib.error as error:
            raise RefusedError(f"{name} is no gzip file: {error}") from error
        if not member.eof:
            raise RefusedError(f"{name} is torn")
        yield b"".join(parts)


def unpacked(data: bytes, name: str, *, most: int = MOST_UNPACKED) -> bytes:
    """Return the contents of a file that is one gzip member, at most `most` bytes."""
    found = list(itertools.islice(members(data, name, most=most), 2))
    if len(found) != 1:
        raise RefusedError(f"{name} must be one gzip member, with nothing behind it")
    return found[0]


def text_of(data: bytes, name: str) -> str:
    """Return UTF-8 text. Raises RefusedError."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError(f"{name} is no UTF-8 text: {error.reason} at byte {error.start}") from error


def parsed(text: str, name: str) -> Any:
    """Return JSON without duplicate keys, NaN, infinities or deep nesting. Raises RefusedError."""
    if _depth(text) > MOST_DEPTH:
        raise RefusedError(f"{name} is nested more than {MOST_DEPTH} deep")
    if text.count("[") + text.count("{") + text.count(",") > MOST_NODES:
        raise RefusedError(f"{name} holds more than {MOST_NODES:,} values")
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"{name} is no valid JSON: {error}") from error


def _depth(text: str) -> int:
    """Return how deep brackets nest, counting those in strings too: an upper bound, in one pass."""
    deepest = depth = 0
    for c in text:
        if c in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif c in "]}":
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _no_constant(constant: str) -> float:
    raise ValueError(f"{constant} is no number here")


def as_model(value: Any, model: type[Model], name: str) -> Model:
    """Return a value as a frozen type. Raises RefusedError, with the first fault."""
    try:
        return model.model_validate_json(json.dumps(value))
    except ValidationError as error:
        raise RefusedError(f"{name}: {fault_of(error, model)[:300]}") from error
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"{name}: {str(error)[:300]}") from error


def load(folder: Path, name: str, model: type[Model]) -> Model:
    """Read one JSON file of a submission into a frozen type. Raises RefusedError."""
    return as_model(parsed(text_of(read_bytes(folder, name), name), name), model, name)
