"""What a report says beside the verdict: earlier steps, untrained prompts, replay, prepared labels."""

import pytest

from rlvr_bench.analysis import analyse
from rlvr_bench.engine.runner import run_plan
from rlvr_bench.schema.finding import VerdictWord
from tests.fakes import FakeExecutor, folder_of, planned
from tests.judged import ALL, TRAINABLE, L, O, Q, gains, judged, names


def test_what_an_earlier_step_would_have_said_and_what_was_lost_by_the_end(runs) -> None:
    report = judged(
        runs, whole=True, gains={**gains("python", 0.3, 0.0, -0.2), ("python", "step-4"): 0.15}, base=0.4, fail=set()
    )
    (step,) = report.steps
    assert step.step == 4
    end = {ln.lineage: ln.gain.estimate for ln in report.lineages}
    for lineage in ALL:
        assert step.above_end[lineage].estimate == pytest.approx(0.15, abs=0.03)
        assert step.gains[lineage].estimate - end[lineage] == pytest.approx(step.above_end[lineage].estimate)
    flags = {flag.name: flag for flag in report.flags}
    assert set(flags["transient"].about) == set(ALL)
    assert "at step 4" in flags["transient"].evidence
    assert "at step 4 MIXED" in flags["step-dependent"].evidence and "ONE FAMILY" in flags["step-dependent"].evidence
    for m in report.models:
        assert m.curve.keys() == {4} and len(m.curve[4]) == len(m.after) == 2
    assert report.verdict.word is VerdictWord.ONE_FAMILY  # the end decides


def test_a_curve_that_is_not_whole_says_nothing(runs) -> None:
    lost = {"micro-qwen-a/python/seed-22/step-4/arithmetic"}
    report = judged(runs, whole=True, gains=gains("python", 0.3, 0.3, 0.3), fail=lost)
    assert report.verdict.word is VerdictWord.GENERALISES
    assert report.steps[0].gains.keys() == set(ALL)  # micro-qwen-b has it still
    by_name = {m.model: m for m in report.models}
    assert by_name["micro-qwen-a"].curve == {} and by_name["micro-qwen-b"].curve.keys() == {4}
    assert "incomplete" in names(report)


def test_net_elicitation_is_over_the_best_prompt_of_the_other_half(runs) -> None:
    prompts = {("prompt-micro-python-first", Q): 0.25, ("prompt-micro-words-first", Q): -0.3}
    report = judged(runs, whole=True, gains={**gains("python", 0.3, 0.3, 0.3), **prompts}, base=0.5)
    by_lineage = {ln.lineage: ln for ln in report.lineages}
    net = by_lineage[Q].net_gain
    assert net is not None and net.estimate == pytest.approx(0.05, abs=0.03)
    assert net.lower < net.estimate < net.upper
    others = by_lineage[L].net_gain
    assert others is not None and others.estimate == pytest.approx(0.3, abs=0.04)
    flag = next(flag for flag in report.flags if flag.name == "prompt-explains")
    assert flag.about == (Q,) and "micro-python-first" in flag.evidence
    model = next(m for m in report.models if m.model == "micro-qwen-a")
    assert model.best_prompts == ("micro-python-first", "micro-python-first")
    assert model.prompts["micro-words-first"] == pytest.approx(0.2, abs=0.05)
    assert report.verdict.word is VerdictWord.GENERALISES  # prompts warn, they do not decide


def test_a_model_without_prompts_leaves_its_lineage_without_a_net_gain(runs) -> None:
    lost = {f"micro-qwen-a/prompt-{p}/arithmetic" for p in planned().suite.prompts}
    report = judged(runs, whole=True, gains=gains("python", 0.3, 0.3, 0.3), fail=lost)
    assert {ln.lineage: ln.net_gain is None for ln in report.lineages} == {Q: True, L: False, O: False}


def test_a_reward_that_does_not_replay_is_flagged(runs) -> None:
    class Forgetful(FakeExecutor):
        def record(self, stage):
            found = super().record(stage)
            if found.training and stage.cell.model == "micro-olmo-b" and stage.cell.arm == "python":
                training = found.training.model_copy(update={"replayed_differently": 5})
                return found.model_copy(update={"training": training})
            return found

    plan = planned("python").model_copy(update={"unreplayable": ("judge",)})
    run_plan(plan, folder_of(plan, runs), runs=runs, executor=Forgetful(gains=gains("python", 0.3, 0.3, 0.3)))
    (flag,) = [f for f in analyse(folder_of(plan, runs)).flags if f.name == "not-replayable"]
    assert "judge gave other values" in flag.evidence
    assert "micro-olmo-b: 10 of 2,048 saved rollouts" in flag.evidence


def test_the_report_says_how_right_prepared_labels_are(runs) -> None:
    report = judged(runs, "incorrect", gains=gains("incorrect", -0.1, -0.1, -0.1))
    assert [m.labelling[0].purity.wrong for m in report.models] == [5] * 6
    assert judged(runs, "python", gains=TRAINABLE).models[0].labelling == ()
