"""A real Ray cluster of two nodes on one machine: micro through it, a node removed, ends in the local run's report."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlvr_bench.engine import ray as ours
from rlvr_bench.engine.ray import RayExecutor
from rlvr_bench.errors import EnvironmentFaultError
from tests.engine.chaos import report_of
from tests.engine.test_slurm import events, staged, until

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
pytest.importorskip("ray", reason="ray is not installed: pip install '.[ray]'")
ROOT = Path(__file__).parents[2]
CUT = ["--models", "micro-qwen-a", "--seeds", "1", "--limit", "20"]


@pytest.fixture(scope="module")
def cluster():
    """A head without a core for stages, and two nodes with one each."""
    from ray.cluster_utils import Cluster

    os.environ.update(ours.QUIET)
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # set by the local executor's tests; Ray believes it over num_gpus
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    found.first = found.add_node(num_cpus=1, num_gpus=2)
    found.second = found.add_node(num_cpus=1)
    found.wait_for_nodes()
    yield found
    found.shutdown()


@pytest.fixture
def executor(cluster, tmp_path, monkeypatch):
    import ray

    monkeypatch.setenv(ours.ADDRESS, cluster.address)
    found = RayExecutor(log=tmp_path / "server.log")
    found.start()
    yield found
    found.cancel()
    ray.shutdown()


def ended(executor, count: int) -> dict[Path, int]:
    found: dict[Path, int] = {}
    deadline = time.monotonic() + 90
    while len(found) < count:
        assert time.monotonic() < deadline
        found.update(executor.poll(0.2))
    return found


def scripted(monkeypatch, runs: Path, does: str, count: int) -> list[Path]:
    monkeypatch.setattr(ours, "command", lambda folder: ["/bin/sh", "-c", does, str(folder)])
    return staged(runs, count)[1]


def test_exit_codes_and_a_stage_that_we_stop(executor, runs, monkeypatch) -> None:
    folders = scripted(monkeypatch, runs, "echo said; exit 7", 2)
    for folder in folders:
        executor.submit(folder)
    assert executor.waiting() <= set(folders)
    assert ended(executor, 2) == dict.fromkeys(folders, 7)
    assert "said" in (folders[0] / "log.txt").read_text()
    (long,) = scripted(monkeypatch, runs / "more", "echo $$ > $0/pid; exec sleep 60", 1)
    executor.submit(long)
    deadline = time.monotonic() + 30
    while not (long / "pid").exists():
        assert time.monotonic() < deadline
        executor.poll(0.2)
    executor.stop(long)
    assert ended(executor, 1) == {long: -9}


def test_a_request_that_no_node_can_hold_is_an_error_at_once(executor, runs, monkeypatch) -> None:
    (folder,) = staged(runs, 1)[1]
    monkeypatch.setattr(ours, "gpus_of", lambda _: 4)
    with pytest.raises(EnvironmentFaultError, match="no node of the Ray cluster has 4 GPUs") as caught:
        executor.submit(folder)
    assert "the largest has 2 GPUs" in caught.value.message and "ray start" in str(caught.value.hint)


def test_a_stage_is_placed_where_the_gpus_are(executor, runs, monkeypatch) -> None:
    folders = scripted(monkeypatch, runs, "echo $CUDA_VISIBLE_DEVICES > $0/sees", 1)
    monkeypatch.setattr(ours, "gpus_of", lambda _: 2)
    executor.submit(folders[0])
    assert ended(executor, 1) == {folders[0]: 0}
    assert (folders[0] / "sees").read_text().strip() == "0,1" and executor.gpus(folders[0]) == 2


def test_storage_that_is_not_shared_is_found_at_the_start(cluster, tmp_path, monkeypatch) -> None:
    import ray

    monkeypatch.setenv(ours.ADDRESS, cluster.address)
    monkeypatch.setattr(ours, "sees", lambda path: False)
    with pytest.raises(EnvironmentFaultError, match="not on storage that every node sees") as caught:
        RayExecutor(log=tmp_path / "log").start()
    assert "--runs" in str(caught.value.hint)
    assert not list(tmp_path.glob(".shared-*"))
    ray.shutdown()


def test_no_cluster_at_an_address_says_so(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(ours.ADDRESS, "127.0.0.1:1")
    with pytest.raises(EnvironmentFaultError, match=r"no Ray cluster at 127\.0\.0\.1:1"):
        RayExecutor(log=tmp_path / "log").start()


def test_a_node_removed_in_the_middle_ends_in_the_local_report(cluster, tmp_path) -> None:
    words = [sys.executable, "-c", "from rlvr_bench.cli.app import main; main()", "validate", "--method", "ttrl", *CUT]
    calm = tmp_path / "calm"
    subprocess.run([*words, "--runs", str(calm), "-q"], check=True, cwd=ROOT, capture_output=True)
    runs = tmp_path / "runs"
    env = {**os.environ, ours.ADDRESS: cluster.address, "RLVR_BENCH_SAVE_MINUTES": "0"}
    process = subprocess.Popen(
        [*words, "--runs", str(runs), "--executor", "ray"],
        cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    until(runs, "finished", 2)
    cluster.remove_node(cluster.second, allow_graceful=False)  # with whatever it is doing
    out = process.communicate(timeout=400)[0]
    assert process.returncode == 0, out[-3000:]
    assert report_of(runs) == report_of(calm)
    kinds = [e["event"] for e in events(runs)]
    assert "lost" in kinds and "failed" not in kinds
    cluster.second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
