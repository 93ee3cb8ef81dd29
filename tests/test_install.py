"""The extras resolve together with the core, on both Pythons: metadata alone, nothing large is downloaded."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from rlvr_bench.runs.health import VLLM_TORCH

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.11", "3.12"])
def test_the_extras_resolve_with_the_core(python, tmp_path) -> None:
    if shutil.which("uv") is None:
        pytest.skip("uv is not installed")
    words = ["uv", "pip", "compile", "--python-version", python, "--extra", "vllm", "--extra", "lora"]
    words += ["--extra", "slurm", "--extra", "ray", str(ROOT / "pyproject.toml")]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    if done.returncode and re.search(r"dns error|failed to (connect|fetch)|error sending request", done.stderr.lower()):
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr[-2000:]
    found = dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", done.stdout, re.MULTILINE))
    assert Version(found["vllm"]) in SpecifierSet(">=0.24,<=0.31.0")
    *_, torch = next(row for row in VLLM_TORCH if row[0] <= Version(found["vllm"]) < row[1])
    assert found["torch"].startswith(torch), "doctor's table and vLLM's own pin differ"
    assert found["trl"].startswith("1.16") and found["lm-eval"].startswith("0.4.13")


def test_ranges_stand_in_one_place() -> None:
    """What doctor checks are the ranges of pyproject.toml; the documents name no others."""
    body = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert any(line.startswith("torch>=") for line in body["dependencies"])
    (vllm,) = body["optional-dependencies"]["vllm"]
    assert vllm.removeprefix("vllm") == ">=0.24,<=0.31.0"
    for name in ("README.md", "docs/gpus.md", "ARCHITECTURE.md"):
        for found in re.findall(r"vllm[^\n|]*?(\d+\.\d+(?:\.\d+)?)", (ROOT / name).read_text()):
            assert Version("0.24") <= Version(found) <= Version("0.32"), (name, found)
