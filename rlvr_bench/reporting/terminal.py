"""A report on one screen, ending with the verdict."""

from pathlib import Path

from rich.console import Console, RenderableType
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from rlvr_bench.reporting import words
from rlvr_bench.reporting.explained import Rows
from rlvr_bench.schema.finding import Report
from rlvr_bench.stats.sentences import points


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")


def lineage_table(report: Report) -> Table:
    """Return gains by lineage, with the reference beside them."""
    table = _table()
    over = [f"over {report.control} reward"] if report.control else []
    reference = [report.reference] if report.reference else []
    net = ["over best prompt"] if any(ln.net_gain for ln in report.lineages) else []
    for name in ("lineage", "models", "gain", *over, *net, *reference, ""):
        table.add_column(name, justify="right" if name == "models" else "left", no_wrap=True)
    for ln in report.lineages:
        table.add_row(
            ln.lineage,
            str(len(ln.models)),
            words.interval(ln.gain),
            *([words.interval(ln.gain_over_control)] if over else []),
            *([words.interval(ln.net_gain)] if net else []),
            *([points(ln.reference_gain.estimate) if ln.reference_gain else "-"] if reference else []),
            words.marks(ln),
        )
    for lineage in report.not_tested:
        table.add_row(lineage, "0", "not tested")
    return table


def task_table(report: Report) -> Table:
    """Return each task's gains alone, where there are several."""
    table = _table()
    lineages = [ln.lineage for ln in report.lineages]
    for name in ("task", "problems", *lineages):
        table.add_column(name, no_wrap=True)
    for task in report.tasks:
        gains = [words.interval(task.gains.get(lineage)) for lineage in lineages]
        table.add_row(task.task + ("" if task.deciding else " (decides nothing)"), str(task.problems), *gains)
    return table


def prompt_table(report: Report) -> Table:
    """Return the untrained models' accuracies under other prompts, and which of them each half finds best."""
    table = _table()
    prompts = words.prompts(report)
    for name in ("untrained", "own prompt", *prompts, "best, by each half"):
        table.add_column(name, no_wrap=True)
    for m in report.models:
        best = ", ".join(dict.fromkeys(name or "own" for name in m.best_prompts))
        shares = [words.percent(m.prompts.get(name)) for name in prompts]
        table.add_row(m.model, words.percent(m.before), *shares, best)
    return table


def step_table(report: Report) -> Table:
    """Return the gains over the start at each step that was evaluated, the last too."""
    table = _table()
    lineages = [ln.lineage for ln in report.lineages]
    for name in ("step", *lineages, "over the start"):
        table.add_column(name, no_wrap=True)
    for name, word, gains in words.steps(report):
        table.add_row(name, *gains, word)
    return table


def model_table(report: Report) -> Table:
    """Return one row a model: accuracy before, after each seed, and how it answers."""
    table = _table()
    known = [m for m in report.models if m.before_greedy is not None]
    columns = [
        "model",
        "before",
        "after, each seed",
        *(["control"] if report.control else []),
        *(["greedy", "code", "unparsed"] if known else []),
        "",
    ]
    for name in columns:
        table.add_column(name, no_wrap=True)
    for m in report.models:
        greedy = sum(m.after_greedy) / len(m.after_greedy) if m.after_greedy else None
        detail = [
            words.change(m.before_greedy, greedy),
            words.change(m.code_before, m.code_after),
            words.change(m.unparsed_before, m.unparsed_after),
        ]
        table.add_row(
            m.model,
            words.percent(m.before),
            words.runs(m.after),
            *([words.runs(m.control)] if report.control else []),
            *(detail if known else []),
            f"left out: {m.excluded}" if m.excluded else "",
        )
    return table


def show_rows(rows: Rows, console: Console) -> None:
    """Print a table with its title."""
    table = _table()
    for name in rows.head:
        table.add_column(name, no_wrap=True)
    for row in rows.rows:
        table.add_row(*(Text(cell) for cell in row))
    _print(console, Text(rows.title, style="bold"))
    _print(console, table)


WIDEST = 10_000
"""Columns that a table of results may take: its numbers are never cut to fit a terminal."""


def _print(console: Console, what: RenderableType) -> None:
    """Print without the blanks that fill a table's lines up to the width."""
    if isinstance(what, Table) and all(column.no_wrap for column in what.columns):
        options = console.options.update(width=WIDEST)
        lines = console.render_lines(what, options.update(width=console.measure(what, options=options).maximum))
        what = Segments([segment for line in lines for segment in (*line, Segment.line())])
    with console.capture() as captured:
        console.print(what, crop=False)
    for line in captured.get().rstrip("\n").split("\n"):
        console.file.write(line.rstrip() + "\n")


def _line(console: Console, label: str, text: str, style: str = "") -> None:
    row = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    row.add_column(no_wrap=True, style="bold" if label == "verdict:" else "")
    row.add_column(style=style, overflow="fold")
    row.add_row(Text(label), Text(text))
    _print(console, row)


def show(report: Report, console: Console, *, where: Path | None = None, quiet: bool = False) -> None:
    """Print the report; `quiet` prints the verdict line alone."""
    verdict = f"{words.word(report.verdict)}      {words.basis(report)}"
    if quiet:
        _line(console, "verdict:" if report.suite else f"{report.method}:", verdict, "bold")
        return
    _print(console, Text(words.title(report), style="bold"))
    if report.rehearsal:
        _print(console, Text(f"note: {words.REHEARSAL}"))
    _print(console, Text("accuracies and shares in %, gains in points with 95% intervals"))
    _print(console, "")
    _print(console, model_table(report))
    _print(console, "")
    _print(console, lineage_table(report))
    _print(console, "")
    if len(report.tasks) > 1:
        _print(console, task_table(report))
        _print(console, "")
    if words.prompts(report):
        _print(console, prompt_table(report))
        _print(console, "")
    if report.steps:
        _print(console, step_table(report))
        _print(console, "")
    split = [flag for flag in report.flags if flag.name == "split-lineage"]
    for flag in split:
        _line(console, "beware: ", words.flag_line(flag))
    _line(console, "verdict:", verdict, "bold")
    _line(console, "because:", report.verdict.sentence)
    if report.verdict.harmed:
        _line(console, "harmed: ", ", ".join(report.verdict.harmed))
    for i, sentence in enumerate(report.explanation.sentences):
        _line(console, "why:    " if i == 0 else "        ", sentence)
    _line(console, "over the starting model alone:", words.word(report.over_start))
    for line in words.sensitivity(report):
        _line(console, "checked:", line)
    for i, flag in enumerate(flag for flag in report.flags if flag not in split):
        _line(console, "flags:  " if i == 0 else "        ", words.flag_line(flag))
    for i, line in enumerate(words.labels(report)):
        _line(console, "labels: " if i == 0 else "        ", line)
    for line in report.data:
        if "left out" in line or "could not be used" in line:
            _line(console, "data:   ", line)
    if report.partial:
        _line(console, "partial:", "; ".join(report.partial) + " (not fit for the leaderboard)")
    for failure in report.failures[:5]:
        _line(console, "failed: ", f"{failure.stage}: {failure.kind}: {failure.message}")
    if len(report.failures) > 5:
        _line(console, "        ", f"and {len(report.failures) - 5} more stages without a result")
    for i, assumption in enumerate(report.assumptions):
        _line(console, "assumed:" if i == 0 else "        ", assumption)
    if where is not None:
        _line(console, "report: ", str(where))
