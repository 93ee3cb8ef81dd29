"""`rlvr-bench validate`: plan, run, judge."""

from pathlib import Path
from typing import Annotated

import typer

from rlvr_bench.cli import completion
from rlvr_bench.cli.options import (
    RUNS,
    FailOnOption,
    JsonOption,
    LimitOption,
    MethodOption,
    ModelsOption,
    QuietOption,
    RunsOption,
    SeedsOption,
    SuiteOption,
)

STALL_MINUTES = 120.0
"""A phase of a large training and a chunk of an evaluation take minutes: who writes nothing for two hours is stuck."""


def validate(
    method: MethodOption,
    suite: SuiteOption = "micro",
    models: ModelsOption = None,
    seeds: SeedsOption = None,
    limit: LimitOption = None,
    runs: RunsOption = RUNS,
    run: Annotated[Path | None, typer.Option("--run", help="The run's folder; default: named under --runs.")] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, envvar="RLVR_BENCH_WORKERS", help="Stages at once; default: cores."),
    ] = None,
    executor: Annotated[
        str,
        typer.Option(
            envvar="RLVR_BENCH_EXECUTOR",
            help="Where stages run: `local`, a plug-in, or package.module:name.",
            autocompletion=completion.executors,
        ),
    ] = "local",
    report_to: Annotated[
        str,
        typer.Option(
            "--report-to",
            envvar="RLVR_BENCH_REPORT_TO",
            help="Experiment trackers for trainings: wandb, trackio, tensorboard; several with commas.",
        ),
    ] = "",
    retry: Annotated[
        int, typer.Option("--retry", min=0, envvar="RLVR_BENCH_RETRY", help="Try a failed stage again, up to N times.")
    ] = 0,
    stage_timeout: Annotated[
        float | None,
        typer.Option(
            "--stage-timeout",
            metavar="MINUTES",
            envvar="RLVR_BENCH_STAGE_TIMEOUT",
            help="Stop a stage that runs for longer.",
        ),
    ] = None,
    stall_timeout: Annotated[
        float,
        typer.Option(
            "--stall-timeout",
            metavar="MINUTES",
            envvar="RLVR_BENCH_STALL_TIMEOUT",
            help="Stop a stage that writes nothing for so long; 0: never.",
        ),
    ] = STALL_MINUTES,
    max_gpu_hours: Annotated[
        float | None,
        typer.Option(
            "--max-gpu-hours",
            metavar="H",
            envvar="RLVR_BENCH_MAX_GPU_HOURS",
            help="Start nothing more after H hours of stages, in all (exit 6).",
        ),
    ] = None,
    fail_on: FailOnOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train a method on every model of a suite and say whether its gain generalises.

    The same command again goes on where it stopped.
    """
    from rlvr_bench import plugins
    from rlvr_bench.analysis import judged
    from rlvr_bench.cli import output
    from rlvr_bench.cli.inputs import bring, plan_of, report_trainings_to
    from rlvr_bench.cli.options import refuse, verdicts_of
    from rlvr_bench.cli.placed import fit_fault
    from rlvr_bench.cli.plan import disk_fault, show_plan
    from rlvr_bench.cli.progress import Json, Silent, progress
    from rlvr_bench.engine.care import Care
    from rlvr_bench.engine.gpus import GpuExecutor
    from rlvr_bench.engine.runner import run_plan
    from rlvr_bench.errors import IncompleteError, UsageError
    from rlvr_bench.reporting import terminal
    from rlvr_bench.reporting.written import write_report
    from rlvr_bench.runs.layout import RunFolder, run_name

    refused = verdicts_of(fail_on)
    for name, given in (
        ("--stage-timeout", stage_timeout),
        ("--stall-timeout", stall_timeout or None),
        ("--max-gpu-hours", max_gpu_hours),
    ):
        if given is not None and not given > 0:
            raise UsageError(f"{name} {given:g}: a number above 0")
    care = Care(
        retries=retry,
        stage_seconds=stage_timeout and 60 * stage_timeout,
        stall_seconds=60 * stall_timeout or None,
        hours=max_gpu_hours,
    )
    report_trainings_to(report_to)
    where_stages_run = plugins.load(plugins.EXECUTORS, executor)
    planned = plan_of(method, suite, runs=runs, models=models or (), seeds=seeds, limit=limit)
    if planned.faults:
        for fault in planned.faults[1:]:
            output.fail(fault)
        raise planned.faults[0]
    plan = planned.plan
    folder = RunFolder(run if run is not None else runs / run_name(plan))
    folder.path.mkdir(parents=True, exist_ok=True)
    shown = Json(folder) if json else Silent() if quiet else progress(folder, plan)
    if json:
        output.emit({"schema": "rlvr-bench/event/1", "event": "plan", "run": str(folder.path), "plan": plan.digest})
    elif not quiet:
        show_plan(planned, output.aside(), runs)
        output.aside().print(f"run: {folder.path}")
    if small := disk_fault(plan, runs, workers or 1):
        raise small
    bring(planned, runs, lambda text: None if quiet or json else output.aside().print(text, soft_wrap=True))
    if plan.suite.device == "cuda" and executor == "local":
        where_stages_run = GpuExecutor
    if big := fit_fault(plan, executor):
        raise big
    try:
        where = where_stages_run(log=folder.path / "server.log", capacity=workers)
    except TypeError as error:
        raise UsageError(
            f"--executor {executor} is no executor: {error}",
            hint="it is called with log= and capacity=; rlvr-bench list executors",
        ) from error
    with shown:
        failed = run_plan(
            plan,
            folder,
            runs=runs,
            executor=where,
            on_event=shown.event,
            on_tick=shown.tick,
            on_notice=shown.notice,
            care=care,
        )
    plan, records, report = judged(folder)
    written = write_report(plan, records, report, folder)
    if json:
        output.emit(
            {
                "schema": "rlvr-bench/event/1",
                "event": "done",
                "verdict": report.verdict.model_dump(mode="json"),
                "over_start": report.over_start.model_dump(mode="json"),
                "flags": [flag.model_dump(mode="json") for flag in report.flags],
                "report": str(written.with_suffix(".json")),
                "failed": list(failed),
            }
        )
    else:
        terminal.show(report, output.answer(), where=written, quiet=quiet)
    if failed:
        raise IncompleteError(
            f"{len(failed)} of {len(plan.stages)} stages failed",
            where=str(folder.stage(failed[0]) / "log.txt"),
            hint="run the same command again to try them again",
        )
    refuse(report.verdict, refused, str(written))
