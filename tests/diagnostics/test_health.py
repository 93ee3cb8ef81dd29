"""Each exclusion and each sign of collapse, from both sides of its threshold."""

import pytest

from rlvr_bench.diagnostics.health import (
    ENTROPY_RISE,
    LENGTH_COLLAPSE,
    TRUNCATED,
    UNPARSED_RISE,
    dead_reward,
    share,
    why_excluded,
    why_unhealthy,
)
from rlvr_bench.schema.record import Evaluation, Outcome, Training
from rlvr_bench.schema.suite import Rule
from tests.fakes import training

RULE = Rule()


def evaluation(correct: float = 0.5, unparsed: float = 0.0, n: int = 1000) -> Evaluation:
    outcomes = tuple(
        Outcome(id=str(i), attempts=1, correct=int(i < correct * n), unparsed=int(i >= n - unparsed * n), truncated=0)
        for i in range(n)
    )
    return Evaluation(task="t", sampled=outcomes, greedy=outcomes, generated_tokens=1)


def changed(found: Training, **last) -> Training:
    *first, final = found.steps
    return found.model_copy(update={"steps": (*first, final.model_copy(update=last))})


def test_share_weighs_problems_equally() -> None:
    outcomes = (
        Outcome(id="a", attempts=4, correct=4, unparsed=0, truncated=0, patterns={"cpb-ll": (1, 1), "l-b-ll": (3, 3)}),
        Outcome(id="b", attempts=1, correct=0, unparsed=1, truncated=0),
    )
    assert share(outcomes, "correct") == 0.5
    assert share(outcomes, "unparsed") == 0.5
    assert share(outcomes, "code") == 0.125


def test_dead_reward() -> None:
    assert dead_reward([training(signal=0.0), training(signal=0.0)])
    assert not dead_reward([training(signal=0.0), training(signal=0.01)])
    assert not dead_reward([])


@pytest.mark.parametrize(
    ("before", "why"),
    [
        (evaluation(0.95), None),
        (evaluation(0.96), "saturated"),
        (evaluation(0.005, 0.21), "floor"),
        (evaluation(0.005, 0.19), None),
        (evaluation(0.02, 0.9), None),
    ],
)
def test_ceiling_and_floor(before, why) -> None:
    assert why_excluded(before.sampled, [training()], RULE) == why


@pytest.mark.parametrize(
    ("last", "healthy"),
    [
        ({}, True),
        ({"truncated": TRUNCATED}, True),
        ({"truncated": TRUNCATED + 0.01}, False),
        ({"completion_tokens": 14 * LENGTH_COLLAPSE + 0.1}, True),
        ({"completion_tokens": 14 * LENGTH_COLLAPSE - 0.1}, False),
        ({"entropy": 0.2 * ENTROPY_RISE - 0.01}, True),
        ({"entropy": 0.2 * ENTROPY_RISE + 0.01}, False),
        ({"entropy": None}, True),
    ],
)
def test_collapse_of_a_training(last, healthy) -> None:
    assert (why_unhealthy(changed(training(), **last), evaluation(), evaluation()) is None) == healthy


def test_collapse_of_the_answers() -> None:
    assert why_unhealthy(training(), evaluation(), evaluation(unparsed=UNPARSED_RISE)) is None
    why = why_unhealthy(training(), evaluation(), evaluation(unparsed=UNPARSED_RISE + 0.02))
    assert why and "22 points" in why
