"""A record: what one stage found, or how it failed. The only truth that analysis reads."""

from typing import Literal

from pydantic import Field

from rlvr_bench.schema.base import Frozen


class Outcome(Frozen):
    """Counts of one problem's attempts; every published number is a sum of these.

    `unparsed`: no answer found; `math_verify`: graded by math-verify; `timed_out`: no verdict in time, counted as
    wrong; the rest was graded by our own reader.
    """

    id: str
    attempts: int = Field(ge=1)
    correct: int = Field(ge=0)
    unparsed: int = Field(ge=0)
    truncated: int = Field(ge=0)
    math_verify: int = Field(default=0, ge=0)
    timed_out: int = Field(default=0, ge=0)
    behaviour: dict[str, int] = Field(default_factory=dict)


class Evaluation(Frozen):
    """Outcomes of the deciding sampling, and of the greedy answer beside it."""

    task: str
    sampled: tuple[Outcome, ...]
    greedy: tuple[Outcome, ...]
    generated_tokens: int


class StepHealth(Frozen):
    """One rollout phase: means over its completions and updates; None where TRL reports nothing."""

    step: int
    reward: float
    groups_with_signal: float
    completion_tokens: float
    truncated: float
    loss: float | None
    grad_norm: float | None
    entropy: float | None
    clipped: float | None


class Grading(Frozen):
    """How the answers of a training's rollouts were graded; all 0 where its reward grades nothing."""

    unparsed: int = Field(default=0, ge=0)
    exact: int = Field(default=0, ge=0)
    math_verify: int = Field(default=0, ge=0)
    timed_out: int = Field(default=0, ge=0)


class Training(Frozen):
    """A finished training: its curve, what it was rewarded for, and its weights' digest."""

    steps: tuple[StepHealth, ...]
    rollouts: int
    problem_ids: tuple[str, ...]
    reward_definition: str
    checkpoint_sha256: str
    grading: Grading = Grading()


class Failure(Frozen):
    """Why a stage has no result. `kind` is machine-readable, `log_tail` is the end of its log."""

    kind: Literal["reward", "out-of-memory", "non-finite", "environment", "backend", "killed"]
    message: str
    hint: str | None = None
    log_tail: str = ""


class Timing(Frozen):
    """What a stage cost. The only part of a record that differs between equal runs."""

    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int


class Record(Frozen):
    """The commit point of a stage: written to a temporary name, synced, renamed."""

    schema_version: Literal[1] = 1
    digest: str
    kind: Literal["baseline", "train", "evaluate"]
    training: Training | None = None
    evaluation: Evaluation | None = None
    failure: Failure | None = None
    timing: Timing
