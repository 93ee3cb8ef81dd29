"""Bounds, Holm, the logit scale, resampling, and laws that hold for any data."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rlvr_bench.schema.suite import Rule
from rlvr_bench.stats.bootstrap import resample
from rlvr_bench.stats.bounds import closed_form, holm, p_values
from rlvr_bench.stats.gains import ModelScores, estimate
from rlvr_bench.stats.simulation import MATH_500, draw
from rlvr_bench.stats.verdict import decide

RULE = Rule()


def drawn(seed: int = 0, **changes) -> list[ModelScores]:
    world = replace(MATH_500, gain=(0.1, 0.05, 0.0), **changes)
    x = draw(world, np.random.default_rng(seed))
    return x.scores(x.method, x.control)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([0.02]) == pytest.approx([0.02])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_as_the_step_down_procedure_does(values) -> None:
    level = 0.05
    adjusted = holm(values)
    rejected = set()
    for rank, index in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        if values[index] > level / (len(values) - rank):
            break
        rejected.add(index)
    assert {i for i, p in enumerate(adjusted) if p <= level} >= rejected
    for i in set(range(len(values))) - rejected:
        assert adjusted[i] > level or np.isclose(adjusted[i], level)


def test_p_values_agree_with_bounds() -> None:
    """A p-value of alpha is where the lower bound meets the margin."""
    e = estimate(drawn(), RULE, control_runs=False)
    found = closed_form(e, RULE)
    for p, low in zip(p_values(e, RULE), found.lower, strict=True):
        assert (p < RULE.alpha) == (low > RULE.margin)


def test_differences_use_the_shared_problems() -> None:
    """A difference of two lineages on the same problems is paired: narrower than two separate intervals."""
    models = drawn()
    found = closed_form(estimate(models, RULE, control_runs=False), RULE)
    assert not found.larger(0, 0)
    for f, g in ((0, 1), (0, 2), (1, 2)):
        a, b = models[f], models[g]
        d = (a.runs[0].mean(0) - a.against[0][0]) - (b.runs[0].mean(0) - b.against[0][0])
        assert found.difference[f, g] < d.mean()
        assert found.difference[f, g] == pytest.approx(-(-d.mean() + (d.mean() - found.difference[f, g])))
        separate = (found.upper[f] - found.lower[f]) / 2 + (found.upper[g] - found.lower[g]) / 2
        assert d.mean() - found.difference[f, g] < separate


def test_logit_scale_by_hand() -> None:
    models = drawn(seeds=1)
    e = estimate(models, RULE, control_runs=False, scale="logit")
    for f, m in enumerate(models):
        p1, p0 = m.runs[0].mean(), m.against[0].mean()
        gain = np.log(p1 / (1 - p1)) - np.log(p0 / (1 - p0))
        a1, a0 = 1 / (p1 * (1 - p1)), 1 / (p0 * (1 - p0))
        z = a1 * m.runs[0][0] - a0 * m.against[0][0]
        expected = z.var(ddof=1) / 500 + RULE.prior_run_sd**2 * a1**2
        found = e.gain_of(f, RULE.alpha)
        assert found.estimate == pytest.approx(gain)
        assert found.standard_error == pytest.approx(np.sqrt(expected))


def test_logit_scale_survives_zero_and_one() -> None:
    empty = [ModelScores(f"m{f}", f"f{f}", (np.ones((2, 30)),), (np.zeros((1, 30)),)) for f in range(2)]
    found = estimate(empty, RULE, control_runs=False, scale="logit").gain_of(0, 0.025)
    assert np.isfinite([found.estimate, found.lower, found.upper]).all()


@pytest.mark.parametrize("control", [None, (0.0, 0.0, 0.0)])
def test_resampling_agrees_with_the_closed_form(control) -> None:
    models = drawn(seed=3, control=control)
    e = estimate(models, RULE, control_runs=False)
    exact = closed_form(e, RULE)
    drawn_bounds = resample(models, e, RULE, resamples=10_000, rng=np.random.default_rng(0))
    assert drawn_bounds.lower == pytest.approx(exact.lower, abs=0.006)
    assert drawn_bounds.upper == pytest.approx(exact.upper, abs=0.006)
    assert drawn_bounds.difference[0, 2] == pytest.approx(exact.difference[0, 2], abs=0.006)
    assert decide(drawn_bounds).word is decide(exact).word


def test_resampling_without_any_moved_problem_keeps_a_width() -> None:
    zeros = [ModelScores(f"m{f}", f"f{f}", (np.zeros((3, 30)),), (np.zeros((1, 30)),)) for f in range(3)]
    e = estimate(zeros, RULE, control_runs=False)
    found = resample(zeros, e, RULE, resamples=4_000, rng=np.random.default_rng(0))
    assert found.upper == pytest.approx(closed_form(e, RULE).upper, abs=0.015)
    assert found.upper_equivalence.min() > RULE.no_gain


def test_resampling_is_replayable_and_pools_benchmarks() -> None:
    models = drawn(seed=4)
    two = [
        replace(m, runs=(m.runs[0], m.runs[0][:, :60]), against=(m.against[0], m.against[0][:, :60])) for m in models
    ]
    e = estimate(two, RULE, control_runs=False)
    one, other = (resample(two, e, RULE, resamples=3_000, rng=np.random.default_rng(7)) for _ in range(2))
    assert (one.lower == other.lower).all()
    assert one.lower == pytest.approx(closed_form(e, RULE).lower, abs=0.01)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 5), st.integers(1, 3))
def test_more_problems_of_the_same_effect_never_raise_the_standard_error(seed, times, seeds) -> None:
    models = drawn(seed, seeds=seeds, problems=60)
    more = [
        replace(m, runs=(np.tile(m.runs[0], (1, times)),), against=(np.tile(m.against[0], (1, times)),)) for m in models
    ]
    few, many = (estimate(m, RULE, control_runs=False) for m in (models, more))
    assert many.gain == pytest.approx(few.gain)
    errors = [e.contrasts(np.eye(3)).error for e in (few, many)]
    assert (errors[1] <= errors[0] + 1e-12).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.permutations(range(3)))
def test_relabelling_and_reordering_only_relabel_and_reorder(seed, order) -> None:
    models = drawn(seed, problems=200)
    shuffled = [replace(models[i], name=f"x{i}", lineage=f"g{i}") for i in order]
    one, other = (decide(closed_form(estimate(m, RULE, control_runs=False), RULE)) for m in (models, shuffled))
    assert one.word is other.word
    assert {f"g{name[1]}" for name in one.named} == set(other.named)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31))
def test_parts_of_the_noise_add_up(seed) -> None:
    """Between problems, before, decoding and run x problem make the whole problem variance; a tenth is between."""
    e = estimate(drawn(seed, seeds=3), RULE, control_runs=False)
    p = e.parts
    whole = np.diag(e.covariance[0]) / e.sizes[0]
    assert p.between + p.before + p.decoding + p.by_run == pytest.approx(whole)
    assert (p.between >= 0.1 * whole - 1e-12).all()


def test_noise_parts_are_those_of_the_world() -> None:
    """Points² of one problem: between 210, before 1300 / k, after 1200 / k, run x problem 100 (section 5)."""
    parts = []
    for seed in range(30):
        e = estimate(drawn(seed, seeds=4, samples=8), RULE, control_runs=False)
        p = e.parts
        parts.append([1e4 * 500 * v.mean() for v in (p.between, p.before, p.decoding, p.by_run)])
    between, before, decoding, by_run = np.mean(parts, axis=0)
    assert between == pytest.approx(210, rel=0.25)
    assert before * 8 == pytest.approx(1300, rel=0.1)
    assert decoding * 8 * 4 == pytest.approx(1200, rel=0.15)
    assert by_run * 4 == pytest.approx(100, rel=0.4)


def test_one_lineage_has_no_contrast() -> None:
    found = closed_form(estimate(drawn()[:1], RULE, control_runs=False), RULE)
    assert found.difference.shape == (1, 1)
    t = stats.t.ppf(0.975, found.estimates.contrasts(np.eye(1)).degrees[0])
    assert found.upper[0] - found.estimates.gain[0] == pytest.approx(t * found.estimates.contrasts(np.eye(1)).error[0])
