"""Every path of a run folder and of the cache; no other module spells one."""

from dataclasses import dataclass
from pathlib import Path

from rlvr_bench.schema.plan import Plan, Stage

RECORD = "record.json"
STAGE = "stage.json"
ADAPTED = "adapted.json"
"""What the next attempt changes after an out-of-memory."""
TRIED = "tried.json"
"""The batches of a training's newest attempt on GPUs."""
LOG = "log.txt"
WORKING = ".working"
"""Locked by the process that works on a stage."""
METRICS = "metrics.jsonl"
ROLLOUTS = "rollouts.parquet"
PARTS = "rollouts"
"""Rollouts phase by phase, while a training runs."""
TRAINER = "trainer"
"""What TRL writes: checkpoints to go on from; removed when a training has ended."""
CHECKPOINT = "checkpoint"
WEIGHTS = "model.safetensors"
COMPLETIONS = "completions.jsonl.gz"
LABELS = "labels.jsonl"


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    @property
    def plan(self) -> Path:
        """The frozen plan: enough to run again with nothing else."""
        return self.path / "plan.json"

    @property
    def journal(self) -> Path:
        """One JSON line per event, in order."""
        return self.path / "journal.jsonl"

    @property
    def index(self) -> Path:
        """The kind of each stage by its id, for who only counts."""
        return self.path / "stages.json"

    @property
    def slurm(self) -> Path:
        """What was submitted to Slurm."""
        return self.path / "slurm"

    @property
    def about(self) -> Path:
        """Who worked on the run, where and with what: `run.json`."""
        return self.path / "run.json"

    @property
    def lock(self) -> Path:
        """Held by the one process that works on the run."""
        return self.path / "lock"

    @property
    def report(self) -> Path:
        """The folder of report files."""
        return self.path / "report"

    @property
    def trackers(self) -> Path:
        """What experiment trackers write, where one is asked for."""
        return self.path / "trackers"

    @property
    def verdicts(self) -> Path:
        """What math-verify said of answers, shared by the stages of the run."""
        return self.path / "verdicts"

    def stage(self, stage_id: str) -> Path:
        """The folder of a stage, by its id."""
        return self.path / "stages" / stage_id


def checkpoint(step: int | None = None) -> str:
    """Return the folder name of a training's weights: of its end, or of an earlier step."""
    return CHECKPOINT if step is None else f"{CHECKPOINT}-step-{step}"


def run_of(folder: Path, stage: Stage) -> RunFolder:
    """Return the run that a stage's folder belongs to."""
    return RunFolder(folder.resolve().parents[len(Path(stage.id).parts)])


def run_name(plan: Plan) -> str:
    """Return the folder name of a plan's run: `suite--method--digest`."""
    return f"{plan.suite.name}--{plan.method.name}--{plan.digest[:6]}"


def cache_of(runs: Path, digest: str) -> Path:
    """Return the cache folder of a stage digest; the cache lies beside the runs."""
    return runs / ".cache" / digest
