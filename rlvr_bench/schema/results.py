"""A listing of lm-eval output folders to judge."""

from typing import Literal

from pydantic import Field

from rlvr_bench.schema.base import Frozen


class EvaluatedRun(Frozen):
    """One trained run of a model: the lm-eval output folders (or results files) before and after training."""

    model: str = Field(min_length=1, max_length=200)
    lineage: str | None = None
    method: str | None = None
    arm: Literal["method", "control", "reference"] = "method"
    seed: int | str = 0
    before: str
    after: str


class ResultsListing(Frozen):
    """Which folders belong together. `tasks`, `metric` and `filter` choose where lm-eval wrote several."""

    schema_version: Literal[1]
    method: str = Field(min_length=1, max_length=200)
    tasks: tuple[str, ...] = ()
    metric: str | None = None
    filter: str | None = None
    results: tuple[EvaluatedRun, ...] = Field(min_length=1)
