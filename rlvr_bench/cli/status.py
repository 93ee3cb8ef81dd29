"""`rlvr-bench status`: what is done, running, owed and failed, and where the time went."""

from typing import TYPE_CHECKING

from rlvr_bench.cli.options import RUNS, JsonOption, RunArgument, RunsOption

if TYPE_CHECKING:
    from rlvr_bench.runs.layout import RunFolder
    from rlvr_bench.runs.summary import Summary


def status(run: RunArgument, runs: RunsOption = RUNS, json: JsonOption = False) -> None:
    """Show how far a run is and where its time went."""
    from rlvr_bench.cli import output
    from rlvr_bench.runs.store import find_run
    from rlvr_bench.runs.summary import summarise

    folder = find_run(run, runs)
    summary = summarise(folder)
    if json:
        output.emit({"schema": "rlvr-bench/status/1", **summary.model_dump(mode="json")})
        return
    _show(summary, _left(folder, summary))


def _left(folder: "RunFolder", summary: "Summary") -> str:
    """Say how long the open stages will take: by past stages here, else at the pace so far."""
    from rlvr_bench.cli.plan import foretold, round_two
    from rlvr_bench.engine.local import cores
    from rlvr_bench.runs.store import read_plan

    if summary.done == summary.stages:
        return ""
    if told := foretold(read_plan(folder), folder.path.parent, done=summary.finished):
        return f"{round_two(told.low / 60):g}-{round_two(told.high / 60):g} min ({told.basis})"
    if summary.seconds_left:
        left = summary.seconds_left / cores()
        return f"about {0.7 * left:.0f}-{1.5 * left:.0f} s on {cores()} cores, at the pace so far"
    return "unknown: no stage of every kind has ended yet"


def _show(summary: "Summary", left: str) -> None:
    from rich.table import Table

    from rlvr_bench.cli import output

    console = output.answer()
    console.print(
        f"{summary.run}: {summary.done} of {summary.stages} stages done, {len(summary.running)} running, "
        f"{summary.owed} owed, {len(summary.failed)} failed"
    )
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for name in ("stage", "done", "from cache", "CPU-s", "CPU-s each", "wall-s", "peak memory"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for row in summary.kinds:
        worked = row.done - row.cached
        table.add_row(
            row.kind,
            str(row.done),
            str(row.cached),
            f"{row.cpu_seconds:.1f}",
            f"{row.cpu_seconds / worked:.2f}" if worked else "-",
            f"{row.wall_seconds:.1f}",
            f"{row.peak_memory_bytes / 2**20:.0f} MiB" if worked else "-",
        )
    console.print(table)
    if summary.wall_seconds is not None:
        console.print(
            f"whole run {summary.wall_seconds:.1f} s, of which {summary.idle_seconds or 0:.1f} s before the first "
            "stage started (imports)"
        )
    console.print(f"stages ran for {summary.hours:.3g} hours here, in {summary.invocations} invocations")
    if summary.newest:
        console.print(f"newest: {summary.newest}", soft_wrap=True)
    if summary.queued and not summary.running:
        names = ",".join(summary.queued)
        console.print(
            f"in Slurm's queue, maybe: squeue --name={names}; the same validate command finds them", soft_wrap=True
        )
    if left:
        console.print(f"left: {left}", soft_wrap=True)
    for stage in summary.running:
        console.print(f"running: {stage}")
    for failure in summary.failed:
        console.print(f"failed: {failure}", soft_wrap=True)
