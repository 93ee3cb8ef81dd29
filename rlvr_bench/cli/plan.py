"""`rlvr-bench plan`: what a validation would do and cost; runs nothing."""

from collections import Counter
from typing import TYPE_CHECKING

from rlvr_bench.cli.options import (
    JsonOption,
    LimitOption,
    MethodOption,
    ModelsOption,
    SeedsOption,
    SuiteOption,
)

if TYPE_CHECKING:
    from rich.console import Console

    from rlvr_bench.schema.plan import Plan


def plan(
    method: MethodOption,
    suite: SuiteOption = "micro",
    models: ModelsOption = None,
    seeds: SeedsOption = None,
    limit: LimitOption = None,
    json: JsonOption = False,
) -> None:
    """Print the stages, cost and smallest visible gain of a validation; run nothing."""
    from rlvr_bench.cli import output
    from rlvr_bench.cli.inputs import plan_of
    from rlvr_bench.runs.layout import run_name

    made = plan_of(method, suite, models=models or (), seeds=seeds, limit=limit)
    if json:
        document = {
            "schema": "rlvr-bench/plan/1",
            "run": run_name(made),
            "digest": made.digest,
            "partial": list(made.partial),
            "estimate": made.estimate.model_dump(),
            "stages": [{"id": s.id, "kind": s.kind, "needs": s.needs, "digest": s.digest} for s in made.stages],
        }
        output.emit(document)
        return
    show_plan(made, output.answer())


def show_plan(made: "Plan", console: "Console") -> None:
    """Print a plan on one screen."""
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
            preset + (", ".join(changed) or "none: the suite's training settings"),
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
    if suite.evaluate_at:
        lines.append(("curve", f"also after step {', '.join(map(str, suite.evaluate_at))} of {suite.training.steps}"))
    for label in made.unreplayable:
        lines.append(("beware", f"reward {label} does not replay: it gave other values for the same rollouts"))
    cost = made.estimate
    if cost.cpu_seconds:
        low, high = cost.cpu_seconds.low / cores(), cost.cpu_seconds.high / cores()
        lines.append(("time", f"{low / 60:.1f}-{high / 60:.1f} min on {cores()} cores, nothing cached ({cost.basis})"))
    else:
        lines.append(("time", f"unknown: {cost.basis}"))
    lines.append(("disk", f"{cost.disk_bytes.low / 1e6:.0f}-{cost.disk_bytes.high / 1e6:.0f} MB"))
    visible = f"{100 * cost.visible_gain:.1f} points over the start"
    if cost.visible_gain_over_control is not None:
        visible += f", {100 * cost.visible_gain_over_control:.1f} over the control"
    lines.append(("can see", f"gains of {visible} in a lineage (80 % power, assumed run-to-run SDs)"))
    if made.partial:
        lines.append(("partial", "; ".join(made.partial)))
    for label, text in lines:
        console.print(f"{label + ':':<11}{text}", soft_wrap=True)


def _data_of(made: "Plan") -> str:
    """Say what the method trains on."""
    method = made.method
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
    if method.preparation and method.preparation.labels == "wrong":
        return "the gold answers choose the problems; the rewards do not see them"
    return "gold answers" if method.labels and not method.preparation else "no gold answers"
