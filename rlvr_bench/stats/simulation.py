"""Worlds with a known truth, to prove the rule on (docs/simulation.md).

Owns the model of an experiment: problems of shared difficulty, training that shifts them, runs that differ,
k Bernoulli samples. A numpy Generator is always an argument.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy.optimize import brentq
from scipy.special import expit

from rlvr_bench.schema.suite import Rule
from rlvr_bench.stats.bounds import Bounds, closed_form
from rlvr_bench.stats.gains import Array, ModelScores, estimate
from rlvr_bench.stats.verdict import Decision, decide

_NODES, _RAW = hermegauss(61)
_WEIGHTS = _RAW / _RAW.sum()
LEAST_ACCURACY = 0.003


@dataclass(frozen=True)
class World:
    """A truth. Proportions; `logit_*` are SDs on the logit scale.

    `base` and `gain` are per lineage, the gain of the method over the start; `control` and `reference` likewise
    for their arms, None where there is no such arm. Each lineage has `models` models, each arm `seeds` runs whose
    expected accuracy differs by `run_sd` (`control_run_sd` for the control).
    """

    gain: tuple[float, ...] = (0.0, 0.0, 0.0)
    base: tuple[float, ...] = (0.50, 0.40, 0.30)
    control: tuple[float, ...] | None = None
    reference: tuple[float, ...] | None = None
    problems: int = 500
    samples: int = 8
    samples_before: int = 0
    seeds: int = 3
    models: int = 1
    run_sd: float = 0.015
    control_run_sd: float = 0.0
    collapse: float = 0.0
    collapse_by: float = 0.20
    logit_difficulty: float = 2.5
    shared_difficulty: float = 0.7
    logit_effect: float = 1.0
    shared_effect: float = 0.5
    logit_run_by_problem: float = 0.7


MATH_500 = World()
AIME_30 = World(base=(0.15, 0.10, 0.06), problems=30, run_sd=0.03)


def _mean_accuracy(centre: float, spread: float) -> float:
    return float(_WEIGHTS @ expit(centre + spread * _NODES))


@cache
def _slope(centre: float, spread: float) -> float:
    p = expit(centre + spread * _NODES)
    return float(_WEIGHTS @ (p * (1 - p)))


@cache
def _centre(accuracy: float, spread: float) -> float:
    wanted = min(max(accuracy, LEAST_ACCURACY), 1 - LEAST_ACCURACY)
    return float(brentq(lambda c: _mean_accuracy(c, spread) - wanted, -40, 40))


@dataclass(frozen=True)
class Experiment:
    """One draw: shares right. `before` is (F, M, n); each arm (F, M, S, n), None where the world has none."""

    world: World
    before: Array
    method: Array
    control: Array | None
    reference: Array | None

    def scores(self, arm: Array, against: Array | None = None) -> list[ModelScores]:
        """Return every model's runs of an arm against its start, or against another arm's runs."""
        w = self.world
        return [
            ModelScores(
                name=f"m{f}{m}",
                lineage=f"f{f}",
                runs=(arm[f, m],),
                against=(self.before[f, m][None] if against is None else against[f, m],),
                against_trained=against is not None,
                samples=w.samples,
                against_samples=(w.samples_before or w.samples) if against is None else w.samples,
            )
            for f in range(len(w.base))
            for m in range(w.models)
        ]


def draw(world: World, rng: np.random.Generator) -> Experiment:
    """Draw one experiment. All arms meet the same problems; each arm's effect on a problem is its own."""
    lineages, n = len(world.base), world.problems
    shared = world.shared_difficulty
    difficulty = world.logit_difficulty * (
        shared**0.5 * rng.standard_normal(n) + (1 - shared) ** 0.5 * rng.standard_normal((lineages, world.models, n))
    )
    starts = np.array([_centre(b, world.logit_difficulty) for b in world.base])[:, None, None]
    first = world.samples_before or world.samples
    before = rng.binomial(first, expit(difficulty + starts)) / first
    common = rng.standard_normal(n)

    def arm(gains: tuple[float, ...], run_sd: float) -> Array:
        own = rng.standard_normal((lineages, world.models, n))
        effect = world.logit_effect * (world.shared_effect**0.5 * common + (1 - world.shared_effect) ** 0.5 * own)
        centres, slopes, collapsed = (np.array(v)[:, None, None, None] for v in _targets(gains, world))
        shape = (lineages, world.models, world.seeds, 1)
        shift = centres + rng.standard_normal(shape) * run_sd / slopes
        if world.collapse:
            shift = np.where(rng.random(shape) < world.collapse, collapsed, shift)
        by_run = world.logit_run_by_problem * rng.standard_normal((lineages, world.models, world.seeds, n))
        latent = (difficulty + effect)[:, :, None, :] + shift + by_run
        return np.asarray(rng.binomial(world.samples, expit(latent)) / world.samples)

    return Experiment(
        world=world,
        before=np.asarray(before),
        method=arm(world.gain, world.run_sd),
        control=arm(world.control, world.control_run_sd or world.run_sd) if world.control is not None else None,
        reference=arm(world.reference, world.run_sd) if world.reference is not None else None,
    )


def _targets(gains: tuple[float, ...], world: World) -> tuple[list[float], list[float], list[float]]:
    """Return per lineage the logit centre after training, the slope there, and the centre of a collapsed run."""
    spread = (world.logit_difficulty**2 + world.logit_effect**2 + world.logit_run_by_problem**2) ** 0.5
    after = [b + g for b, g in zip(world.base, gains, strict=True)]
    centres = [_centre(a, spread) for a in after]
    collapsed = [_centre(max(0.01, a - world.collapse_by), spread) for a in after]
    return centres, [_slope(c, spread) for c in centres], collapsed


@dataclass(frozen=True)
class Seen:
    """What the rule says of one experiment: the headline, and the verdict over the start alone."""

    headline: Decision
    over_start: Decision
    start: Bounds
    control: Bounds | None


def judge(experiment: Experiment, rule: Rule, *, room_matters: bool = True) -> Seen:
    """Apply the rule end to end: start, control and reference where the world has them.

    `room_matters=False` takes "no more than the control" as evidence everywhere (the rule as first specified).
    """
    x = experiment
    start = closed_form(estimate(x.scores(x.method), rule, control_runs=False), rule)
    groups = start.estimates.groups
    untrainable: list[str] = []
    room = list(groups) if not room_matters else []
    if x.reference is not None:
        trained = closed_form(estimate(x.scores(x.reference), rule, control_runs=False), rule)
        untrainable = [g for g, low in zip(groups, trained.lower, strict=True) if low <= rule.margin]
    plain = decide(start, untrainable=untrainable)
    if x.control is None:
        return Seen(plain, plain, start, None)
    over = closed_form(estimate(x.scores(x.method, x.control), rule, control_runs=False), rule)
    if x.reference is not None and room_matters:
        above = closed_form(estimate(x.scores(x.reference, x.control), rule, control_runs=False), rule)
        room = [g for g, low in zip(groups, above.lower, strict=True) if low > rule.margin]
    return Seen(decide(start, [over], room=room, untrainable=untrainable), plain, start, over)


def replay(world: World, repetitions: int, rng: np.random.Generator, rule: Rule | None = None) -> Iterator[Seen]:
    """Yield the rule's view of `repetitions` draws of a world."""
    for _ in range(repetitions):
        yield judge(draw(world, rng), rule or Rule())


def shares(world: World, repetitions: int, rng: np.random.Generator, rule: Rule | None = None) -> dict[str, float]:
    """Return the share of each headline, `ONE_FAMILY` and `LEANS_ONE_FAMILY` with the lineage named."""
    found: dict[str, float] = {}
    for seen in replay(world, repetitions, rng, rule):
        name = label(seen.headline)
        found[name] = found.get(name, 0.0) + 1 / repetitions
    return found


def label(decision: Decision) -> str:
    """Return a word, with its lineage where it names one."""
    return f"{decision.word}({decision.named[0]})" if "ONE_FAMILY" in decision.word else str(decision.word)


def with_gains(world: World, gains: Sequence[float], **changes: object) -> World:
    """Return the world with other gains; a gain below what is left of the start falls to 40 % of it."""
    kept = tuple(max(g, -0.6 * b) for g, b in zip(gains, world.base, strict=True))
    return replace(world, gain=kept, **changes)  # type: ignore[arg-type]
