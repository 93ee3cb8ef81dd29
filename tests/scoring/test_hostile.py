"""Answers made to hang, exhaust or run something: each costs at most two seconds, and the pool lives on.

More of the same: RLVR_BENCH_FUZZ=20000 pytest tests/scoring/test_hostile.py
"""

import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlvr_bench.scoring import (
    EXACT,
    MATH_VERIFY,
    TIMED_OUT,
    UNPARSED,
    answer_classes,
    compare_answers,
    grade_responses,
    grader,
    tallied,
)
from rlvr_bench.scoring.answers import find_answer
from rlvr_bench.scoring.compare import Comparison
from rlvr_bench.scoring.forms import _form, form_of
from rlvr_bench.scoring.normal import normalise
from rlvr_bench.scoring.pool import pool

LIMIT = 2.0
EXAMPLES = int(os.environ.get("RLVR_BENCH_FUZZ", "150"))
SLOW_BUT_FINE = ("\\Gamma(x)+\\lfloor y \\rfloor", "\\lfloor y \\rfloor + \\Gamma(x)")
"""A pair that only math-verify can decide."""

HOSTILE = {
    "tower": "9^{9^{9}}",
    "tall tower": "9^{9^{9^{9^{9}}}}",
    "factorial": "(10^{10})!",
    "factorials": "((((9!)!)!)!)!",
    "large power": "10^{10^8}",
    "sum": "\\sum_{k=1}^{10^{9}} \\sin(k)",
    "product": "\\prod_{k=1}^{10^{8}} k",
    "binomial": "\\binom{10^{9}}{5\\cdot 10^{8}}",
    "integral": "\\int_0^1 \\frac{\\sin(x^x)e^{x^2}}{\\ln(1+x^5)} dx",
    "braces": "{" * 2000 + "1" + "}" * 2000,
    "parentheses": "(" * 200 + "1" + ")" * 200,
    "digits": "1" * 1_000_000,
    "five hundred digits": "7" * 500,
    "decimals": "0." + "3" * 500,
    "control characters": "\x00\x01\x1e\x7f" * 100,
    "nested fractions": "\\frac{1}{" * 50 + "2" + "}" * 50,
    "nested roots": "\\sqrt{" * 60 + "2" + "}" * 60,
    "open fractions": "\\frac" * 100,
    "signs": "-" * 501 + "1",
    "commas": "," * 500,
    "long list": ",".join(f"x_{i}" for i in range(90)),
    "many signs": "\\pm" * 100 + "1",
    "equations": "=" * 500,
    "open text": "\\text{" * 80,
    "determinant": "\\det\\begin{pmatrix} x^{99} & 2 \\\\ \\sin x^{x^x} & 3\\end{pmatrix}",
    "expansion": "(x+y+z+w)^{80}",
    "last digit": "7^{7^{7^{7}}} \\mod 10",
    "exclamations": "5" + "!" * 300,
    "indices": "x_{" * 100 + "1" + "}" * 100,
    "exponent": "1e999999999",
    "emoji": "😀" * 200,
    "import": "__import__('os').system('touch {}')",
    "import in text": "\\text{__import__('os').system('touch {}')}",
    "exec": "exec(\"open('{}','w')\")",
    "write18": "\\write18{touch {}}",
    "input": "\\input{/etc/passwd}",
}


@pytest.fixture(autouse=True)
def warm() -> None:
    """Have the process running: its start is not a verdict's time."""
    grader._grades.clear()
    pool().run([(SLOW_BUT_FINE,)])


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("gold", ["7", "\\frac{x^2+1}{2}"])
def test_hostile_answers_are_wrong_in_time_and_run_nothing(name: str, gold: str, tmp_path: Path) -> None:
    target = tmp_path / "written"
    answer = HOSTILE[name].replace("{}", str(target))
    for how in ("bare", "boxed", "stated"):
        text = {"bare": answer, "boxed": f"so \\boxed{{{answer}}}", "stated": f"The answer is ${answer}$"}[how]
        begun = time.monotonic()
        found = compare_answers([(gold, answer)]) if how == "bare" else grade_responses([gold], [text])
        assert time.monotonic() - begun < LIMIT
        assert not found[0].equal
    assert not target.exists()
    assert pool().run([(("\\frac{1}{2}", "0.5"),)]) == [[True]]


@pytest.mark.parametrize(
    "text",
    [
        "\\boxed{8}" * 20_000,
        "\\boxed{8} or " * 20_000,
        "\\boxed{" * 100_000,
        "\\boxed{" + "{" * 500_000,
        "\\boxed{" + "1" * 1_000_000 + "}",
        "answer is " * 100_000,
        "<answer>" * 50_000,
        "a" * 1_000_000 + "answer:" + " " * 100_000,
        "#### " * 100_000,
        "$" * 1_000_000,
        "\x00" * 1_000_000,
    ],
    ids=lambda text: f"{text[:12]!r} x {len(text)}",
)
def test_hostile_responses_take_linear_time(text: str) -> None:
    begun = time.monotonic()
    assert not grade_responses(["7"], [text])[0].equal
    assert time.monotonic() - begun < LIMIT


PIECES = (
    "\\frac \\sqrt { } ( ) [ ] ^ _ ! 9 10 x + - \\pm , = < \\text{ \\begin{pmatrix} \\end{pmatrix} & \\\\ \\cup "
    "\\infty % $ \\sum \\int \\lim \\ln \\sin \\log | : ; . ... \\in \\{ \\} \\% ° cm e i or and \\approx "
    "\\overline{ 0.3 /"
)


@settings(deadline=None, max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from([*PIECES.split(" "), " ", "\x00", "\u202e"]), max_size=40).map("".join)
    | st.text(max_size=60)
)
def test_anything_is_graded_in_time(answer: str) -> None:
    """Any text gets a verdict in time, the same one twice, and equals itself only where it is written the same."""
    _form(normalise(answer), 0)  # raises nothing, although `form_of` would survive it
    for gold in ("7", "\\frac{x^2+1}{2}", "1,-2", "(2,\\infty)"):
        begun = time.monotonic()
        grade = compare_answers([(gold, answer)])[0]
        assert time.monotonic() - begun < LIMIT
        assert grade.how in (EXACT, MATH_VERIFY, TIMED_OUT, UNPARSED)
        assert compare_answers([(gold, answer)])[0] == grade
    grade_responses(["7"], [f"\\boxed{{{answer}}}"])


def test_timeouts_are_counted_and_cost_one_child() -> None:
    hanging = [f"\\sum_{{k=1}}^{{10^9}} \\sin(k+{k})" for k in range(3)]
    with tallied() as counts:
        begun = time.monotonic()
        found = compare_answers([("8", hanging[0]), ("8", "8.0"), ("8", "nothing"), ("8", None)])
        assert time.monotonic() - begun < LIMIT
    assert [grade.how for grade in found] == [TIMED_OUT, EXACT, EXACT, UNPARSED]
    assert counts == {TIMED_OUT: 1, EXACT: 2, UNPARSED: 1}
    before = pool().pids()
    assert compare_answers([("8", hanging[1])])[0].how == TIMED_OUT
    assert pool().pids() == before
    begun = time.monotonic()
    assert compare_answers([("8", hanging[1])])[0].how == TIMED_OUT  # remembered
    assert time.monotonic() - begun < 0.1


def test_a_hanging_neighbour_changes_no_verdict() -> None:
    hang = "\\prod_{k=1}^{10^{8}} k"
    gold, answer = "\\lfloor w\\rfloor+1", "1+\\lfloor w\\rfloor"
    found = compare_answers([(gold, answer), (f"({gold},5)", f"({answer},{hang})"), ("(7,8)", f"({hang},9)")])
    assert [grade.how for grade in found] == [MATH_VERIFY, TIMED_OUT, EXACT]
    assert found[0].equal
    assert compare_answers([(f"({gold},6)", f"({answer},{hang})")])[0].how == TIMED_OUT


def test_a_group_of_hanging_answers_costs_a_few_deadlines_and_no_vote() -> None:
    answers = [f"(\\prod_{{k=1}}^{{10^8}} (k+{n}),1)" for n in range(6)] + ["(3,1)", "(3.0,1)"]
    begun = time.monotonic()
    with tallied() as counts:
        assert answer_classes(answers)[-2:] == [6, 6]
    assert time.monotonic() - begun < 16
    assert counts[TIMED_OUT] >= 4 and sum(counts.values()) == len(answers)


PUMPED = [
    *(
        "1 ",
        "aaaaaaaa ",
        "million ",
        "base ",
        " cm",
        " \\text{a}",
        "m/s ",
        "and ",
        "apple ",
        "\u2028",
        "\t",
        "\u00a0",
        "abe/",
    ),
    *(
        "1,",
        "0.",
        "\\frac",
        "{,}",
        "'",
        "a'",
        "x=",
        "=",
        "\\pm",
        "1:",
        "|",
        "\\cup",
        "\\{",
        "or ",
        "_",
        "C_1",
        "%",
        "1e5",
    ),
    *(
        "\\overline{1}",
        "\\mathrm{a}",
        "\\begin{cases}",
        "\\\\",
        "&",
        "(A)",
        "A. ",
        "U",
        "oo",
        "+/-",
        "\\approx ",
        "\\in ",
    ),
    *("sqrt(", "1 to ", "!", "9^", "1.5\\cdot10^{308}(1+i)", "2^{-39995}+", "(1+x)", "\\sin ", "°C", "5\\text{"),
    *("1\\frac{1}{2}", "\\{0,", "[0,", "\\boxed{", "answer to "),
]


@pytest.mark.parametrize("piece", PUMPED)
def test_repeated_pieces_are_read_quickly(piece: str) -> None:
    """No pattern of ours backtracks without end: repeated pieces between other pieces, 512 characters of them."""
    for before in ("", "1", "x=", "3 people "):
        for after in ("", "1", "!", "}", " 4"):
            answer = before + piece * ((500 - len(before) - len(after)) // len(piece)) + after
            begun = time.process_time()
            form = _form(normalise(answer), 0)
            for gold in ("x^2+1", "1,-2", "(2,\\infty)"):
                Comparison(lambda *_: None).equal(form_of(gold), form)
            find_answer(f"The answer to {answer}")
            assert time.process_time() - begun < LIMIT / 2, answer[:40]


def test_nested_sets_and_long_exact_sums_are_bounded() -> None:
    one = other = "\\{" + ",".join(map(str, range(1, 40))) + "\\}"
    other = "\\{" + ",".join(map(str, range(39, 0, -1))) + "\\}"
    for _ in range(10):
        one, other = f"\\{{0,{one}\\}}", f"\\{{0,{other}\\}}"
    primes = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71]
    powers = "+".join(f"{p}^{{-{int(39_000 / p.bit_length() * 2)}}}" for p in primes)
    for gold, answer in ((one, other), ("7", powers), ("x", f"x+{powers}")):
        begun = time.process_time()
        compare_answers([(gold, answer)])
        assert time.process_time() - begun < LIMIT


def test_numbers_beyond_floating_point_raise_nothing() -> None:
    odd = [
        "1.5\\cdot10^{308}(1+i)",
        "\\cos(0x)10^{400}",
        "\\{2^{80000},x\\in i\\cdot 10^{308}\\}",
        "(10^{308}):(y-\\pi)^{9}",
        "e^{9^9}",
    ]
    for gold in ("7", "x", *odd):
        for answer in odd:
            compare_answers([(gold, answer)])
    assert answer_classes([*odd, "7"])[-1] == 5
