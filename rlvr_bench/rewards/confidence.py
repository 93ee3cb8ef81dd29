"""Rewards for being sure: the policy's own next-token distribution, measured by the trainer in a pass of its own."""

from collections.abc import Sequence
from typing import Any


def self_certainty(self_certainty: Sequence[float], **_: Any) -> list[float]:
    """Return the self-certainty of each completion, in nats (Intuitor, Zhao et al. 2025).

    The mean over its tokens of KL(U || p), U uniform over the V tokens of the vocabulary: -mean_j log(V p_j).
    """
    return list(self_certainty)


def negative_entropy(mean_entropy: Sequence[float], **_: Any) -> list[float]:
    """Return minus the mean entropy of the next-token distributions, in nats (RENT, Prabhudesai et al. 2025).

    The mean over all tokens of the response of -sum_j p_j log p_j.
    """
    return [-entropy for entropy in mean_entropy]
