"""How often the gate is wrong, by simulation with new seeds each time."""

import os

import numpy as np
import pytest

from rlvr_bench.schema.suite import Rule
from rlvr_bench.stats.gains import ModelScores
from rlvr_bench.stats.regression import differences, fallen

LINEAGES = ("one", "two", "three")
PROBLEMS, SEEDS, SAMPLES, BEFORE, RUN_SD = 500, 3, 16, 32, 0.02


def experiment(rng: np.random.Generator, drop: float) -> tuple[bool, ...]:
    """Whether each of three lineages is found to have fallen; the first gains `drop` less than before.

    Problems differ in difficulty, runs vary by 2 points, each run's problems by 10 points more.
    """
    models = []
    for lineage in LINEAGES:
        easy = rng.beta(1.2, 1.2, PROBLEMS)
        start = rng.binomial(BEFORE, easy) / BEFORE

        def runs(gain: float, easy=easy, start=start):
            shares = easy + gain + rng.normal(0, RUN_SD, (SEEDS, 1)) + rng.normal(0, 0.1, (SEEDS, PROBLEMS))
            return rng.binomial(SAMPLES, np.clip(shares, 0, 1)) / SAMPLES - start

        lost = drop / 0.92 if lineage == "one" else 0.0  # some problems are at the ceiling already
        new, old = runs(0.12 - lost), runs(0.12)
        models.append(ModelScores(lineage, lineage, (new,), (old,), against_trained=True, samples=SAMPLES))
    return tuple(d.fallen for d in fallen(differences(models, Rule()), minimum_drop=0.02))


def test_it_cries_wolf_in_less_than_one_of_a_hundred_and_sees_ten_points_in_nine_of_ten() -> None:
    """Measured with 5,000 draws: 0.2 % and 99 %. The bounds leave an error of 1e-6 to chance."""
    seed = int.from_bytes(os.urandom(4), "big")
    rng = np.random.default_rng(seed)
    quiet = [experiment(rng, 0.0) for _ in range(500)]
    loud = [experiment(rng, 0.10) for _ in range(300)]
    assert sum(map(any, quiet)) <= 10, f"seed {seed}"
    assert sum(found[0] for found in loud) >= 270, f"seed {seed}"
    assert sum(any(found[1:]) for found in loud) <= 8, f"seed {seed}"


@pytest.mark.parametrize(("drop", "falls"), [(0.015, False), (0.025, True)])
def test_a_fall_must_be_larger_than_the_minimum_and_shown(drop, falls) -> None:
    rng = np.random.default_rng(0)
    start = rng.random((1, 4000)).round(1)
    jitter = np.array([[-0.0005], [0.0], [0.0005]])
    rule = Rule(prior_run_sd=0.0005)
    models = [
        ModelScores(f"m{i}", "a", (start - drop + jitter,), (start + jitter,), against_trained=True) for i in range(4)
    ]
    (found,) = fallen(differences(models, rule), minimum_drop=0.02)
    assert found.upper < 0
    assert found.fallen == falls


def test_a_large_fall_of_runs_that_scatter_is_not_shown() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.15, (2, 1)) + np.zeros((2, 400))
    (found,) = fallen(
        differences([ModelScores("m", "a", (noise - 0.1,), (noise[::-1] + 0,), against_trained=True)], Rule()),
        minimum_drop=0.02,
    )
    assert found.estimate == pytest.approx(-0.1)
    assert not found.fallen and found.upper > 0


def test_holm() -> None:
    rng = np.random.default_rng(2)
    models = [
        ModelScores(
            f"m{i}",
            f"l{i}",
            (rng.normal(-shift, 0.02, (3, 500)),),
            (rng.normal(0, 0.02, (3, 500)),),
            against_trained=True,
        )
        for i, shift in enumerate((0.0, 0.03, 0.3))
    ]
    found = fallen(differences(models, Rule()), minimum_drop=0.02)
    p = [d.p_holm for d in found]
    assert p[2] < p[1] < p[0] <= 1
    assert [d.fallen for d in found] == [False, False, True]
