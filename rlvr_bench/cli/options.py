"""Options that several verbs share, spelled once."""

from pathlib import Path
from typing import Annotated

import typer

MethodOption = Annotated[str, typer.Option("--method", "-m", help="A method: a name or a YAML file.")]
SuiteOption = Annotated[
    str, typer.Option("--suite", "-s", envvar="RLVR_BENCH_SUITE", help="A suite: a name or a YAML file.")
]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option("--models", help="Only this model of the suite; may be repeated. Makes the run partial."),
]
SeedsOption = Annotated[
    int | None, typer.Option("--seeds", help="Only the first N seeds of the suite. Makes the run partial.")
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", help="Only the first N problems of each task. Makes the run partial.")
]
RunsOption = Annotated[
    Path,
    typer.Option("--runs", envvar="RLVR_BENCH_RUNS", help="The folder of runs and of their shared cache."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run: its name under --runs, or its folder.")]
RUNS = Path("runs")
