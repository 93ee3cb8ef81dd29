"""The plan: arms, stages, digests, refusals."""

import pytest

from rlvr_bench import catalog
from rlvr_bench.errors import UsageError
from rlvr_bench.planning.planner import make_plan
from rlvr_bench.schema.method import GrpoOverrides
from rlvr_bench.schema.plan import Plan
from rlvr_bench.schema.suite import Suite
from tests.fakes import ENVIRONMENT, planned

PROMPTS = {f"prompt-{name}" for name in catalog.load_suite("micro").prompts}
UNTRAINED = PROMPTS | {"exposure"}


def digests(plan: Plan, arm: str) -> set[str]:
    """Digests of an arm's stages, without those of its learning curve, which only the method has."""
    return {s.digest for s in plan.stages if s.cell.arm == arm and getattr(s.inputs, "step", None) is None}


@pytest.mark.parametrize(
    ("method", "arms"),
    [
        ("ttrl", {"baseline", "ttrl", "random", "ground-truth"}),
        ("python", {"baseline", "python", "random", "ground-truth"}),
        ("random", {"baseline", "random", "ground-truth"}),
        ("ground-truth", {"baseline", "ground-truth", "random"}),
    ],
)
def test_arms(method, arms) -> None:
    plan = planned(method)
    assert {s.cell.arm for s in plan.stages} == arms | UNTRAINED
    assert (plan.control is None) == (method == "random")
    assert len({s.id for s in plan.stages}) == len(plan.stages)
    assert len({s.digest for s in plan.stages}) == len(plan.stages)


def test_stages_need_their_training_and_come_after_it() -> None:
    plan = planned("ttrl")
    seen: set[str] = set()
    for stage in plan.stages:
        assert set(stage.needs) <= seen
        assert bool(stage.needs) == (stage.kind == "evaluate")
        seen.add(stage.id)


def test_what_is_shared_between_methods() -> None:
    python, format_, ttrl = planned("python"), planned("format"), planned("ttrl")
    assert digests(python, "baseline") == digests(ttrl, "baseline")
    assert digests(python, "ground-truth") == digests(ttrl, "ground-truth")
    assert digests(python, "random") == digests(format_, "random")
    assert not digests(python, "random") & digests(ttrl, "random")  # ttrl's control has ttrl's setup
    assert digests(planned("random"), "random") == digests(python, "random")
    assert digests(planned("ground-truth"), "ground-truth") == digests(python, "ground-truth")


def test_the_control_has_the_methods_own_setup() -> None:
    own = catalog.load_method("python").model_copy(update={"grpo": GrpoOverrides(clip=0.3)})
    plan = planned(own)
    of = {
        arm: next(s.inputs for s in plan.stages if s.cell.arm == arm and s.kind == "train")
        for arm in ("python", "random", "ground-truth")
    }
    assert of["python"].settings == of["random"].settings
    assert of["random"].settings.clip == 0.3
    assert of["ground-truth"].settings.clip == 0.2
    ttrl = planned("ttrl")
    train = {s.cell.arm: s.inputs for s in ttrl.stages if s.kind == "train"}
    assert train["ttrl"].problems == train["random"].problems != train["ground-truth"].problems


def test_no_labels_reach_a_method_that_does_not_ask_for_them() -> None:
    for stage in planned("ttrl").stages:
        if stage.kind == "train":
            assert stage.inputs.labels == (stage.cell.arm == "ground-truth")


def test_a_variant_of_the_control_is_not_taken_for_it() -> None:
    sharp = catalog.load_method("random")
    sharp = sharp.model_copy(update={"rewards": (sharp.rewards[0].model_copy(update={"parameters": {"gamma": 0.9}}),)})
    plan = planned(sharp)
    assert plan.control is not None
    assert {s.cell.arm for s in plan.stages} == {"baseline", "random", "control-random", "ground-truth"} | UNTRAINED


def test_the_environment_is_part_of_every_digest() -> None:
    other = planned("ttrl", environment=ENVIRONMENT.model_copy(update={"code": "d"}))
    assert not {s.digest for s in other.stages} & {s.digest for s in planned("ttrl").stages}
    assert other.digest != planned("ttrl").digest == planned("ttrl").digest


def test_sampling_seeds_differ_between_cells_and_not_with_the_environment() -> None:
    def seeds(plan: Plan) -> list[int]:
        return [
            s.inputs.sampling_seed
            for s in plan.stages
            if s.kind not in ("train", "probe") or hasattr(s.inputs, "sampling_seed")
        ]

    assert len(set(seeds(planned("ttrl")))) == len(seeds(planned("ttrl")))
    other = planned("ttrl", environment=ENVIRONMENT.model_copy(update={"code": "d"}))
    assert seeds(other) == seeds(planned("ttrl"))


def test_cuts_mark_the_plan_partial() -> None:
    plan = planned("ttrl", models=["micro-olmo-a", "micro-qwen-a"], seeds=1, limit=50)
    assert [card.name for card in plan.cards] == ["micro-qwen-a", "micro-olmo-a"]
    assert len(plan.partial) == 3
    assert plan.suite.tasks[0].problems.count == 50
    assert planned("ttrl", seeds=2, limit=400).partial == ()


@pytest.mark.parametrize("cut", [{"models": ["gpt"]}, {"seeds": 0}, {"seeds": 9}, {"limit": 1}])
def test_bad_cuts(cut) -> None:
    with pytest.raises(UsageError):
        planned("ttrl", **cut)


def test_refusals_before_any_work() -> None:
    cheat = catalog.load_method("ground-truth").model_copy(update={"data": "test-prompts"})
    with pytest.raises(UsageError, match="gold answers of the evaluation"):
        planned(cheat)
    suite = catalog.load_suite("micro")
    cards = [catalog.load_card(name) for name in suite.models]
    for change, method, words in (
        ({"context_tokens": 40}, "ttrl", "do not fit"),
        ({"stop": ("</answer>",)}, "ground-truth-dapo", "stop strings"),
    ):
        with pytest.raises(UsageError, match=words):
            make_plan(
                suite,
                catalog.load_method(method),
                [cards[0].model_copy(update=change), *cards[1:]],
                ENVIRONMENT,
                control=None,
                reference=None,
            )


def test_the_suite_sees_ten_points() -> None:
    estimate = planned("ttrl").estimate
    assert estimate.visible_gain < 0.10
    assert estimate.visible_gain_over_control is not None
    assert estimate.visible_gain_over_control < 0.10
    assert estimate.cpu_seconds is not None


def test_a_control_in_another_setup_is_the_control_still() -> None:
    """random with its own clip is the placebo of that setup: never judged against a copy of itself."""
    own = catalog.load_method("random").model_copy(update={"grpo": GrpoOverrides(clip=0.3)})
    plan = planned(own)
    assert plan.control is None
    assert len({s.digest for s in plan.stages}) == len(plan.stages)


def test_the_source_of_a_plugin_reward_is_part_of_its_own_trainings_only() -> None:
    one, other = (
        planned("python", environment=ENVIRONMENT.model_copy(update={"rewards": {"python": code, "else": code}}))
        for code in ("1", "2")
    )
    changed = {a.id for a, b in zip(one.stages, other.stages, strict=True) if a.digest != b.digest}
    assert {i.split("/")[1] for i in changed} == {"python"}


def test_the_time_estimate_holds_what_was_measured() -> None:
    cpu = planned("ttrl").estimate.cpu_seconds
    assert cpu is not None
    assert cpu.low < 157 < 1.4 * 157 < cpu.high  # docs/benchmarks.md; on machines up to 1.4 times slower too


def test_labels_are_made_once_a_model_and_every_arm_of_the_setup_needs_them() -> None:
    plan = planned("incorrect")
    made = {s.cell.model: s for s in plan.stages if s.kind == "prepare"}
    assert {s.id for s in made.values()} == {f"{card.name}/baseline/labels-64" for card in plan.cards}
    for stage in plan.stages:
        if stage.kind != "train":
            continue
        if stage.cell.arm == "ground-truth":
            assert stage.needs == () and stage.inputs.prepared is None
            continue
        assert stage.needs == (made[stage.cell.model].id,)
        assert stage.inputs.prepared.digest == made[stage.cell.model].digest
        assert stage.inputs.prepared.labels == "wrong"
        assert stage.inputs.problems[0].count == 256
        assert stage.inputs.labels == (stage.cell.arm == "incorrect")  # the control sees the problems, not the labels
    other = planned("majority-vote")
    assert digests(plan, "baseline") == digests(other, "baseline")  # equal labels are made once for both methods
    assert not digests(plan, "random") & digests(other, "random")  # but the problems trained on differ


def test_the_curve_is_the_methods_and_every_arm_keeps_its_weights() -> None:
    plan = planned("python")
    at_step = [s for s in plan.stages if getattr(s.inputs, "step", None) is not None]
    assert {s.id for s in at_step} == {
        f"{card.name}/python/seed-{seed}/step-4/arithmetic" for card in plan.cards for seed in (21, 22)
    }
    assert all(s.inputs.save_at == (4,) for s in plan.stages if s.kind == "train")
    without = Suite.model_validate({**catalog.load_suite("micro").model_dump(), "evaluate_at": [], "prompts": []})
    bare = planned("python", suite=without)
    seeds = {s.id: s.inputs.sampling_seed for s in plan.stages if s.kind == "evaluate"}
    # a curve changes no number of the end: same seeds of sampling, and the same training but for what it keeps
    assert all(seeds[s.id] == s.inputs.sampling_seed for s in bare.stages if s.kind == "evaluate")


@pytest.mark.parametrize("steps", [[0], [8], [9], [4, 4], [5, 3]])
def test_steps_that_cannot_be_evaluated(steps) -> None:
    with pytest.raises(ValueError, match="evaluate_at must"):
        Suite.model_validate({**catalog.load_suite("micro").model_dump(), "evaluate_at": steps})


def test_options_that_a_method_leaves_alone_change_nothing_of_it() -> None:
    """Digests and seeds of methods stay when a later version can do more."""
    inputs = next(s.inputs for s in planned("ttrl").stages if s.kind == "train")
    computed = inputs.computed()
    assert set(computed) == {"kind", "card", "rewards", "labels", "problems", "settings", "seed", "save_at"}
    assert not {"clip_high", "importance", "mask_truncated", "optimizer", "passes"} & set(computed["settings"])
    assert "save_at" not in inputs.trajectory()
    own = next(s.inputs for s in planned("ground-truth-gspo").stages if s.kind == "train")
    assert own.computed()["settings"]["importance"] == "sequence"


def test_the_sampling_seed_of_prepared_methods_is_of_every_machine() -> None:
    def seeds(code: str) -> list[int]:
        plan = planned("incorrect", environment=ENVIRONMENT.model_copy(update={"code": code}))
        return [
            s.inputs.sampling_seed
            for s in plan.stages
            if s.kind not in ("train", "probe") or hasattr(s.inputs, "sampling_seed")
        ]

    assert seeds("c") == seeds("d")


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("random", (16, 8, 4, 0.2)),
        ("random-no-clip", (16, 8, 4, "off")),
        ("random-one-full-update", (16, 8, 1, 0.2)),
        ("random-one-small-update", (4, 8, 1, 0.2)),
    ],
)
def test_the_ablation_arms_of_clipping(method, settings) -> None:
    s = next(s.inputs.settings for s in planned(method).stages if s.cell.arm == method and s.kind == "train")
    assert (s.prompts_per_step, s.group_size, s.updates_per_step, s.clip) == settings
    assert planned(method).control is None  # each is the placebo of its own setup


def test_one_update_is_one_however_often_the_suite_goes_over_its_rollouts() -> None:
    suite = catalog.load_suite("micro-random")
    assert suite.training.updates == suite.training.updates_per_step * suite.training.passes == 32
    for method, updates in (("random", 32), ("random-no-clip", 32), ("random-one-full-update", 1)):
        plan = planned(method, suite=suite)
        s = next(s.inputs.settings for s in plan.stages if s.cell.arm == method and s.kind == "train")
        assert s.updates == updates and s.optimizer == "sgd"
        computed = next(s.inputs.computed() for s in plan.stages if s.cell.arm == method and s.kind == "train")
        assert computed["settings"].get("passes") == (4 if updates > 1 else None)


def test_more_passes_cost_more() -> None:
    suite = catalog.load_suite("micro-random")
    once = suite.model_copy(update={"training": suite.training.model_copy(update={"passes": 1})})
    four, one = planned("random", suite=suite).estimate.cpu_seconds, planned("random", suite=once).estimate.cpu_seconds
    assert four is not None and one is not None and 2 < four.low / one.low < 4


def test_settings_that_do_not_fit_the_suite_are_refused_before_any_work() -> None:
    odd = Suite.model_validate(
        {**(data := catalog.load_suite("micro").model_dump()), "training": {**data["training"], "prompts_per_step": 18}}
    )
    with pytest.raises(UsageError, match="18 prompts a step cannot be cut into the 4 updates"):
        planned("random-one-small-update", suite=odd)
    uneven = catalog.load_method("python").model_copy(update={"grpo": GrpoOverrides(updates_per_step=7)})
    with pytest.raises(UsageError, match="128 rollouts cannot be cut"):
        planned(uneven)
    with pytest.raises(ValueError, match="exclude each other"):
        GrpoOverrides(one_update="full-batch", updates_per_step=2)


def test_a_reward_that_is_known_not_to_replay_is_not_asked_again() -> None:
    suite, method = catalog.load_suite("micro"), catalog.load_method("python")
    cards = [catalog.load_card(name) for name in suite.models]
    arms = {"control": catalog.load_method("random"), "reference": catalog.load_method("ground-truth")}
    marked = make_plan(suite, method, cards, ENVIRONMENT, **arms, unreplayable=("python",))
    asked = {s.cell.arm: s.inputs.replay for s in marked.stages if s.kind == "train"}
    assert asked == {"python": False, "random": True, "ground-truth": True}
    plain = make_plan(suite, method, cards, ENVIRONMENT, **arms)
    seeds = [[s.inputs.sampling_seed for s in p.stages if s.kind == "evaluate"] for p in (marked, plain)]
    assert seeds[0] == seeds[1] and digests(marked, "random") == digests(plain, "random")
