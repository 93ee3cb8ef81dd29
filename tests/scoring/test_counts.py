"""pass@k and maj@k from counts, and overlap of problems."""

import itertools
import random

import pytest

from rlvr_bench.scoring import majorities, majority_right, pass_at
from rlvr_bench.scoring.overlap import NGRAM, Evaluated, ngrams, tokens, words


@pytest.mark.parametrize(("n", "c"), [(4, 0), (4, 1), (5, 2), (6, 6), (7, 3)])
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(n, c) -> None:
    right = [True] * c + [False] * (n - c)
    for k in range(1, n + 1):
        subsets = list(itertools.combinations(right, k))
        assert pass_at(k, n, c) == pytest.approx(sum(any(s) for s in subsets) / len(subsets))
    with pytest.raises(ValueError, match="needs at least"):
        pass_at(n + 1, n, c)


def box(*answers: str) -> list[str]:
    return [f"\\boxed{{{a}}}" if a else "no idea" for a in answers]


@pytest.mark.parametrize(
    ("answers", "share"),
    [
        (["7", "7", "3"], 1),
        (["7", "3", "3"], 0),
        (["7", "3"], 0.5),
        (["7", "3", "4"], 1 / 3),
        (["7", "7", "0.5", "\\frac{1}{2}"], 0.5),  # one answer in two spellings
        (["7", "7", "0.5", "\\frac{1}{2}", "50\\%"], 0),
        (["7", "", "", ""], 1),  # no answer, no vote
        (["", ""], 0),
        (["3", "4"], 0),
        (["7"], 1),
    ],
)
def test_the_majority_is_right(answers, share) -> None:
    texts = box(*answers)
    assert majority_right(texts, [a == "7" for a in answers]) == pytest.approx(share)


def test_majorities_of_groups() -> None:
    answers = ["7", "3", "7", "7", "3", "3"]
    assert majorities(box(*answers), [a == "7" for a in answers]) == {2: 0.5, 4: 1.0, 6: 0.5}
    assert majorities(box("7"), [True]) == {}
    assert set(majorities(box(*["7"] * 12), [True] * 12)) == {2, 4, 8, 12}


LONG = (
    "A train leaves the station at noon and runs with sixty miles an hour "
    "towards a town that lies far away in the north"
)


def test_words_see_through_typesetting() -> None:
    one = "What is $\\dfrac{1}{2}\\, x$,  if $x \\ge 3$? [asy]draw((0,0)--(1,1));[/asy]"
    assert (
        words(one)
        == words("what is $$ \\frac { 1 } { 2 } x $$ if x \\ge 3")
        == tuple("what is 1 2 x if x ge 3".split())
    )
    assert words("$ , $") == ()
    assert tokens("$3-4$ \u2212 a<b") == ("3", "-", "4", "-", "a", "<", "b")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (LONG, True),
        (LONG.upper() + " ?!", True),
        ("Read this. " + LONG + " How long does it take?", True),
        (" ".join(LONG.split()[: NGRAM + 5]), True),  # 6 of its 12 13-grams
        (" ".join(LONG.split()[: NGRAM + 4]), False),  # 5 of 12
        (LONG.replace("sixty", "sixteen"), False),
        ("Short one?", True),
        ("Short two?", False),
        ("So this is a Short one? Or not", False),
        ("Well: Solve $x^2-4x+3=0$ for $x$. Thanks", True),
        ("Solve $x^2 - 4x + 3 = 0$ for $x$.", True),
        ("Solve $x^2+4x+3=0$ for $x$.", False),
        ("", False),
        ("$$", False),
    ],
)
def test_a_match_is_the_same_words_or_half_of_the_ngrams(text, match) -> None:
    tested = Evaluated(
        [("long", LONG), ("short", "Short one?"), ("eq", "Solve $x^2-4x+3=0$ for $x$."), ("empty", "$$")]
    )
    assert len(ngrams(words(LONG))) == 12
    assert (tested.match(text) is not None) == match


def test_many_are_compared_in_no_time() -> None:
    rng = random.Random(1)
    vocabulary = [f"w{i}" for i in range(2000)]
    texts = [" ".join(rng.choices(vocabulary, k=60)) for _ in range(3000)]
    tested = Evaluated((str(i), text) for i, text in enumerate(texts[:600]))
    assert [i for i, text in enumerate(texts) if tested.match(text) is not None] == list(range(600))
