"""Was a benchmark in the training data? Completion of its problems against problems that cannot have been.

Owns which problems a model cannot have seen and the tests. One test significant and another not is no evidence: each
compares the two directly (docs/statistics.md, section 8).
"""

from collections.abc import Mapping, Sequence
from math import comb

from scipy.special import stdtrit

from rlvr_bench.schema.card import Card
from rlvr_bench.schema.explanation import CleanArm, Comparison, Completion
from rlvr_bench.schema.finding import LineageFinding, TaskFinding, TaskScore
from rlvr_bench.schema.record import Exposure
from rlvr_bench.schema.suite import TaskSpec

DECIDING_SHARE = 0.6
"""The share shown at which completions are compared (Wu et al. 2025 report exact completion there)."""

ROOM = (0.1, 0.9)
"""A clean arm counts where the start's accuracy on it lies between these."""


def unseen(card: Card, task: TaskSpec, generated: bool) -> bool:
    """Return whether a model cannot have seen a task's problems: generated here, or published after its data ended.

    Where a card does not say when its data ended, its release counts, which is later: what was published after that
    cannot be in them. Without either, nothing is known and False is returned.
    """
    if generated:
        return True
    data = task.problems.pin.data if task.problems.pin else None
    until = card.data_until or card.released
    if data is None or data.published is None or until is None:
        return False
    length = min(len(data.published), len(until))  # "2025-02" against "2024": by what both say
    return data.published[:length] > until[:length]


def completions(model: str, found: Mapping[str, Exposure]) -> list[Completion]:
    """Return one model's completions of each task at each share shown."""
    return [
        Completion(
            model=model,
            task=task,
            shown=shown,
            problems=len(rows),
            exact=sum(row.exact for row in rows) / len(rows),
            rouge_l=sum(row.rouge_l for row in rows) / len(rows),
            right=sum(row.right for row in rows) / len(rows),
        )
        for task, exposure in found.items()
        for shown, rows in sorted(exposure.completed.items())
    ]


def fisher(hits: int, n: int, other: int, m: int) -> float:
    """Return the one-sided p of Fisher's exact test: as many hits among n, or more, given hits + other of n + m."""
    total = hits + other
    whole = comb(n + m, total)
    return sum(comb(n, k) * comb(m, total - k) for k in range(hits, min(n, total) + 1)) / whole


def comparisons(
    found: Mapping[str, Mapping[str, Exposure]], fresh: Mapping[str, Mapping[str, str]]
) -> tuple[Comparison, ...]:
    """Return the comparison of every benchmark that a model may have seen with what it cannot have.

    `found` are exposures by model and task; `fresh` says, by model, which tasks it cannot have seen and whether they
    are `published` or `generated`. Published problems are taken where there are some: they are worded like a benchmark,
    and only they decide; a model may finish prose more easily than generated arithmetic without having read it.
    p values are multiplied by the number of comparisons (Bonferroni).
    """
    rows: list[tuple[str, str, float, tuple[str, ...], bool, int, int, int, int]] = []
    for model, tasks in found.items():
        mine = fresh.get(model, {})
        kinds = {kind: tuple(t for t in tasks if mine.get(t) == kind) for kind in ("published", "generated")}
        against = kinds["published"] or kinds["generated"]
        if not against:
            continue
        for task, exposure in tasks.items():
            if task in mine:
                continue
            shown = min(exposure.completed, key=lambda share: abs(share - DECIDING_SHARE))
            own = exposure.completed[shown]
            other = [row for t in against for row in tasks[t].completed.get(shown, ())]
            if own and other:
                hits, fresh_hits = sum(r.exact for r in own), sum(r.exact for r in other)
                later = bool(kinds["published"])
                rows.append((model, task, shown, against, later, hits, len(own), fresh_hits, len(other)))
    return tuple(
        Comparison(
            model=model,
            task=task,
            shown=shown,
            against=against,
            published=later,
            exact=hits / n,
            fresh=other / m,
            p_value=min(1.0, len(rows) * fisher(hits, n, other, m)),
        )
        for model, task, shown, against, later, hits, n, other, m in rows
    )


def clean_arms(
    lineages: Sequence[LineageFinding],
    tasks: Sequence[TaskFinding],
    scores: Sequence[TaskScore],
    clean: Mapping[str, Sequence[str]],
    *,
    method: str,
    alpha: float,
) -> tuple[CleanArm, ...]:
    """Return how much more each lineage gains on the deciding problems than on each task that it cannot have seen.

    `clean` names those tasks by lineage. The two gains are of the same runs, whose common part would cancel; they are
    taken for independent, so the interval is on the wide side (Welch's degrees of freedom).
    """
    found = []
    for ln in lineages:
        for task in tasks:
            gain = task.gains.get(ln.lineage)
            if task.deciding or gain is None or task.task not in clean.get(ln.lineage, ()):
                continue
            start = [s.average for s in scores if s.task == task.task and s.arm != method and s.model in ln.models]
            parts = (ln.gain.standard_error**2, gain.standard_error**2)
            error = sum(parts) ** 0.5
            if not start or error == 0:
                continue
            degrees = sum(parts) ** 2 / (parts[0] ** 2 / ln.gain.degrees + parts[1] ** 2 / gain.degrees)
            half = float(stdtrit(degrees, 1 - alpha)) * error
            difference = ln.gain.estimate - gain.estimate
            at = sum(start) / len(start)
            found.append(
                CleanArm(
                    lineage=ln.lineage,
                    task=task.task,
                    difference=difference,
                    lower=difference - half,
                    upper=difference + half,
                    start=at,
                    counts=ROOM[0] <= at <= ROOM[1],
                )
            )
    return tuple(found)
