"""The dry call: seconds before a run, a broken reward is refused, and one that does not replay is marked."""

import time

import pytest

from rlvr_bench.errors import RewardError
from rlvr_bench.rewards import rehearsal
from rlvr_bench.rewards.rehearsal import rehearse, rollouts
from rlvr_bench.schema.method import Method, RewardSpec


def method(body: str, *, labels: bool = False, top: str = "") -> Method:
    code = f"{top}\ndef reward(completions, **columns):\n    {body}\n"
    reward = RewardSpec(name="mine", code=code)
    return Method(schema_version=1, name="mine", title="t", source="s", rewards=(reward,), labels=labels)


@pytest.mark.parametrize(
    ("top", "body"),
    [
        ("import random", "return [random.random() for _ in completions]"),
        ("import time", "return [time.perf_counter() for _ in completions]"),
        ("CALLS = []", "CALLS.append(1); return [float(len(CALLS)) for _ in completions]"),
        (
            "SEEN = set()",
            "n = len(SEEN); SEEN.update(str(c) for c in completions); return [float(n)] * len(completions)",
        ),
        ("import os", "return [os.urandom(1)[0] / 255 for _ in completions]"),
        # equal in one process, and not in the next
        ("import random\nSALT = random.random()", "return [SALT for _ in completions]"),
        ("", "return [float(hash(c[-1]['content']) % 97) for c in completions]"),
    ],
)
def test_what_does_not_replay_is_marked(top, body) -> None:
    assert rehearse(method(body, top=top)) == ("mine",)


def test_what_replays_is_not_marked() -> None:
    assert rehearse(method("return [float(len(c[-1]['content'])) for c in completions]")) == ()
    keyed = "return [float(hash((columns['seed'], columns['step'], i)) % 7) for i, _ in enumerate(completions)]"
    assert rehearse(method(keyed)) == ()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return [1.0] * (len(completions) - 1)", "returned 23 values for 24"),
        ("return [float('nan') for _ in completions]", "not a finite number"),
        ("return [float('nan') if not c[-1]['content'] else 1.0 for c in completions]", "not a finite number"),
        ("return [1 / len(c[-1]['content']) for c in completions]", "ZeroDivisionError"),  # an empty response
        ("return [float(c[-1]['content'].split('{')[1]) for c in completions]", "ValueError|IndexError"),
        ("return columns['answer']", "KeyError: 'answer'"),  # labels reach only who asks
        ("return [1.0 for c in completions if c.isascii()]", "AttributeError"),  # conversations, not texts
    ],
)
def test_each_kind_of_broken_reward_is_refused(body, words) -> None:
    with pytest.raises(RewardError, match=words) as caught:
        rehearse(method(body))
    assert caught.value.where is not None and caught.value.where.startswith("mine.py:")


def test_a_reward_that_hangs_is_refused_with_its_line(monkeypatch) -> None:
    monkeypatch.setattr(rehearsal, "PATIENCE", 0.3)
    begun = time.monotonic()
    with pytest.raises(RewardError, match="no answer within") as caught:
        rehearse(method("\n    while True:\n        pass"))
    assert caught.value.where in ("mine.py:4", "mine.py:5")
    assert time.monotonic() - begun < 30


def test_what_a_reward_prints_is_not_the_answer_of_a_command(capsys) -> None:
    rehearse(method("print('hello'); return [1.0 for _ in completions]"))
    found = capsys.readouterr()
    assert found.out == "" and "hello" in found.err


def test_made_up_rollouts_are_shaped_as_the_trainers_own() -> None:
    columns = rollouts(4, step=3)
    count = len(columns["completions"])
    assert count == 12
    per_row = ("prompts", "completion_ids", "problem_id", "index_in_group", "repeat", "answer", "self_certainty")
    assert all(len(columns[name]) == count for name in per_row)
    assert columns["step"] == 3 and columns["group_size"] == 4 and columns["trainer_state"].global_step == 12


@pytest.mark.parametrize("size", [2, 3, 4, 8, 16])
def test_every_kind_of_response_is_tried_whatever_the_group_size(size) -> None:
    texts = [c[-1]["content"] for c in rollouts(size)["completions"]]
    assert len(texts) % size == 0
    assert {"", "\n\n"} <= set(texts) and any(not t.isascii() for t in texts) and any(len(t) > 400 for t in texts)
    with pytest.raises(RewardError, match="IndexError"):
        rehearse(method("return [float(c[-1]['content'][0] == 'S') for c in completions]"), group_size=size)
