"""What rewards pay for answers that deserve nothing."""

import pytest

from rlvr_bench import catalog
from rlvr_bench.rewards.bait import GROUP, KINDS, PROBLEMS, columns_of, pays
from rlvr_bench.schema.method import RewardSpec
from rlvr_bench.schema.problem import Problem
from rlvr_bench.scoring.answers import find_answer

ASKED = [
    Problem(id=str(i), problem=f"What is {i} + 4?", answer=a)
    for i, a in enumerate(("7", "\\frac{3}{4}", "(1, 2)", "-12", "9"))
]


def no_confidence(prompts, texts):
    raise AssertionError("no reward asks for it")


def paid(name: str, *, rewards=None, confident=no_confidence):
    method = catalog.load_method(name)
    rewards = rewards or method.rewards
    columns = columns_of(
        rewards, ASKED, labels=method.labels, tokens=lambda text: [1] * len(text.split()), confident=confident
    )
    return pays(rewards, columns, seed=1)


@pytest.mark.parametrize("name", ["ground-truth", "ttrl", "majority-vote", "incorrect", "format", "python", "one-shot"])
def test_rewards_that_look_at_answers_pay_nothing(name) -> None:
    assert paid(name) == dict.fromkeys(KINDS, 0.0)


def test_the_bait_states_no_answer() -> None:
    assert all(find_answer(make(problem)) is None for make in KINDS.values() for problem in ASKED)


def test_a_last_number_reward_is_found_out() -> None:
    code = (
        "import re\n\n\ndef reward(completions, answer, **_):\n"
        "    texts = [c[0]['content'] for c in completions]\n"
        "    return [float(t.endswith(a)) for t, a in zip(texts, answer)]\n"
    )
    found = paid("ground-truth", rewards=(RewardSpec(name="last-number", code=code),))
    assert found["last number"] == 1 and found["empty answer"] == 0


def test_random_and_no_repetition_pay_for_everything() -> None:
    assert 0.2 < sum(v or 0 for v in paid("random").values()) / len(KINDS) < 0.8
    assert paid("no-repetition") == dict.fromkeys(KINDS, 1.0)


def test_a_reward_that_fails_on_bait_is_none_there() -> None:
    code = "def reward(completions, **_):\n    return [1 / len(c[0]['content']) for c in completions]\n"
    found = paid("ground-truth", rewards=(RewardSpec(name="inverse-length", code=code),))
    assert found["empty answer"] is None and found["punctuation"] == 1.0


def test_confidence_rewards_get_their_columns() -> None:
    seen = []

    def confident(prompts, texts):
        seen.append((len(prompts), texts[0]))
        return {"self_certainty": [2.0] * len(texts), "mean_entropy": [0.5] * len(texts)}

    assert paid("self-certainty", confident=confident) == dict.fromkeys(KINDS, 2.0)
    assert seen[0] == (GROUP * PROBLEMS, "")


def test_a_reward_with_a_memory_enters_the_training_unchanged() -> None:
    code = (
        "SEEN = set()\n\n\ndef reward(completions, **_):\n"
        "    texts = [c[0]['content'] for c in completions]\n"
        "    found = [float(t not in SEEN) for t in texts]\n    SEEN.update(texts)\n    return found\n"
    )
    spec = RewardSpec(name="novelty", code=code)
    assert paid("ground-truth", rewards=(spec,))["opener"] == 1.0
    from rlvr_bench.rewards.signal import module_of

    assert set() == module_of(code, "novelty").SEEN
