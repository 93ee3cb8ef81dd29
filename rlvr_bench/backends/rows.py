"""Rows of a data set, from the hub or from a folder of one's own: read, normalised, checked.

Sources differ in types and spelling (142.0, "070", 336^\\circ; blanks; `$...$` around an answer), so that everything is
brought to one form here, and counted and compared with what the data set should hold.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlvr_bench.errors import EnvironmentFaultError
from rlvr_bench.schema.base import digest
from rlvr_bench.schema.dataset import Columns, DataSet
from rlvr_bench.schema.problem import Problem

LONGEST = 20_000
"""Characters of a problem: what is longer is not one."""

_AOPS = re.compile(r"/(\d{4}_(?:AMC|AIME)_[A-Za-z0-9_]+?)_Problems/Problem_(\d+)")
_ENCLOSED = tuple(
    re.compile(p, re.S) for p in (r"\$([^$]+)\$", r"\\\[((?:(?!\\\]).)+)\\\]", r"\\\(((?:(?!\\\)).)+)\\\)")
)
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.0*)?")
_INTEGER = re.compile(r"([+-]?)0*(\d+)(?:\.0*)?")


class Read(NamedTuple):
    """The problems of a data set, how many rows it had, and how many of a training set's were set aside."""

    problems: tuple[Problem, ...]
    rows: int
    empty: int = 0
    repeated: int = 0
    torn: int = 0


class DataError(EnvironmentFaultError):
    """A file of problems that is not what it should be."""


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (where, row) of a .jsonl, .json or .parquet file. Raises DataError with file and line."""
    if path.suffix == ".parquet":
        yield from _parquet(path)
        return
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"not a text file: {error}", where=str(path)) from error
    if path.suffix == ".json":
        try:
            rows = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"not valid JSON: {error}", where=str(path)) from error
        if not isinstance(rows, list):
            raise DataError("the file is not a list of problems", where=str(path))
        lines: Iterable[tuple[str, Any]] = ((f"{path}, row {i}", row) for i, row in enumerate(rows))
    else:
        lines = _lines(text, path)
    for where, row in lines:
        if not isinstance(row, dict):
            raise DataError("not a JSON object", where=where)
        yield where, row


def _lines(text: str, path: Path) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield f"{path}:{number}", json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"not valid JSON: {error}", where=f"{path}:{number}") from error


def _parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"not a readable parquet file: {error}", where=str(path)) from error
    for number, row in enumerate(rows):
        yield f"{path}, row {number}", row


def problems_of(data: DataSet, rows: Iterable[tuple[str, dict[str, Any]]], columns: Columns) -> Read:
    """Return a data set's problems from its rows, in their order.

    Raises DataError for a row that lacks a column or holds another type. In a training set, rows without an answer are
    set aside, problems that stand twice count once, and those that stand with different answers are set aside.
    """
    found = [_problem(data, row, columns, where) for where, row in rows]
    return _once(found) if data.role == "train" else Read(tuple(found), len(found))


def check(data: DataSet, problems: Sequence[Problem], *, where: str) -> None:
    """Raise DataError where the problems are not those of the data set: their count, or the digest of their answers."""
    if data.count is not None and len(problems) != data.count:
        raise DataError(f"{data.name} has {len(problems)} problems here, it should have {data.count}", where=where)
    if data.answers_sha256 is not None and answers_digest(problems) != data.answers_sha256:
        raise DataError(
            f"these are not the answers of {data.name}: their digest is {answers_digest(problems)[:12]}, "
            f"it should be {data.answers_sha256[:12]}",
            where=where,
            hint="compare the file with its source; a set of your own is a `file` (docs/data.md)",
        )


def answers_digest(problems: Iterable[Problem]) -> str:
    """Return the digest of the sorted answers, without blanks: equal for copies that word problems differently."""
    return digest(sorted("".join(p.answer.split()) for p in problems))


def content_digest(problems: Iterable[Problem]) -> str:
    """Return the digest of the problems in their order: ids, texts and answers."""
    return digest([[p.id, p.problem, p.answer] for p in problems])


def _problem(data: DataSet, row: dict[str, Any], columns: Columns, where: str) -> Problem:
    for column in (columns.problem, columns.answer, *([columns.id] if columns.id else [])):
        if column not in row:
            raise DataError(f"no column {column!r}; there are {', '.join(map(str, row)) or 'none'}", where=where)
    text = row[columns.problem]
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"column {columns.problem!r} holds no text", where=where)
    if not _encodes(text):
        raise DataError("a problem with characters that are none (unpaired surrogates)", where=where)
    if len(text) > LONGEST:
        raise DataError(f"a problem of {len(text):,} characters, more than {LONGEST:,}", where=where)
    answer = _answer(row[columns.answer], data, where)
    raw = row[columns.id] if columns.id else None
    return Problem(id=f"{data.name}/{_id(raw, data, text, where)}", problem=text.strip(), answer=answer)


def _id(raw: Any, data: DataSet, text: str, where: str) -> str:
    if raw is None:
        return digest(" ".join(text.split()))[:16]
    if isinstance(raw, bool) or not isinstance(raw, str | int) or not str(raw).strip():
        raise DataError(f"an id must be a text or a number, not {raw!r}", where=where)
    name = str(raw).strip()
    if not name.isprintable() or len(name) > 300:
        raise DataError("an id must be one short line", where=where)
    contest = _AOPS.search(name)
    return f"{contest[1]}/{contest[2]}" if contest else name.removeprefix(f"{data.name}/")


def _answer(raw: Any, data: DataSet, where: str) -> str:
    """Return an answer in one spelling; empty where there is none, which only a training set may have."""
    if raw is None or isinstance(raw, bool) or not isinstance(raw, str | int | float):
        if raw is None and data.role == "train":
            return ""
        raise DataError(f"an answer must be a text or a number, not {raw!r}", where=where)
    if isinstance(raw, float) and not math.isfinite(raw):
        raise DataError(f"an answer must be a text or a number, not {raw}", where=where)
    text = bare(str(raw))
    if not _encodes(text):
        raise DataError("an answer with characters that are none (unpaired surrogates)", where=where)
    whole = _undegreed(text)
    whole = whole.replace(",", "") if _THOUSANDS.fullmatch(whole) else whole
    number = _INTEGER.fullmatch(whole) if data.answers == "integer" else None
    if number:
        return ("-" if number[1] == "-" and number[2] != "0" else "") + number[2]
    if data.answers == "integer":
        raise DataError(f"the answer {text[:40]!r} is no whole number, as those of {data.name} are", where=where)
    if not text and data.role == "test":
        raise DataError("a problem without an answer", where=where)
    return str(int(raw)) if isinstance(raw, float) and raw.is_integer() else text


def bare(text: str) -> str:
    """Return an answer without outer blanks and without one pair of math signs around the whole."""
    text = text.strip()
    for pattern in _ENCLOSED:
        inner = pattern.fullmatch(text)
        if inner:
            return inner[1].strip()
    return text


def _encodes(text: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in text)


def _undegreed(text: str) -> str:
    return re.sub(r"\s*(?:\^\s*(?:\\circ|\{\s*\\circ\s*\})|°)\s*$", "", text).strip()


def _once(problems: Sequence[Problem]) -> Read:
    found: dict[str, Problem] = {}
    torn = set()
    empty = repeated = 0
    for problem in problems:
        if not problem.answer:
            empty += 1
            continue
        key = " ".join(problem.problem.split())
        other = found.setdefault(key, problem)
        if other is problem:
            continue
        repeated += 1
        if "".join(other.answer.split()) != "".join(problem.answer.split()):
            torn.add(key)
    kept = tuple(problem for key, problem in found.items() if key not in torn)
    return Read(kept, len(problems), empty=empty, repeated=repeated, torn=len(torn))
