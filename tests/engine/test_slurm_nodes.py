"""A training over two nodes of a real Slurm on loopback: launchers through srun, ranks that find each other."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from rlvr_bench.backends import resuming
from rlvr_bench.engine import slurm as ours
from rlvr_bench.engine.slurm import SlurmExecutor
from rlvr_bench.engine.worker import run_stage
from rlvr_bench.runs import layout, store
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.schema.plan import Stage
from tests.backends.test_ranks import SETTINGS, rows_of
from tests.backends.test_training import small
from tests.cluster import missing, slurm
from tests.fakes import folder_of, planned

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with slurm(tmp_path_factory.mktemp("nodes"), two=True) as found:
        yield found


@pytest.fixture
def two_nodes(cluster, monkeypatch):
    """Settings of a cluster whose nodes have one GPU each; the training itself is on the CPUs."""
    settings = {"GPUS_PER_NODE": 1, "NODES_PER_STAGE": 2, "SLURM_CPUS": 1, "RANKS": 2, "SLURM_POLL": 0.3}
    for name, value in settings.items():
        monkeypatch.setenv(f"RLVR_BENCH_{name}", str(value))
    monkeypatch.setenv("RLVR_BENCH_SAVE_MINUTES", "0")
    monkeypatch.setattr(ours, "gpus_of", lambda folder: 2)
    return cluster


def staged(runs: Path, steps: int) -> tuple[RunFolder, Stage, Path]:
    plan = planned("ttrl", models=["micro-qwen-a"], seeds=1)
    run = folder_of(plan, runs)
    store.start_run(run, plan)
    stage = next(s for s in plan.stages if s.kind == "train" and s.cell.arm == "ttrl")
    stage = stage.model_copy(update={"inputs": small("ttrl", **{**SETTINGS, "steps": steps})})
    folder = run.stage(stage.id)
    store.write_model(folder / layout.STAGE, stage)
    return run, stage, folder


def test_two_nodes_train_as_two_ranks_of_one(two_nodes, tmp_path, monkeypatch) -> None:
    run, stage, folder = staged(tmp_path / "there", 2)
    executor = SlurmExecutor(log=run.path / "server.log")
    executor.start()
    executor.submit(folder)
    assert executor.gpus(folder) == 2
    seen: set[str] = set()
    deadline = time.monotonic() + 180
    while not (ended := executor.poll(0.2)):
        assert time.monotonic() < deadline
        seen |= set(two_nodes.run("squeue", "--me", "-h", "-s", "-o", "%N").splitlines())
    assert ended == [(folder, 0)], (folder / layout.LOG).read_text()[-3000:]
    assert ",".join(two_nodes.nodes) in seen  # srun's step
    found = store.read_record(run, stage)
    assert found and found.training and found.training.ran and found.training.ran.ranks == 2

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run, stage, here = staged(tmp_path / "here", 2)
    run_stage(here)
    one = store.read_record(run, stage)
    assert one and one.training and one.training.ran and one.training.ran.ranks == 2
    assert rows_of(folder) == rows_of(here)
    assert found.training.checkpoint_sha256 == one.training.checkpoint_sha256


def test_a_worker_that_is_killed_leaves_no_rank_on_any_node(two_nodes, tmp_path) -> None:
    run, stage, folder = staged(tmp_path, 200)
    executor = SlurmExecutor(log=run.path / "server.log")
    executor.start()
    executor.submit(folder)
    deadline = time.monotonic() + 120
    while len(resuming.healths(folder)) < 2:
        assert time.monotonic() < deadline
        assert executor.poll(0.2) == []
    mine = [p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or [])]
    worker = [p for p in mine if "rlvr_bench.engine.worker" in " ".join(p.info["cmdline"])]
    ranks = [p for p in mine if "rlvr_bench.backends.ranks" in " ".join(p.info["cmdline"])]
    assert len(worker) == 1 and len(ranks) >= 4  # a launcher and a rank on each node, and srun
    os.kill(worker[0].pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(ranks, timeout=30)
    assert not alive
    while not (ended := executor.poll(0.2)):
        assert time.monotonic() < deadline + 60
    assert [path for path, code in ended if code != 0] == [folder]
    assert store.read_record(run, stage) is None
