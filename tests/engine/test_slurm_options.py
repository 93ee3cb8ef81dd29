"""What sbatch is told, from the settings; without a cluster."""

import shutil

import pytest

from rlvr_bench.engine.sbatch import nodes_of, options
from rlvr_bench.engine.slurm import SlurmExecutor
from rlvr_bench.errors import EnvironmentFaultError, UsageError


def test_settings_become_options(monkeypatch) -> None:
    assert options(0) == ["--nodes=1", "--ntasks-per-node=1"]
    for name, value in {
        "ACCOUNT": "lab",
        "PARTITION": "h100",
        "TIME": "24:00:00",
        "EXTRA": "--qos=high; --mem=64G",
    }.items():
        monkeypatch.setenv(f"RLVR_BENCH_SLURM_{name}", value)
    assert options(4) == [
        "--nodes=1", "--ntasks-per-node=1", "--account=lab", "--partition=h100", "--time=24:00:00", "--gres=gpu:4",
        "--cpus-per-task=32", "--qos=high", "--mem=64G",
    ]  # fmt: skip
    monkeypatch.setenv("RLVR_BENCH_SLURM_GRES", "gpu:h100:{gpus}")
    assert nodes_of(16) == 2 and "--gres=gpu:h100:8" in options(16) and "--nodes=2" in options(16)
    monkeypatch.setenv("RLVR_BENCH_GPUS_PER_NODE", "4")
    assert nodes_of(16) == 4
    monkeypatch.setenv("RLVR_BENCH_SLURM_EXTRA", "qos=high")
    with pytest.raises(UsageError, match="no option of sbatch"):
        options(1)
    monkeypatch.setenv("RLVR_BENCH_GPUS_PER_NODE", "many")
    with pytest.raises(UsageError, match="no number above 0"):
        nodes_of(1)


def test_a_machine_that_does_not_submit_says_so(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(EnvironmentFaultError, match="sbatch is not here") as caught:
        SlurmExecutor(log=tmp_path / "log").start()
    assert "--executor local" in str(caught.value.hint)
