"""Problems that flipped: wrong more often than right before training and right after it, or the other way round."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rlvr_bench.analysis.collected import Records, results_of
from rlvr_bench.backends.completions import read_rows
from rlvr_bench.backends.data import load_problems
from rlvr_bench.errors import RlvrBenchError
from rlvr_bench.runs import layout
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.schema.plan import BASELINE, EvaluateInputs, Plan, Stage
from rlvr_bench.scoring import grade_responses

SHOWN = 2
"""Problems of each direction and model whose completions are shown: those whose share right changed most."""
MOST_CHARACTERS = 3_000
"""Of a completion, from both ends."""


@dataclass(frozen=True)
class Flip:
    """One problem of one model; shares right before, and after (the mean over runs). Texts are None where the
    completions or the problems are not here: they are a stranger's, and nothing is done with them but shown."""

    model: str
    task: str
    problem: str
    before: float
    after: float
    question: str | None = None
    answer: str | None = None
    text_before: str | None = None
    text_after: str | None = None

    @property
    def won(self) -> bool:
        """Return whether it was won, else it was lost."""
        return self.after > self.before


def flipped(one: float, other: float) -> bool:
    """Return whether one share is more often right than wrong and the other more often wrong than right."""
    return (one - 0.5) * (other - 0.5) < 0


def flips(plan: Plan, records: Records) -> list[Flip]:
    """Return every problem of the deciding tasks that flipped under the method, by model, largest changes first."""
    found = []
    for m in results_of(plan, records):
        mine = []
        for task, before in m.before.items():
            if not any(t.name == task and t.deciding for t in plan.suite.tasks):
                continue
            runs = [
                {o.id: o.correct / o.attempts for o in run[task].sampled} for run in m.after.get(plan.method.name, ())
            ]
            if not runs:
                continue
            for o in before.sampled:
                start, end = o.correct / o.attempts, float(np.mean([run[o.id] for run in runs]))
                if flipped(start, end):
                    mine.append(Flip(m.name, task, o.id, start, end))
        found += sorted(mine, key=lambda flip: (-abs(flip.after - flip.before), flip.task, flip.problem))
    return found


def chosen(found: Sequence[Flip], most: int = SHOWN) -> list[Flip]:
    """Return the first few problems of each model and direction."""
    counts: dict[tuple[str, bool], int] = {}
    kept = []
    for flip in found:
        key = (flip.model, flip.won)
        counts[key] = counts.get(key, 0) + 1
        if counts[key] <= most:
            kept.append(flip)
    return kept


def with_texts(plan: Plan, records: Records, run: RunFolder, found: Sequence[Flip]) -> list[Flip]:
    """Return flips with the problem and a completion of each side, where they are on this machine.

    The completion before is the first wrong one of a problem that was won (the first right one of a lost one), that
    after is the first right (wrong) one, run by run: they show what changed, not what is typical.
    """
    stages: dict[tuple[str, str, str], list[Stage]] = {}
    for stage in plan.stages:
        record = records[stage.id]
        if _final(stage) and record is not None and record.failure is None:
            assert isinstance(stage.inputs, EvaluateInputs)
            stages.setdefault((stage.cell.model, stage.cell.arm, stage.inputs.task.name), []).append(stage)
    told = []
    for model, task in dict.fromkeys((flip.model, flip.task) for flip in found):
        mine = [flip for flip in found if (flip.model, flip.task) == (model, task)]
        told += _told(run, mine, stages[model, BASELINE, task], stages[model, plan.method.name, task])
    order = {(flip.model, flip.task, flip.problem): i for i, flip in enumerate(found)}
    return sorted(told, key=lambda flip: order[flip.model, flip.task, flip.problem])


def _final(stage: Stage) -> bool:
    return isinstance(stage.inputs, EvaluateInputs) and stage.inputs.step is None and stage.inputs.prompt is None


def _told(run: RunFolder, mine: Sequence[Flip], before: Sequence[Stage], after: Sequence[Stage]) -> list[Flip]:
    assert isinstance(before[0].inputs, EvaluateInputs)
    try:
        problems = load_problems(before[0].inputs.task.problems)
    except RlvrBenchError:
        return list(mine)
    at = {problem.id: i for i, problem in enumerate(problems)}
    answers = {flip.problem: problems[at[flip.problem]].answer for flip in mine}
    texts: list[dict[str, str]] = []
    for stages, later in ((before, False), (after, True)):
        found: dict[str, str] = {}
        for stage in stages:
            owed = [flip for flip in mine if flip.problem not in found]
            rows = _rows(run, stage, [at[flip.problem] for flip in owed]) if owed else None
            for flip, own in zip(owed, rows or (), strict=bool(rows)):
                text = _first(answers[flip.problem], own, right=flip.won is later)
                if text is not None:
                    found[flip.problem] = text
        texts.append(found)
    return [
        replace(
            flip,
            question=problems[at[flip.problem]].problem,
            answer=answers[flip.problem],
            text_before=texts[0].get(flip.problem),
            text_after=texts[1].get(flip.problem),
        )
        for flip in mine
    ]


def _rows(run: RunFolder, stage: Stage, numbers: Sequence[int]) -> list[list[dict[str, Any]]] | None:
    assert isinstance(stage.inputs, EvaluateInputs)
    path, k = run.stage(stage.id) / layout.COMPLETIONS, stage.inputs.samples
    return read_rows(path, [(i * k, (i + 1) * k) for i in numbers]) if path.is_file() else None


def _first(answer: str, rows: Sequence[dict[str, Any]], *, right: bool) -> str | None:
    """Return the first completion that is right (wrong), shortened in its middle; None where there is none."""
    texts = [row["text"] for row in rows]
    grades = grade_responses([answer] * len(texts), texts)
    text = next((text for text, grade in zip(texts, grades, strict=True) if grade.equal is right), None)
    if text is None or len(text) <= MOST_CHARACTERS:
        return text
    half = MOST_CHARACTERS // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters ...]\n{text[-half:]}"
