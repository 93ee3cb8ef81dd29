"""Rewards that carry no information about the task: the placebo."""

import hashlib
from collections.abc import Sequence
from typing import Any

from rlvr_bench.rewards.conversation import texts


def random_reward(
    completions: Sequence[Any],
    problem_id: Sequence[str],
    index_in_group: Sequence[int],
    step: int,
    seed: int,
    group_size: int,
    repeat: Sequence[int] | None = None,
    gamma: float = 0.5,
    **_: Any,
) -> list[float]:
    """Return 1 with probability `gamma`, else 0, whatever the text (Spurious Rewards, Shao et al. 2025).

    Each draw is a hash of (seed, problem, step, completion, index among the step's completions of the problem), so
    it can be replayed and never touches a generator that the sampling uses. Raises ValueError for a gamma that is
    no probability.
    """
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma is a probability, not {gamma:g}")
    rewards = []
    before = repeat or [0] * len(completions)
    for text, problem, index, groups in zip(texts(completions), problem_id, index_in_group, before, strict=True):
        key = "\x1f".join([str(seed), problem, str(step), str(groups * group_size + index), text])
        draw = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") / 2**64
        rewards.append(float(draw < gamma))
    return rewards
