"""A suite: everything scientific about a validation except the method."""

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from rlvr_bench.schema.base import Frozen, Name
from rlvr_bench.schema.card import Commit
from rlvr_bench.schema.dataset import DataSet

RESERVED = ("train", "step-", "labels-")
"""How the names of stages begin that are no tasks."""


class Pin(Frozen):
    """Which problems exactly: made when a plan is, and frozen there.

    From the hub: `commit` and the `files` read at it, as `data` says. From a folder or file of one's own: `sha256`, the
    digest of the problems as they are asked (not of the file's bytes), wherever the file lies.
    """

    origin: Literal["hub", "folder", "file"]
    data: DataSet | None = None
    commit: Commit | None = None
    repository: str | None = None
    files: tuple[str, ...] = ()
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")


class ProblemSet(Frozen):
    """The first `count` problems of a source: a generator with its arguments, a data set by name or by the path of its
    YAML file, or `file` with the path of a JSON Lines file."""

    source: str
    count: int = Field(ge=2)
    arguments: dict[str, str | int] = Field(default_factory=dict)
    pin: Pin | None = None

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write a pin only where there is one: generated problems need none."""
        found: dict[str, Any] = write(self)
        if self.pin is None:
            found.pop("pin", None)
        return found

    def computed(self) -> dict[str, Any]:
        """Return what decides the problems: where a file with a known digest lies does not."""
        found: dict[str, Any] = self.model_dump(mode="json")
        if self.pin and self.pin.sha256:
            found["pin"] = {"sha256": self.pin.sha256}
            found["arguments"].pop("path", None)
        elif self.pin and self.pin.data:  # what is said of a data set decides nothing
            data = self.pin.data.model_dump(mode="json", include={"name", "role", "columns", "answers"})
            found["pin"] = {**found["pin"], "data": data}
        if self.pin and self.pin.data:
            found["source"] = self.pin.data.name
        return found


class Sampling(Frozen):
    """How answers are drawn. The same before and after training, by construction."""

    temperature: float = Field(gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(gt=0)
    samples_before: int = Field(ge=1)
    samples_after: int = Field(ge=1)
    batch_size: int = Field(default=128, ge=1)


class TaskSpec(Frozen):
    """One lm-eval task of the suite. Only `deciding` tasks enter the verdict."""

    name: Name
    lm_eval_task: Name
    deciding: bool
    problems: ProblemSet
    sampling: Sampling


Clip = Annotated[
    Annotated[float, Field(gt=0)] | Literal["off"],
    BeforeValidator(lambda value: "off" if value is False else value),  # YAML 1.1 reads a bare `off` as false
]


class Lora(Frozen):
    """Training of low-rank factors instead of all weights (Hu et al. 2021): `alpha` / `rank` scales their product. On
    all linear layers, without dropout; what is saved are whole weights, the product added."""

    rank: int = Field(ge=1)
    alpha: float = Field(gt=0)


class TrainingSettings(Frozen):
    """GRPO settings. One step is one rollout phase: sample, reward, then `passes` times over the rollouts, each pass
    cut into `updates_per_step` updates.

    Learning rate per update, `kl` is beta. `sgd` (no momentum) moves by the gradient itself, up to `max_grad_norm`;
    Adam's steps do not depend on its size. `clip` is epsilon of the ratio, `clip_high` its upper side where it differs
    (DAPO, Yu et al. 2025). `importance`: the ratio of each token, or of the whole sequence (GSPO, Zheng et al. 2025).
    `mask_truncated` leaves completions that were cut off out of the loss. `micro_batch`: completions in one forward
    pass (default: all of an update), `sampling_batch`: completions sampled at once (default: all of a step); both bound
    memory and leave the batch of an update as it is. `lora`: low-rank factors are trained instead of all weights.
    """

    steps: int = Field(ge=1)
    prompts_per_step: int = Field(ge=1)
    group_size: int = Field(ge=2)
    updates_per_step: int = Field(ge=1)
    passes: int = Field(default=1, ge=1)
    learning_rate: float = Field(gt=0)
    optimizer: Literal["adam", "sgd"] = "adam"
    adam_beta1: float = Field(default=0.9, ge=0, lt=1)
    adam_beta2: float = Field(default=0.999, ge=0, lt=1)
    clip: Clip
    clip_high: float | None = Field(default=None, gt=0)
    kl: float = Field(default=0.0, ge=0)
    importance: Literal["token", "sequence"] = "token"
    mask_truncated: bool = False
    max_grad_norm: float = Field(default=1.0, gt=0)
    loss: Literal["grpo", "dapo", "dr_grpo", "bnpo"] = "dapo"
    advantage_scale: Literal["group", "batch", "none"] = "group"
    micro_batch: int | None = Field(default=None, ge=1)
    sampling_batch: int | None = Field(default=None, ge=1)
    lora: Lora | None = None
    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_prompt_tokens: int = Field(gt=0)
    max_completion_tokens: int = Field(gt=0)

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write `lora` only where there is one: digests of settings without it are as they were before it was there."""
        found: dict[str, Any] = write(self)
        if self.lora is None:
            found.pop("lora", None)
        return found

    @property
    def updates(self) -> int:
        """Return how many updates one step makes, all passes together."""
        return self.updates_per_step * self.passes

    @model_validator(mode="after")
    def _only_what_has_a_meaning(self) -> "TrainingSettings":
        betas = [n for n in ("adam_beta1", "adam_beta2") if getattr(self, n) != type(self).model_fields[n].default]
        if self.optimizer == "sgd" and betas:
            raise ValueError(f"{betas[0]} has no meaning where optimizer is sgd")
        return self

    @model_validator(mode="after")
    def _whole_minibatches(self) -> "TrainingSettings":
        if self.clip == "off" and self.clip_high is not None:
            raise ValueError("clip_high has no meaning where clip is off")
        rollouts = self.prompts_per_step * self.group_size
        if rollouts % self.updates_per_step:
            raise ValueError(
                f"prompts_per_step x group_size = {rollouts} rollouts cannot be cut into "
                f"updates_per_step = {self.updates_per_step} equal mini-batches"
            )
        if self.micro_batch and (rollouts // self.updates_per_step) % self.micro_batch:
            raise ValueError(
                f"the {rollouts // self.updates_per_step} rollouts of an update cannot be cut into "
                f"micro-batches of {self.micro_batch}"
            )
        return self


class Rule(Frozen):
    """The constants of the verdict; proportions, not points. Defaults and reasons: docs/statistics.md."""

    margin: float = Field(default=0.02, ge=0, lt=1)
    no_gain: float = Field(default=0.05, gt=0, lt=1)
    share_of_largest: float = Field(default=0.5, gt=0, lt=1)
    alpha: float = Field(default=0.025, gt=0, lt=0.5)
    alpha_equivalence: float = Field(default=0.05, gt=0, lt=0.5)
    prior_run_sd: float = Field(default=0.02, gt=0)
    prior_run_sd_small: float = Field(default=0.03, gt=0)
    prior_run_sd_control: float = Field(default=0.04, gt=0)
    prior_degrees: float = Field(default=4.0, gt=0)
    weights: Literal["problems", "benchmarks"] = "problems"
    ceiling: float = Field(default=0.95, gt=0, le=1)
    floor: float = Field(default=0.01, ge=0, lt=1)
    floor_unparsed: float = Field(default=0.20, ge=0, le=1)


class ExposureProbe(Frozen):
    """How untouched models are asked to complete problems: from each share `shown` of their tokens, the first
    `problems` of every task (Reasoning or Memorization?, Wu et al. 2025: 0.4, 0.6 and 0.8, greedily, no template)."""

    shown: tuple[float, ...] = (0.4, 0.6, 0.8)
    problems: int = Field(default=500, ge=2)
    max_tokens: int = Field(gt=0)
    batch_size: int = Field(default=128, ge=1)

    @field_validator("shown")
    @classmethod
    def _parts(cls, shown: tuple[float, ...]) -> tuple[float, ...]:
        if not shown or list(shown) != sorted(set(shown)) or not 0 < shown[0] <= shown[-1] < 1:
            raise ValueError("shown must be shares between 0 and 1 in ascending order, each once")
        return shown


class Suite(Frozen):
    """Models, arms, tasks, training budget, seeds and rule. Read once, frozen into `plan.json`.

    `evaluate_at`: steps, before the last, after which the method's weights are evaluated too. `prompts`: other
    prompts under which the untouched models are evaluated, with `prompt_samples` samples a problem.
    `exposure`: whether untouched models are asked to complete problems, and how.
    `label_problems`: how many of the training problems a preparation labels; all, where it is not given. `device: cuda`
    trains in mixed precision (weights in float32, computing in bfloat16) and evaluates in bfloat16.
    """

    schema_version: Literal[1]
    name: Name
    version: int = Field(ge=1)
    title: str
    why: str
    rehearsal: bool = False
    device: Literal["cpu", "cuda"]
    models: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(min_length=1)
    control: str | None
    reference: str | None
    tasks: tuple[TaskSpec, ...] = Field(min_length=1)
    training_problems: ProblemSet
    training: TrainingSettings
    evaluate_at: tuple[int, ...] = ()
    prompts: tuple[str, ...] = ()
    prompt_samples: int = Field(default=4, ge=1)
    label_problems: int | None = Field(default=None, ge=2)
    exposure: ExposureProbe | None = None
    rule: Rule = Rule()

    @property
    def problem_sets(self) -> tuple[ProblemSet, ...]:
        """The problems of every task, in their order, and last those of the training."""
        return (*(task.problems for task in self.tasks), self.training_problems)

    @model_validator(mode="after")
    def _consistent(self) -> "Suite":
        if not any(task.deciding for task in self.tasks):
            raise ValueError("no task is deciding: at least one must carry the verdict")
        for task in self.tasks:
            if task.name.startswith(RESERVED):
                raise ValueError(f"a task cannot be called {task.name!r}: that is the name of other stages")
        twice = {"amc23", "amc83"} & {task.problems.source for task in self.tasks}
        if len(twice) == 2:
            raise ValueError("amc23 is a part of amc83: a suite holds one of them")
        if list(self.evaluate_at) != sorted(set(self.evaluate_at)):
            raise ValueError("evaluate_at must be steps in ascending order, each once")
        if self.evaluate_at and not 0 < self.evaluate_at[0] <= self.evaluate_at[-1] < self.training.steps:
            raise ValueError(
                f"evaluate_at must lie between 1 and {self.training.steps - 1}: "
                f"the untouched model and step {self.training.steps}, the last, are always evaluated"
            )
        for label, values in (
            ("models", self.models),
            ("seeds", self.seeds),
            ("tasks", [task.name for task in self.tasks]),
            ("prompts", self.prompts),
        ):
            if len(set(values)) != len(values):
                raise ValueError(f"{label} holds a name twice")
        return self
