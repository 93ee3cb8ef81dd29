"""Every verdict from data that call for it, from both sides of its conditions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlvr_bench.schema.finding import VerdictWord
from rlvr_bench.schema.suite import Rule
from rlvr_bench.stats.bounds import Bounds, closed_form
from rlvr_bench.stats.gains import ModelScores, estimate
from rlvr_bench.stats.power import visible_gain
from rlvr_bench.stats.sentences import sentence
from rlvr_bench.stats.verdict import decide

RULE = Rule()
W = VerdictWord


def bounds(gains, *, seeds=3, n=500, wobble=0.0, control=None, names=None) -> Bounds:
    """Exact gains: problems differ, runs do not (but for `wobble`); `control` are its gains over the start."""
    rng = np.random.default_rng(0)
    base = rng.uniform(0.3, 0.6, n)
    noise = rng.normal(0, 0.1, n)
    noise -= noise.mean()
    models = []
    for f, gain in enumerate(gains):
        offsets = np.linspace(-wobble, wobble, seeds)[:, None]
        own = base + (-1) ** f * noise + gain + offsets
        against = base[None] if control is None else np.tile(base + control[f], (seeds, 1))
        models.append(ModelScores(f"m{f}", names[f] if names else f"f{f}", (own,), (against,), control is not None))
    return closed_form(estimate(models, RULE, control_runs=False), RULE)


@pytest.mark.parametrize(
    ("gains", "word", "named"),
    [
        ((0.10, 0.12, 0.09), W.GENERALISES, ("f0", "f1", "f2")),
        ((0.20, 0.0, 0.01), W.ONE_FAMILY, ("f0",)),
        ((0.20, 0.06, 0.0), W.MIXED, ("f0", "f1")),
        ((0.20, -0.10, -0.10), W.ONE_FAMILY, ("f0",)),
        ((0.20, 0.20, 0.035), W.SEVERAL_SO_FAR, ("f0", "f1")),
        ((0.0, 0.01, -0.01), W.ABSENT, ()),
        ((-0.08, 0.0, -0.01), W.HARMFUL, ("f0",)),
        ((0.10,), W.NOT_TESTED, ("f0",)),
    ],
)
def test_words(gains, word, named) -> None:
    found = decide(bounds(gains))
    assert (found.word, found.named) == (word, named)


def test_share_of_a_large_gain() -> None:
    """At +29 a lineage that gains 4 is not shown to be below 5, but clearly has less than half."""
    start = bounds((0.29, 0.04, 0.0), wobble=0.02)
    assert start.lower[1] < RULE.margin < 0.05 < start.upper_equivalence[1]
    assert decide(start).word is W.ONE_FAMILY


def test_leans_where_a_gain_elsewhere_is_not_ruled_out() -> None:
    found = decide(bounds((0.095, 0.04, 0.0), wobble=0.02))
    assert (found.word, found.named) == (W.LEANS_ONE_FAMILY, ("f0",))


def test_harm_is_named_beside_any_verdict() -> None:
    assert decide(bounds((0.2, -0.1, 0.0))).harmed == (False, True, False)


def test_noisy_runs_decide_nothing() -> None:
    assert decide(bounds((0.10, 0.12, 0.09), wobble=0.15)).word is W.INCONCLUSIVE
    assert decide(bounds((0.035, 0.035, 0.035), wobble=0.02)).word is W.INCONCLUSIVE


@pytest.mark.parametrize(
    ("gains", "control", "word", "named"),
    [
        ((0.10, 0.12, 0.09), (0.0, 0.0, 0.0), W.GENERALISES, ("f0", "f1", "f2")),
        ((0.20, 0.20, 0.20), (0.20, 0.0, 0.0), W.SEVERAL_SO_FAR, ("f1", "f2")),
        ((0.20, 0.0, 0.0), (0.20, 0.0, 0.0), W.ELICITATION_ONLY, ("f0",)),
        ((0.20, 0.0, 0.0), (0.0, 0.0, 0.0), W.ONE_FAMILY, ("f0",)),
        ((0.0, 0.0, 0.0), (-0.10, 0.0, 0.0), W.ABSENT, ()),
        ((0.0, 0.0, 0.0), (-0.10, -0.10, -0.10), W.ABSENT, ()),
        ((-0.10, 0.0, 0.0), (-0.10, 0.0, 0.0), W.HARMFUL, ("f0",)),
        ((0.20, -0.10, 0.0), (0.20, 0.0, 0.0), W.ELICITATION_ONLY, ("f0",)),
    ],
)
def test_against_the_control(gains, control, word, named) -> None:
    start, over = bounds(gains), bounds(gains, control=control)
    found = decide(start, [over])
    assert (found.word, found.named) == (word, named)
    assert sentence(found, start, [over])


@pytest.mark.parametrize(
    ("gains", "control", "masked", "with_room"),
    [
        ((0.20, 0.20, 0.20), (0.20, 0.0, 0.0), W.SEVERAL_SO_FAR, W.MIXED),
        ((0.20, 0.10, 0.0), (0.20, 0.0, 0.0), W.INCONCLUSIVE, W.ONE_FAMILY),
    ],
)
def test_no_more_than_the_control_is_evidence_only_where_there_is_room_above_it(
    gains, control, masked, with_room
) -> None:
    """A control that takes all that can be gained shows nothing about the method there."""
    start, over = bounds(gains), bounds(gains, control=control)
    found = decide(start, [over])
    assert (found.word, found.masked) == (masked, ("f0",))
    assert "nothing is shown to give more than a random reward on f0" in sentence(found, start, [over])
    found = decide(start, [over], room=["f0"])
    assert (found.word, found.masked, found.elicited[0]) == (with_room, (), True)
    assert "f0 gains +20.0 over its start, +0.0 over the random reward." in sentence(found, start, [over])


def test_less_than_the_control_is_evidence_without_a_reference() -> None:
    """f0 gains 10 where a random reward gains 20: more could be had, so the control hides nothing."""
    gains, control = (0.10, 0.20, 0.20), (0.20, 0.0, 0.0)
    start, over = bounds(gains), bounds(gains, control=control)
    found = decide(start, [over])
    assert (found.word, found.missing, found.masked) == (W.MIXED, ("f0",), ())
    assert "f0 gains +10.0 over its start, -10.0 over the random reward." in sentence(found, start, [over])


def test_every_control_must_be_beaten() -> None:
    start = bounds((0.2, 0.2, 0.2))
    weak, strong = bounds((0.2,) * 3, control=(0.0, 0.0, 0.0)), bounds((0.2,) * 3, control=(0.2, 0.0, 0.0))
    assert decide(start, [weak]).word is W.GENERALISES
    for pair in ([weak, strong], [strong, weak]):
        found = decide(start, pair)
        assert (found.word, found.credited) == (W.SEVERAL_SO_FAR, (False, True, True))
        assert found.elicited == (True, False, False)
        assert decide(start, pair, room=["f0"]).word is W.MIXED


def test_scales_of_different_lineages_are_refused() -> None:
    with pytest.raises(ValueError, match="not of the same lineages"):
        decide(bounds((0.2, 0.2, 0.2)), [bounds((0.2, 0.2))])


def test_a_control_that_harms_does_not_flatter_the_method() -> None:
    start = bounds((0.0, 0.0, 0.0))
    over = bounds((0.0, 0.0, 0.0), control=(-0.10, -0.10, -0.10))
    assert (over.lower > RULE.margin).all()
    assert not any(decide(start, [over]).credited)


@pytest.mark.parametrize(
    ("gains", "strong", "weak"),
    [
        ((0.1, 0.1, 0.1), W.GENERALISES, W.SEVERAL_SO_FAR),
        ((0.2, 0.0, 0.0), W.ONE_FAMILY, W.LEANS_ONE_FAMILY),
        ((0.0, 0.0, 0.0), W.ABSENT, W.INCONCLUSIVE),
    ],
)
def test_an_untested_lineage_blocks_strong_words(gains, strong, weak) -> None:
    start = bounds(gains)
    assert decide(start).word is strong
    found = decide(start, untested=("gone",))
    assert found.word is weak
    assert "gone" in sentence(found, start)


def test_a_lineage_that_cannot_be_trained_supports_neither_one_family_nor_absent() -> None:
    assert decide(bounds((0.2, 0.0, 0.0)), untrainable=("f1",)).word is W.LEANS_ONE_FAMILY
    assert decide(bounds((0.0, 0.0, 0.0)), untrainable=("f1",)).word is W.INCONCLUSIVE
    assert decide(bounds((0.1, 0.1, 0.1)), untrainable=("f1",)).word is W.GENERALISES


def test_a_doubtful_single_run_blocks_one_family_and_mixed() -> None:
    assert decide(bounds((0.2, 0.0, 0.0)), doubtful="why").word is W.LEANS_ONE_FAMILY
    assert decide(bounds((0.2, 0.2, 0.0)), doubtful="why").word is W.SEVERAL_SO_FAR
    assert "why" in sentence(decide(bounds((0.2, 0.2, 0.0)), doubtful="why"), bounds((0.2, 0.2, 0.0)))


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(3)), st.sampled_from([(0.2, 0.0, 0.01), (0.1, 0.12, 0.2), (-0.08, 0.0, 0.0)]))
def test_relabelling_lineages_permutes_the_verdict(order, gains) -> None:
    plain = decide(bounds(gains))
    names = [f"f{order.index(f)}" for f in range(3)]
    other = decide(bounds(gains, names=names))
    assert other.word is plain.word
    assert set(other.named) == {names[int(name[1])] for name in plain.named}


@pytest.mark.parametrize(
    "gains", [(0.1, 0.1, 0.1), (0.2, 0.0, 0.0), (0.2, 0.2, 0.0), (0.0,) * 3, (-0.1, 0, 0), (0.035,) * 3]
)
def test_sentences_name_sizes_in_points(gains) -> None:
    start = bounds(gains)
    text = sentence(decide(start), start)
    assert text.endswith(".")
    assert "nan" not in text
    assert not text.startswith("0.")


def test_visible_gain_is_near_the_published_table() -> None:
    """Simulated with a run-to-run SD of about 1.6 points: 8.3, 6.5 and 5.9 points with 1, 2 and 3 seeds."""

    def points(seeds: int) -> float:
        return 100 * visible_gain(
            problems=500,
            models=1,
            lineages=3,
            seeds=seeds,
            samples_before=8,
            samples_after=8,
            rule=Rule(prior_run_sd=0.0165),
        )

    assert [points(s) for s in (1, 2, 3)] == pytest.approx([8.3, 6.5, 5.9], abs=0.5)
    assert points(1) > points(2) > points(3)


def test_the_largest_possible_gain_is_on_the_scale_that_shows_it() -> None:
    """ABSENT beside a control that harms: the bound printed is the one below the limit."""
    start, over = bounds((0.0, 0.0, 0.0)), bounds((0.0, 0.0, 0.0), control=(-0.10, -0.10, -0.10))
    found = decide(start, [over])
    assert found.word is W.ABSENT
    bound = float(sentence(found, start, [over]).split("possible gain ")[1].split()[0])
    assert bound == pytest.approx(100 * start.upper_equivalence.max(), abs=0.06) and bound < 5


def test_leans_names_who_is_not_ruled_out_and_by_how_much() -> None:
    start = bounds((0.095, 0.04, -0.05), wobble=0.02)
    found = decide(start)
    assert found.undecided == ("f1",)
    assert f"up to {100 * start.upper_equivalence[1]:+.1f} points in f1" in sentence(found, start)


def test_mixed_names_as_missing_only_what_is_shown_at_its_level() -> None:
    start = bounds((0.2, 0.2, 0.0, 0.0309), wobble=0.01)
    assert start.upper_equivalence[3] < 0.05 < start.upper_equivalence_all[3]
    found = decide(start)
    assert (found.word, found.missing) == (W.MIXED, ("f2",))
    assert sentence(found, start).endswith("missing (or a loss) in f2; f3 not decided.")


def test_advice_says_what_no_more_of_the_same_data_can_give() -> None:
    start = bounds((0.1, 0.1, 0.1))
    assert "takes models of gone that can show a gain" in sentence(decide(start, untested=("gone",)), start)
    one = bounds((0.2, 0.0, 0.0))
    text = sentence(decide(one, untrainable=("f1",)), one)
    assert "the reference is not shown to gain on f1" in text
    assert text.endswith("a reference (ground-truth) arm must be shown to gain on f1.")
    start, over = bounds((0.20, 0.10, 0.0)), bounds((0.20, 0.10, 0.0), control=(0.20, 0.0, 0.0))
    text = sentence(decide(start, [over]), start, [over])
    assert text.endswith("arm must be shown to gain more than a random reward on f0.")
    assert "80 % power" not in text


def test_a_gain_over_the_start_is_not_shown_to_be_missing_by_being_half_as_large() -> None:
    """f1 gains 12 over its start, undecided over the control: half of f0's 35, and yet a gain."""
    gains, control = (0.35, 0.12, 0.0), (0.0, 0.10, 0.0)
    start, over = bounds(gains, wobble=0.02), bounds(gains, control=control, wobble=0.02)
    assert start.lower[1] > RULE.margin and over.lower[1] < RULE.margin
    assert start.share_excluded(0, 1)
    found = decide(start, [over])
    assert (found.word, found.undecided) == (W.LEANS_ONE_FAMILY, ("f1",))
    assert "in f1 is not ruled out" in sentence(found, start, [over])


def test_two_lineages_are_said_to_be_two() -> None:
    start = bounds((0.1, 0.1))
    assert sentence(decide(start), start).endswith("Two lineages only were tested.")


def test_absent_over_the_control_alone_says_so() -> None:
    gains, control = (0.04, 0.0, 0.0), (0.10, 0.0, 0.0)
    start, over = bounds(gains, wobble=0.02), bounds(gains, control=control)
    assert start.upper_equivalence[0] > RULE.no_gain
    found = decide(start, [over])
    assert found.word is W.ABSENT and found.on_control[0]
    assert "(over the random reward in f0)" in sentence(found, start, [over])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**31))
def test_sentences_are_true_of_their_data(seed) -> None:
    """Random gains, controls and references: what a sentence says of a lineage is what the bounds say."""
    rng = np.random.default_rng(seed)

    def some() -> tuple[float, ...]:
        return tuple(rng.choice([-0.1, 0.0, 0.02, 0.06, 0.12, 0.2, 0.3], 3))

    gains, wobble = some(), float(rng.choice([0.0, 0.01, 0.03]))
    start = bounds(gains, wobble=wobble)
    controls = [bounds(gains, control=some(), wobble=wobble) for _ in range(rng.integers(0, 3))]
    room = [g for g in ("f0", "f1", "f2") if rng.random() < 0.5]
    weak = [g for g in ("f0", "f1", "f2") if rng.random() < 0.2]
    found = decide(start, controls, room=room, untrainable=weak)
    text = sentence(found, start, controls, against=["random", "format"][: len(controls)])
    assert decide(start, controls[::-1], room=room, untrainable=weak).word is found.word
    groups = start.estimates.groups
    if found.word in (W.ONE_FAMILY, W.LEANS_ONE_FAMILY, W.MIXED, W.SEVERAL_SO_FAR):
        # whoever gains over the start without being credited is in the sentence with both numbers
        for f, g in enumerate(groups):
            if controls and found.gains[f] and not found.credited[f]:
                assert f"{g} gains {100 * start.estimates.gain[f]:+.1f} over its start" in text
        assert all(found.credited[groups.index(g)] for g in found.named)
    if found.word is W.ONE_FAMILY:
        f = groups.index(found.named[0])
        for g in range(3):
            if g != f:
                scales = [s for s in (start, *controls) if s.larger(f, g)]
                assert any(s.upper_equivalence[g] < RULE.no_gain or s.share_excluded(f, g) for s in scales)
                assert not found.gains[g] or controls
    if "a gain of up to" in text:
        assert float(text.split("a gain of up to ")[1].split()[0]) >= 5
    if found.word is W.SEVERAL_SO_FAR:
        assert all(g in text for g in groups)
    if "80 % power" in text:
        assert found.word in (W.LEANS_ONE_FAMILY, W.SEVERAL_SO_FAR, W.INCONCLUSIVE)
        assert not found.masked
