"""Strategies: the paper's printed contributions from its counts, and our counts against a plain enumeration."""

from itertools import product

import numpy as np
import pytest

from rlvr_bench.diagnostics.strategies import (
    answers,
    correlation,
    identity_gap,
    partial_contributions,
    sentences,
    strategy,
)
from rlvr_bench.schema.finding import Gain, LineageFinding
from rlvr_bench.schema.record import Outcome
from rlvr_bench.scoring.behaviour import BEHAVIOURS

CASES = ("code to code", "code to language", "language to code", "language to language")
# Spurious Rewards, Figure 7, Qwen2.5-Math-7B: (n, right before, right after) for each case, and the printed percentages
PANELS = {
    "ground truth": ([(165, 105, 119), (160, 93, 125), (72, 20, 56), (103, 29, 91)], (9.7, 22.2, 25.0, 43.1)),
    "majority vote": ([(243, 148, 172), (82, 50, 64), (119, 28, 96), (56, 21, 50)], (17.8, 10.4, 50.4, 21.5)),
    "format": ([(314, 191, 212), (11, 7, 5), (152, 36, 119), (23, 13, 21)], (19.1, -1.8, 75.5, 7.3)),
    "incorrect": ([(301, 182, 210), (24, 16, 20), (129, 29, 100), (46, 20, 38)], (23.1, 3.3, 58.7, 14.9)),
    "random": ([(268, 164, 155), (57, 34, 41), (142, 34, 98), (33, 15, 31)], (-11.5, 9.0, 82.1, 20.5)),
}
TABLE_2 = (11.6, 8.6, 58.3, 21.4)


@pytest.mark.parametrize("name", PANELS)
def test_the_printed_contributions_of_figure_7(name) -> None:
    counts, printed = PANELS[name]
    found = partial_contributions({case: row[1:] for case, row in zip(CASES, counts, strict=True)})
    assert [round(100 * found[case], 1) for case in CASES] == pytest.approx(printed, abs=0.0501)
    assert sum(found.values()) == pytest.approx(1)


def test_table_2_is_the_plain_mean_over_all_five_rewards() -> None:
    each = [
        partial_contributions(dict(zip(CASES, [row[1:] for row in counts], strict=True)))
        for counts, _ in PANELS.values()
    ]
    means = [100 * np.mean([one[case] for one in each]) for case in CASES]
    assert [round(m, 1) for m in means] == pytest.approx(TABLE_2, abs=0.0501)
    gains = [sum(row[2] - row[1] for row in counts) / 5 for counts, _ in PANELS.values()]
    assert np.mean(gains) == pytest.approx(23.52)


@pytest.mark.parametrize("name", PANELS)
def test_single_answers_give_the_papers_panel(name) -> None:
    """One greedy answer a problem before and after: n, right before and right after of each case come out."""
    counts, printed = PANELS[name]
    before, after = [], []
    for case, (n, right, then) in zip(product("cl", repeat=2), counts, strict=True):
        for i in range(n):
            for found, letter, good in ((before, case[0], i < right), (after, case[1], i >= n - then)):
                pattern = {f"{letter}-b-lm": (1, int(good))}
                found.append(
                    Outcome(
                        id=str(len(found)), attempts=1, correct=int(good), unparsed=0, truncated=0, patterns=pattern
                    )
                )
    s = strategy("m", "a", ["code"], answers(before), [answers(after)])
    assert s.gap == 0 and s.gain == pytest.approx(sum(c - b for _, b, c in counts) / 500)
    assert [(t.before, t.after) for t in s.transitions] == list(product(("code", "language"), repeat=2))
    for t, (n, right, then), part in zip(s.transitions, counts, printed, strict=True):
        assert 500 * (t.kept + t.lost + t.won + t.missed) == pytest.approx(n)
        assert 500 * (t.kept + t.lost) == pytest.approx(right) and 500 * (t.kept + t.won) == pytest.approx(then)
        assert 100 * (t.part or 0) == pytest.approx(part, abs=0.0501)


def test_the_identity_of_table_1() -> None:
    """Share x accuracy adds up for three of the paper's models, and not for the printed row of Qwen2.5-Math-7B."""
    for share, code, language, whole in (
        (0.536, 0.526, 0.172, 0.362),
        (0.922, 0.399, 0.615, 0.416),
        (0.980, 0.210, 0.400, 0.214),
        (0.650, 0.609, 0.280, 0.494),
    ):
        assert identity_gap((share, 1 - share), (code, language), whole) < 0.001
    assert identity_gap((0.65, 0.35), (0.609, 0.35), 0.494) == pytest.approx(0.0244, abs=0.001)


def drawn(rng, n: int, samples: int) -> list[Outcome]:
    letters = [list(classes) for classes in BEHAVIOURS.values()]
    found = []
    for i in range(n):
        patterns: dict[str, tuple[int, int]] = {}
        for _ in range(samples):
            name = "".join(rng.choice(options[:2]) for options in letters)
            count, right = patterns.get(name, (0, 0))
            patterns[name] = (count + 1, right + int(rng.random() < 0.4))
        correct = sum(right for _, right in patterns.values())
        found.append(Outcome(id=str(i), attempts=samples, correct=correct, unparsed=0, truncated=0, patterns=patterns))
    return found


@pytest.mark.parametrize(
    "behaviours", [("code",), ("boxed",), ("script",), ("length",), ("code", "boxed"), ("repetition", "length")]
)
def test_any_behaviour_and_any_pair_against_a_plain_count(behaviours) -> None:
    rng = np.random.default_rng(5)
    before, runs = drawn(rng, 12, 6), [drawn(rng, 12, 4), drawn(rng, 12, 4)]
    s = strategy("m", "a", behaviours, answers(before), [answers(run) for run in runs])
    places = [list(BEHAVIOURS).index(b) for b in behaviours]

    def each(o: Outcome) -> dict[str, tuple[float, float]]:
        """Share and share right by class."""
        found: dict[str, tuple[float, float]] = {}
        for name, (count, right) in o.patterns.items():
            key = ", ".join(BEHAVIOURS[b][name[p]] for b, p in zip(behaviours, places, strict=True))
            share, good = found.get(key, (0.0, 0.0))
            found[key] = (share + count / o.attempts, good + right / o.attempts)
        return found

    want: dict[tuple[str, str, bool, bool], float] = {}
    for i, one in enumerate(before):
        p, runs_of = each(one), [each(run[i]) for run in runs]
        names = {name for run in runs_of for name in run}
        q = {
            name: tuple(sum(run.get(name, (0, 0))[k] for run in runs_of) / len(runs) for k in (0, 1)) for name in names
        }
        moves = sum(max(0.0, p[b][0] - q.get(b, (0, 0))[0]) for b in p)
        for b, a in product(p, q):
            mass = min(p[b][0], q[a][0]) if a == b else 0.0
            if moves:
                less, more = p[b][0] - q.get(b, (0, 0))[0], q[a][0] - p.get(a, (0, 0))[0]
                mass += max(0.0, less) * max(0.0, more) / moves
            r, s_ = p[b][1] / p[b][0], q[a][1] / q[a][0]
            for good, then in product((True, False), repeat=2):
                part = mass * (r if good else 1 - r) * (s_ if then else 1 - s_)
                want[b, a, good, then] = want.get((b, a, good, then), 0.0) + part / 12
    for t in s.transitions:
        cells = {(True, True): t.kept, (True, False): t.lost, (False, True): t.won, (False, False): t.missed}
        for (good, then), value in cells.items():
            assert value == pytest.approx(want.get((t.before, t.after, good, then), 0.0))
    assert sum(t.contribution for t in s.transitions) == pytest.approx(s.gain)
    assert sum(t.kept + t.lost + t.won + t.missed for t in s.transitions) == pytest.approx(1)
    for side in ("before", "after"):
        shares = [getattr(c, f"share_{side}") for c in s.classes]
        right = [getattr(c, f"accuracy_{side}") or 0.0 for c in s.classes]
        whole = np.mean([o.correct / o.attempts for run in ([before] if side == "before" else runs) for o in run])
        assert identity_gap(shares, right, whole) < 1e-12


def test_counts_that_contradict_themselves_have_a_gap() -> None:
    o = Outcome(id="1", attempts=4, correct=3, unparsed=0, truncated=0, patterns={"cpb-lm": (4, 2)})
    assert strategy("m", "a", ["code"], answers([o]), [answers([o])]).gap == pytest.approx(0.25)


def test_correlation() -> None:
    assert correlation([0, 0.5, 1], [0.2, 0.4, 0.6]) == pytest.approx(1)
    assert correlation([0, 1], [0, 1]) is None and correlation([0.5] * 3, [0, 1, 2]) is None


def lineage(estimate: float, error: float = 0.01) -> LineageFinding:
    gain = Gain(
        estimate=estimate, lower=estimate - 2 * error, upper=estimate + 2 * error, standard_error=error, degrees=9
    )
    return LineageFinding(
        lineage="q", models=("m",), gain=gain, p_value=0.0, p_holm=0.0, gain_over_control=None, control_gain=None,
        credited=None, elicited=False, shown_small=False, harmed=False, reference_gain=None, trainable=None,
        gain_logit=gain,
    )  # fmt: skip


def said(name: str, estimate: float) -> str:
    counts, _ = PANELS[name]
    before, after = [], []
    for case, (n, right, then) in zip(product("cl", repeat=2), counts, strict=True):
        for i in range(n):
            for found, letter, good in ((before, case[0], i < right), (after, case[1], i >= n - then)):
                found.append(
                    Outcome(
                        id="",
                        attempts=1,
                        correct=int(good),
                        unparsed=0,
                        truncated=0,
                        patterns={f"{letter}-b-lm": (1, int(good))},
                    )
                )
    s = strategy("m", "method", ["code"], answers(before), [answers(after)])
    return " | ".join(sentences([lineage(estimate)], [s], "method"))


def test_a_sentence_says_what_carries_a_gain() -> None:
    assert said("random", 0.156).startswith("q: language → code carries the gain: language → code +14.2, within")
    assert "code in 65 → 82 % of the answers" in said("random", 0.156)
    assert "no gain or loss is shown" in said("format", 0.0)


def outcomes(code: int, right_code: int, right_words: int, *, boxed: int = 10) -> list[Outcome]:
    """20 problems of 10 answers each, `code` of them in code, `boxed` boxed."""
    patterns: dict[str, tuple[int, int]] = {}
    for i in range(10):
        name = f"{'c' if i < code else 'l'}-{'b' if (i * 3) % 10 < boxed else '-'}-lm"
        good = i < right_code if i < code else i - code < right_words
        count, right = patterns.get(name, (0, 0))
        patterns[name] = (count + 1, right + int(good))
    correct = right_code + right_words
    return [
        Outcome(id=str(n), attempts=10, correct=correct, unparsed=0, truncated=0, patterns=patterns) for n in range(20)
    ]


def told(before: list[Outcome], after: list[Outcome], behaviours=("code", "boxed")) -> list[str]:
    made = [strategy("m", "method", [b], answers(before), [answers(after)]) for b in behaviours]
    gain = made[0].gain
    for s in made:
        assert s.switch + sum(s.within.values()) == pytest.approx(s.gain) == pytest.approx(gain)
    return list(sentences([lineage(gain)], made, "method"))


def test_a_switch_carries_nothing_where_nobody_switched() -> None:
    """As many answers as can be stay in their class."""
    (found,) = told(outcomes(4, 1, 0), outcomes(4, 4, 0))
    assert found.startswith("q: within code carries the gain: within code +30.0 of +30.0 points; code in 40 → 40 %")
    (found,) = told(outcomes(4, 1, 0), outcomes(3, 3, 0))  # less code, and better
    assert "within code" in found.split(":")[1] and "code → language -" not in found.split(" of ")[0].split(",")[0]
    found = told(outcomes(5, 5, 3), outcomes(5, 5, 0))
    assert found[0].startswith("q: within language carries the loss: within language -30.0 of -30.0 points; code in 50")
    assert len(found) == 1


def test_a_switch_carries_what_it_is_worth() -> None:
    (found,) = told(outcomes(2, 2, 2), outcomes(8, 8, 0))
    assert found.startswith("q: language → code carries the gain: language → code")
    assert told(outcomes(5, 5, 3, boxed=5), outcomes(5, 5, 0, boxed=5))[1:] == []  # boxed as often as before


def test_a_model_without_a_behaviour_has_no_switch() -> None:
    """Denominators are all models of the lineage, in the gain and in its parts."""
    code = [
        strategy(m, "method", ["code"], answers(outcomes(5, 1, 1)), [answers(outcomes(5, 3, 3))]) for m in ("m", "n")
    ]
    boxed = strategy(
        "m", "method", ["boxed"], answers(outcomes(5, 1, 1, boxed=3)), [answers(outcomes(5, 3, 3, boxed=9))]
    )
    two = lineage(0.4).model_copy(update={"models": ("m", "n")})
    assert sentences([two], [*code, boxed.model_copy(update={"switch": 0.3})], "method")[1:] == ()  # 0.15 of 0.4
    found = sentences([two], [*code, boxed.model_copy(update={"switch": 0.6})], "method")
    assert found[1].startswith("q: not boxed → boxed carries +30.0 of +40.0 points")
