"""Does an untouched model know the problems? It completes each from its first part, greedily, without a template.

Reasoning or Memorization? (Wu et al. 2025, arXiv 2507.10532): who finishes a problem word for word has read it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlvr_bench.backends.completions import Completions
from rlvr_bench.backends.data import load_problems
from rlvr_bench.backends.engines import loaded_sampler
from rlvr_bench.backends.models import load_tokenizer
from rlvr_bench.backends.sampling import Sampler, in_chunks
from rlvr_bench.runs import layout
from rlvr_bench.schema.base import digest
from rlvr_bench.schema.plan import ExposureInputs
from rlvr_bench.schema.record import Completed, Exposure
from rlvr_bench.scoring import grade_responses, prepare
from rlvr_bench.scoring.completion import rouge_l, same_start


def complete(inputs: ExposureInputs, folder: Path) -> Exposure:
    """Return what the untouched model completes of each problem; completions are left in `folder`.

    The cut is made between tokens of the model's own: between other characters a text goes on as no training text does.
    `right` looks for an answer in all that follows the cut. Chunks that an earlier attempt finished are kept.
    """
    tokenizer = load_tokenizer(inputs.card)
    problems = load_problems(inputs.problems)
    prepare(problem.answer for problem in problems)
    completions = Completions(folder / layout.COMPLETIONS)
    texts = [tokens_of(tokenizer, problem.problem) for problem in problems]
    longest = max(map(len, texts))
    # stop strings belong to the card's template, which is not used here
    sampler = loaded_sampler(
        inputs.card, inputs.device, tokenizer, seed=0, longest=longest, limit=inputs.max_tokens, stops=()
    )
    found: dict[float, tuple[Completed, ...]] = {}
    for shown in inputs.shown:
        cuts = [cut_at(len(ids), shown) for ids in texts]
        said = _sample(inputs, sampler, completions, [ids[:cut] for ids, cut in zip(texts, cuts, strict=True)])
        rest = [tokenizer.decode(ids[cut:], skip_special_tokens=True) for ids, cut in zip(texts, cuts, strict=True)]
        grades = grade_responses([problem.answer for problem in problems], said)
        found[shown] = tuple(
            Completed(exact=same_start(text, meant), rouge_l=round(rouge_l(text, meant), 6), right=grade.equal)
            for text, meant, grade in zip(said, rest, grades, strict=True)
        )
    return Exposure(
        task=inputs.task,
        ids=tuple(problem.id for problem in problems),
        completed=found,
        generated_tokens=completions.tokens(),
    )


def tokens_of(tokenizer: Any, text: str) -> list[int]:
    """Return a text's tokens as its model was pretrained on them: begun as the tokenizer begins texts, not ended."""
    ids = list(tokenizer(text)["input_ids"])
    return ids[:-1] if len(ids) > 1 and ids[-1] == tokenizer.eos_token_id else ids


def cut_at(count: int, shown: float) -> int:
    """Return how many of `count` tokens are shown: at least one, and at least one is left to complete."""
    return min(max(1, round(shown * count)), max(1, count - 1))


def _sample(
    inputs: ExposureInputs, sampler: Sampler, completions: Completions, prompts: Sequence[list[int]]
) -> list[str]:
    longest = inputs.card.context_tokens - inputs.max_tokens
    rows = in_chunks(
        sampler,
        completions,
        [ids[-longest:] for ids in prompts],  # a problem that is longer than the context loses its beginning
        inputs.batch_size,
        key=lambda number, batch: digest(["exposure", number * inputs.batch_size, batch]),
        seed=lambda _: ("exposure",),
        limit=inputs.max_tokens,
        do_sample=False,
    )
    return [row["text"] for row in rows]
