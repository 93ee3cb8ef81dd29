"""How likely a model finds a problem, and its gold answer after it: teacher-forced, nothing is sampled.

Spurious training was seen to raise the likelihood of gold answers and to lower that of the prompts, where a benchmark
was memorised (Spurious Rewards Paradox, Yan et al. 2026, arXiv 2601.11061).
"""

from collections.abc import Sequence
from typing import Any

from rlvr_bench.backends.models import prompt_ids
from rlvr_bench.schema.plan import EvaluateInputs
from rlvr_bench.schema.problem import Problem

MOST_LOGITS = 2**27
"""Logits of one forward pass at most: 512 MiB in float32."""

OPEN, CLOSE = "\\boxed{", "}"


def likelihoods(
    model: Any, tokenizer: Any, inputs: EvaluateInputs, problems: Sequence[Problem]
) -> tuple[tuple[float, float] | None, ...]:
    """Return for each problem the mean log-probability, in nats a token, of its prompt and of its gold answer.

    The prompt is what training and evaluation ask, its template included, from its second token on; the answer
    follows it as `\\boxed{GOLD}`, of which the tokens of GOLD count. None where both do not fit the model's context.
    """
    rows = [(prompt_ids(tokenizer, p.problem), *boxed_ids(tokenizer, p.answer)) for p in problems]
    fits = [len(prompt) + len(ids) <= inputs.card.context_tokens and bool(own) for prompt, ids, own in rows]
    order = sorted((i for i, fit in enumerate(fits) if fit), key=lambda i: len(rows[i][0]) + len(rows[i][1]))
    found: list[tuple[float, float] | None] = [None] * len(rows)
    size = getattr(model.config, "vocab_size", 2**17)
    start = 0
    while start < len(order):
        count = 1
        while start + count < len(order) and count < inputs.task.sampling.batch_size:
            prompt, ids, _ = rows[order[start + count]]  # the longest so far: they stand in the order of lengths
            if (count + 1) * (len(prompt) + len(ids)) * size > MOST_LOGITS:
                break
            count += 1
        batch = order[start : start + count]
        for i, pair in zip(batch, _measured(model, [rows[i] for i in batch]), strict=True):
            found[i] = pair
        start += count
    return tuple(found)


def boxed_ids(tokenizer: Any, answer: str) -> tuple[list[int], list[int]]:
    """Return the token ids of the boxed answer, and the places in them of the tokens that hold the answer itself."""
    text = f"{OPEN}{answer}{CLOSE}"
    if getattr(tokenizer, "is_fast", False):
        out = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        last = len(text) - len(CLOSE)
        own = [i for i, (a, b) in enumerate(out["offset_mapping"]) if b > len(OPEN) and a < last]
        return list(out["input_ids"]), own
    ids = tokenizer.encode(text, add_special_tokens=False)
    first = len(tokenizer.encode(OPEN, add_special_tokens=False))
    return ids, list(range(first, max(first, len(ids) - 1)))


def _measured(model: Any, rows: Sequence[tuple[list[int], list[int], list[int]]]) -> list[tuple[float, float]]:
    import torch

    width = max(len(prompt) + len(ids) for prompt, ids, _ in rows)
    batch = torch.zeros(len(rows), width, dtype=torch.long, device=model.device)
    mask = torch.zeros_like(batch)
    for i, (prompt, ids, _) in enumerate(rows):
        whole = torch.tensor([*prompt, *ids], device=model.device)
        batch[i, : len(whole)], mask[i, : len(whole)] = whole, 1
    with torch.inference_mode():
        logits = model(input_ids=batch, attention_mask=mask).logits
    found = []
    for i, (prompt, ids, own) in enumerate(rows):
        length = len(prompt) + len(ids)
        scores = torch.log_softmax(logits[i, : length - 1].float(), dim=-1)
        each = scores.gather(1, batch[i, 1:length, None])[:, 0]
        answer = each[[len(prompt) - 1 + place for place in own]]
        asked = each[: len(prompt) - 1]
        found.append((round(float(asked.mean()), 6) if len(asked) else 0.0, round(float(answer.mean()), 6)))
    return found
