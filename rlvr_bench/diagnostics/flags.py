"""Flags: warnings beside the verdict, each with its evidence. Thresholds stand here and nowhere else."""

from collections.abc import Iterator

from rlvr_bench.schema.finding import Flag, ModelFinding, Report
from rlvr_bench.schema.plan import Plan

SHARPENED_SHARE = 0.5
"""`sharpened`: greedy decoding of the untrained model closes at least this share of the gain."""

FORMAT_SHARE = 0.5
"""`mostly-format`: the share of unparsed answers fell by more than this share of the gain."""

EXCLUSIONS = {
    "dead-reward": "the reward never varied inside a group of {model}",
    "saturated": "{model} starts at {before:.1f} % and cannot show a gain",
    "floor": "{model} starts at {before:.1f} % with {unparsed:.0f} % of its answers unparsed",
}


def find(report: Report, plan: Plan) -> tuple[Flag, ...]:
    """Return every flag that a report raises, in a fixed order."""
    return (*_of_plan(report, plan), *_of_models(report), *_of_lineages(report))


def _of_plan(report: Report, plan: Plan) -> Iterator[Flag]:
    if plan.method.data == "test-prompts":
        tasks = ", ".join(task.name for task in plan.suite.tasks)
        yield Flag(
            name="transductive",
            evidence=f"trains on the evaluation prompts of {tasks}, without their answers; not comparable with "
            "methods that do not",
        )
    if report.control is None:
        why = "the method is the suite's control" if plan.suite.control else "the suite has no control"
        yield Flag(name="no-control", evidence=f"{why}: elicitation is not ruled out")
    if report.reference is None:
        yield Flag(name="no-reference", evidence="no ground-truth arm shows that these models can be trained here")
    elif without := tuple(ln.lineage for ln in report.lineages if ln.reference_gain is None):
        yield Flag(name="no-reference", about=without, evidence=f"{report.reference} has no result here")
    if len(plan.suite.seeds) == 1:
        tip = report.verdict.tipping_sd
        until = (
            f"the verdict would change at {100 * tip:.2f} points"
            if tip
            else "no SD up to 20 points changes the verdict"
        )
        yield Flag(name="single-run", evidence=f"one run of each cell: the run-to-run SD is assumed; {until}")
    if report.failures:
        lost = [f"no result at all for {', '.join(report.not_measured)}"] if report.not_measured else []
        uncompared = [m.model for m in report.models if report.control and not m.control]
        if uncompared:
            lost.append(f"no control run for {', '.join(uncompared)}, which are not in the headline")
        said = "; ".join([f"{len(report.failures)} of {len(plan.stages)} stages have no result", *lost])
        yield Flag(name="incomplete", evidence=said)


def _of_models(report: Report) -> Iterator[Flag]:
    for name, evidence in EXCLUSIONS.items():
        hit = [m for m in report.models if m.excluded == name]
        if hit:
            said = [
                evidence.format(model=m.model, before=100 * m.before, unparsed=100 * m.unparsed_before) for m in hit
            ]
            yield Flag(name=name, about=tuple(m.model for m in hit), evidence="; ".join(said))
    kept = [m for m in report.models if m.excluded is None]
    for lineage in dict.fromkeys(m.lineage for m in kept):
        mine = [m for m in kept if m.lineage == lineage]
        up, down = [m for m in mine if m.gain.lower > 0], [m for m in mine if m.gain.upper < 0]
        if up and down:
            signs = "; ".join(f"{m.model} {100 * m.gain.estimate:+.1f}" for m in (*up, *down))
            yield Flag(name="split-lineage", about=(lineage,), evidence=f"its models disagree in sign: {signs} points")
    yield from _explained(
        "sharpened", SHARPENED_SHARE, "greedy decoding alone gives", [(m, m.before_greedy - m.before) for m in kept]
    )
    yield from _explained(
        "mostly-format",
        FORMAT_SHARE,
        "fewer unparsed answers give up to",
        [(m, m.unparsed_before - m.unparsed_after) for m in kept],
    )


def _explained(name: str, share: float, what: str, changes: list[tuple[ModelFinding, float]]) -> Iterator[Flag]:
    """Yield a flag naming the models whose gain is shown and explained, at least `share` of it, by a change."""
    hit = [(m, c) for m, c in changes if m.gain.lower > 0 and c >= share * m.gain.estimate]
    if hit:
        said = [f"{m.model}: {what} {100 * c:+.1f} of {100 * m.gain.estimate:+.1f} points" for m, c in hit]
        yield Flag(name=name, about=tuple(m.model for m, _ in hit), evidence="; ".join(said))


def _of_lineages(report: Report) -> Iterator[Flag]:
    weak = [ln for ln in report.lineages if ln.trainable is False]
    if weak:
        yield Flag(
            name="not-trainable-here",
            about=tuple(ln.lineage for ln in weak),
            evidence="; ".join(
                f"{ln.lineage}: even {report.reference} gains only {100 * ln.reference_gain.estimate:+.1f} points"
                for ln in weak
                if ln.reference_gain
            ),
        )
