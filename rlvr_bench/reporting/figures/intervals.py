"""Figures of rows: forest plots of gains, and starts beside ends."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rlvr_bench.reporting import words
from rlvr_bench.reporting.explained import Rows
from rlvr_bench.reporting.figures.canvas import Canvas, Figure, Scale, short, ticks
from rlvr_bench.schema.finding import Gain, Report
from rlvr_bench.stats.sentences import points

LEFT, RIGHT, WIDTH, ROW = 220.0, 180.0, 880.0, 22.0


@dataclass(frozen=True)
class _Row:
    name: str
    lineage: bool
    gain: Gain | None
    control: Gain | None = None
    said: str = ""


def forest(report: Report, margin: float) -> Figure:
    """Return gains over the start by lineage and model, with the control's beside them and the rule's margin."""
    rows = []
    for ln in report.lineages:
        rows.append(_Row(ln.lineage, True, ln.gain, ln.control_gain))
        rows += [_Row(m.model, False, m.gain) for m in report.models if m.model in ln.models]
    out = [m for m in report.models if m.excluded]
    rows += [_Row(m.model, False, m.gain, None, f"left out: {m.excluded}") for m in out]
    control = f"; hollow diamonds: the {report.control} control" if report.control else ""
    alt = "Gain over the starting model in points with 95% intervals. " + "; ".join(
        f"{ln.lineage} {words.interval(ln.gain).strip()}" for ln in report.lineages
    )
    return _forest(
        "forest",
        "Gain over the starting model",
        alt,
        rows,
        margin,
        f"Diamonds: lineages; circles: models{control}; dashed: the margin of {points(margin).lstrip('+')} points.",
    )


def over_control(report: Report, margin: float) -> Figure | None:
    """Return gains over the control by lineage and model, None without one."""
    if report.control is None or not any(ln.gain_over_control for ln in report.lineages):
        return None
    rows = []
    for ln in report.lineages:
        rows.append(_Row(ln.lineage, True, ln.gain_over_control))
        rows += [_Row(m.model, False, m.gain_over_control) for m in report.models if m.model in ln.models]
    alt = f"Gain over the {report.control} control in points with 95% intervals. " + "; ".join(
        f"{ln.lineage} {words.interval(ln.gain_over_control).strip()}" for ln in report.lineages
    )
    return _forest(
        "over-control",
        f"Gain over the control ({report.control})",
        alt,
        rows,
        margin,
        "Diamonds: lineages; circles: models.",
    )


def _forest(name: str, title: str, alt: str, rows: Sequence[_Row], margin: float, note: str) -> Figure:
    shown = [g for row in rows for g in (row.gain, row.control) if g is not None]
    marks = ticks(min([-0.02, *(g.lower for g in shown)]), max([0.05, *(g.upper for g in shown)]))
    height = 30 + ROW * len(rows) + 30
    canvas, x = Canvas(WIDTH, height), Scale(marks[0], marks[-1], LEFT, WIDTH - RIGHT)
    foot = height - 28
    for value in marks:
        canvas.line(x(value), 22, x(value), foot, "grid")
        canvas.text(x(value), foot + 16, f"{100 * value:+.0f}" if value else "0", "soft", "middle")
    canvas.line(x(0), 16, x(0), foot, "axis")
    canvas.line(x(margin), 16, x(margin), foot, "dash")
    canvas.text(WIDTH - RIGHT + 12, 14, "points [95% interval]", "soft")
    for i, row in enumerate(rows):
        y = 34 + ROW * i
        canvas.text(4 if row.lineage else 20, y + 4, short(row.name), "bold" if row.lineage else "")
        if row.control is not None:
            canvas.line(x(row.control.lower), y + 6, x(row.control.upper), y + 6, "other")
            canvas.diamond(x(row.control.estimate), y + 6, 4.5, "hollow")
        if row.gain is None:
            canvas.text(WIDTH - RIGHT + 12, y + 4, "-", "soft")
            continue
        canvas.line(x(row.gain.lower), y, x(row.gain.upper), y, "bar" if row.lineage else "thin")
        (canvas.diamond if row.lineage else canvas.circle)(x(row.gain.estimate), y, 6 if row.lineage else 4, "full")
        canvas.text(
            WIDTH - RIGHT + 12, y + 4, row.said or words.interval(row.gain).strip(), "" if row.lineage else "soft"
        )
    table = tuple(
        (
            r.name,
            "lineage" if r.lineage else "model",
            words.interval(r.gain).strip(),
            words.interval(r.control).strip(),
            r.said,
        )
        for r in rows
    )
    head = ("name", "what", "gain [95 %], points", "control [95 %], points", "")
    return Figure(name, title, alt, canvas.svg(name, title, alt), Rows(title, head, table), note)


def tasks(report: Report) -> Figure:
    """Return every model's accuracy on every task before and after, the mean over its runs."""
    before = {(s.task, s.model): s.average for s in report.scores if s.arm != report.method}
    after = {(s.task, s.model): s.average for s in report.scores if s.arm == report.method}
    rows = [(t.task + ("" if t.deciding else " (decides nothing)"), t.task) for t in report.tasks]
    groups = [
        (
            title,
            [
                (m.model, before[task, m.model], after.get((task, m.model)))
                for m in report.models
                if (task, m.model) in before
            ],
        )
        for title, task in rows
    ]
    alt = "Accuracy before and after training by task and model. " + "; ".join(
        f"{model} on {title}: {words.change(one, other)} %"
        for title, found in groups
        for model, one, other in found[:8]
    )
    return dumbbells(
        "tasks",
        "Before and after, by task",
        alt,
        groups,
        note="Hollow: before; filled: after, the mean over runs. In %.",
    )


BEHAVIOURS = (
    ("code", "code_before", "code_after"),
    ("unparsed", "unparsed_before", "unparsed_after"),
    ("truncated", "truncated_before", "truncated_after"),
)


def behaviours(report: Report) -> Figure:
    """Return how often answers hold code, have no answer, are cut off, are boxed or repeat themselves."""
    groups = [
        (title, [(m.model, a, getattr(m, two)) for m in report.models if (a := getattr(m, one)) is not None])
        for title, one, two in BEHAVIOURS
    ]
    for behaviour, title in (("boxed", "boxed"), ("repetition", "repeating itself")):
        mine = [s for s in report.explanation.strategies if s.behaviour == behaviour and s.arm == report.method]
        groups.append((title, [(s.model, s.classes[0].share_before, s.classes[0].share_after) for s in mine]))
    groups = [(title, found) for title, found in groups if found]
    alt = "Shares of answers before and after training. " + "; ".join(
        f"{model} {title}: {words.change(one, other)} %" for title, found in groups for model, one, other in found[:8]
    )
    note = "Hollow: before; filled: after. Shares of the answers, in %."
    return dumbbells("behaviour", "How answers are written", alt, groups, note=note)


def exposure(report: Report) -> Figure | None:
    """Return the share of problems that untouched models complete word for word, by task and model."""
    groups: list[tuple[str, list[tuple[str, float, float | None]]]] = []
    for task in dict.fromkeys(c.task for c in report.explanation.completions):
        mine = [c for c in report.explanation.completions if c.task == task]
        shown = sorted({c.shown for c in mine}, key=lambda share: abs(share - 0.6))[0]
        groups.append(
            (f"{task}, first {100 * shown:.0f} % shown", [(c.model, c.exact, None) for c in mine if c.shown == shown])
        )
    if not groups:
        return None
    alt = "Problems completed word for word by untouched models. " + "; ".join(
        f"{model}, {title}: {words.percent(value)} %" for title, found in groups for model, value, _ in found[:8]
    )
    note = "Hollow: the untouched model completes the rest of the problem word for word. In % of the problems."
    return dumbbells("exposure", "Does the untouched model know the problems?", alt, groups, note=note)


def dumbbells(
    name: str,
    title: str,
    alt: str,
    groups: Sequence[tuple[str, Sequence[tuple[str, float, float | None]]]],
    *,
    note: str = "",
    say: Callable[[float | None, float | None], str] = words.change,
) -> Figure:
    """Return rows of two marks on an axis from 0 to 100 %: hollow for the first value, filled for the second."""
    count = sum(1 + len(found) for _, found in groups)
    height = 20 + ROW * count + 30
    canvas, x = Canvas(WIDTH, height), Scale(0.0, 1.0, LEFT, WIDTH - RIGHT)
    foot = height - 28
    for value in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        canvas.line(x(value), 8, x(value), foot, "grid")
        canvas.text(x(value), foot + 16, f"{100 * value:.0f}", "soft", "middle")
    y, table = 22.0, []
    for heading, found in groups:
        canvas.text(4, y + 4, short(heading, 60), "bold")
        y += ROW
        for label, one, other in found:
            canvas.text(20, y + 4, short(label))
            if other is not None:
                canvas.line(x(one), y, x(other), y, "bar")
                canvas.circle(x(other), y, 5, "full")
            canvas.circle(x(one), y, 5, "hollow")
            text = words.percent(one) if other is None else say(one, other)
            canvas.text(WIDTH - RIGHT + 12, y + 4, text)
            table.append((heading, label, words.percent(one), words.percent(other)))
            y += ROW
    head = ("", "model", "before %", "after %")
    return Figure(name, title, alt, canvas.svg(name, title, alt), Rows(title, head, tuple(table)), note)
