"""Traits of a response; repetition against its definition, spelled out."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlvr_bench.rewards.format import no_repetition
from rlvr_bench.scoring.behaviour import mentions_python, repeats


def by_definition(text: str, times: int, shortest: int, longest: int) -> bool:
    return (
        re.search(rf"(.{{{shortest},{longest}}}?)\\1{{{times - 1},}}".replace("\\\\", "\\"), text, re.DOTALL)
        is not None
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", False),
        ("abcdefghij" * 9, False),
        ("abcdefghij" * 10, True),
        ("so " + "abcdefghij" * 10 + " end", True),
        ("ab" * 50, True),  # of period 2, so of period 10 too
        ("a" * 99, False),
        ("a" * 100, True),
        ("x" * 256 * 9, True),
        ("".join(chr(97 + i % 26) + str(i % 7) for i in range(128)) * 10, True),
        ("".join(chr(200 + i) for i in range(257)) * 10, False),  # longer than 256
        ("\\boxed{7}, so the answer is 7.", False),
    ],
)
def test_ten_times_ten_characters(text, found) -> None:
    assert repeats(text) is found
    assert no_repetition([text]) == [float(not found)]


@given(st.text("ab", max_size=60), st.integers(2, 4), st.integers(1, 4), st.integers(0, 4))
def test_the_fast_way_is_the_definition(text, times, shortest, more) -> None:
    longest = shortest + more
    assert repeats(text, times=times, shortest=shortest, longest=longest) == by_definition(
        text, times, shortest, longest
    )


def test_a_megabyte_is_no_burden() -> None:
    begun = time.monotonic()
    for text in ("a" * 2**20, "ab c" * 2**18, "".join(map(str, range(150_000)))):
        repeats(text)
    assert time.monotonic() - begun < 5


def test_python() -> None:
    assert mentions_python("In PyThOn:") and not mentions_python("pyton")
