"""`rlvr-bench report`: the findings of a run, computed anew from its records."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlvr_bench.cli.options import RUNS, BootstrapOption, RunArgument, RunsOption, resamples_of

if TYPE_CHECKING:
    from rlvr_bench.analysis import Records
    from rlvr_bench.schema.finding import Report
    from rlvr_bench.schema.plan import Plan


class Format(StrEnum):
    """How a report is printed."""

    terminal = "terminal"
    json = "json"
    markdown = "markdown"


class ReportFormat(StrEnum):
    """How a run's report is printed, or what is written of it for other programs."""

    terminal = "terminal"
    html = "html"
    json = "json"
    markdown = "markdown"
    csv = "csv"
    hf = "hf"
    lm_eval = "lm-eval"


def report(
    run: RunArgument,
    format: Annotated[  # noqa: A002
        ReportFormat,
        typer.Option("--format", help="How to print it; html, hf and lm-eval write files and print where they are."),
    ] = ReportFormat.terminal,
    behaviour: Annotated[
        list[str] | None,
        typer.Option(
            "--behaviour",
            metavar="NAME",
            help="Print the transitions of this behaviour instead (code, boxed, ...); twice: of both together.",
        ),
    ] = None,
    bootstrap: BootstrapOption = 0,
    runs: RunsOption = RUNS,
) -> None:
    """Judge a run from its records and print the report; nothing is run again."""
    from rlvr_bench.analysis import judged
    from rlvr_bench.cli import output
    from rlvr_bench.errors import IncompleteError
    from rlvr_bench.reporting import tables, terminal, written
    from rlvr_bench.runs.store import find_run

    folder = find_run(run, runs)
    plan, records, found = judged(folder, resamples=resamples_of(bootstrap))
    page: Path | None = None
    try:
        page = written.write_report(plan, records, found, folder)
    except OSError as error:  # a run on a read-only disk, or a full one, is read all the same
        if format is ReportFormat.html:
            raise
        said = f"warning: the report could not be written into the run: {error.strerror} ({error.filename})"
        output.aside().print(said, soft_wrap=True)
    if behaviour:
        _transitions(plan, records, found, behaviour)
    elif format in (ReportFormat.hf, ReportFormat.lm_eval):
        from rlvr_bench.reporting import exports

        write = exports.to_hub if format is ReportFormat.hf else exports.to_lm_eval
        for path in write(plan, records, folder):
            typer.echo(path)
    elif format is ReportFormat.html:
        typer.echo(page)
    elif format is ReportFormat.terminal:
        terminal.show(found, output.answer(), where=page)
    else:
        make = {
            ReportFormat.json: tables.as_json,
            ReportFormat.markdown: tables.as_markdown,
            ReportFormat.csv: written.csv_of,
        }[format]
        typer.echo(make(found), nl=False)
    if found.failures:
        raise IncompleteError(f"{len(found.failures)} stages have no result", hint=f"rlvr-bench status {run}")


def _transitions(plan: "Plan", records: "Records", report: "Report", names: list[str]) -> None:
    """Print the transitions of one behaviour, or of two together, for every model under the method."""
    from rlvr_bench.analysis.collected import results_of
    from rlvr_bench.analysis.explained import strategies_of
    from rlvr_bench.cli import output
    from rlvr_bench.errors import NothingMeasuredError, UsageError
    from rlvr_bench.plugins import did_you_mean
    from rlvr_bench.reporting import explained, terminal
    from rlvr_bench.scoring.behaviour import BEHAVIOURS

    for name in names:
        if name not in BEHAVIOURS:
            raise UsageError(
                f"--behaviour {name}: no such behaviour{did_you_mean(name, list(BEHAVIOURS))}",
                hint=", ".join(BEHAVIOURS),
            )
    if len(names) > 2 or len(set(names)) < len(names):
        raise UsageError("--behaviour takes one behaviour, or two different ones")
    measured = [m for m in results_of(plan, records) if m.measured(report.method)]
    found = strategies_of(plan, measured, report.method, [report.method], tuple(names))
    if not found:
        raise NothingMeasuredError(
            "the records of this run do not say how answers behave: an earlier version made them",
            hint="run the same validate command again with this version",
        )
    terminal.show_rows(explained.transition_table(found), output.answer())
