"""Which kind of file results come in."""

from pathlib import Path

from rlvr_bench.elsewhere import from_folders, from_table
from rlvr_bench.elsewhere.collected import Collected
from rlvr_bench.elsewhere.table import read_table
from rlvr_bench.errors import NotFoundError, NothingMeasuredError, UsageError

YAML = frozenset({".yaml", ".yml"})


def collect(path: Path, *, percent: bool = False) -> list[Collected]:
    """Return every method's evidence from a CSV, or from a YAML listing of lm-eval output folders.

    Raises NothingMeasuredError for an empty file, UsageError for anything that is neither.
    """
    if path.is_dir():
        raise UsageError(
            "a folder says nothing about before and after",
            where=str(path),
            hint="list its lm-eval outputs in a YAML file: model, lineage, arm, seed, before, after",
        )
    if not path.is_file():
        raise NotFoundError(f"no such file: {path}", hint="rlvr-bench judge results.csv")
    if not path.stat().st_size:
        raise NothingMeasuredError("the file is empty", where=str(path))
    if path.suffix.lower() in YAML:
        if percent:
            raise UsageError("--percent is for tables: lm-eval writes shares", where=str(path))
        return from_folders.collect(path)
    return from_table.collect(read_table(path, percent=percent), path)
