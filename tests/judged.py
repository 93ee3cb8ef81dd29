"""Runs with made-up gains, judged from their records: what tests of the analysis share."""

from rlvr_bench import catalog
from rlvr_bench.analysis import analyse
from rlvr_bench.engine.runner import run_plan
from rlvr_bench.schema.finding import Report
from tests.fakes import FakeExecutor, folder_of, planned

Q, L, O = "micro-qwen", "micro-llama", "micro-olmo"  # noqa: E741
ALL = (Q, L, O)
TRAINABLE = {("ground-truth", ln): 0.3 for ln in ALL}


BARE = catalog.load_suite("micro").model_copy(update={"prompts": (), "evaluate_at": ()})
"""Most tests are about neither prompts nor curves: a third fewer stages."""


def judged(runs, method="python", *, plan=None, whole=False, **world) -> Report:
    plan = plan or planned(method, suite=None if whole else BARE)
    run_plan(plan, folder_of(plan, runs), runs=runs, executor=FakeExecutor(**world))
    return analyse(folder_of(plan, runs))


def gains(method, *values, control=0.0):
    return {
        **TRAINABLE,
        **{(method, ln): v for ln, v in zip(ALL, values, strict=True)},
        **{("random", ln): control for ln in ALL},
    }


def names(report: Report) -> set[str]:
    return {flag.name for flag in report.flags}
