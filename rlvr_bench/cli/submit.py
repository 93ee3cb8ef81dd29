"""`rlvr-bench submit`: a leaderboard submission from a run, checked as the referee will."""

from pathlib import Path
from typing import Annotated

import typer

from rlvr_bench.cli.options import RUNS, RunArgument, RunsOption

SUBMISSIONS = Path("leaderboard") / "submissions"


def submit(
    run: RunArgument,
    into: Annotated[Path, typer.Option("--into", help="The folder of submissions.")] = SUBMISSIONS,
    submitter: Annotated[
        str | None, typer.Option("--submitter", help="Who answers for it: a name or a handle.")
    ] = None,
    paper: Annotated[str | None, typer.Option("--paper", help="A link, https.")] = None,
    code: Annotated[str | None, typer.Option("--code", help="A link, https.")] = None,
    notes: Annotated[str, typer.Option("--notes", help="What a reader should know.")] = "",
    runs: RunsOption = RUNS,
) -> None:
    """Write a submission of a whole run and check it: all numbers are computed again from its outcomes.

    Open a pull request with the folder. It holds no completions and no weights.
    """
    import datetime

    from pydantic import ValidationError

    from rlvr_bench.analysis import read
    from rlvr_bench.catalog.files import fault_of
    from rlvr_bench.cli import output
    from rlvr_bench.errors import RlvrBenchError, UsageError
    from rlvr_bench.publishing.submission import build, folder_name
    from rlvr_bench.publishing.validation import check_run
    from rlvr_bench.runs.store import find_run
    from rlvr_bench.schema.submission import Entry

    folder = find_run(run, runs)
    plan, records = read(folder)
    said = {"submitter": submitter, "paper": paper, "code": code, "notes": notes}
    try:
        entry = Entry(kind="run", title=plan.method.title[:300], submitted=datetime.date.today().isoformat(), **said)
    except ValidationError as error:
        raise UsageError(f"--{fault_of(error, Entry)}", hint="rlvr-bench submit --help") from error
    target = into / folder_name(plan)
    build(plan, records, entry, target)
    try:
        check_run(target)
    except RlvrBenchError:
        output.aside().print(f"built, and refused by the check: {target}", soft_wrap=True)
        raise
    typer.echo(target)
    output.aside().print("it holds. Next: open a pull request with that folder", soft_wrap=True)
