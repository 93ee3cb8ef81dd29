"""Reward for agreeing with the group: majority voting over a group's own answers, as TTRL does."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rlvr_bench.rewards.conversation import texts
from rlvr_bench.scoring import answer_classes
from rlvr_bench.scoring.answers import find_answer


def majority_vote(completions: Sequence[Any], problem_id: Sequence[str], group_size: int, **_: Any) -> list[float]:
    """Return 1 where a completion gives its group's most frequent answer, else 0 (TTRL, Zuo et al. 2025).

    Answers that the grader finds equal are one vote; a tie goes to the answer that came first in the group; a group
    without any answer gets 0 throughout. Groups are `group_size` consecutive completions of one
    problem; anything else raises ValueError, since a vote over a torn group is a wrong label.
    """
    if len(completions) % group_size:
        raise ValueError(f"{len(completions)} completions cannot be cut into groups of {group_size}")
    answers = [find_answer(text) for text in texts(completions)]
    rewards: list[float] = []
    for start in range(0, len(answers), group_size):
        group = slice(start, start + group_size)
        if len(set(problem_id[group])) != 1:
            raise ValueError(f"a group of {group_size} holds several problems: {sorted(set(problem_id[group]))[:3]}")
        votes = answer_classes(answers[group])
        counts = Counter(v for v in votes if v is not None)
        label = counts.most_common(1)[0][0] if counts else None
        rewards += [float(v is not None and v == label) for v in votes]
    return rewards
