"""A suite: everything scientific about a validation except the method."""

from typing import Literal

from pydantic import Field, model_validator

from rlvr_bench.schema.base import Frozen, Name


class ProblemSet(Frozen):
    """Problems by the name of their source, with the source's own arguments."""

    source: str
    count: int = Field(ge=2)
    arguments: dict[str, str | int] = Field(default_factory=dict)


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


class TrainingSettings(Frozen):
    """GRPO settings. One step is one rollout phase: sample, reward, `updates_per_step` updates.

    Learning rate per update (Adam), `clip` is epsilon of the ratio, `kl` is beta.
    """

    steps: int = Field(ge=1)
    prompts_per_step: int = Field(ge=1)
    group_size: int = Field(ge=2)
    updates_per_step: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    adam_beta1: float = Field(default=0.9, ge=0, lt=1)
    adam_beta2: float = Field(default=0.999, ge=0, lt=1)
    clip: float = Field(gt=0)
    kl: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    loss: Literal["grpo", "dapo", "dr_grpo", "bnpo"] = "dapo"
    advantage_scale: Literal["group", "batch", "none"] = "group"
    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_prompt_tokens: int = Field(gt=0)
    max_completion_tokens: int = Field(gt=0)

    @model_validator(mode="after")
    def _whole_minibatches(self) -> "TrainingSettings":
        rollouts = self.prompts_per_step * self.group_size
        if rollouts % self.updates_per_step:
            raise ValueError(
                f"prompts_per_step x group_size = {rollouts} rollouts cannot be cut into "
                f"updates_per_step = {self.updates_per_step} equal mini-batches"
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


class Suite(Frozen):
    """Models, arms, tasks, training budget, seeds and rule. Read once, frozen into `plan.json`."""

    schema_version: Literal[1]
    name: Name
    version: int = Field(ge=1)
    title: str
    why: str
    rehearsal: bool = False
    device: Literal["cpu"]
    models: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(min_length=1)
    control: str | None
    reference: str | None
    tasks: tuple[TaskSpec, ...] = Field(min_length=1)
    training_problems: ProblemSet
    training: TrainingSettings
    rule: Rule = Rule()

    @model_validator(mode="after")
    def _consistent(self) -> "Suite":
        if not any(task.deciding for task in self.tasks):
            raise ValueError("no task is deciding: at least one must carry the verdict")
        if any(task.name == "train" for task in self.tasks):
            raise ValueError("a task cannot be called 'train': that is the name of the training stage")
        for label, values in (
            ("models", self.models),
            ("seeds", self.seeds),
            ("tasks", [task.name for task in self.tasks]),
        ):
            if len(set(values)) != len(values):
                raise ValueError(f"{label} holds a name twice")
        return self
