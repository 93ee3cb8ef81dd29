"""What the numbers depend on besides the inputs: library versions, our own code, the device."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from rlvr_bench import plugins
from rlvr_bench.errors import EnvironmentFaultError, UsageError
from rlvr_bench.schema.plan import Environment

DECIDING_LIBRARIES = (
    "accelerate",
    "datasets",
    "latex2sympy2_extended",
    "lm-eval",
    "math-verify",
    "numpy",
    "sympy",
    "tokenizers",
    "torch",
    "transformers",
    "trl",
)
MEASUREMENTS = "manifest.json"
"""What was measured of the embedded models when they were built; their digests are in the cards."""
DECIDING_ROOMS = ("backends", "engine", "rewards", "schema", "scoring")


@cache
def code_digest() -> str:
    """Return the digest of our own code that decides what a stage computes."""
    root = Path(__file__).parents[1]
    h = hashlib.sha256()
    for room in DECIDING_ROOMS:
        for path in sorted((root / room).rglob("*")):
            if path.suffix in {".py", ".yaml", ".json"} and path.name != MEASUREMENTS:
                h.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return h.hexdigest()


def processor() -> str:
    """Return the processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@cache
def accelerators() -> str:
    """Return the names of this machine's GPUs with their driver, as its tool says; without importing torch. Where there
    is none, as on a login node, what the setting `gpu-name` says of the nodes that will be used."""
    words = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603 - words of our own
    except (OSError, subprocess.SubprocessError):
        return os.environ.get(GPU_NAME) or "none seen"
    return "; ".join(sorted({line.strip() for line in done.stdout.splitlines() if line.strip()})) or "none seen"


GPU_NAME = "RLVR_BENCH_GPU_NAME"
Generator = Literal["vllm", "transformers"]
GENERATION = "RLVR_BENCH_GENERATION"


def generator(device: Literal["cpu", "cuda"]) -> Generator:
    """Return what generates text: vLLM on a GPU where it is installed, unless the setting `generation` says otherwise.

    Raises UsageError for an unknown setting, EnvironmentFaultError where vLLM is asked for and not there.
    """
    wanted = os.environ.get(GENERATION) or "auto"
    if wanted not in ("auto", "vllm", "transformers"):
        raise UsageError(f"generation {wanted!r}: auto, vllm or transformers", hint=f"{GENERATION}=auto")
    there = find_spec("vllm") is not None
    if wanted == "vllm" and not there:
        raise EnvironmentFaultError("generation is vllm, which is not installed", hint="pip install 'rlvr-bench[vllm]'")
    if wanted == "vllm" or (wanted == "auto" and there and device == "cuda"):
        return "vllm"
    return "transformers"


def environment(rewards: Iterable[str] = (), device: Literal["cpu", "cuda"] = "cpu") -> Environment:
    """Return this machine's environment, with the source digests of the named rewards that are not ours.

    What computes is part of it: the processor, or for `cuda` the kinds of GPU and their driver.

    Raises EnvironmentFaultError where a library is missing.
    """
    versions = {"python": platform.python_version()}
    for name in DECIDING_LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError as error:
            raise EnvironmentFaultError(
                f"{name} is not installed", hint="pip install --force-reinstall rlvr-bench"
            ) from error
    if generator(device) == "vllm":
        versions["vllm"] = version("vllm")
    outside = {name: digest for name in rewards if (digest := plugins.source_digest(plugins.REWARDS, name))}
    where = f"cpu: {processor()}" if device == "cpu" else f"cuda: {accelerators()}"
    return Environment(versions=versions, code=code_digest(), device=where, rewards=outside)
