"""A fake at the outermost seam: an executor that writes records without training anything."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rlvr_bench import catalog
from rlvr_bench.backends.data import load_problems
from rlvr_bench.backends.trl import definition_of
from rlvr_bench.planning.planner import make_plan, restrict
from rlvr_bench.rewards.bait import KINDS
from rlvr_bench.runs import layout
from rlvr_bench.runs.layout import RunFolder, run_name
from rlvr_bench.runs.store import write_model
from rlvr_bench.schema.base import seed_from
from rlvr_bench.schema.method import Method
from rlvr_bench.schema.plan import (
    Environment,
    EvaluateInputs,
    ExposureInputs,
    Plan,
    PrepareInputs,
    Stage,
    TrainInputs,
)
from rlvr_bench.schema.record import (
    Completed,
    Definition,
    Evaluation,
    Exposure,
    Failure,
    Labelling,
    Outcome,
    Purity,
    Record,
    StepHealth,
    Timing,
    Training,
)
from rlvr_bench.schema.suite import Suite

WEIGHTS = b"weights"


def weights_of(stage: Stage) -> bytes:
    return WEIGHTS + stage.digest.encode()


WHOLE = hashlib.sha256(WEIGHTS).hexdigest()
ENVIRONMENT = Environment(versions={"trl": "1"}, code="c", device="cpu: x")


def planned(
    method: str | Method = "ttrl", *, environment: Environment = ENVIRONMENT, suite: Suite | None = None, **cuts
) -> Plan:
    suite, partial = restrict(suite or catalog.load_suite("micro"), **cuts)
    return make_plan(
        suite,
        catalog.load_method(method) if isinstance(method, str) else method,
        [catalog.load_card(name) for name in suite.models],
        environment,
        control=catalog.load_method("random"),
        reference=catalog.load_method("ground-truth"),
        prompts=[catalog.load_prompt(name) for name in suite.prompts],
        partial=partial,
    )


def folder_of(plan: Plan, runs: Path) -> RunFolder:
    return RunFolder(runs / run_name(plan))


DEFINITION = Definition(rewards=(), labels="none", sources={}, digest="d")


def training(
    signal: float = 1.0,
    tokens: float = 14.0,
    truncated: float = 0.0,
    *,
    repetitive: float = 0.0,
    entropy: float = 0.2,
    kept: tuple[int, ...] = (),
    count: int = 3,
    rollouts: int = 384,
) -> Training:
    steps = tuple(
        StepHealth(
            step=i,
            reward=0.5,
            groups_with_signal=signal,
            completion_tokens=14.0 if i == 0 else tokens,
            truncated=truncated,
            repetitive=repetitive,
            loss=0.1,
            grad_norm=0.2,
            entropy=0.2 if i == 0 else entropy,
            clipped=0.01,
        )
        for i in range(count)
    )
    return Training(
        steps=steps,
        rollouts=rollouts,
        problem_ids=("p",),
        definition=DEFINITION,
        replayed_differently=0,
        checkpoint_sha256=WHOLE,
        kept=dict.fromkeys(kept, WHOLE),
        paid=dict.fromkeys(KINDS, 0.0),
    )


@dataclass
class FakeExecutor:
    """Finishes stages one poll after another. `gains` by (arm, lineage, model, task or `step-N`); the start is at
    `base`."""

    gains: dict[tuple[str, str], float] = field(default_factory=dict)
    base: float = 0.5
    dead: set[str] = field(default_factory=set)
    known: dict[tuple[str, str], float] = field(default_factory=dict)
    fail: set[str] = field(default_factory=set)
    kill: set[str] = field(default_factory=set)
    hang: set[str] = field(default_factory=set)
    flaky: dict[str, tuple[str, int]] = field(default_factory=dict)
    interrupt_after: int | None = None
    capacity: int = 2
    detaches: bool = False
    far: bool = False
    found: list[Path] = field(default_factory=list)
    lost: dict[str, int] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    cancelled: int = 0
    stopped: list[str] = field(default_factory=list)
    _queue: list[Path] = field(default_factory=list)
    _hanging: list[Path] = field(default_factory=list)
    _killed: list[Path] = field(default_factory=list)

    def start(self) -> None:
        pass

    def attached(self) -> list[Path]:
        return list(self.found)

    def waiting(self) -> set[Path]:
        return set()

    def gpus(self, folder: Path) -> int:
        return 1

    def said(self, folder: Path) -> str:
        return ""

    def submit(self, folder: Path) -> None:
        assert (folder / layout.STAGE).is_file()
        self._queue.append(folder)

    def cancel(self) -> None:
        self.cancelled += 1
        self._queue.clear()
        self._hanging.clear()

    def stop(self, folder: Path) -> None:
        self._hanging.remove(folder)
        self.stopped.append(str(folder))
        self._killed.append(folder)

    def poll(self, timeout: float) -> list[tuple[Path, int]]:
        if self.interrupt_after is not None and len(self.ran) >= self.interrupt_after:
            raise KeyboardInterrupt
        if self._killed:
            return [(self._killed.pop(), -9)]
        if not self._queue:
            return []
        folder = self._queue.pop(0)
        stage = Stage.model_validate_json((folder / layout.STAGE).read_text())
        self.ran.append(stage.id)
        if stage.id in self.hang:
            self._hanging.append(folder)
            return []
        kind, times = self.flaky.get(stage.id, ("", 0))
        if times:
            self.flaky[stage.id] = (kind, times - 1)
            failure = Failure(kind=kind, message=f"flaky: {kind}")
            timing = Timing(wall_seconds=1.0, cpu_seconds=0.9, peak_memory_bytes=2**20)
            record = Record(digest=stage.digest, kind=stage.kind, failure=failure, timing=timing)
            write_model(folder / layout.RECORD, record)
            return [(folder, 3)]
        if stage.id in self.kill:
            return [(folder, -9)]
        if isinstance(stage.inputs, TrainInputs):
            for step in (None, *stage.inputs.save_at):
                (folder / layout.checkpoint(step)).mkdir(exist_ok=True)
                (folder / layout.checkpoint(step) / layout.WEIGHTS).write_bytes(weights_of(stage))
        if stage.kind == "prepare":
            (folder / layout.LABELS).write_bytes(WEIGHTS)
        write_model(folder / layout.RECORD, self.record(stage))
        return [(folder, 0)]

    def exposure(self, inputs: ExposureInputs) -> Exposure:
        """`known` by (model, task): the share completed word for word."""
        share = self.known.get((inputs.card.name, inputs.task), 0.0)
        ids = tuple(problem.id for problem in load_problems(inputs.problems))
        rows = tuple(
            Completed(exact=(known := i < share * len(ids)), rouge_l=1.0 if known else 0.25, right=known)
            for i in range(len(ids))
        )
        return Exposure(task=inputs.task, ids=ids, completed=dict.fromkeys(inputs.shown, rows), generated_tokens=100)

    def record(self, stage: Stage) -> Record:
        timing = Timing(wall_seconds=1.0, cpu_seconds=0.9, peak_memory_bytes=2**20)
        if stage.id in self.fail:
            failure = Failure(kind="backend", message="it broke")
            return Record(digest=stage.digest, kind=stage.kind, failure=failure, timing=timing)
        if isinstance(stage.inputs, PrepareInputs):
            labels = Labelling(
                problems=10,
                samples=stage.inputs.samples,
                labelled=10,
                right=5,
                purity=Purity(wrong=5, right_by_math_verify=0, undecided=0, unlike_by_text=5, unlike_but_right=0),
                labels_sha256=WHOLE,
                generated_tokens=100,
            )
            return Record(digest=stage.digest, kind=stage.kind, labelling=labels, timing=timing)
        if isinstance(stage.inputs, ExposureInputs):
            return Record(digest=stage.digest, kind=stage.kind, exposure=self.exposure(stage.inputs), timing=timing)
        if not isinstance(stage.inputs, EvaluateInputs):
            signal = 0.0 if stage.cell.model in self.dead else 1.0
            s = stage.inputs.settings
            rollouts = s.steps * s.prompts_per_step * s.group_size
            found = training(signal, kept=stage.inputs.save_at, count=s.steps, rollouts=rollouts)
            whole = hashlib.sha256(weights_of(stage)).hexdigest()
            own = {"checkpoint_sha256": whole, "kept": dict.fromkeys(stage.inputs.save_at, whole)}
            found = found.model_copy(update={**own, "definition": definition_of(stage.inputs, {}, None)})
            if not signal:  # a reward that never varies gives no gradient
                still = tuple(step.model_copy(update={"grad_norm": 0.0}) for step in found.steps)
                found = found.model_copy(update={"steps": still})
            return Record(digest=stage.digest, kind=stage.kind, training=found, timing=timing)
        lineage = stage.inputs.card.lineage
        about = [lineage, stage.cell.model, stage.inputs.task.name]
        about += [] if stage.inputs.step is None else [f"step-{stage.inputs.step}"]
        keys = [(stage.cell.arm, what) for what in about]
        rate = self.base + sum(self.gains.get(key, 0.0) for key in keys)
        evaluation = Evaluation(
            task=stage.inputs.task.name,
            sampled=outcomes(stage.inputs, rate, stage.inputs.samples),
            greedy=outcomes(stage.inputs, rate, 1),
            generated_tokens=100,
            likelihoods=() if stage.inputs.prompt else likelihoods(stage.inputs, rate),
        )
        return Record(digest=stage.digest, kind=stage.kind, evaluation=evaluation, timing=timing)


def likelihoods(inputs: EvaluateInputs, rate: float) -> tuple[tuple[float, float] | None, ...]:
    rng = np.random.default_rng(seed_from(inputs.sampling_seed, "likelihoods"))
    noise = rng.normal(0, 0.1, (inputs.task.problems.count, 2)).round(6)
    return tuple((min(-2.0 + float(a), 0.0), min(-3.0 + rate + float(b), 0.0)) for a, b in noise)


def patterns(correct: int, samples: int) -> dict[str, tuple[int, int]]:
    """Half of the right answers are in code, all are boxed."""
    code = correct // 2
    found = {"cpb-ll": (code, code), "l-b-ll": (samples - code, correct - code)}
    return {name: pair for name, pair in found.items() if pair[0]}


def outcomes(inputs: EvaluateInputs, rate: float, samples: int) -> tuple[Outcome, ...]:
    rng = np.random.default_rng(seed_from(inputs.sampling_seed, samples))
    correct = rng.binomial(samples, min(max(rate, 0.0), 1.0), inputs.task.problems.count)
    ids = [problem.id for problem in load_problems(inputs.task.problems)]
    return tuple(
        Outcome(
            id=ids[i],
            attempts=samples,
            correct=int(c),
            unparsed=0,
            truncated=0,
            majority={k: min(int(c), 1) * 0.5 for k in (2, 4, 8, samples) if 1 < k <= samples},
            patterns=patterns(int(c), samples),
        )
        for i, c in enumerate(correct)
    )
