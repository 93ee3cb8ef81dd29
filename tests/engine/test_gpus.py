"""Stages on GPUs, as far as a machine without any goes: made-up GPUs, real workers that see only their own."""

import json
import os
import stat
import time
from pathlib import Path

import pytest

from rlvr_bench.cli.app import run as rlvr_bench
from rlvr_bench.engine import gpus as ours
from rlvr_bench.engine.gpus import GpuExecutor, needed
from rlvr_bench.errors import EnvironmentFaultError
from rlvr_bench.runs import layout, machine, store
from rlvr_bench.runs.machine import Device
from tests.fakes import folder_of, planned

CUT = {"models": ["micro-qwen-a"], "seeds": 1, "limit": 4}
SAYS = """#!/bin/sh
cat <<'END'
0, NVIDIA H100 80GB HBM3, 81559, 570.10
1, NVIDIA H100 80GB HBM3, 81559, 570.10
2, NVIDIA H100 80GB HBM3, 81559, 570.10
3, NVIDIA H100 80GB HBM3, [N/A], 570.10
END
"""


@pytest.fixture
def three_gpus(tmp_path: Path, monkeypatch):
    """A program that answers as nvidia-smi does on a machine with three GPUs that work."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(SAYS)
    tool.chmod(tool.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    machine.gpus.cache_clear()
    yield
    machine.gpus.cache_clear()


def staged(runs: Path, count: int) -> list[Path]:
    plan = planned("ttrl", **CUT)
    run = folder_of(plan, runs)
    store.start_run(run, plan)
    found = []
    for stage in [s for s in plan.stages if not s.needs][:count]:
        store.write_model(run.stage(stage.id) / layout.STAGE, stage)
        found.append(run.stage(stage.id))
    return found


def test_gpus_are_those_that_are_visible(three_gpus, monkeypatch) -> None:
    assert [(d.index, d.memory) for d in machine.gpus()] == [(i, 81559 * 2**20) for i in "012"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    assert [d.index for d in GpuExecutor(log=Path("x")).devices] == ["0", "2"]


def test_each_stage_sees_its_own_gpus_and_waits_for_free_ones(three_gpus, runs, monkeypatch, tmp_path) -> None:
    """Workers are a script that says what it sees and waits to be told."""
    wants = {}
    monkeypatch.setattr(ours, "needed", lambda stage, *_: wants[stage.id])
    script = """
import os, sys, time, pathlib
folder = pathlib.Path(sys.argv[1])
(folder / "sees").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
while not (folder / "end").exists():
    time.sleep(0.02)
"""
    (tmp_path / "worker.py").write_text(script)
    real = ours.subprocess.Popen
    monkeypatch.setattr(
        ours.subprocess, "Popen", lambda words, **kw: real([words[0], str(tmp_path / "worker.py"), words[-1]], **kw)
    )
    folders = staged(runs, 4)
    plan = planned("ttrl", **CUT)
    wants.update(zip([s.id for s in plan.stages if not s.needs], [1, 3, 1, 1], strict=False))
    executor = GpuExecutor(log=tmp_path / "log")
    executor.start()
    for folder in folders:
        executor.submit(folder)

    def sees(folder: Path) -> str:
        deadline = time.monotonic() + 20
        while not (folder / "sees").exists() or not (folder / "sees").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return (folder / "sees").read_text()

    assert [sees(folders[i]) for i in (0, 2, 3)] == ["0", "1", "2"]  # the second needs three and waits
    assert executor.poll(0) == [] and not (folders[1] / "sees").exists()
    assert executor.waiting() == {folders[1]} and executor.gpus(folders[1]) == 3
    executor.stop(folders[1])  # before it had any
    assert executor.poll(0) == [(folders[1], -9)] and executor.waiting() == set()
    executor.submit(folders[1])
    for i in (0, 2):
        (folders[i] / "end").touch()
    ended = []
    while len(ended) < 2:
        ended += executor.poll(1)
    assert not (folders[1] / "sees").exists()
    executor.stop(folders[3])
    while len(ended) < 3:
        ended += executor.poll(1)
    assert ended[-1] == (folders[3], -9)
    assert sees(folders[1]) == "0,1,2"
    executor.cancel()
    assert executor.poll(0) == []


@pytest.mark.slow
def test_a_real_stage_in_a_fresh_interpreter(three_gpus, runs, tmp_path) -> None:
    (folder,) = staged(runs, 1)
    executor = GpuExecutor(log=tmp_path / "log")
    executor.submit(folder)
    ended = []
    while not ended:
        ended = executor.poll(1)
    assert ended == [(folder, 0)]
    record = json.loads((folder / layout.RECORD).read_text())
    assert record["failure"] is None and record["evaluation"]["sampled"]


def test_without_a_gpu_it_says_so(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(ours, "visible", lambda _: ())
    with pytest.raises(EnvironmentFaultError, match="none is seen"):
        GpuExecutor(log=tmp_path / "log").start()


def test_a_training_is_given_what_it_needs() -> None:
    gpu = Device("0", "H100", 80e9, "570")
    stages = planned("ttrl", **CUT).stages
    train = next(s for s in stages if s.kind == "train")
    assert needed(stages[0], gpu, 8) == 1 == needed(train, gpu, 8)
    large = train.inputs.card.model_copy(update={"parameters": 7_600_000_000})
    settings = train.inputs.settings.model_copy(update={"max_completion_tokens": 2048, "prompts_per_step": 32})
    own = train.inputs.model_copy(update={"card": large, "device": "cuda", "settings": settings})
    assert needed(train.model_copy(update={"inputs": own}), gpu, 8) > 1


def test_containers_name_gpus_by_identifier(monkeypatch) -> None:
    found = (Device("0", "A", 1, "1", "GPU-aa11"), Device("1", "A", 1, "1", "GPU-bb22"))
    monkeypatch.setattr(machine, "gpus", lambda: found)
    assert [d.index for d in machine.visible("GPU-bb22")] == ["1"] and machine.visible("GPU-cc") == ()


def test_ranks_that_are_asked_for_are_given(monkeypatch) -> None:
    train = next(s for s in planned("ttrl", **CUT).stages if s.kind == "train")
    on_gpu = train.model_copy(update={"inputs": train.inputs.model_copy(update={"device": "cuda"})})
    gpu = Device("0", "H100", 80e9, "570")
    assert needed(on_gpu, gpu, 8) == 1
    monkeypatch.setenv("RLVR_BENCH_RANKS", "4")
    assert needed(on_gpu, gpu, 8) == 4
    with pytest.raises(EnvironmentFaultError, match="4 ranks are asked for, there are 2 GPUs"):
        needed(on_gpu, gpu, 2)


def test_plan_says_what_fits_here_and_refuses_what_does_not(three_gpus, capsys, tmp_path) -> None:
    arguments = ["plan", "--method", "random", "--runs", str(tmp_path)]
    assert rlvr_bench([*arguments, "--suite", "small", "--models", "qwen2.5-1.5b"]) == 0
    out = capsys.readouterr().out
    assert "GPU:       3 x NVIDIA H100 80GB HBM3, driver 570.10" in out
    assert "fit:       qwen2.5-1.5b: 1 x NVIDIA H100 80GB HBM3, micro-batch " in out
    assert "= 128 rollouts an update" in out
    assert rlvr_bench([*arguments, "--suite", "standard", "--models", "olmo-2-1124-7b"]) == 0
    out = capsys.readouterr().out
    assert "missing:   olmo-2-1124-7b does not fit: its training holds 117 GB" in out and "would fit: 4 GPUs of" in out
