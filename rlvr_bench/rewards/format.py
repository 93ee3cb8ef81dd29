"""Rewards for how a response looks, blind to whether it is right."""

from collections.abc import Sequence
from typing import Any

from rlvr_bench.rewards.conversation import texts
from rlvr_bench.scoring.answers import boxed_answer
from rlvr_bench.scoring.behaviour import mentions_python, repeats


def boxed(completions: Sequence[Any], **_: Any) -> list[float]:
    """Return 1 where there is a non-empty boxed expression, else 0 (Spurious Rewards, Shao et al. 2025)."""
    return [float(boxed_answer(text) is not None) for text in texts(completions)]


def python(completions: Sequence[Any], **_: Any) -> list[float]:
    """Return 1 where the response contains the string "python", else 0 (Spurious Rewards, Shao et al. 2025)."""
    return [float(mentions_python(text)) for text in texts(completions)]


def no_repetition(
    completions: Sequence[Any], times: int = 10, shortest: int = 10, longest: int = 256, **_: Any
) -> list[float]:
    """Return 0 where a stretch of text stands `times` or more times in a row, else 1 (Spurious Rewards, no repetition).

    Stretches of `shortest` to `longest` characters count, as in the code of Shao et al. (2025).
    """
    return [float(not repeats(text, times=times, shortest=shortest, longest=longest)) for text in texts(completions)]
