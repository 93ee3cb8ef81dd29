"""Answers: where they are found, and when they are equal."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlvr_bench.scoring import answers_equal, grade_response
from rlvr_bench.scoring.answers import MAX_ANSWER, boxed_answer, find_answer
from rlvr_bench.scoring.behaviour import is_pattern, pattern


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("\\boxed{7}", "7"),
        ("first \\boxed{7} then \\boxed{8}", "8"),
        ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("\\boxed{7} and \\boxed{8", "7"),
        ("\\boxed{7} and \\boxed{}", "7"),
        ("\\boxed{ 7 }", "7"),
        ("\\boxed{" + "1" * (MAX_ANSWER + 1) + "}", None),
        ("7", None),
        ("", None),
        ("\\boxed", None),
        ("}{\\boxed{", None),
    ],
)
def test_last_whole_box(text, answer) -> None:
    assert boxed_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("\\boxed{1} and \\boxed{2}", "1, 2"),
        ("$x=\\boxed{1}$ or $x=\\boxed{2}$.", "1, 2"),
        ("\\boxed{1}, \\boxed{2}, \\boxed{3}", "1, 2, 3"),
        ("\\boxed{5}. In short, \\boxed{5}", "5"),
        ("\\boxed{5} is wrong; it is \\boxed{6}", "6"),
        ("\\boxed{5}\n\n\\boxed{6}", "6"),
        ("\\fbox{7}", "7"),
        ("\\boxed {7}", "7"),
        ("Put your answer in \\boxed{}. The answer is 8.", "8"),
        ("<answer> 9 </answer>", "9"),
        ("<answer>8</answer> <answer>\\frac{1}{2}</answer>", "\\frac{1}{2}"),
        ("The final answer is $\\frac{1}{2}$. I hope it is correct.", "\\frac{1}{2}"),
        ("Final Answer: The final answer is 12. I hope it is correct.", "12"),
        ("**Answer:** 3.5", "3.5"),
        ("**Answer: 3.5**", "3.5"),
        ("the answer is (C)", "(C)"),
        ("The answer to the question is 7, since 3+4=7.", "7"),
        ("sum: 3+4=7\n#### 7", "7"),
        ("The answer is $5$ or $6$.", "5 or 6"),
        ("The answer is $5$, so we are done", "5"),
        ("<think>\\boxed{6}</think> The answer is 5", "5"),
        ("<think>\\boxed{6}</think> done", "6"),
        (
            "$\\boxed{\\left\\{\\begin{array}{l} x=1 \\\\ y=2\\end{array}\\right.}$",
            "\\left\\{\\begin{array}{l} x=1 \\\\ y=2\\end{array}\\right.",
        ),
        ("\\boxed{5} (format: \\boxed{...})", "5"),
        ("so $\\boxed 5$", "5"),
        ("so $\\boxed5$", "5"),
        ("so we get 7", None),
        ("The answer is", None),
        ("The answer is \\boxed{5", None),
        ("7", None),
        (":", None),
        ("Let me think. 7 7 7", None),
    ],
)
def test_where_the_answer_is(text, answer) -> None:
    assert find_answer(text) == answer


@pytest.mark.parametrize(
    "text", ["\\boxed{" * 100_000, "\\boxed{" + "{" * 500_000, "}" * 500_000, "\\boxed{}" * 60_000]
)
def test_hostile_text_takes_linear_time(text) -> None:
    started = time.process_time()
    assert boxed_answer(text) is None
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("7", "7", True),
        ("7", "07", True),
        ("7", "+7", True),
        ("7", " $7$ ", True),
        ("-7", "-07", True),
        ("7", "-7", False),
        ("7", "7.0", True),
        ("7", "7.1", False),
        ("7", "70", False),
        ("7", "seven", False),
        ("7", "", False),
    ],
)
def test_equality(gold, answer, equal) -> None:
    assert answers_equal(gold, answer) is equal
    assert grade_response(gold, f"so \\boxed{{{answer}}}.") is equal


@given(st.integers(-(10**30), 10**30), st.integers(-(10**30), 10**30))
def test_whole_numbers(a: int, b: int) -> None:
    assert answers_equal(str(a), str(b)) is (a == b)


@given(st.text())
def test_any_text_is_survived(text: str) -> None:
    grade_response("7", text)
    assert is_pattern(pattern(text, tokens=1, limit=16, truncated=False))


def test_traits() -> None:
    assert pattern("```Python\n1\n``` \\boxed{1}", tokens=9, limit=16, truncated=False) == "cpb-ll"
    assert pattern("so it is 1", tokens=1, limit=16, truncated=False) == "l---ls"
    assert pattern("所以是 1", tokens=16, limit=16, truncated=True) == "l---ht"
