"""Options that several verbs share, spelled once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlvr_bench.cli import completion

if TYPE_CHECKING:
    from rlvr_bench.schema.finding import Verdict, VerdictWord

MethodOption = Annotated[
    str,
    typer.Option(
        "--method",
        "-m",
        help="A method: a name, a .py or .yaml file, or package.module:name.",
        autocompletion=completion.methods,
    ),
]
SuiteOption = Annotated[
    str,
    typer.Option(
        "--suite",
        "-s",
        envvar="RLVR_BENCH_SUITE",
        help="A suite: a name or a YAML file.",
        autocompletion=completion.suites,
    ),
]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--models",
        help="Only this model of the suite; may be repeated. Makes the run partial.",
        autocompletion=completion.models,
    ),
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
FailOnOption = Annotated[
    list[str] | None,
    typer.Option("--fail-on", metavar="VERDICT", help="Exit 1 at this verdict, such as harmful; may be repeated."),
]
RunArgument = Annotated[
    str,
    typer.Argument(metavar="RUN", help="A run: its name under --runs, or its folder.", autocompletion=completion.runs),
]
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


def verdicts_of(words: list[str] | None) -> frozenset["VerdictWord"]:
    """Return the verdicts that a user named, in any spelling. Raises UsageError, with the nearest."""
    from rlvr_bench.errors import UsageError
    from rlvr_bench.plugins import did_you_mean
    from rlvr_bench.schema.finding import VerdictWord

    found = set()
    for word in words or ():
        plain = word.strip().lower().replace("_", "-").replace(" ", "-")
        known = {verdict.lower().replace("_", "-"): verdict for verdict in VerdictWord}
        if plain not in known:
            raise UsageError(
                f"--fail-on {word}: no such verdict{did_you_mean(plain, list(known))}", hint=", ".join(known)
            )
        found.add(known[plain])
    return frozenset(found)


def refuse(verdict: "Verdict", refused: frozenset["VerdictWord"], where: str) -> None:
    """Raise RefusedError where a verdict is one that the user does not take."""
    from rlvr_bench.errors import RefusedError
    from rlvr_bench.reporting.words import word

    if verdict.word in refused:
        raise RefusedError(f"the verdict is {word(verdict)}, which --fail-on does not take", where=where)
