"""What would settle an undecided verdict, and whether following the advice does."""

from dataclasses import replace

import numpy as np
import pytest

from rlvr_bench.schema.finding import VerdictWord
from rlvr_bench.schema.suite import Rule
from rlvr_bench.stats.bounds import closed_form
from rlvr_bench.stats.gains import ModelScores, estimate
from rlvr_bench.stats.sentences import sentence
from rlvr_bench.stats.settle import advise
from rlvr_bench.stats.simulation import MATH_500, draw, judge
from rlvr_bench.stats.verdict import decide, suggested

RULE = Rule()
W = VerdictWord


def made(gains, *, seeds=1, problems=500, spread=0.1, samples=1, control=None):
    """Gains as given exactly; problems scatter by `spread`."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, spread, problems)
    noise -= noise.mean()
    base = np.full(problems, 0.5)
    found = []
    for f, gain in enumerate(gains):
        runs = np.tile(base + gain + (-1) ** f * noise, (seeds, 1))
        against = base[None] if control is None else np.tile(base + control[f], (seeds, 1))
        found.append(ModelScores(f"m{f}", f"f{f}", (runs,), (against,), control is not None, samples, samples))
    return closed_form(estimate(found, RULE, control_runs=False), RULE)


@pytest.mark.parametrize(
    ("gains", "control", "word", "named"),
    [
        ((0.05, 0.05, 0.05), None, W.GENERALISES, ("f0", "f1", "f2")),
        ((0.09, 0.0, 0.01), None, W.ONE_FAMILY, ("f0",)),
        ((0.06, 0.05, 0.0), None, W.MIXED, ("f0", "f1")),
        ((0.01, 0.0, 0.01), None, W.ABSENT, ()),
        ((-0.03, 0.0, 0.01), None, W.HARMFUL, ("f0",)),
        ((0.09, 0.0, 0.0), (0.09, 0.0, 0.0), W.ELICITATION_ONLY, ("f0",)),
    ],
)
def test_the_estimates_suggest_a_word(gains, control, word, named) -> None:
    start = made(gains)
    over = [made(gains, control=control)] if control else []
    assert suggested(start, over) == (word, named)
    assert advise(start, over).towards is word


def test_runs_that_vary_ask_for_seeds() -> None:
    """Single runs of many problems: all the doubt is the run, so samples and problems do not help."""
    found = advise(made((0.05, 0.05, 0.05), problems=2000))
    assert found.seeds is not None and 2 <= found.seeds <= 8
    assert found.samples is None and found.problems is None
    assert f"{found.seeds - 1} more seed" in found.words


def test_few_problems_ask_for_problems() -> None:
    found = advise(made((0.06, 0.06, 0.06), problems=60, spread=0.3, seeds=8, samples=32))
    assert found.seeds is None and found.samples is None
    assert found.problems is not None and found.problems > 60
    assert "more problems, not more seeds" in found.words


def test_single_answers_ask_for_samples() -> None:
    rng = np.random.default_rng(1)
    p = rng.uniform(0.3, 0.6, 300)

    def answers(gain: float, k: int, seeds: int) -> np.ndarray:
        return rng.binomial(k, p + gain, (seeds, 300)) / k

    models = [
        ModelScores(f"m{f}", f"f{f}", (answers(0.09, 2, 5),), (answers(0.0, 2, 1),), False, 2, 2) for f in range(3)
    ]
    found = advise(closed_form(estimate(models, RULE, control_runs=False), RULE))
    assert found.samples is not None
    assert f"{found.samples} samples a problem in place of 2" in found.words


def test_a_hopeless_case_says_so() -> None:
    found = advise(made((0.0201, 0.0201, 0.0201), problems=60, spread=0.4))
    assert (found.seeds, found.samples, found.problems) == (None, None, None)
    assert "neither alone will do" in found.words


def test_leaning_where_the_estimates_point_elsewhere_says_so() -> None:
    start = made((0.13, 0.045, 0.0), problems=400)
    found = decide(start)
    assert found.word is W.LEANS_ONE_FAMILY
    assert "More data is expected to change the verdict." in sentence(found, start)


def test_decided_verdicts_ask_for_nothing() -> None:
    start = made((0.3, 0.3, 0.3))
    assert "To settle it" not in sentence(decide(start), start)
    undecided = made((0.05, 0.05, 0.05))
    assert "To settle it" in sentence(decide(undecided), undecided)


@pytest.mark.parametrize(("gains", "wanted"), [((0.10, 0.0, 0.0), W.ONE_FAMILY), ((0.07, 0.07, 0.07), W.GENERALISES)])
def test_following_the_advice_settles_it(gains, wanted) -> None:
    """Pilots of one run, then as many as advised: the right verdict in at least 80 % (the power asked for)."""
    rng = np.random.default_rng(8)
    world = replace(MATH_500, gain=gains, seeds=1)
    hits = tries = 0
    for _ in range(25):
        pilot = judge(draw(world, rng), RULE)
        advice = advise(pilot.start)
        if advice.towards is not wanted or advice.seeds is None:
            continue
        for _ in range(8):
            hits += judge(draw(replace(world, seeds=advice.seeds), rng), RULE).headline.word is wanted
            tries += 1
    assert tries >= 80
    assert hits / tries >= 0.80


def test_a_control_with_fewer_seeds_than_the_method_catches_up() -> None:
    """Three runs of the method against one of the control: what is missing is the control's seeds."""
    rng = np.random.default_rng(0)
    base = rng.uniform(0.3, 0.6, 2000)

    def scores(control_seeds: int) -> list[ModelScores]:
        return [
            ModelScores(
                f"m{f}", f"f{f}", (np.tile(base + 0.08, (3, 1)),), (np.tile(base, (control_seeds, 1)),), True, 8, 8
            )
            for f in range(3)
        ]

    def seeds(control_seeds: int) -> int | None:
        over = closed_form(estimate(scores(control_seeds), RULE, control_runs=False), RULE)
        return advise(made((0.08, 0.08, 0.08), seeds=3), [over]).seeds

    few, many = seeds(1), seeds(3)
    assert few is not None and 4 <= few <= 10
    assert many is None or many <= few
