"""What a training did to the policy: curves, saturation, likelihoods, and what its reward pays for bait."""

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from rlvr_bench.schema.explanation import Curve, Likelihood, Paid, Shift
from rlvr_bench.schema.record import Evaluation, StepHealth, Training

POINTS = 40
"""Points of a curve at most: the eye sees no more of it, and a report stays small."""

SATURATED, RISE, ERRORS, PLATEAU = 0.95, 0.05, 4.0, 0.8
"""`saturated`: the first step from which the smoothed reward has made 95 % of its rise; where the rise from the first
quarter of the steps to the last is at least 0.05 and four standard errors (of the scatter between neighbours), and the
step lies in the first 80 %: what rises to the end has not saturated."""

LEAST_STEPS = 12
"""Fewer steps tell no plateau from noise."""

FIELDS = ("reward", "groups_with_signal", "completion_tokens", "truncated")
MAYBE = ("entropy", "token_probability", "clipped")


def curve(model: str, arm: str, seed: int, steps: Sequence[StepHealth]) -> Curve:
    """Return a training's curve: steps cut into at most `POINTS` stretches, each the mean of what it reports."""
    cuts = [list(part) for part in np.array_split(np.arange(len(steps)), min(POINTS, len(steps)))]

    def series(name: str) -> tuple[float | None, ...]:
        found: list[float | None] = []
        for part in cuts:
            values = [v for i in part if (v := getattr(steps[i], name)) is not None]
            found.append(float(f"{sum(values) / len(values):.5g}") if values else None)
        return tuple(found)

    return Curve(
        model=model,
        arm=arm,
        seed=seed,
        steps=tuple(int(steps[part[-1]].step) + 1 for part in cuts),
        **{name: series(name) for name in (*FIELDS, *MAYBE)},
        saturated=saturated([step.reward for step in steps]),
    )


def saturated(rewards: Sequence[float]) -> int | None:
    """Return the step (from 1) at which the mean reward had made 95 % of its rise, None where it hardly rose.

    Runs that generalise climb slowly before the reward saturates, runs that memorise saturate fast (When Can LLMs Learn
    with Weak Supervision, Rahman et al. 2026).
    """
    count = len(rewards)
    if count < LEAST_STEPS:
        return None
    values = np.asarray(rewards, float)
    quarter, width = count // 4, max(1, count // 10)
    rise = float(values[-quarter:].mean() - values[:quarter].mean())
    error = float(np.std(np.diff(values))) / (quarter**0.5)  # of a difference of two means: sd(diff) = sqrt(2) sd
    if rise < max(RISE, ERRORS * error):
        return None
    padded = np.concatenate([np.full(width - 1, values[0]), values])
    smooth = np.convolve(padded, np.ones(width) / width, mode="valid")
    low, high = float(smooth[:width].min()), float(smooth[-quarter:].mean())
    step = int(np.argmax(smooth >= low + SATURATED * (high - low))) + 1
    return step if step <= PLATEAU * count else None


def likelihood(
    model: str, arm: str, task: str, before: Evaluation, runs: Sequence[Evaluation], alpha: float
) -> Likelihood | None:
    """Return how the likelihood of prompts and gold answers changed, None where it was not measured.

    The interval is of the mean change over problems (a t quantile); runs are averaged first, so their scatter is not in
    it.
    """
    if not before.likelihoods or not all(run.likelihoods for run in runs):
        return None
    rows = [
        (pair, ends)
        for i, pair in enumerate(before.likelihoods)
        if pair is not None
        and None not in (ends := [run.likelihoods[i] if i < len(run.likelihoods) else None for run in runs])
    ]
    if len(rows) < 2:
        return None
    start = np.array([pair for pair, _ in rows])
    end = np.array([ends for _, ends in rows], dtype=float).mean(axis=1)
    prompt, answer = (_shift(start[:, i], end[:, i], alpha) for i in (0, 1))
    return Likelihood(model=model, arm=arm, task=task, problems=len(rows), prompt=prompt, answer=answer)


def _shift(before: np.ndarray, after: np.ndarray, alpha: float) -> Shift:
    each = after - before
    half = float(stdtrit(len(each) - 1, 1 - alpha) * each.std(ddof=1) / len(each) ** 0.5)
    change = float(each.mean())
    return Shift(
        before=float(before.mean()), after=float(after.mean()), change=change, lower=change - half, upper=change + half
    )


def paid(arm: str, runs: Sequence[Training]) -> Paid | None:
    """Return what an arm's reward pays for bait, None where nobody tried.

    A reward that is never negative should pay nothing for it; one that can be (a confidence) should pay less than the
    untouched model's own rollouts get on average.
    """
    tried = [run for run in runs if run.paid]
    if not tried:
        return None
    first = float(np.mean([run.steps[0].reward for run in tried]))
    kinds = dict.fromkeys(kind for run in tried for kind in run.paid)
    values = {kind: [v for run in tried if (v := run.paid.get(kind)) is not None] for kind in kinds}
    means = {kind: float(np.mean(found)) for kind, found in values.items() if found}
    lowest = min([step.reward for run in tried for step in run.steps] + [v for found in values.values() for v in found])
    bound = 0.0 if lowest >= 0 else first
    return Paid(
        arm=arm,
        first=first,
        by_kind=means,
        too_much=tuple(kind for kind, value in means.items() if value > bound),
        failed=tuple(kind for kind in kinds if any(run.paid.get(kind) is None for run in tried)),
    )
