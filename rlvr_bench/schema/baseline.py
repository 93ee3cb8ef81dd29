"""An accepted result that later runs are checked against, and what a check found. Proportions 0-1, never points."""

from typing import Literal

from pydantic import Field, model_validator

from rlvr_bench.schema.base import Frozen, Line, Name
from rlvr_bench.schema.finding import VerdictWord


class AcceptedTask(Frozen):
    """One model's answers on one deciding task, by problem in the order of `ids`: right ones of `samples`."""

    ids: tuple[str, ...] = Field(min_length=1)
    samples_before: int = Field(ge=1, le=10**6)
    before: tuple[int, ...]
    samples_after: int = Field(ge=1, le=10**6)
    after: tuple[tuple[int, ...], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _whole(self) -> "AcceptedTask":
        if len(set(self.ids)) != len(self.ids):
            raise ValueError("a problem stands twice")
        for counts, samples in ((self.before, self.samples_before), *((run, self.samples_after) for run in self.after)):
            if len(counts) != len(self.ids) or not all(0 <= c <= samples for c in counts):
                raise ValueError("counts that are not between 0 and the samples, one a problem")
        return self


class AcceptedModel(Frozen):
    """One model of an accepted run; runs stand in the order of seeds."""

    name: Name
    lineage: Name
    tasks: dict[Name, AcceptedTask] = Field(min_length=1)


class AcceptedVerdict(Frozen):
    """The verdict of an accepted run."""

    word: VerdictWord
    lineages: tuple[Line, ...] = ()


class AcceptedRun(Frozen):
    """`baseline.json`: what a run gave, whole enough to be compared problem by problem. Its diff is reviewed."""

    schema_version: Literal[1] = 1
    program: Line
    suite: Name
    suite_version: int
    method: Line
    plan: Line
    partial: tuple[Line, ...] = ()
    verdict: AcceptedVerdict
    gains: dict[Line, float]
    models: tuple[AcceptedModel, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_once(self) -> "AcceptedRun":
        if len({model.name for model in self.models}) != len(self.models):
            raise ValueError("a model stands twice")
        return self


class Compared(Frozen):
    """One lineage now and as accepted: gains over the start, how they differ with the 99 % interval, one-sided p of a
    fall by Holm over lineages, and whether it fell."""

    lineage: str
    accepted: float
    now: float
    difference: float
    lower: float
    upper: float
    p_holm: float
    fallen: bool


class CheckReport(Frozen):
    """What `check` found. `missing` names what was accepted and is not measured now; `failed_on` is the verdict that
    the caller does not take."""

    schema_version: Literal[1] = 1
    run: str
    suite: str
    method: str
    minimum_drop: float
    lineages: tuple[Compared, ...]
    accepted: AcceptedVerdict
    verdict: AcceptedVerdict
    missing: tuple[str, ...] = ()
    failed_on: VerdictWord | None = None
    notes: tuple[str, ...] = ()

    @property
    def fallen(self) -> tuple[str, ...]:
        """Return the lineages that fell."""
        return tuple(c.lineage for c in self.lineages if c.fallen)

    @property
    def passed(self) -> bool:
        """Return whether nothing is wrong: a missing measurement is never a pass."""
        return not (self.fallen or self.missing or self.failed_on)
