"""Which figures a report has, in the order in which they are shown."""

from rlvr_bench.reporting.figures import intervals, panels
from rlvr_bench.reporting.figures.canvas import Figure
from rlvr_bench.schema.finding import Report


def figures(report: Report, *, margin: float, steps: int) -> list[Figure]:
    """Return every figure that a report has numbers for. `margin` is the rule's, `steps` the length of a training."""
    found = [
        intervals.forest(report, margin),
        intervals.over_control(report, margin),
        intervals.tasks(report),
        panels.accuracy_curves(report, steps),
        intervals.behaviours(report),
        panels.transitions(report),
        panels.pass_curves(report),
        intervals.exposure(report),
        *panels.training_curves(report),
    ]
    return [figure for figure in found if figure is not None and figure.rows.rows]
