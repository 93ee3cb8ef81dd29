"""`doctor`: one line each with what to do, and the exit code."""

import json
from collections import namedtuple
from pathlib import Path

import pytest

from rlvr_bench.cli.app import run as rlvr_bench
from rlvr_bench.runs import health, machine
from rlvr_bench.runs.machine import Device
from tests.backends.test_hub import hub
from tests.engine.test_gpus import three_gpus
from tests.hub_suite import write_suite

assert hub and three_gpus
H100 = Device("0", "H100", 80e9, "570.10")


def states(findings) -> dict[str, str]:
    return {one.about: one.state for one in findings}


def test_a_laptop_is_ready_for_micro(capsys, tmp_path) -> None:
    machine.gpus.cache_clear()
    assert rlvr_bench(["doctor", "--runs", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "ok    libraries" in out and "note  GPU            none is seen: the suite micro needs none" in out


def test_a_suite_of_real_models_without_gpu_or_network_is_4_with_what_to_do(capsys, tmp_path, hub) -> None:
    machine.gpus.cache_clear()
    hub.models.clear()
    suite = write_suite(tmp_path, architectures=("Qwen2",))
    text = suite.read_text().replace("device: cpu", "device: cuda")
    suite.write_text(text)
    assert rlvr_bench(["doctor", "--suite", str(suite), "--runs", str(tmp_path)]) == 4
    out, err = capsys.readouterr()
    assert "BAD   GPU" in out and "--gpus all" in out and "BAD   hub" in out
    assert "error: not ready for suite" in err


def test_gates_and_fits_are_said_by_name(capsys, tmp_path, hub, three_gpus) -> None:
    hub.models["tiny/Qwen2"].gated = True
    suite = write_suite(tmp_path, architectures=("Qwen2",))
    suite.write_text(suite.read_text().replace("device: cpu", "device: cuda"))
    assert rlvr_bench(["doctor", "--suite", str(suite), "--runs", str(tmp_path), "--json"]) == 4
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "rlvr-bench/doctor/1" and found["ready"] is False
    by = {(f["about"], f["state"]): f for f in found["findings"]}
    assert "tiny-qwen2 trains on 1 of 3" in by["fit", "good"]["said"]
    assert "tiny/Qwen2 is gated" in by["hub", "bad"]["said"] and "hf auth login" in by["hub", "bad"]["todo"]
    assert by["GPU", "good"]["said"].startswith("3 x NVIDIA H100 80GB HBM3")


@pytest.mark.parametrize(
    ("vllm", "torch", "state"),
    [
        ("0.26.0", "2.11.0", "good"),
        ("0.30.0", "2.13.0+cu130", "good"),
        ("0.30.0", "2.11.0", "bad"),
        ("0.33.0", "2.14.0", "bad"),
    ],
)
def test_vllm_and_torch_that_work_together(vllm, torch, state, monkeypatch) -> None:
    monkeypatch.setattr(health, "find_spec", lambda name: object())
    monkeypatch.setattr(health, "version", lambda name: {"vllm": vllm, "torch": torch, "trl": "1.16.0"}[name])
    assert states(health._vllm(True)) == {"vLLM": state}


def test_drivers_kinds_and_cpu_builds(monkeypatch) -> None:
    monkeypatch.setattr(health, "_cuda_of_torch", lambda: "13.0")
    assert states(health.gpus([H100], True))["CUDA"] == "bad"  # 570 is older than CUDA 13 needs
    new = Device("0", "H100", 80e9, "580.65")
    assert states(health.gpus([new], True))["CUDA"] == "good"
    assert states(health.gpus([new, Device("1", "A100", 40e9, "580.65")], True))["GPU"] == "bad"
    monkeypatch.setattr(health, "_cuda_of_torch", lambda: None)
    assert states(health.gpus([new], True))["CUDA"] == "bad"
    assert states(health.gpus([], False)) == {"GPU": "note", "CUDA": "note"}


def test_a_library_outside_its_range(monkeypatch) -> None:
    real = health.version
    monkeypatch.setattr(health, "version", lambda name: "4.0.0" if name == "transformers" else real(name))
    (bad,) = [one for one in health.libraries() if one.state == "bad"]
    assert "transformers 4.0.0 is not" in bad.said and "pip install" in bad.todo


def test_disks_and_limits(monkeypatch, tmp_path: Path) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(health.shutil, "disk_usage", lambda path: usage(64 * 2**20, 0, 10**9))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    found = {one.about: one for one in health.room(tmp_path, 5e9)}
    assert found["hub cache"].state == "bad" and found["shared memory"].state == "note"
    assert "--shm-size" in found["shared memory"].todo
