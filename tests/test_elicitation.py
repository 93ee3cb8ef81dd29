"""Net elicitation: chosen on one half, estimated on the other, so that choosing costs no honesty."""

import numpy as np
import pytest

from rlvr_bench.judgement.elicitation import net_elicitation
from rlvr_bench.judgement.evidence import Evidence, ModelResults
from rlvr_bench.judgement.sides import Question
from rlvr_bench.schema.suite import Rule

N = 400


def world(start, after, *, models=1, samples=4):
    found = [
        ModelResults(
            name=f"m{i}",
            lineage="a",
            start={"task": start[i][None]},
            arms={"method": {"task": after[i]}},
            samples=samples,
            samples_before=samples,
        )
        for i in range(models)
    ]
    question = Question(method="method", controls=(), reference=None, rule=Rule())
    return Evidence(models=tuple(found), sizes={"task": N}, paired=True), question


def test_choosing_among_equal_prompts_costs_nothing_on_average() -> None:
    """Ten prompts of equal worth: the best of them, measured where it was chosen, would look better than it is."""
    rng = np.random.default_rng(0)
    net, naive = [], []
    for _ in range(300):
        start, after = (rng.binomial(4, 0.5, (1, N)) / 4 for _ in range(2))
        prompts = {f"p{j}": {"task": rng.binomial(4, 0.5, (1, N)) / 4} for j in range(10)}
        evidence, question = world([start[0]], [after])
        found = net_elicitation(evidence, {"m0": prompts}, question, 4)
        net.append(found.lineages["a"].estimate)
        naive.append(after.mean() - max(p["task"].mean() for p in prompts.values()))
    assert abs(np.mean(net)) < 0.003  # the SD of one is 0.018: 0.001 of 300
    assert np.mean(naive) < -0.015


def test_each_half_chooses_for_the_other() -> None:
    even = np.arange(N) % 2 == 0
    start = np.full(N, 0.5)
    one, two = np.where(even, 0.9, 0.1), np.where(even, 0.2, 0.8)
    evidence, question = world([start], [np.full((2, N), 0.6)])
    found = net_elicitation(evidence, {"m0": {"one": {"task": one[None]}, "two": {"task": two[None]}}}, question, 4)
    # the even half likes one, so the odd half is measured under one (0.1); the odd half likes two (0.2 on the even)
    assert found.chosen["m0"] == ("one", "two")
    assert found.lineages["a"].estimate == pytest.approx(0.6 - (0.1 + 0.2) / 2)
    assert found.models["m0"].estimate == pytest.approx(found.lineages["a"].estimate)


def test_the_own_prompt_is_a_choice_and_wins_ties() -> None:
    start = np.full(N, 0.5)
    evidence, question = world([start], [np.full((2, N), 0.6)])
    found = net_elicitation(
        evidence, {"m0": {"same": {"task": start[None]}, "bad": {"task": start[None] - 0.2}}}, question, 4
    )
    assert found.chosen["m0"] == ("", "")
    assert found.lineages["a"].estimate == pytest.approx(0.1)


def test_a_lineage_counts_only_whole() -> None:
    evidence, question = world([np.full(N, 0.5)] * 2, [np.full((2, N), 0.6)] * 2, models=2)
    prompt = {"p": {"task": np.full((1, N), 0.5)}}
    assert net_elicitation(evidence, {"m0": prompt}, question, 4).lineages == {}
    assert set(net_elicitation(evidence, {"m0": prompt, "m1": prompt}, question, 4).models) == {"m0", "m1"}


def test_what_prompting_gives_has_an_interval_of_its_own() -> None:
    """Of equal prompts the chosen one is shown to gain in no more than the test's level of cases."""
    rng = np.random.default_rng(1)
    shown = []
    for _ in range(300):
        prompts = {f"p{j}": {"task": rng.binomial(2, 0.5, (1, N)) / 2} for j in range(5)}
        evidence, question = world([rng.binomial(4, 0.5, N) / 4], [np.full((2, N), 0.5)])
        found = net_elicitation(evidence, {"m0": prompts}, question, 2).prompting["a"]
        shown.append(found.lower > 0)
    assert np.mean(shown) < 0.025
    evidence, question = world([np.full(N, 0.5)], [np.full((2, N), 0.5)])
    better = {"p": {"task": rng.binomial(4, 0.6, (1, N)) / 4}}
    found = net_elicitation(evidence, {"m0": better}, question, 4).prompting["a"]
    d = better["p"]["task"][0] - 0.5
    assert found.estimate == pytest.approx(d.mean())
    halves = [d[half::2].std(ddof=1) / (N / 2) ** 0.5 for half in (0, 1)]
    assert found.standard_error == pytest.approx(np.mean(halves))
    assert found.lower > 0
