"""Rewards: exact values, replay, and refusal of torn groups."""

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlvr_bench import plugins
from rlvr_bench.errors import EnvironmentFaultError, NotFoundError
from rlvr_bench.rewards.correctness import ground_truth
from rlvr_bench.rewards.format import boxed, python
from rlvr_bench.rewards.spurious import random_reward
from rlvr_bench.rewards.voting import majority_vote


def box(*answers: str | None) -> list[str]:
    return ["nothing" if a is None else f"so \\boxed{{{a}}}" for a in answers]


def chat(texts: list[str]) -> list[list[dict[str, str]]]:
    return [[{"role": "assistant", "content": t}] for t in texts]


def test_ground_truth() -> None:
    assert ground_truth(chat(box("7", "8", None)), answer=["7"] * 3) == [1, 0, 0]
    assert ground_truth(box("7", "8", None), answer=["7"] * 3) == [1, 0, 0]


def test_format_and_python() -> None:
    texts = ["\\boxed{1}", "```PYTHON\n1\n```", "\\boxed{}"]
    assert boxed(texts) == [1, 0, 0]
    assert python(texts) == [0, 1, 0]


@pytest.mark.parametrize(
    ("answers", "rewards"),
    [
        (("7", "7", "8", None), (1, 1, 0, 0)),
        (("7", "07", "8", "8"), (1, 1, 0, 0)),  # equal answers vote together; the tie goes to the first
        (("8", "7", "7", "8"), (1, 0, 0, 1)),
        ((None, None, None, None), (0, 0, 0, 0)),
        ((None, None, None, "3"), (0, 0, 0, 1)),
    ],
)
def test_majority(answers, rewards) -> None:
    assert majority_vote(box(*answers), problem_id=["p"] * 4, group_size=4) == list(rewards)


def test_votes_count_equal_answers_however_they_are_written() -> None:
    answers = box("\\frac{1}{2}", "7", "0.5", "50\\%", "7.0", "\\prod_{k=1}^{10^{8}} k", None, "x = \\frac12")
    assert majority_vote(answers, problem_id=["p"] * 8, group_size=8) == [1, 0, 1, 1, 0, 0, 0, 1]


def test_majority_is_per_group() -> None:
    found = majority_vote(box("1", "1", "2", "2"), problem_id=["p", "p", "q", "q"], group_size=2)
    assert found == [1, 1, 1, 1]


@pytest.mark.parametrize("ids", [["p", "q", "p", "q"], ["p", "p", "p"]])
def test_a_torn_group_is_refused(ids) -> None:
    with pytest.raises(ValueError, match="group"):
        majority_vote(box(*["1"] * len(ids)), problem_id=ids, group_size=2)


def drawn(texts, *, step=0, seed=1, gamma=0.5, index=None):
    n = len(texts)
    return random_reward(texts, ["p"] * n, index or list(range(n)), step=step, seed=seed, gamma=gamma, group_size=n)


def test_random_replays_and_varies() -> None:
    texts = [f"answer {i}" for i in range(400)]
    one = drawn(texts)
    assert one == drawn(texts)
    assert drawn(texts[100:], index=list(range(100, 400))) == one[100:]
    assert one != drawn(texts, step=1)
    assert one != drawn(texts, seed=2)
    assert 0.4 < sum(one) / 400 < 0.6
    assert len(set(drawn(["same"] * 50))) == 2  # equal completions of a group are drawn independently


@given(st.floats(0, 1))
def test_random_gamma(gamma: float) -> None:
    texts = [f"{i}" for i in range(300)]
    assert sum(drawn(texts, gamma=gamma)) / 300 == pytest.approx(gamma, abs=0.15)


def test_every_registered_reward_loads_and_takes_trl_call() -> None:
    names = plugins.names(plugins.REWARDS)
    assert {"ground-truth", "majority-vote", "boxed", "python", "random"} <= set(names)
    for name in names:
        parameters = inspect.signature(plugins.load(plugins.REWARDS, name)).parameters
        assert any(p.kind is p.VAR_KEYWORD for p in parameters.values()), name


def test_unknown_and_broken_plugins(monkeypatch) -> None:
    with pytest.raises(NotFoundError, match="did you mean 'ground-truth'"):
        plugins.load(plugins.REWARDS, "groundtruth")
    from importlib.metadata import EntryPoint

    broken = EntryPoint("bad", "no_such_module_at_all:f", plugins.REWARDS)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [broken])
    assert plugins.names(plugins.REWARDS) == ["bad"]
    with pytest.raises(EnvironmentFaultError, match="'bad'"):
        plugins.load(plugins.REWARDS, "bad")
