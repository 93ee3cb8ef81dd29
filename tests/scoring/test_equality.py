"""When two answers are equal: the case table, made variants, the golds of the benchmarks, the slow path."""

import random
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlvr_bench.errors import UsageError
from rlvr_bench.scoring import answer_classes, answers_equal, check_golds, compare_answers, grade_response
from tests.scoring.rewritings import golds, mistakes, rewritings, slow_verdicts

EQUAL_GOLDS = (
    {"-2,1", "1,-2", "(-2,1)"},  # one list in two orders; a bare list is read as a point where a point is asked for
    {"x=5", "5"},
    {"36", "36^\\circ", "\\$36"},
    {"204", "204_5"},
    {"40", "40_9"},
    {"15", "15\\mbox{ cm}^2"},
)
"""Golds of different problems that are equal as answers by the conventions (a missing unit, base or name)."""

needs_data = pytest.mark.skipif(not golds(), reason="the benchmarks' problems are not beside this clone")


def cases() -> Iterator[tuple[str, str, str, bool]]:
    """Yield (section, gold, answer, equal) of the case table."""
    section = gold = ""
    for line in (Path(__file__).parent / "cases.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif line.startswith("  ") and line[2:4] in ("= ", "! "):
            yield section, gold, line[4:], line[2] == "="
        elif line and not line.startswith("# "):
            gold = line


CASES = list(cases())


def test_the_table_is_broad() -> None:
    assert len(CASES) > 1000
    assert len({section for section, *_ in CASES}) >= 25
    assert 0.4 < sum(equal for *_, equal in CASES) / len(CASES) < 0.7


@pytest.mark.parametrize("section", sorted({section for section, *_ in CASES}))
def test_cases(section: str) -> None:
    mine = [case for case in CASES if case[0] == section]
    found = compare_answers([(gold, answer) for _, gold, answer, _ in mine])
    wrong = [(g, a, want) for (_, g, a, want), grade in zip(mine, found, strict=True) if grade.equal is not want]
    assert not wrong


def test_cases_inside_a_response() -> None:
    """The same verdict from a box, from a sentence, and after other boxes."""
    rng = random.Random(0)
    for _, gold, answer, equal in rng.sample(CASES, 300):
        if "\\boxed" in answer or answer.count("{") != answer.count("}"):
            continue
        for text in (f"First \\boxed{{17}}.\n\nSo the answer is $\\boxed{{{answer}}}$.", f"<answer>{answer}</answer>"):
            assert grade_response(gold, text) is equal, (gold, answer, text)


@settings(deadline=None)
@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6), st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_fractions(a: int, b: int, c: int, d: int) -> None:
    """Two fractions are equal where a/b = c/d, however they are written."""
    equal = Fraction(a, b) == Fraction(c, d)
    ways = (f"\\frac{{{c}}}{{{d}}}", f"{c}/{d}", f"\\dfrac{{{-c}}}{{{-d}}}", f"({c})/({d})", f"{c} \\div {d}")
    for answer in ways:
        assert answers_equal(f"\\frac{{{a}}}{{{b}}}", answer) is equal, answer
    assert answers_equal(f"\\frac{{{a}}}{{{b}}}", f"\\frac{{{3 * a}}}{{{3 * b}}}")


@settings(deadline=None)
@given(st.integers(1, 999), st.integers(1, 99), st.integers(2, 100))
def test_mixed_numbers(whole: int, top: int, bottom: int) -> None:
    if top >= bottom:
        return
    value = whole + Fraction(top, bottom)
    for answer in (
        f"{whole}\\frac{{{top}}}{{{bottom}}}",
        f"{whole} {top}/{bottom}",
        f"{whole} \\tfrac{{{top}}}{{{bottom}}}",
    ):
        assert answers_equal(f"\\frac{{{value.numerator}}}{{{value.denominator}}}", answer), answer
        assert not answers_equal(f"\\frac{{{value.numerator + 1}}}{{{value.denominator}}}", answer), answer


@settings(deadline=None)
@given(st.integers(-(10**9), 10**9))
def test_whole_numbers_are_written_in_many_ways(n: int) -> None:
    gold = str(n)
    for answer in (f"{n:,}", f"{n}.0", f"\\text{{{n}}}", f"${n}$", f"{n} \\text{{ units}}", f"{n}^\\circ", f"x = {n}"):
        assert answers_equal(gold, answer), answer
        assert not answers_equal(str(n + 1), answer), answer


@settings(deadline=None)
@given(st.lists(st.integers(-50, 50), min_size=2, max_size=6, unique=True), st.randoms(use_true_random=False))
def test_lists_and_tuples(items: list[int], rng: random.Random) -> None:
    shuffled = rng.sample(items, len(items))
    bare, other = ", ".join(map(str, items)), ",".join(map(str, shuffled))
    for answer in (
        other,
        f"\\{{{other}\\}}",
        " and ".join(map(str, shuffled)),
        "x = " + " or x = ".join(map(str, shuffled)),
    ):
        assert answers_equal(bare, answer), answer
    assert answers_equal(f"({bare})", f"({other})") is (items == shuffled)
    assert not answers_equal(bare, ", ".join(map(str, items[:-1])))
    assert not answers_equal(bare, other + ", 99")


@settings(deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=2, max_size=5), st.integers(-9, 9), st.randoms(use_true_random=False))
def test_polynomials(coefficients: list[int], shift: int, rng: random.Random) -> None:
    """Terms in any order, and a factor taken out, are the same polynomial; another constant is another."""
    terms = [f"{c}x^{{{k}}}" for k, c in enumerate(coefficients)]
    mixed = "+".join(f"({term})" for term in rng.sample(terms, len(terms)))
    plain = " + ".join(terms).replace("+ -", "- ")
    assert answers_equal(plain, mixed)
    assert answers_equal(plain, f"\\frac{{2({mixed})}}{{2}}")
    assert answers_equal(plain, f"{mixed} + {shift}".replace("+ -", "- ")) is (shift == 0)


@settings(deadline=None)
@given(st.integers(1, 10**6), st.integers(1, 6))
def test_repeating_decimals(block: int, start: int) -> None:
    digits = str(block)
    value = Fraction(start, 10) + Fraction(block, (10 ** len(digits) - 1) * 10)
    gold = f"\\frac{{{value.numerator}}}{{{value.denominator}}}"
    assert answers_equal(gold, f"0.{start}\\overline{{{digits}}}")
    assert not answers_equal(gold, f"0.{start}\\overline{{{digits}7}}") or set(digits) == {"7"}


def test_another_writing_of_a_number_is_one_vote() -> None:
    answers = ["\\frac{1}{2}", "0.5", "2", None, "50\\%", "\\frac{2}{4}", "x=2", "", "\\text{two}"]
    assert answer_classes(answers) == [0, 0, 2, None, 0, 0, 2, None, 8]


@needs_data
def test_all_golds_parse_and_equal_their_rewritings() -> None:
    found = golds()
    assert len(found) == 683
    check_golds(found)
    pairs = [(gold, answer) for _, gold in found for answer in rewritings(gold)]
    assert len(pairs) > 9_000
    wrong = [pair for pair, grade in zip(pairs, compare_answers(pairs), strict=True) if not grade.equal]
    assert not wrong


@needs_data
def test_golds_differ_from_each_other() -> None:
    distinct = sorted({gold for _, gold in golds()})
    pairs = [(a, b) for a in distinct for b in distinct if a != b]
    same = {(a, b) for (a, b), grade in zip(pairs, compare_answers(pairs), strict=True) if grade.equal}
    allowed = {(a, b) for group in EQUAL_GOLDS for a in group for b in group if a != b}
    spelling = {(a, b) for a, b in same if plain(a) == plain(b)}
    assert same - allowed - spelling == set()
    assert ("10080", "10,\\!080") in same


def plain(gold: str) -> str:
    """Return a gold without what only its spelling adds."""
    for mark in (" ", "\\!", ",\\!", ",", "^\\circ", "{", "}"):
        gold = gold.replace(mark, "")
    return gold


@needs_data
def test_perturbed_golds_differ() -> None:
    rng = random.Random(1)
    # a unit's power decides nothing, so golds with one stay out
    pairs = [(gold, answer) for _, gold in golds() if "\\mbox" not in gold for answer in mistakes(gold, rng)]
    assert len(pairs) > 3_000
    assert [pair for pair, grade in zip(pairs, compare_answers(pairs), strict=True) if grade.equal] == []


@needs_data
def test_training_golds_parse() -> None:
    """Of 2,000 problems of the DeepScaleR training set, every gold answer can be graded and equals itself."""
    found = golds("train_sample", "oneshot_pi1")
    check_golds(found)
    pairs = [(gold, f"\\boxed{{{gold}}}") for _, gold in found]
    assert all(grade.equal for grade in compare_answers(pairs))


@needs_data
def test_the_fast_path_says_what_the_slow_path_says() -> None:
    """Each MATH-500 gold against rewritings and mistakes: our reader and math-verify give one verdict."""
    rng = random.Random(2)
    pairs = []
    for _, gold in rng.sample(golds("math500"), 120):
        pairs += [(gold, answer) for answer in rng.sample(list(rewritings(gold)), 2)]
        pairs += [(gold, answer) for answer in list(mistakes(gold, rng))[:3]]
    slow, fast = slow_verdicts(pairs), compare_answers(pairs)
    assert [p for p, f, s in zip(pairs, fast, slow, strict=True) if s is not None and f.equal != s] == []
    assert Counter(grade.how for grade in fast)["exact"] > 0.98 * len(pairs)


@pytest.mark.parametrize(
    ("gold", "why"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("\\frac{1}{", "brackets"),
        ("1}{2", "brackets"),
        ("\\foo{\\bar", "brackets"),
        ("7" * 600, "600 characters"),
        ("\\sqrt[", "cannot be parsed"),
        ("1 + + * 2", "cannot be parsed"),
    ],
)
def test_a_gold_that_cannot_be_graded_is_refused_with_its_problem(gold: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        check_golds([("fine", "7"), ("p17", gold)])
    assert "p17" in caught.value.message
