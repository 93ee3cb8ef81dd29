"""What generates text on this machine: vLLM on a GPU where it is installed, transformers elsewhere.

The choice is part of the environment that every digest holds (runs.provenance), so results of both never mix.
"""

from collections.abc import Sequence
from typing import Any

from rlvr_bench.backends.models import Device, check_weights, end_ids, load_model
from rlvr_bench.backends.sampling import Sampler, TransformersSampler, VllmSampler
from rlvr_bench.runs.provenance import Generator, generator
from rlvr_bench.schema.card import Card

EVALUATION_SHARE = 0.85
"""Of the GPU's memory, for vLLM where nothing else is on it."""


def generates_with(device: Device) -> Generator:
    """Return what generates text on a device of this machine. Raises UsageError for an unknown setting."""
    return generator(device)


def loaded_sampler(
    card: Card, device: Device, tokenizer: Any, *, seed: int, stops: Sequence[str] | None = None
) -> Sampler:
    """Return a sampler of a card's untouched model; its own stop strings, where none are given."""
    ends, stops = end_ids(tokenizer, card), card.stop if stops is None else stops
    if generates_with(device) == "vllm":
        from vllm import LLM

        folder = str(check_weights(card))
        engine = LLM(
            model=folder,
            tokenizer=folder,
            dtype="bfloat16",
            trust_remote_code=False,
            max_model_len=card.context_tokens,
            gpu_memory_utilization=EVALUATION_SHARE,
            seed=seed % 2**31,
        )
        return VllmSampler(engine, tokenizer, ends, stops)
    return TransformersSampler(load_model(card, device=device), tokenizer, ends, stops)
