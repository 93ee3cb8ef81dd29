"""`rlvr-bench check`: is a run worse than the accepted one? The CI gate."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rlvr_bench.cli.options import RUNS, FailOnOption, RunArgument, RunsOption


class CheckFormat(StrEnum):
    """How a check is printed."""

    text = "text"
    markdown = "markdown"
    github = "github"
    junit = "junit"
    json = "json"


def check(
    run: RunArgument,
    baseline: Annotated[Path, typer.Option("--baseline", help="The accepted result.")] = Path("baseline.json"),
    update_baseline: Annotated[
        bool, typer.Option("--update-baseline", help="Accept this run: write it into the baseline file.")
    ] = False,
    minimum_drop: Annotated[
        float, typer.Option("--minimum-drop", metavar="POINTS", help="A smaller fall is none, shown or not.")
    ] = 2.0,
    fail_on: FailOnOption = None,
    format: Annotated[CheckFormat, typer.Option("--format", help="How to print it.")] = CheckFormat.text,  # noqa: A002
    runs: RunsOption = RUNS,
) -> None:
    """Compare a run with the accepted one, paired on problems: exit 1 where it gains less, 5 where one is missing.

    A lineage fell where its gain is lower by more than --minimum-drop points and the difference is shown.
    """
    import os

    from rlvr_bench.analysis import read
    from rlvr_bench.ci import baseline as accepted_runs
    from rlvr_bench.ci import formats
    from rlvr_bench.cli import output
    from rlvr_bench.cli.options import verdicts_of
    from rlvr_bench.errors import NothingMeasuredError, RefusedError, UsageError
    from rlvr_bench.runs.store import find_run, write_text

    if not 0 <= minimum_drop < 100:
        raise UsageError(f"--minimum-drop {minimum_drop:g}: points between 0 and 100", hint="--minimum-drop 2")
    refused = verdicts_of(fail_on)
    folder = find_run(run, runs)
    plan, records = read(folder)
    now, report = accepted_runs.accept(plan, records)
    if update_baseline:
        if report.failures:
            first = f"{report.failures[0].stage}: {report.failures[0].message}"
            raise NothingMeasuredError(
                f"{len(report.failures)} stages of this run have no result; it is not accepted", where=first
            )
        write_text(baseline, accepted_runs.as_json(now))
        output.aside().print(f"accepted: {baseline}", soft_wrap=True)
    found = accepted_runs.compare(
        now,
        accepted_runs.read_accepted(baseline),
        plan,
        run=folder.path.name,
        failures=report.failures,
        minimum_drop=minimum_drop / 100,
        fail_on=refused,
    )
    if format is CheckFormat.json:
        output.emit({"schema": "rlvr-bench/check/1", "passed": found.passed, **found.model_dump(mode="json")})
    else:
        text = {
            CheckFormat.text: formats.as_text,
            CheckFormat.markdown: formats.as_markdown,
            CheckFormat.github: formats.as_github,
            CheckFormat.junit: formats.as_junit,
        }[format](found)
        typer.echo(text, nl=False)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if format is CheckFormat.github and summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(formats.as_markdown(found))
    if found.missing:
        raise NothingMeasuredError(
            f"{len(found.missing)} accepted results are not measured: {found.missing[0]}",
            where=str(folder.path),
            hint=f"rlvr-bench status {run}",
        )
    if not found.passed:
        raise RefusedError(
            formats.problems_of(found)[0],
            where=str(baseline),
            hint=f"if this is meant, accept it: rlvr-bench check {run} --update-baseline --baseline {baseline}",
        )
