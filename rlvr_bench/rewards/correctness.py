"""Reward for the right answer: the reference that every other signal is measured against."""

from collections.abc import Sequence
from typing import Any

from rlvr_bench.rewards.conversation import texts
from rlvr_bench.scoring import grade_responses


def ground_truth(completions: Sequence[Any], answer: Sequence[str], **_: Any) -> list[float]:
    """Return 1 where the final answer equals the gold answer, else 0 (Spurious Rewards, Shao et al. 2025)."""
    return [float(grade.equal) for grade in grade_responses(answer, texts(completions))]
