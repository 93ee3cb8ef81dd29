"""What executors beyond this machine share: the GPUs that their nodes have, and what a worker there is given."""

import os
from pathlib import Path

from rlvr_bench.engine.gpus import needed
from rlvr_bench.errors import UsageError
from rlvr_bench.runs import layout
from rlvr_bench.runs.machine import Device
from rlvr_bench.runs.provenance import GPU_NAME
from rlvr_bench.schema.plan import Stage

GPU_MEMORY, GPUS_PER_NODE, MOST_NODES = (
    "RLVR_BENCH_GPU_MEMORY",
    "RLVR_BENCH_GPUS_PER_NODE",
    "RLVR_BENCH_NODES_PER_STAGE",
)
PASSED = ("RLVR_BENCH_", "HF_", "WANDB_", "TRACKIO_", "VLLM_", "NCCL_")
"""Variables that a worker is given as they are here; secrets among them go by the environment, never by a file."""


def number(variable: str, default: float) -> float:
    """Return a setting that is a number above 0. Raises UsageError."""
    text = os.environ.get(variable) or ""
    try:
        value = float(text) if text else default
    except ValueError:
        value = 0.0
    if not value > 0:
        raise UsageError(f"{variable}={text!r} is no number above 0")
    return value


def of_cluster() -> tuple[Device, int]:
    """Return the kind of GPU that the settings say a cluster has, and how many of them one training may take."""
    gigabytes = number(GPU_MEMORY, 80)
    count = int(number(GPUS_PER_NODE, 8) * number(MOST_NODES, 1))
    return Device("0", os.environ.get(GPU_NAME) or f"GPU of {gigabytes:g} GB", gigabytes * 1e9, ""), count


def gpus_of(folder: Path) -> int:
    """Return how many GPUs a stage needs on the nodes that the settings describe; 0 for one that runs on a CPU.

    Raises EnvironmentFaultError where its training does not fit there.
    """
    stage = Stage.model_validate_json((folder / layout.STAGE).read_text(encoding="utf-8"))
    if stage.inputs.device == "cpu":
        return 0
    return needed(stage, *of_cluster())


def passed() -> dict[str, str]:
    """Return the variables of this process that workers elsewhere are given too."""
    return {name: value for name, value in os.environ.items() if name.startswith(PASSED)}
