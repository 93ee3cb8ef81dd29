"""Figures of small panels, one a model: learning curves, mechanism, pass@k; and the bars of transitions."""

from collections.abc import Sequence
from dataclasses import dataclass

from rlvr_bench.reporting import words
from rlvr_bench.reporting.explained import Rows, transition_table
from rlvr_bench.reporting.figures.canvas import Canvas, Figure, Scale, n, short, ticks
from rlvr_bench.schema.explanation import Curve, Strategy
from rlvr_bench.schema.finding import Report
from rlvr_bench.stats.sentences import points

COLUMNS, CELL, TALL = 4, 215.0, 150.0
LINES = ("thin", "other", "third")
"""Line styles of the method, the control and the reference."""


@dataclass(frozen=True)
class Series:
    """A line of a panel: points (x, y), how it is drawn, and whether its points are marked."""

    points: tuple[tuple[float, float], ...]
    kind: str
    marks: str = ""


@dataclass(frozen=True)
class Panel:
    """One small plot."""

    title: str
    series: tuple[Series, ...]


def grid(
    panels: Sequence[Panel], *, low: float | None = None, high: float | None = None, percent: bool = True
) -> Canvas:
    """Return panels side by side on one common scale."""
    ys = [y for p in panels for s in p.series for _, y in s.points]
    marks = ticks(min(ys, default=0) if low is None else low, max(ys, default=1) if high is None else high, 4)
    rows = -(-len(panels) // COLUMNS)
    canvas = Canvas(COLUMNS * CELL + 20, rows * TALL + 8)
    for i, panel in enumerate(panels):
        left, top = 40 + (i % COLUMNS) * CELL, 22 + (i // COLUMNS) * TALL
        xs = [x for s in panel.series for x, _ in s.points] or [0.0, 1.0]
        x = Scale(min(xs), max(xs), left, left + CELL - 60)
        y = Scale(marks[0], marks[-1], top + TALL - 50, top + 6)
        canvas.text(left, top - 4, short(panel.title, 27), "bold")
        for mark in marks:
            canvas.line(left, y(mark), left + CELL - 60, y(mark), "grid")
            canvas.text(left - 5, y(mark) + 4, f"{round(100 * mark, 6):g}" if percent else f"{mark:g}", "soft", "end")
        for at in dict.fromkeys((min(xs), max(xs))):
            canvas.text(x(at), top + TALL - 34, n(at), "soft", "middle")
        for series in panel.series:
            canvas.path([(x(a), y(b)) for a, b in series.points], series.kind)
            for a, b in series.points if series.marks else ():
                canvas.circle(x(a), y(b), 3, series.marks)
    return canvas


def accuracy_curves(report: Report, steps: int) -> Figure | None:
    """Return each model's accuracy at the start, at evaluated steps and at the end, a line a seed."""
    panels, table = [], []
    for m in report.models:
        lines = []
        for i, end in enumerate(m.after):
            at = [(0, m.before), *((s, values[i]) for s, values in m.curve.items() if i < len(values)), (steps, end)]
            lines.append(Series(tuple((float(a), b) for a, b in at), "thin", "full"))
            table += [(m.model, str(i + 1), str(step), words.percent(value)) for step, value in at]
        panels.append(Panel(m.model, tuple(lines)))
    if not panels:
        return None
    title = "Accuracy by step of training"
    alt = "Accuracy on the deciding problems by step, a line for each seed. " + "; ".join(
        f"{m.model}: from {words.percent(m.before)} to {words.runs(m.after)} %" for m in report.models[:12]
    )
    canvas = grid(panels)
    rows = Rows(title, ("model", "run", "step", "accuracy %"), tuple(table))
    return Figure("accuracy", title, alt, canvas.svg("accuracy", title, alt), rows, "One line a seed; in %.")


SERIES = (
    ("reward", "Reward in training", False),
    ("groups_with_signal", "Groups whose rewards differ", True),
    ("token_probability", "Mean probability of the sampled tokens", False),
    ("entropy", "Entropy, nats a token", False),
    ("clipped", "Tokens whose ratio was clipped", True),
    ("completion_tokens", "Length of completions, tokens", False),
)


def training_curves(report: Report) -> list[Figure]:
    """Return each series of the trainings, a panel a model: the method's runs, and control and reference as means."""
    found = []
    arms = [a for a in dict.fromkeys((report.method, report.control, report.reference)) if a]
    for field, title, percent in SERIES:
        panels, table = [], []
        for model in dict.fromkeys(c.model for c in report.explanation.curves):
            lines = []
            for arm, kind in zip(arms, LINES, strict=False):
                mine = [c for c in report.explanation.curves if c.model == model and c.arm == arm]
                lines += _lines(mine, field, kind, each=arm == report.method)
                table += [
                    (c.model, c.arm, str(c.seed), *("-" if v is None else f"{v:.4g}" for v in getattr(c, field)))
                    for c in mine
                    if any(v is not None for v in getattr(c, field))
                ]
            panels.append(Panel(model, tuple(lines)))
        if not table:
            continue
        name = field.replace("_", "-")
        alt = f"{title} by step, a panel for each model, lines for each arm; the numbers stand in the table below."
        canvas = grid(panels, percent=percent)
        style = ", ".join(f"{line}: {arm}" for arm, line in zip(arms, ("solid", "dashed", "dotted"), strict=False))
        steps = tuple(f"step {step}" for step in report.explanation.curves[0].steps)
        rows = Rows(title, ("model", "arm", "seed", *steps), tuple(table))
        unit = " In %." if percent else ""
        found.append(
            Figure(name, title, alt, canvas.svg(name, title, alt), rows, f"{style[:1].upper()}{style[1:]}.{unit}")
        )
    return found


def _lines(curves: Sequence[Curve], field: str, kind: str, *, each: bool) -> list[Series]:
    """Return a line for each run, or for their mean."""
    if each or len(curves) < 2:
        runs = [
            [(float(s), v) for s, v in zip(c.steps, getattr(c, field), strict=True) if v is not None] for c in curves
        ]
        return [Series(tuple(run), kind) for run in runs if run]
    by_step: dict[int, list[float]] = {}
    for c in curves:
        for step, value in zip(c.steps, getattr(c, field), strict=True):
            if value is not None:
                by_step.setdefault(step, []).append(value)
    mean = tuple((float(step), sum(values) / len(values)) for step, values in sorted(by_step.items()))
    return [Series(mean, kind)] if mean else []


def pass_curves(report: Report) -> Figure | None:
    """Return pass@k before and after on the deciding tasks, by model."""
    deciding = {t.task for t in report.tasks if t.deciding}
    panels, table = [], []
    for m in report.models:
        lines = []
        for score in (s for s in report.scores if s.model == m.model and s.task in deciding and s.pass_at):
            own = score.arm == report.method
            at = tuple((float(i), value) for i, value in enumerate(score.pass_at.values()))
            lines.append(Series(at, "thin" if own else "other", "full" if own else "hollow"))
            when = "after" if own else "before"
            table += [(m.model, score.task, when, str(k), words.percent(v)) for k, v in score.pass_at.items()]
        if lines:
            panels.append(Panel(m.model, tuple(lines)))
    if not panels:
        return None
    title, canvas = "pass@k before and after", grid(panels, high=1.0)
    alt = "pass@k by model, k doubling along the axis from 1; the numbers stand in the table below."
    rows = Rows(title, ("model", "task", "when", "k", "pass@k %"), tuple(table))
    note = "Hollow, dashed: before; filled: after. The axis counts doublings of k: 0 is k = 1, 1 is k = 2. In %."
    return Figure("pass-at-k", title, alt, canvas.svg("pass-at-k", title, alt), rows, note)


def transitions(report: Report) -> Figure | None:
    """Return each transition's contribution to the gain, code against language, by model."""
    mine = [s for s in report.explanation.strategies if s.behaviour == "code" and s.arm == report.method]
    rows = [(s, t) for s in mine for t in s.transitions]
    if not rows:
        return None
    title = "Which transitions carry the gain"
    values = [t.contribution for _, t in rows]
    marks = ticks(min(-0.02, *values), max(0.02, *values))
    height = 20 + 22 * (len(rows) + len(mine)) + 30
    canvas, x, y = Canvas(880, height), Scale(marks[0], marks[-1], 220, 620), 20.0
    for mark in marks:
        canvas.line(x(mark), 8, x(mark), height - 28, "grid")
        canvas.text(x(mark), height - 12, f"{100 * mark:+.0f}" if mark else "0", "soft", "middle")
    canvas.line(x(0), 4, x(0), height - 28, "axis")
    for s in mine:
        canvas.text(4, y + 4, short(s.model), "bold")
        canvas.text(632, y + 4, f"gain {points(s.gain)} points", "bold")
        y += 22
        for t in s.transitions:
            canvas.text(20, y + 4, f"{t.before} → {t.after}")
            left, right = sorted((x(0), x(t.contribution)))
            canvas.rect(left, y - 7, right - left, 14, "gain" if t.contribution >= 0 else "loss")
            share = t.kept + t.lost + t.won + t.missed
            part = "" if t.part is None else f", {round(100 * t.part)} % of it"
            canvas.text(632, y + 4, f"{points(t.contribution)} from {100 * share:.0f} % of answers{part}", "soft")
            y += 22
    alt = "Contribution of each transition between code and language to the gain, in points. " + "; ".join(
        map(_told, mine[:12])
    )
    note = (
        "Filled: gains; hollow: losses. Right answers won less right answers lost, in points; they add up to the gain."
    )
    return Figure("transitions", title, alt, canvas.svg("transitions", title, alt), transition_table(mine), note)


def _told(s: Strategy) -> str:
    top = max(s.transitions, key=lambda t: abs(t.contribution))
    return f"{s.model}: most by {top.before} → {top.after}, {points(top.contribution)} of {points(s.gain)}"
