"""How long a large report takes: 20 models x 4 arms x 3 seeds x 700 problems, with completions to show.

    python benchmarks/report_speed.py [MODELS]

Makes a run folder by tests/fakes.py (nothing is trained): 16 samples a problem before and after, 300 steps, completions
of the stages that a report takes examples from. Prints seconds and memory of `rlvr-bench report` on it, a process of
its own, and the size of its files.
"""

import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from rlvr_bench import catalog
from rlvr_bench.analysis import read, report_of
from rlvr_bench.analysis.flips import chosen, flips
from rlvr_bench.backends.completions import packed
from rlvr_bench.engine.runner import run_plan
from rlvr_bench.planning.planner import make_plan
from rlvr_bench.runs import layout
from rlvr_bench.schema.plan import EvaluateInputs
from rlvr_bench.schema.suite import ExposureProbe, ProblemSet, Suite, TaskSpec
from tests.fakes import ENVIRONMENT, FakeExecutor, folder_of

GAINS = {("python", "qwen"): 0.2, ("python", "llama"): -0.1}
PROBLEMS, SAMPLES, STEPS, CHARACTERS = 700, 16, 300, 600


def suite_of(models: int) -> tuple[Suite, list]:
    base = catalog.load_suite("micro")
    lineages = ["qwen", "llama", "olmo", "gemma", "mistral"]
    card = catalog.load_card("micro-qwen-a")
    cards = [
        card.model_copy(update={"name": f"model-{i:02d}", "lineage": lineages[i % 5], "family": lineages[i % 5]})
        for i in range(models)
    ]
    sampling = base.tasks[0].sampling.model_copy(update={"samples_before": SAMPLES, "samples_after": SAMPLES})
    problems = ProblemSet(source="arithmetic-chain", count=PROBLEMS, arguments={"seed": 1, "steps": 5})
    task = TaskSpec(name="chain", lm_eval_task="rlvr_clean", deciding=True, problems=problems, sampling=sampling)
    training = base.training.model_copy(update={"steps": STEPS})
    update = {
        "name": "large",
        "models": tuple(c.name for c in cards), "seeds": (1, 2, 3), "tasks": (task,), "prompts": (),
        "evaluate_at": (), "training": training, "exposure": ExposureProbe(max_tokens=32),
        "training_problems": problems,
    }  # fmt: skip
    return base.model_copy(update=update), cards


def completions(plan, run) -> None:
    """Write the completions of the stages that the report takes examples from: the starts and the first runs."""
    rng = random.Random(1)
    words = [f"{rng.randrange(10**6)}" for _ in range(5000)]
    found = chosen(flips(plan, read(run)[1]))
    print(f"{len(found)} flipped problems are shown")
    for stage in plan.stages:
        first = stage.cell.arm == plan.method.name and stage.cell.seed == plan.suite.seeds[0]
        if not isinstance(stage.inputs, EvaluateInputs) or not (first or stage.kind == "baseline"):
            continue
        with (run.stage(stage.id) / layout.COMPLETIONS).open("wb") as file:
            rows = []
            for number in range(PROBLEMS * (SAMPLES + 1)):
                text = " ".join(rng.sample(words, CHARACTERS // 7)) + f" so \\boxed{{{number % 7}}}"
                rows.append({"text": text, "tokens": 100, "truncated": False})
                if len(rows) == 128:
                    file.write(packed({"key": str(number), "rows": rows}))
                    rows = []
            file.write(packed({"key": "last", "rows": rows}))


def main() -> None:
    models = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with tempfile.TemporaryDirectory() as name:
        runs = Path(name)
        suite, cards = suite_of(models)
        plan = make_plan(
            suite, catalog.load_method("python"), cards, ENVIRONMENT,
            control=catalog.load_method("random"), reference=catalog.load_method("ground-truth"),
        )  # fmt: skip
        run = folder_of(plan, runs)
        run_plan(
            plan, run, runs=runs, executor=FakeExecutor(gains={("python", "qwen"): 0.2, ("python", "llama"): -0.1})
        )
        completions(plan, run)
        size = sum(p.stat().st_size for p in run.path.rglob("*") if p.is_file())
        print(f"{len(plan.stages)} stages, {size / 1e6:.0f} MB")
        for what in ("terminal", "html"):
            started = time.perf_counter()
            pid = os.fork()
            if pid == 0:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                os.execvp("rlvr-bench", ["rlvr-bench", "report", str(run.path), "--format", what])
            _, status, usage = os.wait4(pid, 0)
            seconds = time.perf_counter() - started
            print(f"report --format {what}: {seconds:.1f} s, {usage.ru_maxrss / 1024:.0f} MiB, status {status}")
        for path in sorted((run.report).glob("report.*")):
            print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")
        started = time.perf_counter()
        loaded = read(run)
        middle = time.perf_counter()
        report_of(*loaded)
        print(f"reading {middle - started:.1f} s, judging {time.perf_counter() - middle:.1f} s")
        print(f"this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
