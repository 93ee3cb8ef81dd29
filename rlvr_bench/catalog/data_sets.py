"""Data sets by name."""

from functools import cache

from rlvr_bench.catalog.files import load_yaml, names, resolve
from rlvr_bench.schema.dataset import DataSet


@cache
def load_data_set(name: str) -> DataSet:
    """Load a data set by name or path. Raises NotFoundError, with the nearest name."""
    return load_yaml(resolve("data-set", name), DataSet)


def data_set_names() -> list[str]:
    """Return the names of the data sets that the program knows."""
    return names("data-set")
