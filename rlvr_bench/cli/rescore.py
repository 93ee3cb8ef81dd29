"""`rlvr-bench rescore`: answers graded again from saved completions."""

from typing import TYPE_CHECKING, Annotated

import typer

from rlvr_bench.cli.options import RUNS, JsonOption, QuietOption, RunArgument, RunsOption

if TYPE_CHECKING:
    from pathlib import Path

    from rlvr_bench.analysis.rescored import Rescored
    from rlvr_bench.schema.finding import Report


def rescore(
    run: RunArgument,
    workers: Annotated[
        int | None, typer.Option("--workers", "-j", min=1, help="Processes that grade; all cores by default.")
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    runs: RunsOption = RUNS,
) -> None:
    """Grade every saved answer of a run again and judge anew; no model, no GPU, and the run's records stay as they are.

    The new report is written beside the old one, as report/rescored.json.
    """
    from rlvr_bench.analysis import read, report_of
    from rlvr_bench.analysis.rescored import rescore as graded
    from rlvr_bench.cli import output
    from rlvr_bench.errors import IncompleteError
    from rlvr_bench.reporting import tables
    from rlvr_bench.runs.store import find_run, write_text

    folder = find_run(run, runs)
    plan, records = read(folder)
    found = graded(plan, records, folder, workers=workers)
    old, new = report_of(plan, records), report_of(plan, found.records)
    target = folder.report / "rescored.json"
    write_text(target, tables.as_json(new))
    if json:
        output.emit(
            {
                "schema": "rlvr-bench/rescore/1",
                "answers": found.answers,
                "changed": [vars(change) for change in found.changed],
                "verdict": new.verdict.model_dump(mode="json"),
                "verdict_before": old.verdict.model_dump(mode="json"),
                "report": str(target),
            }
        )
    else:
        _show(found, old, new, target, quiet=quiet)
    if new.failures:
        raise IncompleteError(f"{len(new.failures)} stages have no result", hint=f"rlvr-bench status {run}")


def _show(found: "Rescored", old: "Report", new: "Report", target: "Path", *, quiet: bool) -> None:
    from rlvr_bench.cli import output
    from rlvr_bench.reporting import terminal, words

    terminal.show(new, output.answer(), where=target, quiet=quiet)
    if quiet:
        return
    console = output.aside()
    answers = sum(change.answers for change in found.changed)
    console.print(
        f"{found.answers:,} answers graded again: {answers:,} differ, in {len(found.changed)} stages", soft_wrap=True
    )
    for change in found.changed[:10]:
        console.print(
            f"  {change.stage}: {change.answers} answers to {change.problems} problems, accuracy "
            f"{words.percent(change.before)} > {words.percent(change.after)}",
            soft_wrap=True,
        )
    if old.verdict != new.verdict:
        console.print(f"the verdict was {words.word(old.verdict)}", soft_wrap=True)
