"""What generates text on this machine: vLLM on a GPU where it is installed, transformers elsewhere.

The choice is part of the environment that every digest holds (runs.provenance), so results of both never mix.
"""

from collections.abc import Sequence
from typing import Any

from rlvr_bench.backends.models import Device, check_weights, end_ids, load_model
from rlvr_bench.backends.sampling import Sampler, TransformersSampler, VllmSampler
from rlvr_bench.runs.provenance import generator
from rlvr_bench.schema.card import Card

EVALUATION_SHARE = 0.85
"""Of the GPU's memory, for vLLM where nothing else is on it."""


SLACK = 1_024
"""Tokens that another prompt may put around a problem."""


def room_for(card: Card, longest: int, limit: int) -> int:
    """Return the tokens that vLLM keeps room for: a whole context of 131,072 would not fit beside a model of 3B."""
    return min(card.context_tokens, longest + limit + SLACK)


def loaded_sampler(
    card: Card,
    device: Device,
    tokenizer: Any,
    *,
    seed: int,
    longest: int,
    limit: int,
    stops: Sequence[str] | None = None,
) -> Sampler:
    """Return a sampler of a card's untouched model for prompts of at most `longest` tokens and answers of `limit`; with
    the card's own stop strings, where none are given."""
    ends, stops = end_ids(tokenizer, card), card.stop if stops is None else stops
    if generator(device) == "vllm":
        from vllm import LLM

        folder = str(check_weights(card))
        engine = LLM(
            model=folder,
            tokenizer=folder,
            dtype="bfloat16",
            trust_remote_code=False,
            max_model_len=room_for(card, longest, limit),
            gpu_memory_utilization=EVALUATION_SHARE,
            seed=seed % 2**31,
        )
        return VllmSampler(engine, tokenizer, ends, stops)
    return TransformersSampler(load_model(card, device=device), tokenizer, ends, stops)
