"""A listing of lm-eval output folders to judge."""

from typing import Annotated, Literal

from pydantic import Field

from rlvr_bench.schema.base import Frozen, Line

Label = Annotated[Line, Field(min_length=1, max_length=200)]


class EvaluatedRun(Frozen):
    """One trained run of a model: the lm-eval output folders (or results files) before and after training."""

    model: Label
    lineage: Label | None = None
    method: Label | None = None
    arm: Literal["method", "control", "reference"] = "method"
    seed: int | Label = 0
    before: Label
    after: Label


class ResultsListing(Frozen):
    """Which folders belong together. `tasks`, `metric` and `filter` choose where lm-eval wrote several."""

    schema_version: Literal[1]
    method: Label
    tasks: tuple[str, ...] = ()
    metric: str | None = None
    filter: str | None = None
    results: tuple[EvaluatedRun, ...] = Field(min_length=1)
