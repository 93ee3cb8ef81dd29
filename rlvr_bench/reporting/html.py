"""The report as one HTML file: no network, no script, every text escaped; and every figure as SVG and CSV beside it."""

import base64
import contextlib
import csv
import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

from rlvr_bench.analysis import Records
from rlvr_bench.analysis.flips import Flip, chosen, flips, with_texts
from rlvr_bench.reporting import explained, words
from rlvr_bench.reporting.explained import Rows
from rlvr_bench.reporting.figures import Figure, figures
from rlvr_bench.reporting.figures.canvas import STYLE
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.runs.store import write_text
from rlvr_bench.schema.finding import Report
from rlvr_bench.schema.plan import Plan
from rlvr_bench.stats.sentences import points

PAGES = Path(__file__).parent / "pages"
MOST_FLIPS = 60
"""Flipped problems whose completions are shown, over all models: a report stays below 3 MB."""


@dataclass(frozen=True)
class Beside:
    """What a page shows that is no part of a report: flipped problems, costs, provenance. Times differ between equal
    runs, so they stand here alone."""

    margin: float = 0.02
    steps: int = 1
    visible_gain: str = ""
    flips: tuple[Flip, ...] = ()
    shown: tuple[Flip, ...] = ()
    costs: Rows = field(default_factory=lambda: Rows("", (), ()))
    provenance: Rows = field(default_factory=lambda: Rows("", (), ()))


def beside(plan: Plan, records: Records, run: RunFolder | None = None) -> Beside:
    """Return what stands beside the report of a plan; completions only where its run folder is given."""
    found = flips(plan, records)
    shown = chosen(found)[:MOST_FLIPS]
    estimate = plan.estimate
    over = estimate.visible_gain_over_control
    visible = f"{points(estimate.visible_gain).lstrip('+')} points over the start"
    return Beside(
        margin=plan.suite.rule.margin,
        steps=plan.suite.training.steps,
        visible_gain=visible + (f" and {points(over).lstrip('+')} over the control" if over is not None else ""),
        flips=tuple(found),
        shown=tuple(with_texts(plan, records, run, shown) if run else shown),
        costs=_costs(plan, records),
        provenance=_provenance(plan),
    )


def _costs(plan: Plan, records: Records) -> Rows:
    rows = []
    for kind in dict.fromkeys(stage.kind for stage in plan.stages):
        mine = [records[stage.id] for stage in plan.stages if stage.kind == kind]
        done = [r for r in mine if r is not None and r.failure is None]
        timing = [r.timing for r in done]
        tokens = sum(e.generated_tokens for r in done for e in (r.evaluation, r.exposure, r.labelling) if e is not None)
        rows.append(
            (
                kind,
                f"{len(done)} of {len(mine)}",
                f"{sum(t.wall_seconds for t in timing) / 3600:.3f}",
                f"{sum(t.cpu_seconds for t in timing) / 3600:.3f}",
                f"{max((t.peak_memory_bytes for t in timing), default=0) / 2**30:.2f}",
                f"{tokens:,}" if tokens else "-",
            )
        )
    head = ("stages", "with a result", "hours of a worker", "CPU hours", "most memory, GiB", "tokens of evaluations")
    return Rows("Cost; stages shared with other runs are counted where they were computed", head, tuple(rows))


def _provenance(plan: Plan) -> Rows:
    around = plan.environment
    rows = [
        ("suite", f"{plan.suite.name}, version {plan.suite.version}: {plan.suite.title}"),
        ("plan", plan.digest),
        ("device", around.device),
        ("code that computes", around.code),
        ("seeds", ", ".join(map(str, plan.suite.seeds))),
        *((f"version of {name}", version) for name, version in sorted(around.versions.items())),
    ]
    return Rows("Provenance", ("what", "which"), tuple(rows))


def visible(text: str) -> str:
    """Return a text with its control characters (but line ends and tabs) and direction marks made visible."""
    bad = {"Cc", "Cf", "Cs", "Co", "Cn"}
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in bad else f"⟨U+{ord(c):04X}⟩" for c in text)


def as_csv(rows: Rows) -> str:
    """Return a table as CSV. A cell that a spreadsheet would take for a formula is set apart by an apostrophe."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(rows.head)
    writer.writerows([[_plain(cell) for cell in row] for row in rows.rows])
    return out.getvalue()


def _plain(cell: str) -> str:
    with contextlib.suppress(ValueError):
        float(cell)
        return cell
    risky = cell[:1] in ("=", "@", "\t", "\r") or (cell[:1] in ("+", "-") and any(c.isalpha() for c in cell))
    return f"'{cell}" if risky else cell


def as_html(report: Report, around: Beside, drawn: Sequence[Figure]) -> str:
    """Return the page of a report with its figures. Every text in it is escaped; it asks for nothing outside itself."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    named = {figure.name: figure for figure in drawn}
    method = [s for s in report.explanation.strategies if s.arm == report.method]
    tables = SimpleNamespace(
        strategy=explained.strategy_table(report),
        transitions=explained.transition_table(method, named=True),
        mechanism=explained.mechanism_table(report),
        likelihood=explained.likelihood_table(report),
        exposure=explained.exposure_table(report),
        comparison=explained.comparison_table(report),
        clean=explained.clean_table(report),
        paid=explained.paid_table(report),
        precision=explained.precision_table(report),
    )
    counts = _flip_counts(report, around.flips)
    return environment.get_template("report.html").render(
        report=report,
        title=words.title(report),
        word=words.word(report.verdict),
        basis=words.basis(report),
        over_start=words.word(report.over_start),
        rehearsal=words.REHEARSAL,
        css=(PAGES / "report.css").read_text(encoding="utf-8") + STYLE,
        figures=named,
        links={name: _links(figure) for name, figure in named.items()},
        lineages=explained.lineage_rows(report),
        models=explained.model_rows(report),
        prompts=explained.prompt_rows(report),
        tables=tables,
        sections=_sections(named, tables, counts),
        flip_counts=counts,
        shown_flips=around.shown,
        percent=words.percent,
        visible=visible,
        visible_gain=around.visible_gain,
        sensitivity=words.sensitivity(report),
        labels=words.labels(report),
        costs=around.costs,
        provenance=around.provenance,
    )


def _sections(named: dict[str, Figure], tables: SimpleNamespace, counts: Rows) -> list[tuple[str, str]]:
    there = {
        "control": "over-control" in named,
        "passk": "pass-at-k" in named,
        "flips": bool(counts.rows),
        "mechanism": bool(tables.mechanism.rows),
        "exposure-check": bool(tables.exposure.rows),
    }
    every = (
        ("verdict", "Verdict"),
        ("gains", "Gains"),
        ("control", "Over the control"),
        ("tasks", "Before and after"),
        ("curves", "Learning curves"),
        ("strategies", "Strategies"),
        ("passk", "pass@k"),
        ("flips", "Flipped problems"),
        ("mechanism", "What training did"),
        ("exposure-check", "Exposure"),
        ("flags", "Flags"),
        ("precision", "Precision"),
        ("cost", "Cost and provenance"),
    )
    return [(name, title) for name, title in every if there.get(name, True)]


def _links(figure: Figure) -> SimpleNamespace:
    def data(kind: str, text: str) -> str:
        return f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"

    return SimpleNamespace(
        svg=data("image/svg+xml", figure.standalone()), csv=data("text/csv;charset=utf-8", as_csv(figure.rows))
    )


def _flip_counts(report: Report, found: Sequence[Flip]) -> Rows:
    rows = []
    for m in report.models:
        mine = [flip for flip in found if flip.model == m.model]
        won = sum(flip.won for flip in mine)
        if mine:
            rows.append((m.model, str(won), str(len(mine) - won)))
    return Rows("Problems of the deciding tasks that flipped", ("model", "won", "lost"), tuple(rows))


def write_html(report: Report, around: Beside, run: RunFolder) -> Path:
    """Write `report.html` and `figures/` into the run's report folder and return the page's path."""
    target = run.report / "report.html"
    drawn = figures(report, margin=around.margin, steps=around.steps)
    write_text(target, as_html(report, around, drawn))
    for figure in drawn:
        for suffix, text in (("svg", figure.standalone()), ("csv", as_csv(figure.rows))):
            write_text(run.report / "figures" / f"{figure.name}.{suffix}", text)
    return target
