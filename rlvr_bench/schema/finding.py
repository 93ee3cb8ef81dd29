"""What an analysis finds: gains, the verdict, flags, the report. Proportions 0-1, never points."""

from enum import StrEnum
from typing import Literal

from rlvr_bench.schema.base import Frozen


class VerdictWord(StrEnum):
    """The verdicts of the rule (docs/statistics.md, section 4)."""

    GENERALISES = "GENERALISES"
    ONE_FAMILY = "ONE_FAMILY"
    LEANS_ONE_FAMILY = "LEANS_ONE_FAMILY"
    SEVERAL_SO_FAR = "SEVERAL_SO_FAR"
    MIXED = "MIXED"
    ABSENT = "ABSENT"
    HARMFUL = "HARMFUL"
    ELICITATION_ONLY = "ELICITATION_ONLY"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_TESTED = "NOT_TESTED"


class Gain(Frozen):
    """A mean gain with its two-sided 95 % interval, standard error and degrees of freedom."""

    estimate: float
    lower: float
    upper: float
    standard_error: float
    degrees: float


class ModelFinding(Frozen):
    """One model: accuracy before and after (each seed), and its gains."""

    model: str
    lineage: str
    before: float
    before_greedy: float
    after: tuple[float, ...]
    after_greedy: tuple[float, ...]
    control: tuple[float, ...]
    reference: tuple[float, ...]
    code_before: float
    code_after: float
    unparsed_before: float
    unparsed_after: float
    truncated_after: float
    gain: Gain
    gain_over_control: Gain | None
    excluded: str | None = None


class LineageFinding(Frozen):
    """One lineage: its gains, its state under the rule, and whether the reference trains it."""

    lineage: str
    models: tuple[str, ...]
    gain: Gain
    gain_over_control: Gain | None
    credited: bool
    shown_small: bool
    harmed: bool
    reference_gain: Gain | None
    trainable: bool | None


class Verdict(Frozen):
    """A word, the lineages it names, its sentence, and what speaks beside it.

    `tipping_sd`: with single runs, the run-to-run SD at which the word would change (None: not up to 20 points).
    """

    word: VerdictWord
    lineages: tuple[str, ...] = ()
    sentence: str
    harmed: tuple[str, ...] = ()
    tipping_sd: float | None = None


class Flag(Frozen):
    """A warning with its evidence; `about` names lineages or models, empty for the whole run."""

    name: str
    about: tuple[str, ...] = ()
    evidence: str


class TaskFinding(Frozen):
    """One task alone: gains over the start by lineage. Only deciding tasks enter the verdict."""

    task: str
    deciding: bool
    problems: int
    gains: dict[str, Gain]


class StageFailure(Frozen):
    """A stage without a result, for the report."""

    stage: str
    kind: str
    message: str


class Report(Frozen):
    """All that is said of a run. Equal runs give equal reports, byte for byte: no times here."""

    schema_version: Literal[1] = 1
    program: str
    suite: str
    suite_version: int
    rehearsal: bool
    method: str
    control: str | None
    reference: str | None
    plan: str
    partial: tuple[str, ...]
    verdict: Verdict
    over_start: Verdict
    flags: tuple[Flag, ...]
    lineages: tuple[LineageFinding, ...]
    models: tuple[ModelFinding, ...]
    tasks: tuple[TaskFinding, ...]
    not_tested: tuple[str, ...]
    not_measured: tuple[str, ...]
    assumptions: tuple[str, ...]
    failures: tuple[StageFailure, ...]
    seeds: int
    problems: int
    samples_before: int
    samples_after: int
