"""`rlvr-bench plan`: what a validation would do and cost; runs nothing."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rlvr_bench.cli.options import (
    RUNS,
    JsonOption,
    LimitOption,
    MethodOption,
    ModelsOption,
    RunsOption,
    SeedsOption,
    SuiteOption,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from rich.console import Console

    from rlvr_bench.cli.inputs import Planned
    from rlvr_bench.engine.pace import Forecast
    from rlvr_bench.errors import EnvironmentFaultError
    from rlvr_bench.schema.plan import Plan


LEAST_DECIDING = 300
"""Problems that should decide (docs/statistics.md, section 10)."""


def plan(
    method: MethodOption,
    suite: SuiteOption = "micro",
    models: ModelsOption = None,
    seeds: SeedsOption = None,
    limit: LimitOption = None,
    runs: RunsOption = RUNS,
    json: JsonOption = False,
) -> None:
    """Print the stages, cost and smallest visible gain of a validation; run nothing."""
    from rlvr_bench.cli import output
    from rlvr_bench.cli.inputs import plan_of
    from rlvr_bench.runs.layout import run_name

    planned = plan_of(method, suite, runs=runs, models=models or (), seeds=seeds, limit=limit)
    made = planned.plan
    if json:
        document = {
            "schema": "rlvr-bench/plan/1",
            "run": run_name(made),
            "digest": made.digest,
            "partial": list(made.partial),
            "frozen": not planned.faults,
            "missing": [f.message for f in (*planned.faults, disk_fault(made, runs)) if f],
            "estimate": made.estimate.model_dump(),
            "free_bytes": free_bytes(runs),
            "forecast": vars(told) if (told := foretold(made, runs)) else None,
            "stages": [{"id": s.id, "kind": s.kind, "needs": s.needs, "digest": s.digest} for s in made.stages],
        }
        output.emit(document)
        return
    show_plan(planned, output.answer(), runs)


def foretold(
    made: "Plan", runs: Path, capacity: int | None = None, done: "Collection[str] | None" = None
) -> "Forecast | None":
    """Return what a plan will take here by past stages, None where they do not tell; `done` are finished stages."""
    from rlvr_bench.cli.placed import here
    from rlvr_bench.engine import pace
    from rlvr_bench.engine.local import cores
    from rlvr_bench.runs.layout import RunFolder, run_name
    from rlvr_bench.runs.store import read_record

    folder = RunFolder(runs / run_name(made))
    if done is None:
        done = [s.id for s in made.stages if (r := read_record(folder, s)) is not None and r.failure is None]
    one = cores() if made.suite.device == "cpu" else max(1, len(here()))
    return pace.forecast(made, runs, capacity=capacity or one, done=done)


def show_plan(planned: "Planned", console: "Console", runs: Path) -> None:
    """Print a plan on one screen."""
    made = planned.plan
    from rlvr_bench.cli.placed import fits
    from rlvr_bench.engine.local import cores

    suite, method = made.suite, made.method
    arms = [f"{method.name} (the method)"]
    if made.control:
        arms.append(f"{made.control.name} (control: same setup, but {_lower(made.control.title)})")
    if made.reference and made.reference.name in {s.cell.arm for s in made.stages} - {method.name}:
        arms.append(f"{made.reference.name} (reference)")
    lineages = dict.fromkeys(card.lineage for card in made.cards)
    count = Counter(stage.kind for stage in made.stages)
    of_suite, own = suite.training.model_dump(), method.settings(suite.training).model_dump()
    changed = [f"{key} {of_suite[key]} > {own[key]}" for key in own if own[key] != of_suite[key]]
    preset = f"preset {method.preset}: " if method.preset else ""
    lines = [
        ("suite", f"{suite.name}, version {suite.version}: {suite.title}"),
        ("method", f"{method.name}: {method.title}"),
        ("arms", ", ".join(arms)),
        ("models", f"{len(made.cards)} in {len(lineages)} lineages: {', '.join(c.name for c in made.cards)}"),
        (
            "changes",
            "nothing is trained"
            if method.imported
            else preset + (", ".join(changed) or "none: the suite's training settings"),
        ),
        (
            "trains on",
            _data_of(made),
        ),
        ("labels", _labels_of(made)),
        ("stages", f"{len(made.stages)}: " + ", ".join(f"{v} {k}" for k, v in count.items())),
    ]
    if made.prompts:
        lines.append(("prompts", "the untouched models also under " + ", ".join(p.name for p in made.prompts)))
    if suite.evaluate_at and not method.imported:
        lines.append(("curve", f"also after step {', '.join(map(str, suite.evaluate_at))} of {suite.training.steps}"))
    for label in made.unreplayable:
        lines.append(("beware", f"reward {label} does not replay: it gave other values for the same rollouts"))
    lines += _frozen(planned)
    cost = made.estimate
    told = foretold(made, runs)
    if told:
        low, high = round_two(told.low / 60), round_two(told.high / 60)
        lines.append(
            ("time", f"{low:g}-{high:g} min for {told.owed} stages, {told.shared} more from the cache ({told.basis})")
        )
    elif cost.gpu_hours:
        low, high = round_two(cost.gpu_hours.low), round_two(cost.gpu_hours.high)
        lines.append(("cost", f"{low:,}-{high:,} A100-hours, nothing cached ({cost.basis})"))
        lines += _money(cost.gpu_hours.low, cost.gpu_hours.high)
        lines += _per_model(made)
    elif cost.cpu_seconds:
        low, high = cost.cpu_seconds.low / cores(), cost.cpu_seconds.high / cores()
        lines.append(("time", f"{low / 60:.1f}-{high / 60:.1f} min on {cores()} cores, nothing cached ({cost.basis})"))
    else:
        lines.append(("time", f"unknown: {cost.basis}"))
    lines += _disk(made, runs)
    visible = f"{100 * cost.visible_gain:.1f} points over the start"
    if cost.visible_gain_over_control is not None:
        visible += f", {100 * cost.visible_gain_over_control:.1f} over the control"
    lines.append(("can see", f"gains of {visible} in a lineage (80 % power, assumed run-to-run SDs)"))
    if made.partial:
        lines.append(("partial", "; ".join(made.partial)))
    lines += fits(made)
    deciding = sum(task.problems.count for task in suite.tasks if task.deciding)
    if deciding < LEAST_DECIDING:
        lines.append(("beware", f"{deciding} problems decide; below {LEAST_DECIDING} little can be told"))
    for fault in planned.faults:
        lines.append(("missing", f"{fault.message}" + (f" ({fault.hint})" if fault.hint else "")))
    for label, text in lines:
        console.print(f"{label + ':' if label else '':<11}{text}", soft_wrap=True)


def _frozen(planned: "Planned") -> list[tuple[str, str]]:
    """Say which commits and files the plan froze, and what it could not."""
    from rlvr_bench.schema.card import HubWeights

    made = planned.plan
    hub = [card for card in made.cards if isinstance(card.weights, HubWeights)]
    sets = {
        p.pin.data.name if p.pin.data else str(p.arguments["path"]): p.pin for p in made.suite.problem_sets if p.pin
    }
    lines = []
    if hub:
        known = [
            f"{c.name} {c.weights.commit[:7]}" for c in hub if isinstance(c.weights, HubWeights) and c.weights.commit
        ]
        lines.append(("commits", ", ".join(known) if known else "none could be looked up"))
    if sets:
        where = [f"{name} {pin.commit[:7] if pin.commit else f'from a {pin.origin}'}" for name, pin in sets.items()]
        lines.append(("problems", ", ".join(where)))
    return lines + [("beware", note) for note in planned.notes]


def _disk(made: "Plan", runs: Path) -> list[tuple[str, str]]:
    """Say what lies on the disk in the end, what trainings keep beside it, and what is free."""
    from rlvr_bench.planning.cost import scratch_bytes

    cost = made.estimate
    text = f"{size(cost.disk_bytes.low)}-{size(cost.disk_bytes.high)}"
    text += f", {size(cost.download_bytes)} of it downloads" if cost.download_bytes else ""
    scratch = max(map(scratch_bytes, made.stages), default=0.0)
    if scratch >= SHOWN_SCRATCH:
        text += f"; a training keeps up to {size(scratch)} more while it runs"
    free = free_bytes(runs)
    lines = [("disk", text + ("" if free is None else f"; {size(free)} free"))]
    fault = disk_fault(made, runs)
    return [*lines, *([("missing", f"{fault.message} ({fault.hint})")] if fault else [])]


SHOWN_SCRATCH = 1e9


def free_bytes(runs: Path) -> int | None:
    """Return what is free where the runs lie, or will."""
    import shutil

    folder = next((path for path in (runs.absolute(), *runs.absolute().parents) if path.exists()), None)
    try:
        return shutil.disk_usage(folder).free if folder else None
    except OSError:
        return None


def disk_fault(made: "Plan", runs: Path, capacity: int = 1) -> "EnvironmentFaultError | None":
    """Return the error of a disk that is too small for what a plan still has to write, None where it is not."""
    from rlvr_bench.engine.care import size_of
    from rlvr_bench.errors import EnvironmentFaultError
    from rlvr_bench.planning.cost import disk_bytes
    from rlvr_bench.runs import layout
    from rlvr_bench.runs.layout import RunFolder, run_name

    folder, free = RunFolder(runs / run_name(made)), free_bytes(runs)
    owed = [
        stage
        for stage in made.stages
        if not any(
            (at / layout.RECORD).exists() for at in (folder.stage(stage.id), layout.cache_of(runs, stage.digest))
        )
    ]
    there = sum(size_of(folder.stage(stage.id)) for stage in owed)
    needed = max(0.0, disk_bytes(owed, capacity) - there)
    if free is None or needed <= free:
        return None
    return EnvironmentFaultError(
        f"the disk is too small: {size(needed)} are needed, {size(free)} are free",
        where=str(runs),
        hint="make room, or name another disk by --runs; fewer seeds or models need less",
    )


def _money(low: float, high: float) -> list[tuple[str, str]]:
    """Say what the hours cost, where a price is set."""
    import os

    from rlvr_bench.errors import UsageError

    text = os.environ.get("RLVR_BENCH_GPU_PRICE", "")
    if not text:
        return []
    try:
        price = float(text)
    except ValueError as error:
        raise UsageError(f"gpu-price {text!r} is no number", hint="RLVR_BENCH_GPU_PRICE=2.5") from error
    return [("money", f"{round_two(low * price):,}-{round_two(high * price):,} at {price:g} an hour")]


def _per_model(made: "Plan") -> list[tuple[str, str]]:
    """Say what each model costs, in the middle of the range."""
    from rlvr_bench.planning.cost import BYTES_TRAINING, gpu_seconds

    once = {stage.digest: stage for stage in made.stages}.values()
    rows = []
    for card in made.cards:
        own = [(stage.kind, gpu_seconds(stage) / 3600) for stage in once if stage.cell.model == card.name]
        training = sum(hours for kind, hours in own if kind == "train")
        other = sum(hours for kind, hours in own if kind != "train")
        memory = f"training holds {size(BYTES_TRAINING * card.parameters)} before any rollout"
        rows.append(("", f"  {card.name}: training {round_two(training):,}, the rest {round_two(other):,}; {memory}"))
    return rows


def round_two(value: float) -> int | float:
    """Return a number in two significant digits: an estimate has no more."""
    rounded = float(f"{value:.2g}")
    return int(rounded) if rounded >= 10 else rounded


def size(count: float) -> str:
    """Return bytes as people say them."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count / 1e6:.0f} MB"


def _data_of(made: "Plan") -> str:
    """Say what the method trains on."""
    method = made.method
    if method.imported:
        return f"{len(method.checkpoints)} checkpoints trained elsewhere"
    if method.data == "test-prompts":
        return "the evaluation prompts, without answers"
    if method.example:
        return "one problem of its own" if method.example.problem else f"training problem {method.example.index} alone"
    if method.preparation:
        which = "majority answers" if method.preparation.labels == "majority" else "wrong majority answers"
        return f"training problems with the untouched model's {which}, of {method.preparation.samples} samples each"
    return "training problems"


def _lower(title: str) -> str:
    return title[:1].lower() + title[1:]


def _labels_of(made: "Plan") -> str:
    """Say whether the rewards of the method see gold answers."""
    method = made.method
    if method.imported:
        return "unknown: trained elsewhere"
    if method.preparation and method.preparation.labels == "wrong":
        return "the gold answers choose the problems; the rewards do not see them"
    return "gold answers" if method.labels and not method.preparation else "no gold answers"
