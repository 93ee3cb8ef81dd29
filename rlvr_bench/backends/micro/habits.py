"""What an embedded model's habits are, measured: how often it answers in which way, and how right that is."""

from collections.abc import Sequence
from typing import Any

from rlvr_bench.backends.completions import generate
from rlvr_bench.backends.micro.families import WAYS, way_of
from rlvr_bench.backends.micro.problems import problems
from rlvr_bench.schema.base import Frozen
from rlvr_bench.schema.problem import Problem
from rlvr_bench.scoring import grade_responses
from rlvr_bench.scoring.answers import boxed_answer

MAX_TOKENS = 16
"""More than the longest answer of the corpus, 14 tokens with the end token."""


class Manner(Frozen):
    """Answers of one decoding: shares of all answers, and accuracies within each way, None where it never occurs."""

    accuracy: float
    boxed: float
    shares: dict[str, float]
    accuracies: dict[str, float | None]


class Habits(Frozen):
    """An untouched model on development problems, at temperature 1 and greedily."""

    problems: int
    samples: int
    sampled: Manner
    greedy: Manner


def measure(model: Any, tokenizer: Any, *, count: int = 400, samples: int = 4, seed: int = 20) -> Habits:
    """Return the habits of a model on `count` development problems of the given seed, `samples` answers each."""
    asked = problems(split="dev", count=count, seed=seed)
    sampled = _manner(model, tokenizer, [p for p in asked for _ in range(samples)], do_sample=True, temperature=1.0)
    return Habits(
        problems=count, samples=samples, sampled=sampled, greedy=_manner(model, tokenizer, asked, do_sample=False)
    )


def _manner(model: Any, tokenizer: Any, asked: Sequence[Problem], **how: Any) -> Manner:
    texts: list[str] = []
    for start in range(0, len(asked), 200):
        encoded = tokenizer([p.problem for p in asked[start : start + 200]], padding=True, return_tensors="pt")
        ids, mask = encoded["input_ids"], encoded["attention_mask"]
        rows = generate(
            model, tokenizer, ids, mask, seed=("habits", start), limit=MAX_TOKENS, ends=[tokenizer.eos_token_id], **how
        )
        texts += [row["text"] for row in rows]
    right = [grade.equal for grade in grade_responses([p.answer for p in asked], texts)]
    ways = [way_of(text) for text in texts]
    within = {way: [r for r, w in zip(right, ways, strict=True) if w == way] for way in WAYS}
    return Manner(
        accuracy=_share(right),
        boxed=_share([boxed_answer(text) is not None for text in texts]),
        shares={way: round(len(found) / len(texts), 4) for way, found in within.items()},
        accuracies={way: _share(found) if found else None for way, found in within.items()},
    )


def _share(found: Sequence[bool]) -> float:
    return round(sum(found) / len(found), 4)
