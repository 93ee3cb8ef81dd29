"""Where a training runs: in this process, or in several ranks, as it fits on the GPUs that this process sees."""

import os
from pathlib import Path

from rlvr_bench.backends import trl
from rlvr_bench.backends.engines import generates_with
from rlvr_bench.backends.models import check_weights
from rlvr_bench.backends.ranks import NODES, launched
from rlvr_bench.errors import UsageError
from rlvr_bench.planning.fit import Fit, Gpu, Shape, fit
from rlvr_bench.schema.plan import TrainInputs
from rlvr_bench.schema.record import Training

RANKS = "RLVR_BENCH_RANKS"
"""So many processes for each training, on a CPU too; chosen by memory on GPUs, where it is not set."""


def train(inputs: TrainInputs, folder: Path, *, labels: Path | None, trackers: Path | None) -> Training:
    """Train one cell as it fits here. Raises what trl.train raises, EnvironmentFaultError where it does not fit."""
    found = fit_here(inputs)
    if found is None or found.ranks == 1:
        return trl.train(inputs, folder, labels=labels, trackers=trackers, fit=found)
    return launched(inputs, folder, found, labels=labels, trackers=trackers)


def fit_here(inputs: TrainInputs) -> Fit | None:
    """Return how a training fits on what this process sees; None on a CPU in one process, where nothing is chosen."""
    wanted = _wanted()
    if inputs.device == "cpu":
        if wanted is None:
            return None
        s = inputs.settings
        trl.grpo_arguments(s, wanted)  # refuses a number that would split a group
        update = s.prompts_per_step * s.group_size // s.updates_per_step // wanted
        micro = min(s.micro_batch or update, update)
        return Fit(
            ranks=wanted,
            micro_batch=micro,
            accumulation=update // micro,
            sampling_batch=s.sampling_batch or s.group_size,
            sharding="full" if os.environ.get("RLVR_BENCH_SHARD_ON_CPU") else "none",
            generation=generates_with("cpu"),
            vllm_share=0.3 if generates_with("cpu") == "vllm" else None,
            peak_bytes=0.0,
        )
    import torch

    here = torch.cuda.device_count()
    properties = torch.cuda.get_device_properties(0)
    gpu = Gpu(properties.name, float(properties.total_memory))
    return fit(
        inputs.card,
        inputs.settings,
        gpu,
        here * int(os.environ.get(NODES, "1")),
        generation=generates_with("cuda"),
        shape=shape_here(inputs),
        sampling_batch=inputs.settings.sampling_batch,
        ranks=wanted,
    )


def _wanted() -> int | None:
    text = os.environ.get(RANKS, "")
    if not text:
        return None
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"ranks {text!r} is no whole number above 0", hint=f"{RANKS}=2")
    return int(text)


def shape_here(inputs: TrainInputs) -> Shape:
    """Return a model's shape by its configuration."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(check_weights(inputs.card), trust_remote_code=False, local_files_only=True)
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    keys = getattr(config, "num_key_value_heads", None) or heads
    return Shape(
        parameters=inputs.card.parameters,
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        vocabulary=config.vocab_size,
        kv_bytes=4.0 * config.num_hidden_layers * keys * size,
    )
