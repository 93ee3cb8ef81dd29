"""`rlvr-bench compare`: two runs, paired on the same problems."""

from enum import StrEnum
from typing import Annotated

import typer

from rlvr_bench.cli import completion
from rlvr_bench.cli.options import RUNS, RunsOption


class CompareFormat(StrEnum):
    """How a comparison is printed."""

    terminal = "terminal"
    markdown = "markdown"
    json = "json"


def compare(
    first: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A run: its name, its method where that is enough, or its folder.",
            autocompletion=completion.runs,
        ),
    ],
    second: Annotated[
        str,
        typer.Argument(metavar="RUN", help="The run that is compared with it.", autocompletion=completion.runs),
    ],
    flips: Annotated[
        int, typer.Option("--flips", metavar="N", help="How many flipped problems to list for each model.")
    ] = 3,
    format: Annotated[CompareFormat, typer.Option("--format", help="How to print it.")] = CompareFormat.terminal,  # noqa: A002
    runs: RunsOption = RUNS,
) -> None:
    """Compare two runs problem by problem: differences of their gains, and which problems flipped.

    `compare random random-no-clip` sets the training of a random reward with clipping beside that without.
    """
    from rlvr_bench.analysis import read
    from rlvr_bench.analysis.compared import compare as compared
    from rlvr_bench.cli import output
    from rlvr_bench.errors import IncompleteError
    from rlvr_bench.reporting import comparing, terminal
    from rlvr_bench.runs.store import find_run

    sides = []
    for reference in (first, second):
        folder = find_run(reference, runs)
        sides.append((folder.path.name, *read(folder)))
    found = compared(sides[0], sides[1])
    if format is CompareFormat.json:
        output.emit({"schema": "rlvr-bench/compare/1", **found.model_dump(mode="json")})
    elif format is CompareFormat.markdown:
        typer.echo(comparing.as_markdown(found, flips), nl=False)
    else:
        console = output.answer()
        for line in comparing.lines(found):
            console.print(line, soft_wrap=True, markup=False, highlight=False)
        for rows in comparing.tables(found, flips):
            console.print("")
            terminal.show_rows(rows, console)
    if any(found.owed):
        raise IncompleteError(
            f"{sum(found.owed)} stages have no result",
            hint=f"rlvr-bench status {found.first.run if found.owed[0] else found.second.run}",
        )
