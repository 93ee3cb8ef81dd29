"""From records to a report, through the real runner with made-up outcomes."""

from dataclasses import replace

import pytest

from rlvr_bench import catalog
from rlvr_bench.analysis import analyse
from rlvr_bench.errors import NothingMeasuredError
from rlvr_bench.schema.finding import Report, VerdictWord
from tests.fakes import folder_of, planned
from tests.judged import ALL, L, O, Q, gains, judged, names


def test_generalises(runs) -> None:
    report = judged(runs, "ttrl", gains=gains("ttrl", 0.2, 0.2, 0.2), base=0.57)
    assert report.verdict.word is report.over_start.word is VerdictWord.GENERALISES
    assert names(report) == {"transductive"}
    assert report.failures == ()
    assert [ln.trainable for ln in report.lineages] == [True] * 3


def test_one_family_and_its_harm(runs) -> None:
    report = judged(runs, gains=gains("python", 0.3, 0.0, -0.2))
    assert (report.verdict.word, report.verdict.lineages) == (VerdictWord.ONE_FAMILY, (Q,))
    assert report.verdict.harmed == (O,)


def test_elicitation_only(runs) -> None:
    report = judged(runs, gains={**gains("python", 0.2, 0.0, 0.0), ("random", Q): 0.2})
    assert report.verdict.word is VerdictWord.ELICITATION_ONLY
    assert report.over_start.word is VerdictWord.ONE_FAMILY


def test_gains_are_those_of_the_records(runs) -> None:
    report = judged(runs, gains=gains("python", 0.2, 0.1, 0.0))
    for ln in report.lineages:
        mine = [m for m in report.models if m.lineage == ln.lineage]
        assert ln.gain.estimate == pytest.approx(sum(sum(m.after) / 2 - m.before for m in mine) / 2)
        assert ln.gain_over_control is not None
        assert ln.gain_over_control.estimate == pytest.approx(
            sum((sum(m.after) - sum(m.control)) / 2 for m in mine) / 2
        )


def test_the_control_itself_is_judged_without_one(runs) -> None:
    report = judged(runs, "random", gains=gains("python", 0, 0, 0))
    assert report.control is None
    assert "no-control" in names(report)
    assert all(ln.gain_over_control is None for ln in report.lineages)


def test_the_reference_itself(runs) -> None:
    report = judged(runs, "ground-truth", gains=gains("python", 0, 0, 0))
    assert report.verdict.word is VerdictWord.GENERALISES
    assert report.reference == "ground-truth"
    assert "no-reference" not in names(report)


def test_a_lineage_that_cannot_be_trained(runs) -> None:
    world = gains("python", 0.3, 0.0, 0.0) | {("ground-truth", O): 0.0}
    report = judged(runs, gains=world)
    assert report.verdict.word is VerdictWord.LEANS_ONE_FAMILY
    assert [f.about for f in report.flags if f.name == "not-trainable-here"] == [(O,)]


def test_a_dead_reward_leaves_the_rule(runs) -> None:
    report = judged(runs, gains=gains("python", 0.3, 0.0, 0.0), dead={"micro-olmo-a", "micro-olmo-b"})
    assert report.not_tested == (O,)
    assert report.verdict.word is VerdictWord.LEANS_ONE_FAMILY
    assert "dead-reward" in names(report)
    assert {m.excluded for m in report.models} == {None, "dead-reward"}


def test_saturated_everywhere(runs) -> None:
    report = judged(runs, gains={}, base=0.99)
    assert report.verdict.word is VerdictWord.INCONCLUSIVE
    assert names(report) >= {"saturated"}
    assert report.not_tested == ALL


def test_a_missing_seed_is_incomplete_not_fatal(runs) -> None:
    report = judged(runs, gains=gains("python", 0.3, 0.3, 0.3), fail={"micro-qwen-a/python/seed-22/train"})
    assert report.verdict.word is VerdictWord.GENERALISES
    assert "incomplete" in names(report)
    assert len(report.failures) == 2
    assert len(next(m for m in report.models if m.model == "micro-qwen-a").after) == 1


def test_a_missing_lineage_leaves_the_question_open(runs) -> None:
    lost = {f"micro-olmo-{m}/python/seed-{s}/train" for m in "ab" for s in (21, 22)}
    report = judged(runs, gains=gains("python", 0.3, 0.3, 0.3), fail=lost)
    assert report.verdict.word is VerdictWord.INCONCLUSIVE
    assert O in report.verdict.sentence


def test_nothing_measured(runs) -> None:
    plan = planned("python", models=["micro-qwen-a"], seeds=1)
    with pytest.raises(NothingMeasuredError):
        judged(runs, plan=plan, fail={"micro-qwen-a/baseline/arithmetic"})


def test_single_runs_say_so(runs) -> None:
    report = judged(runs, plan=planned("python", seeds=1), gains=gains("python", 0.3, 0.0, 0.0))
    assert "single-run" in names(report)
    assert any("not observed" in a for a in report.assumptions)
    assert report.partial == ("seeds: 1 of 2",)


def test_one_lineage_says_nothing_of_others(runs) -> None:
    plan = planned("python", models=["micro-qwen-a", "micro-qwen-b"])
    report = judged(runs, plan=plan, gains=gains("python", 0.3, 0.0, 0.0))
    assert report.verdict.word is VerdictWord.NOT_TESTED


def test_equal_runs_give_equal_bytes(runs, tmp_path) -> None:
    world = gains("python", 0.3, 0.0, -0.2)
    one = judged(runs, gains=world)
    other = judged(tmp_path / "elsewhere", gains=world)
    assert one.model_dump_json() == other.model_dump_json()


def flag(report: Report, name: str):
    return next((f for f in report.flags if f.name == name), None)


def test_models_of_a_lineage_that_disagree_in_sign(runs) -> None:
    world = gains("python", 0.0, 0.0, 0.0) | {("python", "micro-qwen-a"): 0.2, ("python", "micro-qwen-b"): -0.2}
    report = judged(runs, gains=world)
    found = flag(report, "split-lineage")
    assert found and found.about == (Q,)
    assert "micro-qwen-a +" in found.evidence and "micro-qwen-b -" in found.evidence
    assert flag(judged(runs, "format", gains=gains("format", 0.2, 0.0, 0.0)), "split-lineage") is None


def test_a_lost_control_leaves_the_headline_open_and_the_second_line_standing(runs) -> None:
    lost = {f"micro-olmo-{m}/random/seed-{s}/train" for m in "ab" for s in (21, 22)}
    report = judged(runs, gains=gains("python", 0.3, 0.3, 0.3), fail=lost)
    assert report.verdict.word is VerdictWord.INCONCLUSIVE
    assert O in report.verdict.sentence
    assert report.over_start.word is VerdictWord.GENERALISES
    assert [ln.credited for ln in report.lineages] == [True, True, False]


def test_a_model_without_control_is_named_and_stays_in_the_second_line(runs) -> None:
    lost = {f"micro-olmo-a/random/seed-{s}/train" for s in (21, 22)}
    report = judged(runs, gains=gains("python", 0.3, 0.3, 0.3), fail=lost)
    assert report.verdict.word is VerdictWord.GENERALISES
    assert {m.model for m in report.models} >= {"micro-olmo-a"}
    found = flag(report, "incomplete")
    assert found and "no control run for micro-olmo-a" in found.evidence


def test_a_model_without_any_result_is_named(runs) -> None:
    report = judged(runs, gains=gains("python", 0.3, 0.3, 0.3), fail={"micro-olmo-a/baseline/arithmetic"})
    assert report.not_measured == ("micro-olmo-a",)
    found = flag(report, "incomplete")
    assert found and "no result at all for micro-olmo-a" in found.evidence


def test_a_lost_reference_is_said(runs) -> None:
    lost = {f"micro-{ln}-{m}/ground-truth/seed-{s}/train" for ln in ("qwen", "olmo") for m in "ab" for s in (21, 22)}
    found = flag(judged(runs, gains=gains("python", 0.3, 0.0, 0.0), fail=lost), "no-reference")
    assert found and set(found.about) == {Q, O}


def test_single_runs_have_a_tipping_point(runs) -> None:
    report = judged(runs, plan=planned("python", seeds=1), gains=gains("python", 0.15, 0.15, 0.15))
    assert report.verdict.word is VerdictWord.GENERALISES
    assert report.verdict.tipping_sd is not None
    assert 0.02 < report.verdict.tipping_sd < 0.2
    found = flag(report, "single-run")
    assert found and f"{100 * report.verdict.tipping_sd:.2f} points" in found.evidence
    assert judged(runs, gains=gains("python", 0.15, 0.15, 0.15)).verdict.tipping_sd is None


def test_one_model_stands_for_its_lineage_in_words(runs) -> None:
    plan = planned("python", models=["micro-qwen-a", "micro-olmo-a"])
    report = judged(runs, plan=plan, gains=gains("python", 0.3, 0.0, 0.0))
    assert "in the one micro-qwen model tested" in report.verdict.sentence


def test_the_printed_prior_is_the_one_used(runs) -> None:
    report = judged(runs, "format", gains=gains("format", 0.3, 0.0, 0.0))
    assert "prior 4.0" in report.assumptions[0]
    assert "prior 2.0" in judged(runs, gains=gains("python", 0.3, 0.0, 0.0)).assumptions[0]
    small = judged(runs, plan=planned("python", limit=100), gains=gains("python", 0.3, 0.0, 0.0))
    assert "prior 3.0" in small.assumptions[0]


def test_sharpened_and_mostly_format(runs, monkeypatch) -> None:
    import tests.fakes as fakes

    real = fakes.outcomes

    def tilted(inputs, rate, samples):
        """Greedy is 20 points above sampling, and the untrained model leaves 15 % unparsed."""
        found = real(inputs, rate + (0.2 if samples == 1 else 0.0), samples)
        rise = 0.15 if inputs.checkpoint is None else 0.0
        return tuple(replace(o, unparsed=int(i < rise * len(found)) * samples) for i, o in enumerate(found))

    monkeypatch.setattr(fakes, "outcomes", tilted)
    report = judged(runs, gains=gains("python", 0.2, 0.45, 0.0))
    sharp, form = flag(report, "sharpened"), flag(report, "mostly-format")
    assert sharp and {m.rsplit("-", 1)[0] for m in sharp.about} == {Q}
    assert form and {m.rsplit("-", 1)[0] for m in form.about} == {Q}


def two_tasks():

    suite = catalog.load_suite("micro")
    problems = suite.tasks[0].problems.model_copy(update={"count": 60})
    side = suite.tasks[0].model_copy(update={"name": "side", "deciding": False, "problems": problems})
    return suite.model_copy(update={"tasks": (*suite.tasks, side)})


def test_a_task_that_does_not_decide_is_shown_and_cannot_void_a_cell(runs) -> None:
    plan = planned("python", suite=two_tasks())
    lost = {f"micro-olmo-{m}/python/seed-{s}/side" for m in "ab" for s in (21, 22)}
    world = gains("python", 0.3, 0.3, 0.3) | {("python", "side"): -0.3}
    report = judged(runs, plan=plan, gains=world, fail=lost)
    assert report.verdict.word is VerdictWord.GENERALISES
    assert report.problems == 400
    deciding, side = report.tasks
    assert (deciding.deciding, side.deciding, side.problems) == (True, False, 60)
    assert set(side.gains) == {Q, L}
    assert side.gains[Q].estimate < 0.1 < deciding.gains[Q].estimate


def test_a_control_of_another_setup_is_named_by_its_keys(runs, tmp_path) -> None:
    """A plan whose control differs from the method in more than the reward, as a hand-made plan may."""
    from rlvr_bench.runs.layout import RunFolder
    from rlvr_bench.runs.store import write_model
    from rlvr_bench.schema.plan import TrainInputs

    plan = planned("python")
    report = judged(runs, plan=plan, gains=gains("python", 0.3, 0.0, 0.0))
    assert flag(report, "control-mismatch") is None

    def changed(stage):
        if stage.cell.arm != "random" or not isinstance(stage.inputs, TrainInputs):
            return stage
        settings = stage.inputs.settings.model_copy(update={"clip": 9.0})
        return stage.model_copy(update={"inputs": stage.inputs.model_copy(update={"settings": settings})})

    folder = RunFolder(folder_of(plan, runs).path)
    write_model(folder.path / "plan.json", plan.model_copy(update={"stages": tuple(changed(s) for s in plan.stages)}))
    found = flag(analyse(folder), "control-mismatch")
    assert found and found.evidence.endswith("settings.clip")


def test_a_strong_control_explains_and_leaves_no_room(runs) -> None:
    """Everything gains 20 points on micro-qwen, the reference too: nothing can be told there."""
    world = gains("python", 0.2, 0.2, 0.2) | {("random", Q): 0.2, ("ground-truth", Q): 0.2}
    report = judged(runs, gains=world)
    assert report.verdict.word is VerdictWord.SEVERAL_SO_FAR
    assert "nothing is shown to give more than a random reward on micro-qwen" in report.verdict.sentence
    found = flag(report, "control-explains")
    assert found and found.about == (Q,)
    roomy = judged(runs.parent / "other", gains=world | {("ground-truth", Q): 0.4})
    assert roomy.verdict.word is VerdictWord.MIXED
    assert (
        "micro-qwen gains" in roomy.verdict.sentence
        and "hardly more than the control's in micro-qwen" in roomy.verdict.sentence
    )


def test_a_start_outside_the_cards_band(runs) -> None:
    report = judged(runs, gains=gains("python", 0.3, 0.0, 0.0), base=0.57)
    assert flag(report, "baseline-suspect") is None
    found = flag(judged(runs.parent / "other", gains=gains("python", 0.3, 0.0, 0.0), base=0.8), "baseline-suspect")
    assert found and len(found.about) == 6


def test_the_cross_check_is_asked_for(runs) -> None:
    plan = planned("python")
    report = judged(runs, plan=plan, gains=gains("python", 0.3, 0.0, -0.2))
    assert report.cross_check is None
    found = analyse(folder_of(plan, runs), resamples=2000)
    assert found.cross_check and found.cross_check.word is found.verdict.word
    low, high = found.cross_check.intervals[Q]
    exact = found.lineages[0].gain
    assert (low, high) == pytest.approx((exact.lower, exact.upper), abs=0.01)
    assert found.model_copy(update={"cross_check": None}) == report
    assert analyse(folder_of(plan, runs), resamples=2000) == found


def test_holm_marks_the_printed_list(runs) -> None:
    report = judged(runs, gains=gains("python", 0.3, 0.0, -0.2))
    for ln in report.lineages:
        assert ln.p_value <= ln.p_holm <= 3 * ln.p_value + 1e-12 or ln.p_holm == 1
    assert [ln.p_holm < 0.025 for ln in report.lineages] == [True, False, False]


def test_logit_gains_stand_beside(runs) -> None:
    report = judged(runs, gains=gains("python", 0.3, 0.0, -0.2))
    assert [ln.smaller_on_logit for ln in report.lineages] == [None, True, True]
    assert report.lineages[0].gain_logit.estimate > 1 > 0 > report.lineages[2].gain_logit.estimate


def test_what_a_card_expects_is_no_input() -> None:
    plan = planned("python")
    stage = plan.stages[0]
    card = stage.inputs.card.model_copy(update={"expected": {}})
    from rlvr_bench.schema.plan import Stage

    assert Stage.digest_of(stage.inputs.model_copy(update={"card": card}), plan.environment) == stage.digest
    other = card.model_copy(update={"chat_template": "other"})
    assert Stage.digest_of(stage.inputs.model_copy(update={"card": other}), plan.environment) != stage.digest
