"""Labels that the untouched model makes: its majority answer to each training problem, and how wrong it is."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlvr_bench.backends.completions import Completions
from rlvr_bench.backends.data import is_gradable, load_problems
from rlvr_bench.backends.engines import loaded_sampler
from rlvr_bench.backends.models import load_tokenizer, prompt_ids
from rlvr_bench.backends.sampling import in_chunks
from rlvr_bench.runs import layout
from rlvr_bench.runs.store import file_digest, write_text
from rlvr_bench.schema.base import digest
from rlvr_bench.schema.plan import PrepareInputs
from rlvr_bench.schema.problem import Problem
from rlvr_bench.schema.record import Labelling, Purity
from rlvr_bench.scoring import TIMED_OUT, answer_classes, by_math_verify_alone, compare_answers, prepare
from rlvr_bench.scoring.answers import find_answer


def make_labels(inputs: PrepareInputs, folder: Path) -> Labelling:
    """Sample the untouched model on every problem and leave its labels in `folder`, one JSON line a problem.

    A label is the most frequent answer of `samples`, by equality of answers; a tie goes to the answer that came
    first; a problem without any answer, or without room for one, has none. Chunks that an earlier attempt finished are
    kept.
    """
    problems = [problem for wanted in inputs.problems for problem in load_problems(wanted, training=True)]
    gradable = [is_gradable(problem) for problem in problems]
    prepare(problem.answer for problem, good in zip(problems, gradable, strict=True) if good)
    completions = Completions(folder / layout.COMPLETIONS)
    responses = _sample(inputs, problems, completions)
    rows = [label_of(problem, responses[i]) for i, problem in enumerate(problems)]
    labelled = [row for row in rows if row["label"] is not None]
    grades = compare_answers([(problem.answer, row["label"]) for problem, row in zip(problems, rows, strict=True)])
    for row, grade, good in zip(rows, grades, gradable, strict=True):
        row["right"] = None if row["label"] is None or not good or grade.how == TIMED_OUT else grade.equal
    write_text(folder / layout.LABELS, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return Labelling(
        problems=len(problems),
        samples=inputs.samples,
        labelled=len(labelled),
        right=sum(row["right"] is True for row in rows),
        purity=purity_of(problems, rows),
        labels_sha256=file_digest(folder / layout.LABELS),
        generated_tokens=completions.tokens(),
    )


def _sample(inputs: PrepareInputs, problems: Sequence[Problem], completions: Completions) -> list[list[str]]:
    """Return `samples` responses to each problem, as training would ask it; none where the prompt leaves no room."""
    card = inputs.card
    tokenizer = load_tokenizer(card)
    prompts = [prompt_ids(tokenizer, problem.problem) for problem in problems]
    fits = [len(ids) + inputs.max_tokens <= card.context_tokens for ids in prompts]
    longest = max((len(ids) for ids, fit in zip(prompts, fits, strict=True) if fit), default=1)
    sampler = loaded_sampler(
        card, inputs.device, tokenizer, seed=inputs.sampling_seed, longest=longest, limit=inputs.max_tokens
    )
    asked = [ids for ids, fit in zip(prompts, fits, strict=True) if fit for _ in range(inputs.samples)]
    rows = in_chunks(
        sampler,
        completions,
        asked,
        inputs.batch_size,
        key=lambda number, batch: digest(["labels", number, inputs.sampling_seed, batch]),
        seed=lambda number: (inputs.sampling_seed, "labels", number),
        limit=inputs.max_tokens,
        do_sample=True,
        temperature=1.0,
        top_p=1.0,
    )
    found = [row["text"] for row in rows]
    responses = iter(found[i : i + inputs.samples] for i in range(0, len(found), inputs.samples))
    return [next(responses) if fit else [] for fit in fits]


def label_of(problem: Problem, responses: Sequence[str]) -> dict[str, Any]:
    """Return a problem's `label` (None without any answer), its `votes`, and how many responses had an answer."""
    answers = [find_answer(text) for text in responses]
    classes = answer_classes(answers)
    counts = Counter(c for c in classes if c is not None)
    if not counts:
        return {"id": problem.id, "label": None, "votes": 0, "answered": 0}
    winner, votes = counts.most_common(1)[0]
    label = next(answer for answer, c in zip(answers, classes, strict=True) if c == winner)
    return {"id": problem.id, "label": label, "votes": votes, "answered": counts.total()}


def purity_of(problems: Sequence[Problem], rows: Sequence[dict[str, Any]]) -> Purity:
    """Return how wrong the labels are that are called wrong (Noisy Data is Destructive, Zhu and Kang 2026)."""
    labels = [(problem.answer, row) for problem, row in zip(problems, rows, strict=True) if row["label"] is not None]
    wrong = [(gold, row["label"]) for gold, row in labels if row["right"] is False]
    unlike = [row for gold, row in labels if row["label"].strip() != gold.strip()]
    second = sum(verdict is True for verdict in by_math_verify_alone(wrong))
    return Purity(
        wrong=len(wrong),
        right_by_math_verify=second,
        share_right=second / len(wrong) if wrong else None,
        undecided=sum(row["right"] is None for _, row in labels),
        unlike_by_text=len(unlike),
        unlike_but_right=sum(row["right"] is True for row in unlike),
    )


def read_labels(path: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of a labels file by problem id."""
    return {row["id"]: row for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
