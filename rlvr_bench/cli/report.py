"""`rlvr-bench report`: the findings of a run, computed anew from its records."""

from enum import StrEnum
from typing import Annotated

import typer

from rlvr_bench.cli.options import RUNS, BootstrapOption, RunArgument, RunsOption, resamples_of


class Format(StrEnum):
    """How a report is printed."""

    terminal = "terminal"
    json = "json"
    markdown = "markdown"


class ReportFormat(StrEnum):
    """How a run's report is printed, or what is written of it for other programs."""

    terminal = "terminal"
    json = "json"
    markdown = "markdown"
    hf = "hf"
    lm_eval = "lm-eval"


def report(
    run: RunArgument,
    format: Annotated[  # noqa: A002
        ReportFormat,
        typer.Option(
            "--format", help="How to print it; hf and lm-eval write files for a model's page and for lm-eval."
        ),
    ] = ReportFormat.terminal,
    bootstrap: BootstrapOption = 0,
    runs: RunsOption = RUNS,
) -> None:
    """Judge a run from its records and print the report; nothing is run again."""
    from rlvr_bench.analysis import analyse
    from rlvr_bench.cli import output
    from rlvr_bench.errors import IncompleteError
    from rlvr_bench.reporting import tables, terminal
    from rlvr_bench.runs.store import find_run

    folder = find_run(run, runs)
    found = analyse(folder, resamples=resamples_of(bootstrap))
    where = tables.write_report(found, folder)
    if format in (ReportFormat.hf, ReportFormat.lm_eval):
        from rlvr_bench.analysis import read
        from rlvr_bench.reporting import exports

        write = exports.to_hub if format is ReportFormat.hf else exports.to_lm_eval
        for path in write(*read(folder), folder):
            typer.echo(path)
    elif format is ReportFormat.terminal:
        terminal.show(found, output.answer(), where=where)
    else:
        typer.echo(tables.as_json(found) if format is ReportFormat.json else tables.as_markdown(found), nl=False)
    if found.failures:
        raise IncompleteError(f"{len(found.failures)} stages have no result", hint=f"rlvr-bench status {run}")
