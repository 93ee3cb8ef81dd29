"""A method: rewards, which problems it trains on, and the GRPO settings it changes."""

from typing import Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from rlvr_bench.schema.base import Frozen, Line, Name
from rlvr_bench.schema.card import Commit, HubFile, Repository, Revision
from rlvr_bench.schema.suite import Clip, TrainingSettings


class RewardSpec(Frozen):
    """A reward: a name with its parameters, or made of others by `all` or `not`.

    `name` is a registered name or `package.module:function`; `code` is the text of the Python file that defines the
    function `reward` of a method given as a file, so that a plan needs nothing else. `all` is 1 where every part is
    1, else 0; `not` is 1 minus its part; the parts of both must be 0 or 1. `weight` counts in the method's sum.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    name: str | None = None
    all_: tuple["RewardSpec", ...] = Field(default=(), alias="all")
    not_: "RewardSpec | None" = Field(default=None, alias="not")
    weight: float = 1.0
    parameters: dict[str, str | int | float | bool] = Field(default_factory=dict)
    code: str | None = None

    @model_validator(mode="after")
    def _one_form(self) -> "RewardSpec":
        forms = [self.name is not None, bool(self.all_), self.not_ is not None]
        if sum(forms) != 1:
            raise ValueError("a reward is one of: name, all, not")
        if self.name is None and (self.parameters or self.code):
            raise ValueError("parameters belong to the named rewards inside")
        if any(part.weight != 1.0 for part in self.inside()):
            raise ValueError("a weight inside all or not has no meaning: give it to the whole")
        return self

    @model_serializer
    def _written(self) -> dict[str, Any]:
        """Write the form that is used, and nothing else."""
        if self.all_:
            return {"all": [part._written() for part in self.all_], "weight": self.weight}
        if self.not_:
            return {"not": self.not_._written(), "weight": self.weight}
        found: dict[str, Any] = {"name": self.name, "weight": self.weight, "parameters": self.parameters}
        return found if self.code is None else {**found, "code": self.code}

    def inside(self) -> tuple["RewardSpec", ...]:
        """Return the parts of `all` or `not`; none of a named reward."""
        return (*self.all_, *([self.not_] if self.not_ else []))

    def leaves(self) -> tuple["RewardSpec", ...]:
        """Return the named rewards that this one is made of."""
        return (self,) if self.name is not None else tuple(leaf for part in self.inside() for leaf in part.leaves())


class GrpoOverrides(Frozen):
    """The training settings that a method may change; all else is the suite's.

    `one_update` makes one update of each rollout phase, so that the ratio is 1 and clipping never acts: with the
    suite's rollouts in one batch (`full-batch`), or with as few prompts as one of its updates holds
    (`small-rollout`): the paper's ablation arms (Spurious Rewards, Appendix B).
    """

    group_size: int | None = Field(default=None, ge=2)
    updates_per_step: int | None = Field(default=None, ge=1)
    one_update: Literal["full-batch", "small-rollout"] | None = None
    clip: Clip | None = None
    clip_high: float | None = Field(default=None, gt=0)
    kl: float | None = Field(default=None, ge=0)
    importance: Literal["token", "sequence"] | None = None
    mask_truncated: bool | None = None
    loss: Literal["grpo", "dapo", "dr_grpo", "bnpo"] | None = None
    advantage_scale: Literal["group", "batch", "none"] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "GrpoOverrides":
        if self.one_update and self.updates_per_step:
            raise ValueError("one_update and updates_per_step exclude each other")
        return self

    def changed(self) -> dict[str, Any]:
        """Return the settings that are set, by name."""
        return self.model_dump(exclude_none=True)


class Preparation(Frozen):
    """Labels that the untouched model makes before training: its majority answer of `samples` a problem.

    `majority` trains on every problem that has one, `wrong` on those whose majority answer is wrong by the gold
    (Spurious Rewards, incorrect labels). Samples are drawn at temperature 1 and top_p 1, at the training's token limit.
    """

    labels: Literal["majority", "wrong"]
    samples: int = Field(default=64, ge=2)


class Example(Frozen):
    """The one problem of `data: one-example`: a text with its answer, or the suite's training problem `index`."""

    index: int = Field(default=0, ge=0)
    problem: str | None = None
    answer: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Example":
        if (self.problem is None) != (self.answer is None):
            raise ValueError("an example of one's own needs both problem and answer")
        if self.problem is not None and self.index:
            raise ValueError("an example is an index or a text, not both")
        return self


Layout = Literal["transformers", "adapter"]


class Checkpoint(Frozen):
    """Weights that were trained elsewhere (verl, OpenRLHF, open-instruct, TRL, ...), of one model and seed: a folder
    (`path`, beside the file that names it) or a repository of the hub. The final checkpoint, never the best.

    A plan freezes the rest: `commit` of a hub's, `layout`, and the `files` with their digests.
    """

    model: Name
    seed: int
    path: str | None = None
    repository: Repository | None = None
    revision: Revision = "main"
    commit: Commit | None = None
    layout: Layout | None = None
    files: dict[str, HubFile] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_place(self) -> "Checkpoint":
        if (self.path is None) == (self.repository is None):
            raise ValueError("a checkpoint is in one place: path, or repository")
        return self

    def computed(self) -> dict[str, Any]:
        """Return what decides its weights: the digests of its files, wherever they lie."""
        return {"model": self.model, "seed": self.seed, "layout": self.layout, "files": self._digests()}

    def _digests(self) -> dict[str, Any]:
        return {name: file.model_dump(mode="json") for name, file in sorted(self.files.items())}


class Method(Frozen):
    """A training signal, whole: one YAML file. Or, in place of rewards, `checkpoints` that were trained elsewhere, with
    `controls` beside them where the same setup was trained with a random reward."""

    schema_version: Literal[1]
    name: Name
    title: Line
    source: Line
    checkpoints: tuple[Checkpoint, ...] = ()
    controls: tuple[Checkpoint, ...] = ()
    rewards: tuple[RewardSpec, ...]
    data: Literal["train", "test-prompts", "one-example"] = "train"
    example: Example | None = None
    labels: bool = False
    preparation: Preparation | None = None
    preset: str | None = None
    grpo: GrpoOverrides = GrpoOverrides()
    notes: str = ""

    @field_validator("name")
    @classmethod
    def _not_reserved(cls, name: str) -> str:
        if name in ("baseline", "exposure") or name.startswith("prompt-"):
            raise ValueError(f"{name!r} is the name of an arm without training")
        return name

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write checkpoints only where there are some: digests of methods without them stay what they were."""
        found: dict[str, Any] = write(self)
        for name in ("checkpoints", "controls"):
            if not getattr(self, name):
                found.pop(name, None)
        return found

    @model_validator(mode="before")
    @classmethod
    def _none_where_trained_elsewhere(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("checkpoints") and "rewards" not in data:
            return {**data, "rewards": ()}
        return data

    @field_validator("rewards")
    @classmethod
    def _some(cls, rewards: tuple[RewardSpec, ...], info: ValidationInfo) -> tuple[RewardSpec, ...]:
        if not rewards and not info.data.get("checkpoints"):
            raise ValueError("at least one, or checkpoints that were trained elsewhere")
        return rewards

    @model_validator(mode="after")
    def _rewards_or_checkpoints(self) -> "Method":
        if self.rewards and self.checkpoints:
            raise ValueError("a method has rewards, or checkpoints that were trained elsewhere")
        if self.controls and not self.checkpoints:
            raise ValueError("controls are listed beside checkpoints; where we train, the suite has its control")
        if self.checkpoints and (self.preparation or self.preset or self.grpo.changed() or self.example):
            raise ValueError("checkpoints are trained already: no preparation, preset, grpo or example")
        for label, listed in (("checkpoints", self.checkpoints), ("controls", self.controls)):
            cells = [(one.model, one.seed) for one in listed]
            if len(set(cells)) != len(cells):
                raise ValueError(f"{label} name a model and seed twice")
        return self

    @property
    def imported(self) -> bool:
        """Return whether it was trained elsewhere."""
        return bool(self.checkpoints)

    @model_validator(mode="after")
    def _consistent(self) -> "Method":
        if (self.data == "one-example") != (self.example is not None):
            raise ValueError("data: one-example and example belong together")
        if self.preparation and self.data != "train":
            raise ValueError("a preparation labels training problems: data must be train")
        return self

    def leaves(self) -> tuple[RewardSpec, ...]:
        """Return every named reward of the method."""
        return tuple(leaf for spec in self.rewards for leaf in spec.leaves())

    def settings(self, suite: TrainingSettings) -> TrainingSettings:
        """Return the suite's settings with this method's changes, checked again as a whole."""
        changed = self.grpo.changed()
        how = changed.pop("one_update", None)
        if how:
            changed |= {"updates_per_step": 1, "passes": 1}
        if how == "small-rollout":
            if suite.prompts_per_step % suite.updates_per_step:
                raise ValueError(
                    f"{self.name}: {suite.prompts_per_step} prompts a step cannot be cut into the "
                    f"{suite.updates_per_step} updates of the suite"
                )
            changed["prompts_per_step"] = suite.prompts_per_step // suite.updates_per_step
        if changed.get("clip") == "off":
            changed.setdefault("clip_high", None)
        return TrainingSettings.model_validate({**suite.model_dump(), **changed})
