"""`rlvr-bench judge`: verdicts from results made elsewhere; no GPU, no model."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rlvr_bench.cli.options import BootstrapOption, FailOnOption, JsonOption, QuietOption, resamples_of
from rlvr_bench.cli.report import Format


class Weights(StrEnum):
    """How benchmarks are pooled."""

    problems = "problems"
    benchmarks = "benchmarks"


def judge(
    results: Annotated[
        Path,
        typer.Argument(
            metavar="RESULTS",
            help="A CSV of accuracies, or a YAML file that lists lm-eval output folders.",
        ),
    ],
    percent: Annotated[bool, typer.Option("--percent", help="Accuracies of the CSV are in percent, not 0-1.")] = False,
    weights: Annotated[
        Weights, typer.Option("--weights", help="Pool benchmarks by their problems, or equally.")
    ] = Weights.problems,
    bootstrap: BootstrapOption = 0,
    fail_on: FailOnOption = None,
    format: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.terminal,  # noqa: A002
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Judge results that exist already: one verdict per method.

    CSV columns: method,model,lineage,benchmark,problems,before,after[,samples][,seed][,arm][,step].
    """
    from rlvr_bench.cli import output
    from rlvr_bench.cli.options import refuse, verdicts_of
    from rlvr_bench.elsewhere.collected import report
    from rlvr_bench.elsewhere.sources import collect
    from rlvr_bench.errors import UsageError
    from rlvr_bench.reporting import tables, terminal
    from rlvr_bench.schema.suite import Rule

    resamples, refused = resamples_of(bootstrap), verdicts_of(fail_on)
    rule = Rule(weights=weights.value)
    found = collect(results, percent=percent)
    if resamples and not found[0].evidence.paired:
        raise UsageError(
            "--bootstrap resamples problems, and a table of accuracies has none",
            where=str(results),
            hint="leave it out; the verdict at other assumed correlations is printed instead",
        )
    reports = [report(one, rule, resamples=resamples) for one in found]
    if json or format is Format.json:
        output.emit({"schema": "rlvr-bench/judge/1", "verdicts": [tables.as_verdict(r) for r in reports]})
    for number, one in enumerate([] if json or format is Format.json else reports):
        if format is Format.markdown:
            typer.echo(("\n" if number else "") + tables.as_markdown(one), nl=False)
        else:
            if number and not quiet:
                typer.echo("")
            terminal.show(one, output.answer(), quiet=quiet)
    for one in reports:
        refuse(one.verdict, refused, f"{results}: {one.method}")
