"""A record: what one stage found, or how it failed. The only truth that analysis reads."""

from dataclasses import field
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from rlvr_bench.schema.base import Frozen
from rlvr_bench.schema.method import Example, RewardSpec
from rlvr_bench.schema.plan import Kind
from rlvr_bench.schema.suite import ProblemSet, TrainingSettings


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class Outcome:
    """Counts of one problem's attempts; every published number is a sum of these.

    `unparsed`: no answer found; `math_verify`: graded by math-verify; `timed_out`: no verdict in time, counted as
    wrong; the rest was graded by our own reader. `majority`: maj@k by k, whether the most frequent
    answer of k attempts is right, the mean over the attempts cut into groups of k. `patterns`: attempts and right ones
    of each way to behave (scoring.behaviour), adding up to `attempts` and `correct`.

    A slotted class and no model: a report of a large suite holds some hundred thousand.
    """

    id: str
    attempts: Annotated[int, Field(ge=1)]
    correct: Annotated[int, Field(ge=0)]
    unparsed: Annotated[int, Field(ge=0)]
    truncated: Annotated[int, Field(ge=0)]
    math_verify: Annotated[int, Field(ge=0)] = 0
    timed_out: Annotated[int, Field(ge=0)] = 0
    majority: dict[int, float] = field(default_factory=dict)
    patterns: dict[str, tuple[int, int]] = field(default_factory=dict)


class Evaluation(Frozen):
    """Outcomes of the deciding sampling, and of the greedy answer beside it.

    `likelihoods`: for each problem of `sampled`, the mean log-probability (nats a token) that the model gives to the
    prompt and to the gold answer in a box after it, None where nothing is left to measure.
    """

    task: str
    sampled: tuple[Outcome, ...]
    greedy: tuple[Outcome, ...]
    generated_tokens: int
    likelihoods: tuple[tuple[float, float] | None, ...] = ()


class StepHealth(Frozen):
    """One rollout phase: means over its completions and updates; None where nothing reports it.

    `groups_with_signal`: share of groups whose rewards differ. `repetitive`: share of completions that repeat a
    stretch of text over and over. `token_probability`: mean probability of the sampled tokens under the policy that
    sampled them. `clipped`: share of tokens whose ratio was clipped. `ratio_*`: the importance ratio of the phase's
    updates, at the level that is clipped (token, or sequence for GSPO), before any clipping.
    """

    step: int
    reward: float
    groups_with_signal: float
    completion_tokens: float
    truncated: float
    repetitive: float = 0.0
    loss: float | None
    grad_norm: float | None
    entropy: float | None
    token_probability: float | None = None
    clipped: float | None
    ratio_min: float | None = None
    ratio_mean: float | None = None
    ratio_max: float | None = None


class Grading(Frozen):
    """How the answers of a training's rollouts were graded; all 0 where its reward grades nothing."""

    unparsed: int = Field(default=0, ge=0)
    exact: int = Field(default=0, ge=0)
    math_verify: int = Field(default=0, ge=0)
    timed_out: int = Field(default=0, ge=0)


class Definition(Frozen):
    """What a training was rewarded for, exactly: the rewards with all parameters, whose labels they saw, the SHA-256
    of the source file of each function, the problems (or the one) drawn from, the GRPO settings, the digest of the
    prepared labels, the version of the grader. `digest` is that of all the rest: equal digests, equal methods."""

    rewards: tuple[RewardSpec, ...]
    labels: Literal["none", "gold", "majority", "wrong"]
    sources: dict[str, str]
    problems: tuple[ProblemSet, ...] = ()
    example: Example | None = None
    settings: TrainingSettings | None = None
    labels_sha256: str | None = None
    grader: int | None = None
    digest: str


class Ran(Frozen):
    """How a training ran: what bounds memory and speed (docs/gpus.md says what else it decides). `ranks` processes,
    each on one `gpu`, with `micro_batch` completions in a pass; `sharding` over them; whether layers were recomputed
    (`checkpointing`); what sampled; `correction`: the importance ratios between what sampled and what is trained, min,
    mean and max over the run, where they are two programs."""

    ranks: int = 1
    micro_batch: int
    accumulation: int
    gpu: str | None = None
    sampling_batch: int | None = None
    sharding: Literal["none", "full"] = "none"
    checkpointing: bool | None = None
    generation: Literal["vllm", "transformers"] = "transformers"
    vllm_share: float | None = None
    correction: tuple[float, float, float] | None = None


class Imported(Frozen):
    """Where weights are from that were trained elsewhere: a folder's or repository's name, its commit, layout and the
    SHA-256 of every file of weights."""

    origin: str
    commit: str | None
    layout: str
    files: dict[str, str]


class Training(Frozen):
    """A finished training: its curve, what it was rewarded for, and its weights' digests.

    `replayed_differently` counts saved rollouts whose reward, computed again from the file, is not the same number;
    None where it was not tried.
    `resumed`: the phase after which this attempt went on with an earlier one's, if it did: the weights are the same.
    `kept` are the digests of the weights of earlier steps, by step. `left_out` are training problems that are tested,
    with the tested problem that each is; `unusable` are those that came up and could not be used: their prompt is too
    long, or their gold answer, where it is needed, cannot be graded. `paid` is what the reward pays, on average, for
    answers that deserve nothing (rewards.bait), by their name; None where it fails on them. `ran` is None where it ran
    as its settings say: on a CPU, in one process. `imported`: it was trained elsewhere, its steps are not known.
    """

    steps: tuple[StepHealth, ...]
    rollouts: int
    problem_ids: tuple[str, ...]
    definition: Definition
    replayed_differently: int | None = Field(default=None, ge=0)
    resumed: tuple[int, ...] = ()
    checkpoint_sha256: str
    kept: dict[int, str] = Field(default_factory=dict)
    grading: Grading = Grading()
    paid: dict[str, float | None] = Field(default_factory=dict)
    left_out: dict[str, str] = Field(default_factory=dict)
    unusable: tuple[str, ...] = ()
    ran: Ran | None = None
    imported: Imported | None = None


class Purity(Frozen):
    """How wrong the wrong labels are. Counts of labels.

    `wrong`: labels that the grader finds different from the gold answer; these are trained on. Of them,
    `right_by_math_verify` are equal to the gold answer for math-verify alone, in either order: a second opinion.
    `undecided` had no verdict in time and are not trained on. `share_right` is the share of `wrong` that the second
    opinion finds right, None without any. `unlike_by_text` differ from the gold answer as plain
    text, which is how published sets were made; `unlike_but_right` of those are right by the grader.
    """

    wrong: int = Field(ge=0)
    right_by_math_verify: int = Field(ge=0)
    share_right: float | None = None
    undecided: int = Field(ge=0)
    unlike_by_text: int = Field(ge=0)
    unlike_but_right: int = Field(ge=0)


class Labelling(Frozen):
    """Majority labels of training problems: how many problems have one, how many are right, and the file's digest."""

    problems: int = Field(ge=0)
    samples: int = Field(ge=2)
    labelled: int = Field(ge=0)
    right: int = Field(ge=0)
    purity: Purity
    labels_sha256: str
    generated_tokens: int


class Completed(Frozen):
    """A problem completed from its first part: word for word, how alike (ROUGE-L, F), and whether the text that
    follows holds the right answer."""

    exact: bool
    rouge_l: float = Field(ge=0, le=1)
    right: bool


class Exposure(Frozen):
    """What an untouched model completes of a task's problems, greedily and without a template (Reasoning or
    Memorization?, Wu et al. 2025), by the share of the problem that it was shown, one entry a problem."""

    task: str
    ids: tuple[str, ...]
    completed: dict[float, tuple[Completed, ...]]
    generated_tokens: int


FailureKind = Literal[
    "reward", "labels", "out-of-memory", "non-finite", "environment", "disk-full", "backend", "killed", "timeout"
]


class Failure(Frozen):
    """Why a stage has no result. `kind` is machine-readable, `log_tail` is the end of its log."""

    kind: FailureKind
    message: str
    hint: str | None = None
    log_tail: str = ""


class Timing(Frozen):
    """What a stage cost. The only part of a record that differs between equal runs."""

    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int


class Record(Frozen):
    """The commit point of a stage: written to a temporary name, synced, renamed.

    `adapted`: what was changed after the stage ran out of memory, such as a smaller `micro_batch` at the same effective
    batch; empty where it ran as planned.
    """

    schema_version: Literal[1] = 1
    digest: str
    kind: Kind
    training: Training | None = None
    labelling: Labelling | None = None
    evaluation: Evaluation | None = None
    exposure: Exposure | None = None
    adapted: dict[str, int] = Field(default_factory=dict)
    failure: Failure | None = None
    timing: Timing
