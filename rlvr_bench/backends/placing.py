"""Where a training runs: in this process, or in several ranks, as it fits on the GPUs that this process sees."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from rlvr_bench.backends import trl
from rlvr_bench.backends.models import check_weights
from rlvr_bench.backends.ranks import NODES, launched
from rlvr_bench.errors import UsageError
from rlvr_bench.planning.fit import Fit, Gpu, Shape, choices, fit, shape_by
from rlvr_bench.runs import layout
from rlvr_bench.runs.provenance import generator
from rlvr_bench.runs.store import write_text
from rlvr_bench.schema.card import Card
from rlvr_bench.schema.plan import TrainInputs
from rlvr_bench.schema.record import Training

RANKS = "RLVR_BENCH_RANKS"
"""So many processes for each training, on a CPU too; chosen by memory on GPUs, where it is not set."""


def train(
    inputs: TrainInputs,
    folder: Path,
    *,
    labels: Path | None,
    trackers: Path | None,
    adapted: Mapping[str, int] = MappingProxyType({}),
) -> Training:
    """Train one cell as it fits here; `adapted` are the batches that an earlier attempt ran out of memory with, halved.

    What is tried is left in `folder`, so that the next attempt can halve it. Raises what trl.train raises.
    """
    found = fit_here(inputs, adapted)
    if found is None:
        return trl.train(inputs, folder, labels=labels, trackers=trackers)
    tried = {"micro_batch": found.micro_batch, "sampling_batch": found.sampling_batch}
    write_text(folder / layout.TRIED, json.dumps(tried) + "\n")
    if found.ranks == 1 and visible_gpus() <= 1:
        return trl.train(inputs, folder, labels=labels, trackers=trackers, fit=found)
    return launched(inputs, folder, found, labels=labels, trackers=trackers)


def visible_gpus() -> int:
    """Return how many GPUs this process sees; of several, one process would take all at once in a way TRL refuses."""
    import torch

    return int(torch.cuda.device_count())


def fit_here(inputs: TrainInputs, adapted: Mapping[str, int] = MappingProxyType({})) -> Fit | None:
    """Return how a training fits on what this process sees; None on a CPU in one process, where nothing is chosen.

    All GPUs that are seen are used: the executor decided how many by the same sums. Where these say now that nothing
    fits, it is tried all the same, with the smallest batches.
    """
    wanted, s = wanted_ranks(), inputs.settings
    if inputs.device == "cpu":
        if wanted is None:
            return None
        trl.grpo_arguments(s.model_copy(update={"micro_batch": None}), wanted)  # refuses to split a group
        update = s.prompts_per_step * s.group_size // s.updates_per_step // wanted
        micro = next(n for n in range(min(s.micro_batch or update, update), 0, -1) if update % n == 0)
        return Fit(
            ranks=wanted,
            micro_batch=micro,
            accumulation=update // micro,
            sampling_batch=s.sampling_batch or s.group_size,
            sharding="none",
            checkpointing=False,
            generation=generator("cpu"),
            vllm_share=0.3 if generator("cpu") == "vllm" else None,
            peak_bytes=0.0,
        )
    import torch

    properties = torch.cuda.get_device_properties(0)
    available = visible_gpus() * int(os.environ.get(NODES, "1"))
    allowed = choices(s, available)
    return fit(
        inputs.card,
        s,
        Gpu(properties.name, float(properties.total_memory)),
        available,
        generation=generator("cuda"),
        shape=shape_here(inputs.card),
        ranks=wanted or max(allowed),
        most=adapted.get("micro_batch"),
        anyhow=True,
    )


def wanted_ranks() -> int | None:
    """Return the number of processes that the setting `ranks` asks for. Raises UsageError."""
    text = os.environ.get(RANKS, "")
    if not text:
        return None
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"ranks {text!r} is no whole number above 0", hint=f"{RANKS}=2")
    return int(text)


def shape_here(card: Card) -> Shape:
    """Return a model's shape by its configuration, which is on this machine."""
    return shape_by(card, json.loads((check_weights(card) / "config.json").read_text(encoding="utf-8")))
