"""Every flag from both sides of its threshold."""

import pytest

from rlvr_bench.diagnostics import flags
from rlvr_bench.diagnostics.flags import Baseline, Circumstances
from rlvr_bench.schema.finding import Gain, LineageFinding, ModelFinding, Report, StepFinding, Verdict, VerdictWord
from rlvr_bench.schema.suite import Rule

RULE = Rule()
TINY = 1e-6


def gain(estimate: float, error: float = 0.01) -> Gain:
    return Gain(
        estimate=estimate,
        lower=estimate - 2 * error,
        upper=estimate + 2 * error,
        standard_error=error,
        degrees=50,
    )


def model(name="m0", lineage="f0", **changes) -> ModelFinding:
    values = {
        "model": name,
        "lineage": lineage,
        "before": 0.4,
        "before_greedy": 0.4,
        "after": (0.6, 0.6),
        "after_greedy": (0.6, 0.6),
        "control": (0.4, 0.4),
        "reference": (0.6, 0.6),
        "unparsed_before": 0.0,
        "unparsed_after": 0.0,
        "truncated_before": 0.0,
        "truncated_after": 0.0,
        "gain": gain(0.2),
        "gain_over_control": gain(0.2),
    }
    return ModelFinding.model_validate({**values, **changes})


def lineage(name="f0", **changes) -> LineageFinding:
    values = {
        "lineage": name,
        "models": ("m0",),
        "gain": gain(0.2),
        "p_value": 0.001,
        "p_holm": 0.003,
        "gain_over_control": gain(0.2),
        "control_gain": gain(0.0),
        "credited": True,
        "elicited": False,
        "shown_small": False,
        "harmed": False,
        "reference_gain": gain(0.2),
        "trainable": True,
        "gain_logit": gain(1.0),
    }
    return LineageFinding.model_validate({**values, **changes})


def report(**changes) -> Report:
    verdict = changes.pop("verdict", Verdict(word=VerdictWord.ONE_FAMILY, lineages=("f0",), sentence="s"))
    values = {
        "program": "p",
        "method": "ours",
        "control": "random",
        "reference": "ground-truth",
        "verdict": verdict,
        "over_start": changes.pop("over_start", verdict),
        "flags": (),
        "lineages": (lineage(),),
        "models": (model(),),
        "tasks": (),
        "not_tested": (),
        "not_measured": (),
        "assumptions": (),
        "seeds": 2,
        "problems": 500,
        "samples_before": 8,
        "samples_after": 8,
    }
    return Report.model_validate({**values, **changes})


def raised(found: Report, about: Circumstances | None = None) -> dict[str, str]:
    return {flag.name: flag.evidence for flag in flags.find(found, about or Circumstances(), RULE)}


def test_a_clean_report_raises_nothing() -> None:
    assert raised(report()) == {}


def test_answers_that_hung_the_grader_are_said() -> None:
    assert "grader-timeouts" not in raised(report())
    assert "grader-timeouts" not in raised(report(models=(model(timed_out_before=0.0, timed_out_after=0.0),)))
    hung = report(models=(model(timed_out_before=0.0, timed_out_after=0.0125),))
    flag = next(flag for flag in flags.find(hung, Circumstances(), RULE) if flag.name == "grader-timeouts")
    assert flag.about == ("m0",)
    assert flag.evidence.startswith(
        "m0: 0.00 % of its answers before, 0.00 % in and 1.25 % after training took too long"
    )
    assert "grader-timeouts" in raised(report(models=(model(timed_out_training=0.001),)))


def test_flags_of_the_setup() -> None:
    assert set(raised(report(), Circumstances(transductive="math500"))) == {"transductive"}
    assert "math500" in raised(report(), Circumstances(transductive="math500"))["transductive"]
    assert "why" in raised(report(control=None), Circumstances(no_control="why"))["no-control"]
    assert "settings.clip" in raised(report(), Circumstances(mismatch=("settings.clip",)))["control-mismatch"]
    assert set(raised(report(), Circumstances(lineages=("x",)))) == {"lineage-mismatch"}
    assert set(raised(report(), Circumstances(incomplete="one lost"))) == {"incomplete"}
    assert set(raised(report(reference=None))) == {"no-reference"}
    assert set(raised(report(lineages=(lineage(reference_gain=None),)))) == {"no-reference"}


def test_single_run() -> None:
    tipped = Verdict(
        word=VerdictWord.ONE_FAMILY,
        lineages=("f0",),
        sentence="s",
        tipping_sd=0.0475,
        tips_to=VerdictWord.LEANS_ONE_FAMILY,
    )
    one = report(models=(model(after=(0.6,)),), seeds=1, verdict=tipped)
    assert "would change at 4.75 points (to LEANS ONE FAMILY)" in raised(one)["single-run"]
    fixed = report(models=(model(after=(0.6,)),), seeds=1)
    assert "no SD up to 20 points" in raised(fixed)["single-run"]
    assert "single-run" not in raised(report())
    some = report(models=(model(), model("m1", after=(0.6,))))
    assert "that of the other models" in raised(some)["single-run"]


def test_unstable() -> None:
    def sd(value: float) -> dict[str, str]:
        return raised(report(models=(model(after=(0.5, 0.5 + value * 2**0.5)),)))

    assert "unstable" not in sd(flags.UNSTABLE_SD - TINY)
    assert "5.0 points" in sd(flags.UNSTABLE_SD + TINY)["unstable"]
    noisy = model(after=(0.5, 0.5 + 0.06 * 2**0.5), answer_noise=0.04)
    assert "unstable" not in raised(report(models=(noisy,)))


@pytest.mark.parametrize("name", ["dead-reward", "saturated", "floor"])
def test_models_that_left_the_rule(name) -> None:
    assert set(raised(report(models=(model(), model("m1", excluded=name))))) == {name}


def test_a_floor_that_cannot_be_explained_is_named() -> None:
    def at(before: float, unparsed) -> set[str]:
        return set(raised(report(models=(model(before=before, before_greedy=before, unparsed_before=unparsed),))))

    assert at(RULE.floor - TINY, None) == {"floor"}
    assert at(RULE.floor, None) == set()
    assert at(RULE.floor - TINY, 0.0) == set()


def test_split_lineage() -> None:
    apart = (model(gain=gain(0.021)), model("m1", gain=gain(-0.021)))
    near = (model(gain=gain(0.019)), model("m1", gain=gain(-0.021)))
    assert set(raised(report(models=apart))) == {"split-lineage"}
    assert set(raised(report(models=near))) == set()


@pytest.mark.parametrize(("accuracy", "odd"), [(0.40, False), (0.40 - TINY, True), (0.60, False), (0.60 + TINY, True)])
def test_baseline_suspect(accuracy, odd) -> None:
    about = Circumstances(baselines=(Baseline("m0", "math500", accuracy, 0.40, 0.60),))
    assert ("baseline-suspect" in raised(report(), about)) is odd


def test_sharpened() -> None:
    def greedy(share: float) -> dict[str, str]:
        return raised(report(models=(model(before_greedy=0.4 + share * 0.2),)))

    assert "sharpened" not in greedy(flags.SHARPENED_SHARE - TINY)
    assert "sharpened" in greedy(flags.SHARPENED_SHARE + TINY)
    unsure = model(before_greedy=0.55, gain=gain(0.2, error=0.11))
    assert "sharpened" not in raised(report(models=(unsure,)))


def test_mostly_format() -> None:
    def fell(share: float) -> dict[str, str]:
        return raised(report(models=(model(unparsed_before=share * 0.2),)))

    assert "mostly-format" not in fell(flags.FORMAT_SHARE)
    assert "mostly-format" in fell(flags.FORMAT_SHARE + TINY)


def test_truncation() -> None:
    def cut(before: float, after: float, **changes) -> set[str]:
        return set(raised(report(models=(model(truncated_before=before, truncated_after=after, **changes),))))

    limit = flags.TRUNCATED_SHARE
    assert cut(limit, limit - TINY) == cut(limit - TINY, limit) == {"truncation"}
    assert cut(limit - TINY, limit - TINY) == set()
    small = gain(0.1)
    assert cut(0.05 + TINY, 0.0, gain=small) == {"truncation"}
    assert cut(0.05 - TINY, 0.0, gain=small) == set()
    assert cut(0.05 + TINY, 0.0, gain=gain(0.1, error=0.06)) == set()


def test_not_trainable_here() -> None:
    def reference(estimate: float, error: float) -> set[str]:
        weak = lineage(trainable=False, reference_gain=gain(estimate, error))
        return set(raised(report(lineages=(weak,))))

    # shown to gain less than 5 points, or only not shown to gain: t(0.95, 50) = 1.676
    assert reference(0.05 - 0.01676 - TINY * 10, 0.01) == {"not-trainable-here"}
    assert reference(0.05 - 0.01676 + TINY * 10, 0.01) == {"no-reference"}
    undecided = report(lineages=(lineage(trainable=False, reference_gain=gain(0.06, 0.03)),))
    assert "is not shown to gain (+6.0 points" in raised(undecided)["no-reference"]


def test_control_explains() -> None:
    def control(share: float, **changes) -> set[str]:
        return set(raised(report(lineages=(lineage(control_gain=gain(share * 0.2), **changes),))))

    assert control(flags.CONTROL_SHARE - TINY) == set()
    assert control(flags.CONTROL_SHARE + TINY) == {"control-explains"}
    # a gain that is not shown needs no explanation, nor does a control that is not shown explain one
    assert control(1.0, gain=gain(0.2, error=0.1)) == set()
    unsure = report(lineages=(lineage(control_gain=gain(0.15, error=0.08)),))
    assert "control-explains" not in raised(unsure)


def test_prompt_explains() -> None:
    def prompted(prompt: Gain, own: Gain | None = None) -> set[str]:
        found = lineage(prompt_gain=prompt, net_gain=gain(0.2 - prompt.estimate), **({"gain": own} if own else {}))
        return set(raised(report(lineages=(found,), models=(model(best_prompts=("one", "")),))))

    half = 0.2 * flags.PROMPT_SHARE
    assert prompted(gain(half + TINY)) == {"prompt-explains"}
    assert prompted(gain(half - TINY)) == set()
    assert prompted(gain(half + TINY, error=half)) == set()  # the prompt is not shown to gain
    assert prompted(gain(0.3)) == {"prompt-explains"}
    assert "prompt-explains" not in prompted(gain(0.3), own=gain(RULE.margin))  # no gain to explain
    said = raised(
        report(
            lineages=(lineage(prompt_gain=gain(0.15), net_gain=gain(0.05)),), models=(model(best_prompts=("one", "")),)
        )
    )
    assert (
        "(one, its own) alone gives +15.0 points where the method gives +20.0; net of it +5.0"
        in said["prompt-explains"]
    )


def test_not_replayable() -> None:
    assert raised(report(), Circumstances(unreplayable=("judge differs",)))["not-replayable"] == "judge differs"


def test_scale_dependent() -> None:
    other = lineage("f1", smaller_on_logit=False)
    assert set(raised(report(lineages=(lineage(), other)))) == {"scale-dependent"}
    assert set(raised(report(lineages=(lineage(), lineage("f1", smaller_on_logit=True))))) == set()


def step(number: int, drop: Gain, word=VerdictWord.ONE_FAMILY) -> StepFinding:
    return StepFinding(step=number, word=word, lineages=("f0",), gains={"f0": gain(0.2)}, above_end={"f0": drop})


def test_transient() -> None:
    def drop(value: float, error: float, steps: int = 1) -> bool:
        curve = tuple(step(10 + i, gain(value if i == 0 else 0.0, error)) for i in range(steps))
        return "transient" in raised(report(steps=curve), Circumstances(final_step=100))

    assert not drop(flags.TRANSIENT_DROP - TINY, 0.001)
    assert drop(flags.TRANSIENT_DROP + TINY, 0.001)
    # 2.1 standard errors: enough for one step, not for the best of ten
    assert drop(0.042, 0.02, steps=1)
    assert not drop(0.042, 0.02, steps=10)


def test_step_dependent() -> None:
    def other(number: int, word=VerdictWord.GENERALISES) -> bool:
        found = report(steps=(step(number, gain(0.0), word),))
        return "step-dependent" in raised(found, Circumstances(final_step=100))

    assert other(50) and not other(49)
    assert not other(50, VerdictWord.ONE_FAMILY)
    assert not other(50, VerdictWord.INCONCLUSIVE)
