"""`rlvr-bench leaderboard`: check submissions as a referee, build the site."""

from pathlib import Path
from typing import Annotated

import typer

from rlvr_bench.cli.options import JsonOption

app = typer.Typer(help="Check submissions, build the site.", no_args_is_help=True, rich_markup_mode=None)


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:400]


@app.command("check")
def check(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[SUBMISSION]...", help="Folders; default: all of leaderboard/submissions."),
    ] = None,
    completions: Annotated[
        Path | None, typer.Option("--completions", help="A run folder: grade a sample of its answers again.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Which sample of answers is graded again.")] = 0,
    json: JsonOption = False,
) -> None:
    """Compute every number and verdict of submissions again from their outcomes; exit 1 where one does not hold."""
    from rlvr_bench.cli import output
    from rlvr_bench.cli.submit import SUBMISSIONS
    from rlvr_bench.errors import NothingMeasuredError, RefusedError, UsageError
    from rlvr_bench.publishing.validation import Checked, own_trainings
    from rlvr_bench.publishing.validation import check as check_one
    from rlvr_bench.reporting.words import word
    from rlvr_bench.runs.layout import RunFolder

    chosen = list(folders or sorted(p for p in SUBMISSIONS.glob("*") if not p.name.startswith(".")))
    if not chosen:
        raise NothingMeasuredError("no submission to check", where=str(SUBMISSIONS), hint="rlvr-bench submit RUN")
    if completions is not None and len(chosen) != 1:
        raise UsageError("--completions is of one submission", hint="name its folder")
    refused: list[RefusedError] = []
    seen: dict[str, str] = {}
    for folder in chosen:
        try:
            found = check_one(folder)
            graded = 0
            if completions is not None:
                if not isinstance(found, Checked):
                    raise UsageError("a published table has no completions")
                from rlvr_bench.publishing.audit import audit

                graded = audit(found, RunFolder(completions), seed=seed)
            if isinstance(found, Checked):
                own = own_trainings(found)
                twin = next((seen[weights] for weights in own if weights in seen), None)
                seen |= dict.fromkeys(own, folder.name)
                if twin is not None:
                    raise RefusedError(f"it brings trainings of {twin} again", where=str(folder))
        except UsageError:
            raise
        except Exception as fault:  # one submission that nothing could foresee must not hide the others
            words = f"it cannot be computed: {type(fault).__name__}"
            error = fault if isinstance(fault, RefusedError) else RefusedError(words, where=str(folder))
            refused.append(error)
            if json:
                output.emit({"schema": "rlvr-bench/leaderboard-check/1", "submission": folder.name, "holds": False}
                            | {"fault": error.message})  # fmt: skip
            else:
                typer.echo(f"REFUSED  {_one_line(folder.name)}: {_one_line(error.message)}")
            continue
        reports = (found.report,) if isinstance(found, Checked) else found.reports
        said = [f"{report.method}: {word(report.verdict)}" for report in reports]
        if json:
            output.emit({"schema": "rlvr-bench/leaderboard-check/1", "submission": folder.name, "holds": True}
                        | {"verdicts": said, "graded_again": graded})  # fmt: skip
        else:
            more = f"; {graded} problems graded again" if graded else ""
            typer.echo(f"holds    {folder.name}: {', '.join(said)}{more}")
    if refused:
        raise RefusedError(
            f"{len(refused)} of {len(chosen)} submissions do not hold: {refused[0].message}", where=refused[0].where
        )


@app.command("build")
def build(
    submissions: Annotated[Path, typer.Option("--submissions", help="The folder of submissions.")] = Path(
        "leaderboard/submissions"
    ),
    status: Annotated[
        Path, typer.Option("--status", help="What the maintainers say: superseded, withdrawn, evidence.")
    ] = Path("leaderboard/status.json"),
    into: Annotated[Path, typer.Option("--into", help="The folder of the site; replaced as a whole.")] = Path("site"),
    address: Annotated[
        str, typer.Option("--address", help="Where the site will lie, for the feed.")
    ] = "https://example.org/rlvr-bench",
) -> None:
    """Build the static site from submissions that `leaderboard check` has found to hold."""
    from rlvr_bench.cli import output
    from rlvr_bench.errors import NothingMeasuredError
    from rlvr_bench.publishing.board import rows_of
    from rlvr_bench.publishing.site import build as build_site

    if not submissions.is_dir():
        raise NothingMeasuredError("no folder of submissions", where=str(submissions), hint="rlvr-bench submit RUN")
    rows = rows_of(submissions, status)
    pages = build_site(rows, into, address=address)
    typer.echo(into / "index.html")
    output.aside().print(f"{len(rows)} rows, {len(pages)} pages", soft_wrap=True)
