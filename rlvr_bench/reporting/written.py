"""A run's report in every form, written into the run folder."""

from pathlib import Path

from rlvr_bench.analysis import Records
from rlvr_bench.reporting import html, tables
from rlvr_bench.reporting.explained import Rows
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.runs.store import write_text
from rlvr_bench.schema.finding import Gain, Report
from rlvr_bench.schema.plan import Plan


def write_report(plan: Plan, records: Records, report: Report, run: RunFolder) -> Path:
    """Write report.json, report.md, gains.csv, report.html and figures/ into the run; return the page's path.

    What programs read is written first: a page that cannot be drawn takes nothing else with it.
    """
    write_text(run.report / "report.json", tables.as_json(report))
    write_text(run.report / "report.md", tables.as_markdown(report))
    write_text(run.report / "gains.csv", html.as_csv(gains(report)))
    return html.write_html(report, html.beside(plan, records, run), run)


def gains(report: Report) -> Rows:
    """Return every gain of a report as a table of proportions: lineages, models and tasks, over start and control."""
    rows: list[tuple[str, ...]] = []

    def add(level: str, name: str, against: str, gain: Gain | None) -> None:
        if gain is not None:
            values = (gain.estimate, gain.lower, gain.upper, gain.standard_error, gain.degrees)
            rows.append((report.method, level, name, against, *(f"{value:.6g}" for value in values)))

    for ln in report.lineages:
        add("lineage", ln.lineage, "start", ln.gain)
        add("lineage", ln.lineage, "control", ln.gain_over_control)
        add("lineage", ln.lineage, "best prompt", ln.net_gain)
    for m in report.models:
        add("model", m.model, "start", m.gain)
        add("model", m.model, "control", m.gain_over_control)
        add("model", m.model, "best prompt", m.net_gain)
    for task in report.tasks:
        for lineage, gain in task.gains.items():
            add(f"task {task.task}", lineage, "start", gain)
    head = ("method", "level", "name", "against", "estimate", "lower", "upper", "standard_error", "degrees")
    return Rows("Gains, proportions", head, tuple(rows))


def csv_of(report: Report) -> str:
    """Return the gains of a report as CSV."""
    return html.as_csv(gains(report))
