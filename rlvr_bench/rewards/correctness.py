"""Rewards for giving a label: the gold answer, or one that the untouched model made."""

from collections.abc import Sequence
from typing import Any

from rlvr_bench.rewards.conversation import texts
from rlvr_bench.scoring import grade_responses


def ground_truth(completions: Sequence[Any], answer: Sequence[str], **_: Any) -> list[float]:
    """Return 1 where the final answer equals the gold answer, else 0 (Spurious Rewards, Shao et al. 2025)."""
    return [float(grade.equal) for grade in grade_responses(answer, texts(completions))]


def label(completions: Sequence[Any], answer: Sequence[str], **_: Any) -> list[float]:
    """Return 1 where the final answer equals the prepared label, else 0 (Spurious Rewards, Shao et al. 2025).

    The same comparison as `ground-truth`; the label is the untouched model's majority answer, right or wrong.
    """
    return ground_truth(completions, answer)
