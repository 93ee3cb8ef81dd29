"""Mechanism, exposure, clean arms and bait: numbers against plain definitions, flags against what raises them."""

import numpy as np
import pytest
from scipy.stats import fisher_exact

from rlvr_bench import catalog
from rlvr_bench.diagnostics import exposure, mechanism
from rlvr_bench.diagnostics.warnings import of_explanation
from rlvr_bench.schema.explanation import CleanArm, Paid
from rlvr_bench.schema.finding import Gain, LineageFinding, TaskFinding, TaskScore
from rlvr_bench.schema.record import Completed, Evaluation, Exposure, StepHealth
from rlvr_bench.schema.suite import Pin, Rule
from rlvr_bench.scoring.completion import rouge_l, same_start
from tests.fakes import training
from tests.judged import L, Q, gains, judged, names


def steps(rewards) -> list[StepHealth]:
    return [
        StepHealth(
            step=i, reward=r, groups_with_signal=1, completion_tokens=9, truncated=0, loss=None, grad_norm=None,
            entropy=None if i % 2 else 0.5, clipped=0.01,
        )
        for i, r in enumerate(rewards)
    ]  # fmt: skip


def test_a_curve_keeps_short_trainings_and_thins_out_long_ones() -> None:
    short = mechanism.curve("m", "a", 1, steps([0.1, 0.2, 0.3]))
    assert short.steps == (1, 2, 3) and short.reward == (0.1, 0.2, 0.3) and short.entropy == (0.5, None, 0.5)
    rewards = np.linspace(0, 1, 300)
    long = mechanism.curve("m", "a", 1, steps(rewards))
    assert len(long.steps) == mechanism.POINTS and long.steps[-1] == 300
    assert np.mean(long.reward) == pytest.approx(0.5, abs=0.02) and set(long.entropy) == {0.5}


def test_saturation_is_a_plateau() -> None:
    rng = np.random.default_rng(1)
    fast = np.concatenate([np.linspace(0.2, 0.9, 20), np.full(80, 0.9)]) + rng.normal(0, 0.02, 100)
    assert mechanism.saturated(list(fast)) == pytest.approx(20, abs=8)
    assert mechanism.saturated(list(np.linspace(0.2, 0.9, 100))) is None  # it rises to the end
    assert mechanism.saturated(list(np.linspace(0.5, 0.52, 100))) is None
    assert mechanism.saturated([0.1, 0.9, 0.9, 0.9]) is None  # too few steps
    noise = [mechanism.saturated(list(rng.binomial(48, 0.5, steps) / 48)) for steps in (12, 20, 50) for _ in range(300)]
    assert sum(step is not None for step in noise) <= 9  # 1 %


def evaluated(pairs) -> Evaluation:
    return Evaluation(task="t", sampled=(), greedy=(), generated_tokens=0, likelihoods=tuple(pairs))


def test_the_change_of_likelihoods_is_paired_over_problems() -> None:
    rng = np.random.default_rng(3)
    start = rng.normal(-2, 1, (50, 2))
    runs = [start + np.array([0.3, -0.2]) + rng.normal(0, 0.1, (50, 2)) for _ in range(2)]
    found = mechanism.likelihood(
        "m", "a", "t", evaluated(map(tuple, start)), [evaluated(map(tuple, r)) for r in runs], 0.025
    )
    assert found is not None and found.problems == 50
    change = (np.mean(runs, axis=0) - start)[:, 0]
    assert found.prompt.change == pytest.approx(change.mean()) and found.prompt.before == pytest.approx(
        start[:, 0].mean()
    )
    assert (found.prompt.upper - found.prompt.lower) / 2 == pytest.approx(
        2.0096 * change.std(ddof=1) / 50**0.5, rel=1e-3
    )
    assert found.answer.change == pytest.approx(-0.2, abs=0.05) and found.answer.upper < 0
    some = mechanism.likelihood(
        "m", "a", "t", evaluated([None, (-1, -1), (-2, -2)]), [evaluated([(-1, -1)] * 3)], 0.025
    )
    assert some is not None and some.problems == 2
    assert mechanism.likelihood("m", "a", "t", evaluated([]), [evaluated([(-1, -1)])], 0.025) is None


def test_bait_that_pays() -> None:
    def tried(paid, rewards=(0.3, 0.5)):
        run = training().model_copy(update={"paid": paid, "steps": tuple(steps(rewards))})
        found = mechanism.paid("a", [run])
        assert found is not None
        return found

    assert tried({"empty answer": 0.0}).too_much == ()
    assert tried({"empty answer": 0.0, "opener": 0.1}).too_much == ("opener",)
    assert tried({"empty answer": None}).failed == ("empty answer",)
    # a confidence is never zero: it should pay bait less than the untouched model's own answers
    assert tried({"empty answer": 0.0, "opener": -3.0}, (-2.0, -1.0)).too_much == ("empty answer",)
    assert mechanism.paid("a", [training().model_copy(update={"paid": {}})]) is None


@pytest.mark.parametrize(
    ("hits", "n", "other", "m"), [(5, 10, 1, 12), (0, 30, 0, 30), (273, 500, 0, 30), (19, 500, 0, 30)]
)
def test_fishers_exact_test(hits, n, other, m) -> None:
    want = fisher_exact([[hits, n - hits], [other, m - other]], alternative="greater").pvalue
    assert exposure.fisher(hits, n, other, m) == pytest.approx(want, rel=1e-6)


def completed(task: str, exact: int, n: int) -> Exposure:
    rows = tuple(Completed(exact=i < exact, rouge_l=1.0 if i < exact else 0.2, right=False) for i in range(n))
    return Exposure(
        task=task, ids=tuple(map(str, range(n))), completed={0.4: rows[::-1], 0.6: rows}, generated_tokens=1
    )


def test_published_numbers_flag_qwen_and_not_llama() -> None:
    """Wu et al. 2025: 54.6 % of MATH-500 for Qwen2.5-Math-7B, 3.8 % for Llama-3.1-8B, 0 of AIME 2025 for both."""
    found = {
        "qwen": {"math500": completed("math500", 273, 500), "aime25": completed("aime25", 0, 30)},
        "llama": {"math500": completed("math500", 19, 500), "aime25": completed("aime25", 0, 30)},
    }
    fresh = {name: {"aime25": "published"} for name in found}
    rows = {c.model: c for c in exposure.comparisons(found, fresh)}
    assert rows["qwen"].p_value < 1e-6 and rows["qwen"].exact == 0.546 and rows["qwen"].shown == 0.6
    assert rows["llama"].p_value > 0.3
    assert exposure.comparisons(found, {}) == ()


def test_generated_problems_stand_in_only_where_nothing_was_published_later() -> None:
    tasks = {
        "math500": completed("math500", 19, 500),
        "aime25": completed("aime25", 0, 30),
        "clean": completed("clean", 0, 300),
    }
    both = exposure.comparisons({"m": tasks}, {"m": {"aime25": "published", "clean": "generated"}})
    assert [c.against for c in both] == [("aime25",)]
    assert all(c.published for c in both)
    one = exposure.comparisons({"m": tasks}, {"m": {"clean": "generated"}})
    assert {c.task for c in one} == {"math500", "aime25"} and all(c.against == ("clean",) for c in one)
    # 3.8 % of prose against 0 % of arithmetic is significant, and says nothing: it is shown and raises no flag
    assert min(c.p_value for c in one) < 0.025 and not any(c.published for c in one)


def test_what_a_model_cannot_have_seen() -> None:
    suite = catalog.load_suite("small")
    tasks = {t.name: t for t in suite.tasks}
    data = {name: catalog.load_data_set(name) for name in ("math500", "aime25")}
    problems = tasks["math500"].problems
    pinned = {
        name: tasks["math500"].model_copy(
            update={"problems": problems.model_copy(update={"pin": Pin(origin="hub", data=d)})}
        )
        for name, d in data.items()
    }
    card = catalog.load_card("qwen2.5-math-7b")
    assert exposure.unseen(card, pinned["aime25"], False) and not exposure.unseen(card, pinned["math500"], False)
    assert exposure.unseen(card, pinned["math500"], True)
    unknown = card.model_copy(update={"released": None, "data_until": None})
    assert not exposure.unseen(unknown, pinned["aime25"], False)
    late = card.model_copy(update={"data_until": "2025"})
    assert not exposure.unseen(late, pinned["aime25"], False)


def gain(estimate: float, error: float) -> Gain:
    return Gain(
        estimate=estimate, lower=estimate - 2 * error, upper=estimate + 2 * error, standard_error=error, degrees=20
    )


def test_a_clean_arm_counts_by_the_difference_and_only_with_room() -> None:
    ln = LineageFinding(
        lineage="q", models=("m",), gain=gain(0.2, 0.02), p_value=0.0, p_holm=0.0, gain_over_control=None,
        control_gain=None, credited=None, elicited=False, shown_small=False, harmed=False, reference_gain=None,
        trainable=None, gain_logit=gain(0.2, 0.02),
    )  # fmt: skip

    def arm(clean: float, start: float):
        tasks = [TaskFinding(task="clean", deciding=False, problems=300, gains={"q": gain(clean, 0.02)})]
        scores = [TaskScore(model="m", task="clean", arm="baseline", samples=4, average=start)]
        (found,) = exposure.clean_arms([ln], tasks, scores, {"q": ["clean"]}, method="ttrl", alpha=0.025)
        return found

    null = arm(0.0, 0.5)
    assert null.difference == pytest.approx(0.2) and null.counts and null.lower > 0.1
    assert arm(0.17, 0.5).lower < 0 and not arm(0.0, 0.05).counts and not arm(0.0, 0.95).counts


def test_rouge_l_and_word_for_word() -> None:
    assert same_start("the  cat\nsat down", "the cat sat") and not same_start("the cat", "the cat sat")
    assert rouge_l("police kill the gunman", "police killed the gunman") == pytest.approx(0.75)  # Lin 2004, section 3.1
    assert rouge_l("the gunman kill police", "police killed the gunman") == pytest.approx(0.5)
    assert not same_start("anything", " \n") and not same_start("", "")
    assert rouge_l("a b c and so on and on", "a b c") == 1 and rouge_l("", "a") == 0 and rouge_l("x", "a") == 0


def test_flags(tmp_path) -> None:
    report = judged(tmp_path, "python", gains=gains("python", 0.2, 0.0, 0.0))
    new = {"exposed-benchmark", "less-on-clean", "reward-pays", "counts-disagree"}
    assert not new & names(report)

    def raised(**parts) -> dict[str, str]:
        explained = report.explanation.model_copy(update=parts)
        flags = of_explanation(report.model_copy(update={"explanation": explained}), Rule())
        return {flag.name: f"{flag.about} {flag.evidence}" for flag in flags}

    known = {
        "known": {"math500": completed("math500", 273, 500), "aime25": completed("aime25", 0, 30)},
        "unknown": {"math500": completed("math500", 19, 500), "aime25": completed("aime25", 0, 30)},
    }
    rows = exposure.comparisons(known, {name: {"aime25": "published"} for name in known})
    found = raised(comparisons=rows)
    assert set(found) == {"exposed-benchmark"} and found["exposed-benchmark"].startswith("('known', 'math500')")
    assert "54.6 % of math500" in found["exposed-benchmark"] and "0.0 % of aime25" in found["exposed-benchmark"]
    generated = tuple(row.model_copy(update={"published": False}) for row in rows)
    assert not raised(comparisons=generated)
    arm = {"lineage": Q, "task": "clean", "difference": 0.2, "lower": 0.1, "upper": 0.3, "start": 0.5, "counts": True}
    assert set(raised(clean_arms=(CleanArm(**arm),))) == {"less-on-clean"}
    for other in (
        {"counts": False},
        {"lower": -0.01, "upper": 0.41},
        {"lineage": L},
    ):  # no room; not shown; a lineage without a gain
        assert not raised(clean_arms=(CleanArm(**{**arm, **other}),))
    pays = Paid(arm="python", first=0.3, by_kind={"opener": 0.5}, too_much=("opener",))
    assert "opener 0.5" in raised(paid=(pays,))["reward-pays"]
    assert not raised(paid=(pays.model_copy(update={"arm": "random"}),))  # the control is known to
    odd = report.explanation.strategies[0].model_copy(update={"gap": 0.02})
    assert "2.00 points" in raised(strategies=(odd,))["counts-disagree"]
