"""The rule in worlds whose truth is known (docs/simulation.md has the whole table).

Bounds allow for Monte-Carlo error: a cell fails where its count would be this extreme in one of 1,000 test runs
if the bound were the truth.
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from rlvr_bench.schema.finding import VerdictWord
from rlvr_bench.schema.suite import Rule
from rlvr_bench.stats.simulation import AIME_30, MATH_500, World, draw, judge, label, replay, shares, with_gains

W = VerdictWord
REPETITIONS = 1000


def at_most(count: int, share: float, repetitions: int = REPETITIONS) -> bool:
    return count <= binom.ppf(0.999, repetitions, share)


def at_least(count: int, share: float, repetitions: int = REPETITIONS) -> bool:
    return count >= binom.ppf(0.001, repetitions, share)


def seen(world: World, seed: int = 1, repetitions: int = REPETITIONS):
    return list(replay(world, repetitions, np.random.default_rng([seed, world.seeds, world.samples])))


def test_the_bounds_can_fail() -> None:
    assert not at_most(25, 0.01) and at_most(18, 0.01)
    assert not at_least(900, 0.93) and at_least(910, 0.93)


@pytest.mark.parametrize("gain", [0.0, 0.05, 0.10])
@pytest.mark.parametrize("run_sd", [0.015, 0.03])
@pytest.mark.parametrize("seeds", [2, 3])
def test_equal_gains_are_hardly_ever_flagged_as_one_family(seeds, run_sd, gain) -> None:
    world = replace(MATH_500, gain=(gain,) * 3, seeds=seeds, run_sd=run_sd)
    assert at_most(sum(s.headline.word is W.ONE_FAMILY for s in seen(world)), 0.01)


@pytest.mark.parametrize("gain", [0.0, 0.05])
def test_equal_gains_on_thirty_problems(gain) -> None:
    world = replace(AIME_30, gain=(gain,) * 3, seeds=2)
    assert at_most(sum(s.headline.word is W.ONE_FAMILY for s in seen(world)), 0.01)


def test_a_gain_of_ten_points_in_one_family_is_found() -> None:
    found = seen(replace(MATH_500, gain=(0.10, 0.0, 0.0), seeds=3))
    assert at_least(sum(label(s.headline) == "ONE_FAMILY(f0)" for s in found), 0.93)
    assert not any(s.headline.named == ("f1",) for s in found)


@pytest.mark.parametrize(("seeds", "samples"), [(2, 1), (2, 8), (3, 8)])
def test_what_the_control_gives_too_is_hardly_ever_credited(seeds, samples) -> None:
    world = replace(MATH_500, gain=(0.2, 0.1, 0.1), control=(0.2, 0.0, 0.0), seeds=seeds, samples=samples)
    assert at_most(sum(s.headline.credited[0] for s in seen(world)), 0.01)


@pytest.mark.parametrize(("base", "seeds", "samples"), [(MATH_500, 2, 8), (MATH_500, 3, 1), (AIME_30, 3, 8)])
def test_intervals_cover(base, seeds, samples) -> None:
    world = replace(base, gain=(0.10, 0.0, 0.05), seeds=seeds, samples=samples)
    found = seen(world)
    for f, truth in enumerate(world.gain):
        covered = sum(bool(s.start.lower[f] <= truth <= s.start.upper[f]) for s in found)
        assert at_least(covered, 0.93), f"f{f}: {covered} of {len(found)}"


def test_hardly_any_problem_solved_is_not_shown_to_be_absent() -> None:
    """Without the variance floor, 94 % of these experiments are declared ABSENT."""
    world = World(base=(0.03, 0.01, 0.005), problems=30, run_sd=0.003, samples=8)
    assert at_most(sum(s.headline.word is W.ABSENT for s in seen(world)), 0.03)


def end_to_end(gain, control, reference, seeds=3) -> World:
    world = replace(MATH_500, gain=gain, control=control, reference=reference, seeds=seeds)
    return replace(world, control_run_sd=0.02)


TRAINABLE = (0.25, 0.20, 0.20)


def test_end_to_end_a_gain_everywhere_generalises() -> None:
    found = seen(end_to_end((0.1,) * 3, (0.0,) * 3, TRAINABLE), repetitions=200)
    assert at_least(sum(s.headline.word is W.GENERALISES for s in found), 0.93, 200)


def test_end_to_end_one_family_is_found_beside_a_control() -> None:
    found = seen(end_to_end((0.1, 0.0, 0.0), (0.0,) * 3, TRAINABLE), repetitions=200)
    assert at_least(sum(label(s.headline) == "ONE_FAMILY(f0)" for s in found), 0.93, 200)


def test_end_to_end_elicitation_is_never_credited() -> None:
    found = seen(end_to_end((0.2, 0.0, 0.0), (0.2, 0.0, 0.0), TRAINABLE), repetitions=200)
    words = {s.headline.word for s in found}
    assert words <= {W.ELICITATION_ONLY, W.INCONCLUSIVE}
    assert at_least(sum(s.headline.word is W.ELICITATION_ONLY for s in found), 0.70, 200)


def test_end_to_end_a_control_without_room_above_it_misleads_nobody() -> None:
    """f0 gains 20 points, all that can be had there, and so does the control; f1 gains 10 of its own.

    Taken as evidence, the strong control names f1 as the one family in most experiments.
    """
    world = end_to_end((0.2, 0.1, 0.0), (0.2, 0.0, 0.0), (0.2, 0.2, 0.2))
    rng = np.random.default_rng(5)
    experiments = [draw(world, rng) for _ in range(150)]
    old = [judge(x, Rule(), room_matters=False) for x in experiments]
    new = [judge(x, Rule()) for x in experiments]
    assert at_least(sum(s.headline.word is W.ONE_FAMILY for s in old), 0.6, 150)
    assert at_most(sum(s.headline.word is W.ONE_FAMILY for s in new), 0.01, 150)


def test_an_untrainable_lineage_is_no_evidence() -> None:
    found = shares(end_to_end((0.2, 0.2, 0.0), (0.0,) * 3, (0.25, 0.2, 0.0)), 100, np.random.default_rng(3))
    assert found.get("MIXED", 0.0) <= 0.05
    assert found["SEVERAL_SO_FAR"] >= 0.9


def test_a_world_is_what_it_says() -> None:
    """Means, run-to-run SD and the effect of `collapse`, from many draws."""
    rng = np.random.default_rng(4)
    world = replace(MATH_500, gain=(0.10, 0.0, -0.05), control=(0.05, 0.0, 0.0), seeds=5)
    found = [draw(world, rng) for _ in range(120)]
    before = np.mean([x.before.mean((1, 2)) for x in found], axis=0)
    after = np.mean([x.method.mean((1, 2, 3)) for x in found], axis=0)
    control = np.mean([x.control.mean((1, 2, 3)) for x in found if x.control is not None], axis=0)
    assert before == pytest.approx([0.5, 0.4, 0.3], abs=0.01)
    assert after - before == pytest.approx([0.10, 0.0, -0.05], abs=0.006)
    assert control - before == pytest.approx([0.05, 0.0, 0.0], abs=0.006)
    spread = np.sqrt(np.mean([x.method.mean(-1).var(axis=2, ddof=1) for x in found]))
    assert spread == pytest.approx(0.0165, abs=0.003)  # 1.5 points, and the decoding of 500 x 8 answers
    fallen = [draw(replace(world, collapse=1.0), rng).method.mean() for _ in range(10)]
    assert np.mean(fallen) < np.mean(after) - 0.1


def test_a_gain_that_cannot_be_is_cut() -> None:
    assert with_gains(AIME_30, (0.1, 0.0, -0.2)).gain == pytest.approx((0.1, 0.0, -0.036))
