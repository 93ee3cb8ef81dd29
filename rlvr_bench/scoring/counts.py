"""From a problem's samples: pass@k and maj@k."""

from collections import Counter
from collections.abc import Sequence
from math import comb

from rlvr_bench.scoring.answers import find_answer
from rlvr_bench.scoring.grader import answer_classes

MAJORITIES = (2, 4, 8, 16, 32, 64)
"""k of maj@k, besides all samples."""


def pass_at(k: int, attempts: int, correct: int) -> float:
    """Return the chance that at least one of k samples drawn without replacement is right.

    1 - C(n-c, k) / C(n, k), the unbiased estimate of Chen et al. 2021 (Evaluating Large Language Models Trained on
    Code), section 2.1. Raises ValueError where k is larger than the number of attempts.
    """
    if not 1 <= k <= attempts:
        raise ValueError(f"pass@{k} needs at least {k} attempts, there are {attempts}")
    return 1.0 - comb(attempts - correct, k) / comb(attempts, k)


def majority_right(responses: Sequence[str], right: Sequence[bool]) -> float:
    """Return whether the most frequent answer of some responses is right (maj@k), 0 to 1.

    Where several answers are as frequent, the share of them that is right: 1 / their number, or 0. A response without
    an answer has no vote. Wrong answers are told apart only where they could outvote the right one.
    """
    votes = sum(right)
    if not votes:
        return 0.0
    wrong = [find_answer(text) for text, good in zip(responses, right, strict=True) if not good]
    wrong = [answer for answer in wrong if answer is not None]
    if len(wrong) < votes:
        return 1.0
    sizes = Counter(c for c in answer_classes(wrong) if c is not None)
    if max(sizes.values(), default=0) > votes:
        return 0.0
    return 1.0 / (1 + sum(size == votes for size in sizes.values()))


def majorities(responses: Sequence[str], right: Sequence[bool]) -> dict[int, float]:
    """Return maj@k by k: 2, 4, 8 ... and the number of responses, each the mean over whole groups of k in their order.

    Equal k are compared before and after a training, and every response counts once.
    """
    n = len(responses)
    sizes = sorted({k for k in MAJORITIES if k < n} | ({n} if n > 1 else set()))
    found = {}
    for k in sizes:
        starts = range(0, n - k + 1, k)
        found[k] = sum(majority_right(responses[i : i + k], right[i : i + k]) for i in starts) / len(starts)
    return found
