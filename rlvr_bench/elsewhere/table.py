"""Reading a CSV of accuracies: one row a model, benchmark, seed and arm. Owns its columns and their errors."""

import csv
import math
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rlvr_bench.errors import FileFormatError, NothingMeasuredError
from rlvr_bench.plugins import did_you_mean

NEEDED = ("method", "model", "lineage", "benchmark", "problems", "before", "after")
OPTIONAL = ("samples", "seed", "arm", "step")
ARMS = ("method", "control", "reference")
LONGEST_NAME = 200
MOST_PROBLEMS = 10**9


class Row(NamedTuple):
    """One line of the table. Accuracies are proportions; an empty lineage is looked up in the cards."""

    line: int
    method: str
    model: str
    lineage: str
    benchmark: str
    problems: int
    before: float
    after: float
    samples: int
    seed: str
    arm: str
    step: int | None


def read_table(path: Path, *, percent: bool = False) -> list[Row]:
    """Read and check every row; 50 MB take seconds.

    Raises NothingMeasuredError where there is no row, FileFormatError with the line: a missing, unknown or
    doubled column, a value that is not what it must be, a row twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(_rows(csv.reader(file, strict=True), path, 100.0 if percent else 1.0))
    except UnicodeDecodeError as error:
        raise FileFormatError(f"not a text file: {error}", where=str(path)) from error
    except csv.Error as error:
        raise FileFormatError(f"not valid CSV: {error}", where=str(path)) from error
    if not rows:
        raise NothingMeasuredError("the table holds no results", where=str(path), hint=f"columns: {','.join(NEEDED)}")
    if percent and max(max(row.before, row.after) for row in rows) <= 0.01:
        raise FileFormatError(
            "no value is above 1 %: these look like proportions",
            where=str(path),
            hint="leave --percent out; percents that are all below 1 are written as proportions, 0.009 for 0.9 %",
        )
    return rows


def _header(cells: list[str], path: Path) -> dict[str, int]:
    names = [cell.strip().lower() for cell in cells]
    known = (*NEEDED, *OPTIONAL)
    where = f"{path}:1"
    hint = f"columns: {','.join(NEEDED)}[,{'][,'.join(OPTIONAL)}]"
    for name in names:
        if names.count(name) > 1:
            raise FileFormatError(f"column {name!r} stands twice", where=where, hint=hint)
    missing = [name for name in NEEDED if name not in names and name != "lineage"]
    if missing:
        split = [mark for mark in ";\t" if mark in cells[0]] if len(cells) == 1 else []
        why = "; columns must be separated by commas" if split else ""
        raise FileFormatError(f"missing column {missing[0]!r}{why}", where=where, hint=hint)
    for name in names:
        if name not in known:
            raise FileFormatError(f"unknown column {name!r}{did_you_mean(name, list(known))}", where=where, hint=hint)
    return {name: index for index, name in enumerate(names)}


def _rows(lines: Iterator[list[str]], path: Path, scale: float) -> Iterator[Row]:
    first = next((cells for cells in lines if any(cell.strip() for cell in cells)), None)
    if first is None:
        return
    at = _header(first, path)
    width = len(first)
    line = 1

    def wrong(message: str, hint: str | None = None) -> FileFormatError:
        return FileFormatError(message, where=f"{path}:{line}", hint=hint)

    names: dict[str, str] = {}  # one object a name: a table repeats few names many times

    def name(cell: str, column: str, *, needed: bool = True) -> str:
        found = names.get(cell)
        if found is None:
            found = unicodedata.normalize("NFC", cell.strip())
            if len(found) > LONGEST_NAME or not found.isprintable():
                raise wrong(f"{column} holds control characters, or is longer than {LONGEST_NAME}")
            names[cell] = found
        if needed and not found:
            raise wrong(f"{column} is empty")
        return found

    def share(cell: str, column: str) -> float:
        try:
            value = float(cell) / scale
        except ValueError:
            raise wrong(f"{column} is {cell.strip()!r}, not a number") from None
        if not math.isfinite(value):
            raise wrong(f"{column} is {cell.strip()}: a missing measurement is not a number; leave the row out")
        if value < 0:
            raise wrong(f"{column} is {cell.strip()}, below 0")
        if value > 1:
            hint = "accuracies in percent? add --percent" if scale == 1.0 else None
            raise wrong(f"{column} is {cell.strip()}, above {'1' if scale == 1.0 else '100 %'}", hint)
        return value

    def whole(cell: str, column: str, least: int) -> int:
        try:
            value = int(cell)
        except ValueError:
            raise wrong(f"{column} is {cell.strip()!r}, not a whole number") from None
        if value < least:
            raise wrong(f"{column} is {value}, below {least}")
        if value > MOST_PROBLEMS:
            raise wrong(f"{column} is above {MOST_PROBLEMS:,}")
        return value

    lineage, samples, seed, arm, step = (at.get(c) for c in ("lineage", "samples", "seed", "arm", "step"))
    method, model, benchmark = at["method"], at["model"], at["benchmark"]
    problems, before, after = at["problems"], at["before"], at["after"]
    seen: dict[tuple[object, ...], int] = {}
    for cells in lines:
        line = lines.line_num  # type: ignore[attr-defined]
        if not cells or not any(cell.strip() for cell in cells):
            continue
        if len(cells) != width:
            raise wrong(f"{len(cells)} cells where the header has {width}")
        chosen = (name(cells[arm], "arm", needed=False) if arm is not None else "") or "method"
        if chosen not in ARMS:
            raise wrong(f"arm is {chosen!r}{did_you_mean(chosen, list(ARMS))}", hint=f"arms: {', '.join(ARMS)}")
        row = Row(
            line=line,
            method=name(cells[method], "method"),
            model=name(cells[model], "model"),
            lineage=name(cells[lineage], "lineage", needed=False) if lineage is not None else "",
            benchmark=name(cells[benchmark], "benchmark"),
            problems=whole(cells[problems], "problems", 2),
            before=share(cells[before], "before"),
            after=share(cells[after], "after"),
            samples=whole(cells[samples], "samples", 1) if samples is not None and cells[samples].strip() else 1,
            seed=name(cells[seed], "seed", needed=False) if seed is not None else "",
            arm=chosen,
            step=whole(cells[step], "step", 0) if step is not None and cells[step].strip() else None,
        )
        key = (row.method, row.model, row.benchmark, row.seed, row.arm, row.step)
        if key in seen:
            raise wrong(
                f"{row.method}, {row.model}, {row.benchmark}, seed {row.seed or '-'}, arm {row.arm} stands on line "
                f"{seen[key]} already",
                hint="several runs of one cell need a seed each, in the column seed",
            )
        seen[key] = line
        yield row
