"""What an analysis finds: gains, the verdict, flags, the report. Proportions 0-1, never points."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from rlvr_bench.schema.base import Frozen
from rlvr_bench.schema.explanation import Explanation
from rlvr_bench.schema.record import Labelling


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
    """One model: accuracy before and after (each seed), and its gains. None: the source does not tell.

    `answer_noise` is the SD of one run's accuracy that drawing answers alone gives. `curve` holds each seed's accuracy
    at earlier steps, `prompts` the untouched model's accuracy under other prompts, `best_prompts` the prompt that each
    half of the problems finds best (empty: the model's own), `net_gain` the gain over the best prompt, chosen on the
    other half; `labelling` the labels that the untouched model made.
    """

    model: str
    lineage: str
    before: float
    before_greedy: float | None = None
    after: tuple[float, ...]
    after_greedy: tuple[float, ...] = ()
    control: tuple[float, ...]
    reference: tuple[float, ...]
    code_before: float | None = None
    code_after: float | None = None
    unparsed_before: float | None = None
    unparsed_after: float | None = None
    truncated_before: float | None = None
    truncated_after: float | None = None
    timed_out_before: float | None = None
    timed_out_after: float | None = None
    timed_out_training: float | None = None
    answer_noise: float = 0.0
    gain: Gain
    gain_over_control: Gain | None
    net_gain: Gain | None = None
    curve: dict[int, tuple[float, ...]] = Field(default_factory=dict)
    prompts: dict[str, float] = Field(default_factory=dict)
    best_prompts: tuple[str, ...] = ()
    labelling: tuple[Labelling, ...] = ()
    excluded: str | None = None


class LineageFinding(Frozen):
    """One lineage: its gains, its state under the rule, and whether the reference trains it.

    `p_value` is one-sided, of a gain at or below the margin; `p_holm` is adjusted for the number of lineages and
    says in the printed list which gains are shown. `credited`: over the control too, None without one. `elicited`:
    gains over the start, hardly more than the control. `prompt_gain` is what the best untrained prompt,
    chosen on other problems, gives over the own one, `net_gain` the gain over it.
    `gain_logit` is on the logit scale of the lineage's mean accuracies; `smaller_on_logit` says for a verdict that
    names one other lineage whether this one gains less than that on the logit scale too.
    """

    lineage: str
    models: tuple[str, ...]
    gain: Gain
    p_value: float
    p_holm: float
    gain_over_control: Gain | None
    control_gain: Gain | None
    net_gain: Gain | None = None
    prompt_gain: Gain | None = None
    credited: bool | None
    elicited: bool
    shown_small: bool
    harmed: bool
    reference_gain: Gain | None
    trainable: bool | None
    gain_logit: Gain
    smaller_on_logit: bool | None = None


class Verdict(Frozen):
    """A word, the lineages it names, its sentence, and what speaks beside it.

    `tipping_sd`: with single runs, the run-to-run SD at which the word would change (None: not up to 20 points),
    and the word that it would change to.
    """

    word: VerdictWord
    lineages: tuple[str, ...] = ()
    sentence: str
    harmed: tuple[str, ...] = ()
    tipping_sd: float | None = None
    tips_to: VerdictWord | None = None


class CrossCheck(Frozen):
    """Both words again from resamples, with the 95 % intervals of the gains over the start by lineage."""

    resamples: int
    seed: int
    word: VerdictWord
    lineages: tuple[str, ...]
    over_start: VerdictWord
    intervals: dict[str, tuple[float, float]]


class StepFinding(Frozen):
    """What an earlier step of the training would have given: the word over the start alone, gains by lineage,
    and how far each lineage stood above its end."""

    step: int
    word: VerdictWord
    lineages: tuple[str, ...]
    gains: dict[str, Gain]
    above_end: dict[str, Gain]


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


class TaskScore(Frozen):
    """One model on one task, before training or after it (the mean over seeds); `samples` answers to each problem.

    `average` is avg@k, the share right of all answers; `pass_at` pass@k for k up to the number of samples (Chen et al.
    2021, unbiased); `majority` maj@k by k.
    """

    model: str
    task: str
    arm: str
    samples: int
    average: float
    pass_at: dict[int, float] = Field(default_factory=dict)
    majority: dict[int, float] = Field(default_factory=dict)


class StageFailure(Frozen):
    """A stage without a result, for the report."""

    stage: str
    kind: str
    message: str


class Report(Frozen):
    """All that is said of a method. Equal runs give equal reports, byte for byte: no times here.

    `data` says where models and problems are from, and which training problems were left out.
    A run has a suite and a plan; results made elsewhere have a `source` instead. `correlations` holds the word
    under other assumed correlations, where accuracies are all that is known.
    """

    schema_version: Literal[1] = 1
    program: str
    source: str | None = None
    suite: str | None = None
    suite_version: int | None = None
    rehearsal: bool = False
    method: str
    control: str | None
    reference: str | None
    plan: str | None = None
    partial: tuple[str, ...] = ()
    verdict: Verdict
    over_start: Verdict
    flags: tuple[Flag, ...]
    lineages: tuple[LineageFinding, ...]
    models: tuple[ModelFinding, ...]
    tasks: tuple[TaskFinding, ...]
    scores: tuple[TaskScore, ...] = ()
    not_tested: tuple[str, ...]
    not_measured: tuple[str, ...]
    assumptions: tuple[str, ...]
    failures: tuple[StageFailure, ...] = ()
    data: tuple[str, ...] = ()
    steps: tuple[StepFinding, ...] = ()
    correlations: dict[str, str] = Field(default_factory=dict)
    cross_check: CrossCheck | None = None
    explanation: Explanation = Explanation()
    seeds: int
    problems: int
    samples_before: int
    samples_after: int
