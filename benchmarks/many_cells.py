"""A plan of 2,000 cells: how long planning, the run folder, submission as Slurm arrays and `status` take.

    python benchmarks/many_cells.py [CELLS]

Embedded models, three arms and as many seeds as it takes; nothing is trained. Slurm's commands are stand-ins that
answer at once, so that what is measured is ours; half of the stages get a record, as large as micro's, before `status`.
"""

import contextlib
import io
import os
import sys
import tempfile
import time
from pathlib import Path

from rlvr_bench import catalog
from rlvr_bench.cli.app import run as rlvr_bench
from rlvr_bench.engine import slurm
from rlvr_bench.planning.planner import make_plan
from rlvr_bench.runs import layout, store
from rlvr_bench.runs.layout import RunFolder, run_name
from rlvr_bench.runs.provenance import environment

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.fakes import FakeExecutor


def main() -> None:
    cells = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    suite = catalog.load_suite("micro")
    seeds = tuple(range(1, -(-cells // (3 * len(suite.models))) + 1))
    suite = suite.model_copy(update={"seeds": seeds})
    cards = [catalog.load_card(name) for name in suite.models]
    arms = {"control": catalog.load_method("random"), "reference": catalog.load_method("ground-truth")}
    here = environment()
    started = time.perf_counter()
    plan = make_plan(suite, catalog.load_method("python"), cards, here, **arms)
    planned = time.perf_counter() - started
    trainings = [stage for stage in plan.stages if stage.kind == "train"]
    print(f"{len(trainings):,} cells, {len(plan.stages):,} stages: planned in {planned:.2f} s")
    with tempfile.TemporaryDirectory() as name:
        run = RunFolder(Path(name) / run_name(plan))
        started = time.perf_counter()
        run.path.mkdir()
        store.start_run(run, plan)
        print(
            f"run folder begun in {time.perf_counter() - started:.2f} s, "
            f"plan.json {run.plan.stat().st_size / 1e6:.0f} MB"
        )
        tools = Path(name) / "bin"
        tools.mkdir()
        for tool, says in {
            "sbatch": "echo 1",
            "squeue": "true",
            "scontrol": "echo MaxArraySize = 1001",
            "scancel": "true",
        }.items():
            (tools / tool).write_text(f"#!/bin/sh\n{says}\n")
            (tools / tool).chmod(0o755)
        os.environ["PATH"] = f"{tools}{os.pathsep}{os.environ['PATH']}"
        for stage in trainings:
            store.write_model(run.stage(stage.id) / layout.STAGE, stage)
        executor = slurm.SlurmExecutor(log=run.path / "server.log", capacity=len(trainings))
        executor.start()
        started = time.perf_counter()
        for stage in trainings:
            executor.submit(run.stage(stage.id))
        executor._flush()
        arrays = len(list(executor.home.glob("*.json")))
        print(f"{len(trainings):,} stages submitted as {arrays} arrays in {time.perf_counter() - started:.2f} s")
        fake = FakeExecutor()
        for stage in plan.stages[: len(plan.stages) // 2]:
            record = fake.record(stage)
            store.write_model(run.stage(stage.id) / layout.RECORD, record)
            timing = record.timing
            paid = {"wall": timing.wall_seconds, "cpu": timing.cpu_seconds, "memory": timing.peak_memory_bytes}
            store.append_event(run, {"event": "finished", "stage": stage.id, "seconds": 1.0, "gpus": 1, **paid})
        for what in (["status", str(run.path), "--json"], ["status", str(run.path)]):
            started = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()):
                code = rlvr_bench(what)
            print(f"{' '.join(what[:1] + what[2:])}: {time.perf_counter() - started:.2f} s, exit {code}")


if __name__ == "__main__":
    main()
