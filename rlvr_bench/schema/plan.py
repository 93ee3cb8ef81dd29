"""A plan: the list of stages that a suite and a method amount to, and what they cost."""

from typing import Annotated, Any, Literal

from pydantic import Field

from rlvr_bench.schema.base import Frozen, Name, digest
from rlvr_bench.schema.card import Card
from rlvr_bench.schema.method import Checkpoint, Example, Method, RewardSpec
from rlvr_bench.schema.prompt import Prompt
from rlvr_bench.schema.suite import ProblemSet, Suite, TaskSpec, TrainingSettings

BASELINE = "baseline"
EXPOSURE = "exposure"
"""The arm of what untouched models complete of problems; no method may be called so."""
PROMPT = "prompt-"
"""Arms without training are called `prompt-NAME`; no method may be."""


class Cell(Frozen):
    """A model under an arm with a seed; the untouched model has the arm `baseline` and no seed."""

    model: str
    arm: str
    seed: int | None = None

    @property
    def id(self) -> str:
        """Return `model/arm/seed-N`, or `model/baseline`."""
        return f"{self.model}/{self.arm}" + ("" if self.seed is None else f"/seed-{self.seed}")


class _Inputs(Frozen):
    card: Card
    device: Literal["cpu", "cuda"] = "cpu"

    def computed(self) -> dict[str, Any]:
        """Return all that the result depends on, as JSON values: what is said of a model is not part of it."""
        found = {**self.model_dump(mode="json"), "card": self.card.computed()}
        if self.device == "cpu":
            del found["device"]
        return found


class PrepareInputs(_Inputs):
    """All that decides which labels the untouched model gives to training problems."""

    kind: Literal["prepare"] = "prepare"
    problems: tuple[ProblemSet, ...]
    samples: int = Field(ge=2)
    max_tokens: int = Field(gt=0)
    batch_size: int = Field(default=128, ge=1)
    sampling_seed: int

    def computed(self) -> dict[str, Any]:
        """Return all that the result depends on."""
        return {**super().computed(), "problems": [wanted.computed() for wanted in self.problems]}


class Prepared(Frozen):
    """Labels that a preparation made: its stage's digest, and which of them a training uses."""

    digest: str
    labels: Literal["majority", "wrong"]


class TrainInputs(_Inputs):
    """All that decides what a training stage computes. `save_at` are steps whose weights are kept too; `replay` says
    whether the saved rollouts are scored again, which a reward that is known not to replay is spared. Training problems
    that match one of `tested` are left out."""

    kind: Literal["train"] = "train"
    rewards: tuple[RewardSpec, ...]
    labels: bool
    problems: tuple[ProblemSet, ...]
    settings: TrainingSettings
    seed: int
    prepared: Prepared | None = None
    example: Example | None = None
    save_at: tuple[int, ...] = ()
    replay: bool = True
    tested: tuple[ProblemSet, ...] = ()

    def computed(self) -> dict[str, Any]:
        """Return all that the result depends on; what a method leaves at its default is not named.

        So an option that a later version adds changes neither the digest nor the seeds of those without it.
        """
        found = super().computed()
        del found["replay"]
        for name in ("problems", "tested"):
            found[name] = [wanted.computed() for wanted in getattr(self, name)]
        for name in ("prepared", "example", "save_at", "tested"):
            if not found[name]:
                del found[name]
        for name in (
            *("clip_high", "importance", "mask_truncated", "optimizer", "passes"),
            *("micro_batch", "sampling_batch"),
        ):
            if found["settings"][name] == TrainingSettings.model_fields[name].default:
                del found["settings"][name]
        return found

    def trajectory(self) -> dict[str, Any]:
        """Return what decides the weights: which of them are kept on the way does not."""
        found = self.computed()
        found.pop("save_at", None)
        found.pop("tested", None)  # which problems are left out is seen in the problems that are not
        if self.prepared:
            found["prepared"] = self.prepared.labels  # its digest is of one machine; seeds are of all
        return found


class EvaluateInputs(_Inputs):
    """All that decides what an evaluation computes. `checkpoint` is the digest of the training
    stage whose weights are evaluated, None for the untouched model; `step` is the step whose weights these
    are, None for the last; `prompt` replaces the task's own."""

    kind: Literal["evaluate"] = "evaluate"
    task: TaskSpec
    samples: int = Field(ge=1)
    checkpoint: str | None
    sampling_seed: int
    step: int | None = None
    prompt: Prompt | None = None

    def computed(self) -> dict[str, Any]:
        """Return all that the result depends on."""
        found = super().computed()
        found["task"]["problems"] = self.task.problems.computed()
        return found


class ExposureInputs(_Inputs):
    """All that decides what an untouched model completes of a task's first problems, greedily, from each share `shown`
    of their tokens, without a template."""

    kind: Literal["exposure"] = "exposure"
    task: Name
    problems: ProblemSet
    shown: tuple[float, ...]
    max_tokens: int = Field(gt=0)
    batch_size: int = Field(default=128, ge=1)

    def computed(self) -> dict[str, Any]:
        """Return all that the result depends on."""
        return {**super().computed(), "problems": self.problems.computed()}


class AdoptInputs(_Inputs):
    """Weights that were trained elsewhere, in place of a training."""

    kind: Literal["adopt"] = "adopt"
    checkpoint: Checkpoint

    def computed(self) -> dict[str, Any]:
        """Return all that the result depends on: the digests of the files."""
        return {**super().computed(), "checkpoint": self.checkpoint.computed()}


AnyInputs = AdoptInputs | TrainInputs | EvaluateInputs | PrepareInputs | ExposureInputs
Inputs = Annotated[AnyInputs, Field(discriminator="kind")]
Kind = Literal["baseline", "prepare", "train", "evaluate", "probe"]
"""What a stage does: `probe` looks at the untouched model, under another prompt, or for problems that it knows."""


class Environment(Frozen):
    """What the numbers depend on besides the inputs: versions, our own code, the device, and the source
    of rewards that plug-ins bring."""

    versions: dict[str, str]
    code: str
    device: str
    rewards: dict[str, str] = Field(default_factory=dict)


class Stage(Frozen):
    """A unit of work: a folder in, a record out. `digest` covers inputs and environment."""

    id: str
    kind: Kind
    cell: Cell
    needs: tuple[str, ...] = ()
    inputs: Inputs
    digest: str

    @staticmethod
    def digest_of(inputs: AnyInputs, environment: Environment) -> str:
        """Return the digest under which equal work is shared between runs."""
        around = environment.model_dump()
        used = {leaf.name for spec in inputs.rewards for leaf in spec.leaves()} if inputs.kind == "train" else set()
        around["rewards"] = {name: code for name, code in environment.rewards.items() if name in used}
        return digest({"inputs": inputs.computed(), "environment": around})


class Range(Frozen):
    """An estimate: low and high end."""

    low: float
    high: float


class Estimate(Frozen):
    """What a plan costs and what it can see; unknown is None, never zero. `gpu_hours` are of one A100.

    `visible_gain*` are proportions: the smallest true gain that would be declared above the margin
    in one lineage with 80 % power.
    """

    stages: int
    cpu_seconds: Range | None
    gpu_hours: Range | None = None
    download_bytes: float = 0.0
    disk_bytes: Range
    visible_gain: float
    visible_gain_over_control: float | None
    basis: str


class Plan(Frozen):
    """Everything a run needs: nothing else is read once it is written.

    `unreplayable` are rewards that gave other values for the same rollouts when they were tried.
    """

    schema_version: Literal[1] = 1
    suite: Suite
    method: Method
    control: Method | None
    reference: Method | None
    cards: tuple[Card, ...]
    prompts: tuple[Prompt, ...] = ()
    partial: tuple[str, ...] = ()
    unreplayable: tuple[str, ...] = ()
    environment: Environment
    stages: tuple[Stage, ...]
    estimate: Estimate

    @property
    def digest(self) -> str:
        """Return the digest that names the run folder: the science and the environment.

        Whether a reward was seen not to replay is no part of it: a flaky one would then start a new run each time. Nor
        is where a file of problems lies, of which the plan holds the digest.
        """
        unseen: Any = {"estimate": True, "unreplayable": True, "stages": {"__all__": {"inputs"}}}
        found = self.model_dump(mode="json", exclude=unseen)
        suite = self.suite
        found["suite"]["training_problems"] = suite.training_problems.computed()
        for written, task in zip(found["suite"]["tasks"], suite.tasks, strict=True):
            written["problems"] = task.problems.computed()
        return digest(found)
