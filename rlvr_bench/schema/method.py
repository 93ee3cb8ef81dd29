"""A method: rewards, which problems it trains on, and the GRPO settings it changes."""

from typing import Any, Literal

from pydantic import Field, field_validator

from rlvr_bench.schema.base import Frozen, Name
from rlvr_bench.schema.suite import TrainingSettings


class RewardSpec(Frozen):
    """A reward by its registered name, with its parameters and its weight in the sum."""

    name: str
    weight: float = 1.0
    parameters: dict[str, str | int | float | bool] = Field(default_factory=dict)


class GrpoOverrides(Frozen):
    """The training settings that a method may change; all else is the suite's."""

    group_size: int | None = Field(default=None, ge=2)
    updates_per_step: int | None = Field(default=None, ge=1)
    clip: float | None = Field(default=None, gt=0)
    kl: float | None = Field(default=None, ge=0)
    loss: Literal["grpo", "dapo", "dr_grpo", "bnpo"] | None = None
    advantage_scale: Literal["group", "batch", "none"] | None = None

    def changed(self) -> dict[str, Any]:
        """Return the settings that are set, by name."""
        return self.model_dump(exclude_none=True)


class Method(Frozen):
    """A training signal, whole: one YAML file."""

    schema_version: Literal[1]
    name: Name
    title: str
    source: str
    rewards: tuple[RewardSpec, ...] = Field(min_length=1)
    data: Literal["train", "test-prompts"] = "train"
    labels: bool = False
    grpo: GrpoOverrides = GrpoOverrides()
    notes: str = ""

    @field_validator("name")
    @classmethod
    def _not_reserved(cls, name: str) -> str:
        if name == "baseline":
            raise ValueError("'baseline' is the name of the untouched model's arm")
        return name

    def settings(self, suite: TrainingSettings) -> TrainingSettings:
        """Return the suite's settings with this method's changes, checked again as a whole."""
        return TrainingSettings.model_validate({**suite.model_dump(), **self.grpo.changed()})
