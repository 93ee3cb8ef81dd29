"""Options that several verbs share, spelled once."""

from pathlib import Path
from typing import Annotated

import typer

MethodOption = Annotated[
    str, typer.Option("--method", "-m", help="A method: a name, a .py or .yaml file, or package.module:name.")
]
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
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Only the verdict line and errors.")]
BootstrapOption = Annotated[
    int,
    typer.Option("--bootstrap", metavar="N", help="Cross-check by N resamples of the problems, such as 10000."),
]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run: its name under --runs, or its folder.")]
RUNS = Path("runs")


def resamples_of(wanted: int) -> int:
    """Return the number of resamples: none, or enough for a 97.5 % quantile to mean something."""
    if wanted and not LEAST_RESAMPLES <= wanted <= MOST_RESAMPLES:
        from rlvr_bench.errors import UsageError

        raise UsageError(
            f"--bootstrap {wanted}: between {LEAST_RESAMPLES} and {MOST_RESAMPLES:,} resamples",
            hint="--bootstrap 10000",
        )
    return wanted


LEAST_RESAMPLES, MOST_RESAMPLES = 200, 1_000_000
