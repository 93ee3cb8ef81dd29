"""Sampling from a model, by transformers or by vLLM, in fixed chunks that can be replayed.

Every chunk is seeded from its stage and number and written durably before anything is scored; a resume draws the
unfinished ones only. With vLLM every request has a seed of its own, from the same numbers, so that a draw does not
depend on what else was in the engine.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from rlvr_bench.backends.completions import Completions, generate, up_to_stop
from rlvr_bench.schema.base import seed_from

Rows = list[dict[str, Any]]
Ids = list[int]


class Sampler(Protocol):
    """Completes prompts given as token ids, each text ending at an end token or a stop string."""

    def rows(self, prompts: Sequence[Ids], *, seed: tuple[object, ...], limit: int, **options: Any) -> Rows:
        """Return `text`, `tokens` and `truncated` of one completion for each prompt."""


class TransformersSampler:
    """Samples with `generate` of transformers, a whole batch at a time."""

    def __init__(self, model: Any, tokenizer: Any, ends: Sequence[int], stops: Sequence[str]) -> None:
        self.model, self.tokenizer, self.ends, self.stops = model, tokenizer, ends, stops

    def rows(self, prompts: Sequence[Ids], *, seed: tuple[object, ...], limit: int, **options: Any) -> Rows:
        """Return the completions of a batch, seeded as a whole."""
        given = {"input_ids": [list(ids) for ids in prompts]}
        padded = self.tokenizer.pad(given, padding_side="left", return_tensors="pt").to(self.model.device)
        return generate(
            self.model,
            self.tokenizer,
            padded["input_ids"],
            padded["attention_mask"],
            seed=seed,
            limit=limit,
            ends=self.ends,
            stops=self.stops,
            **options,
        )


class VllmSampler:
    """Samples with a vLLM engine, each request with its own seed."""

    def __init__(self, engine: Any, tokenizer: Any, ends: Sequence[int], stops: Sequence[str]) -> None:
        self.engine, self.tokenizer, self.ends, self.stops = engine, tokenizer, ends, stops

    def rows(self, prompts: Sequence[Ids], *, seed: tuple[object, ...], limit: int, **options: Any) -> Rows:
        """Return the completions of a batch."""
        from vllm import SamplingParams, TokensPrompt

        sampled = bool(options.get("do_sample"))
        wanted: dict[str, Any] = {
            "max_tokens": limit,
            "temperature": float(options.get("temperature", 1.0)) if sampled else 0.0,
            "top_p": float(options.get("top_p", 1.0)) if sampled else 1.0,
            "stop_token_ids": list(self.ends),
            "ignore_eos": False,
            "skip_special_tokens": True,
        }
        if self.stops:
            wanted |= {"stop": list(self.stops), "include_stop_str_in_output": True}
        each = [SamplingParams(seed=seed_from(*seed, i) % 2**31, **wanted) for i in range(len(prompts))]
        asked = [TokensPrompt(prompt_token_ids=list(ids)) for ids in prompts]
        return [self._row(out.outputs[0]) for out in self.engine.generate(asked, each, use_tqdm=False)]

    def _row(self, found: Any) -> dict[str, Any]:
        """Return one completion as transformers' would be: up to its end token, which counts, or its stop string."""
        ids = list(found.token_ids)
        length = next((i + 1 for i, token in enumerate(ids) if token in self.ends), len(ids))
        ended = 0 < length <= len(ids) and ids[length - 1] in self.ends
        text = self.tokenizer.decode(ids[:length], skip_special_tokens=True)
        places = [text.find(stop) + len(stop) for stop in self.stops if stop in text]
        if places:
            return {
                "text": text[: min(places)],
                "tokens": len(up_to_stop(self.tokenizer, ids[:length], self.stops)),
                "truncated": False,
            }
        return {"text": text, "tokens": length, "truncated": not ended}


def in_chunks(
    sampler: Sampler,
    completions: Completions,
    prompts: Sequence[Ids],
    size: int,
    *,
    key: Callable[[int, Sequence[Ids]], str],
    seed: Callable[[int], tuple[object, ...]],
    limit: int,
    **options: Any,
) -> Rows:
    """Return the completions of prompts, `size` at a time; a chunk whose key is on file is not drawn again.

    `key` and `seed` are of a chunk's number and prompts.
    """
    found: Rows = []
    for number, start in enumerate(range(0, len(prompts), size)):
        batch = [list(ids) for ids in prompts[start : start + size]]
        name = key(number, batch)
        if name not in completions.chunks:
            completions.add(name, sampler.rows(batch, seed=seed(number), limit=limit, **options))
        found += completions.chunks[name]
    return found
