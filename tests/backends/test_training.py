"""Real TRL on a real (tiny) model: several updates a rollout, bit-equal reruns, errors that name the reward."""

import json
import math
from pathlib import Path
from typing import ClassVar

import pytest

from rlvr_bench import catalog, plugins
from rlvr_bench.backends import trl as ours
from rlvr_bench.backends.data import LabelsError, load_problems
from rlvr_bench.backends.models import load_model, load_tokenizer, prompt_ids
from rlvr_bench.backends.rollouts import replayed_differently
from rlvr_bench.backends.trl import NonFiniteError, grpo_arguments, train, training_order
from rlvr_bench.backends.watched import confidence_of
from rlvr_bench.errors import RewardError
from rlvr_bench.runs import layout
from rlvr_bench.runs.store import file_digest
from rlvr_bench.schema.base import digest
from rlvr_bench.schema.method import RewardSpec
from rlvr_bench.schema.plan import TrainInputs
from rlvr_bench.schema.record import StepHealth
from rlvr_bench.schema.suite import ProblemSet
from tests.fakes import planned

pytestmark = [
    # names that TRL and transformers still use of each other; none is ours
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def small(method: str, **settings) -> TrainInputs:
    stage = next(s for s in planned(method).stages if s.cell.arm == method and s.kind == "train")
    assert isinstance(stage.inputs, TrainInputs)
    sizes = {"steps": 2, "prompts_per_step": 4, "group_size": 4, "updates_per_step": 2, **settings}
    return stage.inputs.model_copy(
        update={
            "settings": stage.inputs.settings.model_copy(update=sizes),
            "save_at": tuple(range(1, sizes["steps"])),
            "problems": (ProblemSet(source="micro-arithmetic", count=20, arguments={"split": "dev", "seed": 1}),),
        }
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, object]:
    folder = tmp_path_factory.mktemp("train")
    return folder, train(small("ttrl"), folder)


def test_what_a_training_leaves(trained) -> None:
    folder, found = trained
    assert found.rollouts == 2 * 4 * 4
    assert len(found.problem_ids) == 8
    graded = found.grading  # ttrl compares answers with each other: each completion is graded once
    assert graded.exact + graded.unparsed == 32 and graded.math_verify == graded.timed_out == 0
    for step, sha256 in {None: found.checkpoint_sha256, **found.kept}.items():
        assert file_digest(folder / layout.checkpoint(step) / layout.WEIGHTS) == sha256
    assert found.kept.keys() == {1} and found.kept[1] != found.checkpoint_sha256
    lines = [json.loads(line) for line in (folder / layout.METRICS).read_text().splitlines()]
    updates = [line for line in lines if "update" in line]
    assert [(u["step"], u["update"]) for u in updates] == [(0, 1), (0, 2), (1, 3), (1, 4)]
    assert [StepHealth.model_validate(line["health"]) for line in lines if "health" in line] == list(found.steps)
    for step in found.steps:
        assert 0 <= step.reward <= 1
        assert step.completion_tokens > 3
        assert step.loss is not None and math.isfinite(step.loss)
        assert step.entropy is not None and 0 < step.entropy < 5
        assert step.token_probability is not None and 0.5 < step.token_probability < 1
        assert step.ratio_min is not None and step.ratio_mean is not None and step.ratio_max is not None
        # the first update of a phase has ratio 1, the second has not
        assert step.ratio_min < 1 < step.ratio_max and step.ratio_mean == pytest.approx(1, abs=0.2)
    first = found.definition
    assert first.rewards == small("ttrl").rewards and first.labels == "none" and set(first.sources) == {"majority-vote"}
    assert first.digest == digest(first.model_dump(mode="json", exclude={"digest"}))


def test_the_kept_weights_are_those_of_a_training_that_ends_there(trained, tmp_path: Path) -> None:
    _, found = trained
    assert train(small("ttrl", steps=1), tmp_path).checkpoint_sha256 == found.kept[1]


def test_passes_go_over_the_same_rollouts_again(tmp_path: Path) -> None:
    for name in ("three", "shorter"):
        (tmp_path / name).mkdir()
    found = train(small("random", passes=3, optimizer="sgd", learning_rate=0.1), tmp_path / "three")
    assert found.rollouts == 2 * 4 * 4 and found.replayed_differently == 0
    lines = [json.loads(line) for line in (tmp_path / "three" / layout.METRICS).read_text().splitlines()]
    updates = [line for line in lines if "update" in line]
    assert [u["step"] for u in updates] == [0] * 6 + [1] * 6
    # only the first update of a phase is on the policy that sampled; a second pass is not
    at_one = [u["ratio/min"] == u["ratio/max"] == 1 for u in updates]
    assert at_one == ([True] + [False] * 5) * 2
    assert {u["learning_rate"] for u in updates} == {0.1}
    shorter = train(small("random", passes=3, optimizer="sgd", learning_rate=0.1, steps=1), tmp_path / "shorter")
    assert shorter.checkpoint_sha256 == found.kept[1]


def test_sgd_moves_by_the_gradient_itself(tmp_path: Path) -> None:
    """One update of plain SGD is the learning rate times the gradient; Adam's would be the rate, everywhere."""
    from safetensors.torch import load_file

    inputs = small("random", steps=1, updates_per_step=1, optimizer="sgd", learning_rate=0.01)
    start = load_model(inputs.card).state_dict()
    (step,) = train(inputs, tmp_path).steps
    after = load_file(tmp_path / layout.checkpoint() / layout.WEIGHTS)
    moved = math.sqrt(sum(float(((after[name] - start[name]) ** 2).sum()) for name in after))
    assert step.grad_norm is not None and 0 < step.grad_norm < inputs.settings.max_grad_norm
    assert moved == pytest.approx(0.01 * step.grad_norm, rel=0.01)


def test_every_rollout_is_kept_and_replays(trained) -> None:
    import pyarrow.parquet as pq

    folder, found = trained
    file = pq.ParquetFile(folder / layout.ROLLOUTS)
    rows = file.read().to_pylist()
    assert len(rows) == 32 and file.num_row_groups == 2
    reward = plugins.load(plugins.REWARDS, "majority-vote")
    for start in range(0, 32, 4):
        group = rows[start : start + 4]
        again = reward(
            completions=[r["completion"] for r in group],
            problem_id=[r["problem_id"] for r in group],
            group_size=4,
        )
        assert again == [r["reward"] for r in group] == [r["reward:majority-vote"] for r in group]
        assert {r["step"] for r in group} == {start // 16}
        assert [r["index_in_group"] for r in group] == [0, 1, 2, 3]
        assert all(len(r["completion_ids"]) == r["tokens"] for r in group)
    assert found.replayed_differently == 0


def test_watching_changes_no_number(trained, tmp_path: Path, monkeypatch) -> None:
    from trl import GRPOTrainer

    class Plain(GRPOTrainer):
        seen: ClassVar[dict] = {}
        confidence = ()

        def parts(self):
            return 1, {}

    _, found = trained
    monkeypatch.setattr(ours, "watched_trainer", lambda: Plain)
    assert train(small("ttrl"), tmp_path).checkpoint_sha256 == found.checkpoint_sha256


def test_a_rollout_that_does_not_replay_is_counted(trained, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder, _ = trained
    table = pq.read_table(folder / layout.ROLLOUTS)
    rewards = table["reward"].to_pylist()
    rewards[3] += 1e-12  # bit for bit
    changed = table.set_column(table.schema.get_field_index("reward"), "reward", pa.array(rewards))
    pq.write_table(changed, tmp_path / "changed.parquet", row_group_size=16)
    assert replayed_differently(tmp_path / "changed.parquet", small("ttrl")) == 1
    code = "import itertools\nN = itertools.count()\n\ndef reward(completions, **_):\n"
    code += "    return [next(N) % 7 for _ in completions]\n"
    counting = small("ttrl", steps=1).model_copy(update={"rewards": (RewardSpec(name="counting", code=code),)})
    found = train(counting, tmp_path)
    assert found.rollouts == 16 and found.replayed_differently > 8


VARIANTS = ("random-", "ground-truth-", "incorrect-without", "format-without", "ttrl-train", "rent", "majority-vote")
"""Methods that train as another one does, but for a number: tried with the slow tests."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if n.startswith(VARIANTS) else ()) for n in catalog.names("method")],
)
def test_every_method_trains_and_replays_bit_for_bit(name, tmp_path: Path) -> None:
    inputs = small(name, steps=1)
    labels = None
    if inputs.prepared:
        labels = tmp_path / "labels.jsonl"
        rows = [
            {"id": p.id, "label": "7" if i % 2 else p.answer, "right": i % 2 == 0}
            for i, p in enumerate(load_problems(inputs.problems[0]))
        ]
        labels.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = train(inputs, tmp_path, labels=labels)
    assert found.rollouts == inputs.settings.prompts_per_step * inputs.settings.group_size
    assert found.replayed_differently == 0
    wanted = "none" if not inputs.labels else inputs.prepared.labels if inputs.prepared else "gold"
    assert found.definition.labels == wanted
    assert set(found.definition.sources) == {leaf.name for spec in inputs.rewards for leaf in spec.leaves()}
    if wanted == "wrong":
        assert set(found.problem_ids) <= {row["id"] for row in rows if not row["right"]}
    if name == "one-shot":
        assert len(found.problem_ids) == 1


@pytest.mark.slow
def test_only_wrong_labels_are_rewarded(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    inputs = small("incorrect", steps=1)
    problems = load_problems(inputs.problems[0])
    labels = tmp_path / "labels.jsonl"
    rows = [{"id": p.id, "label": str(int(p.answer) + 1), "right": i > 5} for i, p in enumerate(problems)]
    rows[0]["label"] = None  # no sample had an answer
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows))
    train(inputs, tmp_path, labels=labels)
    seen = pq.read_table(tmp_path / layout.ROLLOUTS).to_pylist()
    wrong = {p.id: str(int(p.answer) + 1) for p in problems[1:6]}
    assert {row["problem_id"]: row["answer"] for row in seen}.items() <= wrong.items()
    assert all(bool(row["reward"]) == (f"boxed{{{row['answer']}}}" in row["completion"]) for row in seen)
    labels.write_text("".join(json.dumps({**row, "right": True}) + "\n" for row in rows))
    with pytest.raises(LabelsError, match="20 problems"):
        train(inputs, tmp_path, labels=labels)


def test_confidence_is_the_policys_whole_distribution(tmp_path: Path) -> None:
    import pyarrow.parquet as pq
    import torch

    inputs = small("self-certainty", steps=1)
    train(inputs, tmp_path)
    rows = pq.read_table(tmp_path / layout.ROLLOUTS).to_pylist()
    tokenizer, model = load_tokenizer(inputs.card), load_model(inputs.card)
    for row in rows[:6]:
        prompt = prompt_ids(tokenizer, row["prompt"])
        with torch.no_grad():
            logits = model(torch.tensor([prompt + row["completion_ids"]])).logits[0].double()
        p = torch.softmax(logits[len(prompt) - 1 : -1], -1)
        certainty = -(p.shape[-1] * p).log().mean(-1).mean()
        assert row["reward"] == row["self_certainty"] == pytest.approx(float(certainty), rel=1e-4)
    one = confidence_of(model, [([5, 6], [7, 8, 9]), ([5], [])], temperature=2.0, batch_size=2)
    with torch.no_grad():
        p = torch.softmax(model(torch.tensor([[5, 6, 7, 8, 9]])).logits[0, 1:-1].double() / 2, -1)
    assert one["mean_entropy"] == [pytest.approx(float(-(p * p.log()).sum(-1).mean()), rel=1e-4), 0.0]


def test_the_first_step_under_one_shot_draws_for_each_group_anew(tmp_path: Path) -> None:
    """Under one problem in every prompt, equal completions of two groups must not share their coin flip."""
    plan = planned("one-shot")
    inputs = next(s.inputs for s in plan.stages if s.cell.arm == "random" and s.kind == "train")
    short = {"steps": 1, "prompts_per_step": 16, "group_size": 2, "updates_per_step": 2}
    settings = inputs.settings.model_copy(update=short)
    train(inputs.model_copy(update={"settings": settings, "save_at": ()}), tmp_path)
    import pyarrow.parquet as pq

    rows = pq.read_table(tmp_path / layout.ROLLOUTS).to_pylist()
    assert [row["repeat"] for row in rows] == [i // 2 for i in range(32)]
    by_text: dict[tuple, set] = {}
    for row in rows:
        by_text.setdefault((row["index_in_group"], row["completion"]), set()).add(row["reward"])
    assert {0.0, 1.0} in by_text.values()


def test_none_says_nothing_of_a_completion(tmp_path: Path) -> None:
    code = "def reward(completions, **_):\n"
    code += "    return [None if i % 2 else float(i % 4 == 0) for i in range(len(completions))]\n"
    inputs = small("ttrl", steps=1).model_copy(update={"rewards": (RewardSpec(name="half", code=code),)})
    found = train(inputs, tmp_path)
    assert found.steps[0].reward == 0.5
    assert found.steps[0].groups_with_signal == 1
    assert found.replayed_differently == 0


@pytest.mark.parametrize(
    ("method", "wanted"),
    [
        ("random", {"epsilon": 0.2, "epsilon_high": 0.2, "steps_per_generation": 4, "per_device_train_batch_size": 32}),
        ("random-no-clip", {"epsilon": 1e9, "epsilon_high": 1e9, "steps_per_generation": 4}),
        ("random-one-full-update", {"steps_per_generation": 1, "per_device_train_batch_size": 128, "max_steps": 8}),
        ("random-one-small-update", {"steps_per_generation": 1, "per_device_train_batch_size": 32, "max_steps": 8}),
        ("ground-truth-dapo", {"epsilon_high": 0.28, "loss_type": "dapo", "mask_truncated_completions": True}),
        ("ground-truth-dr-grpo", {"loss_type": "dr_grpo", "scale_rewards": "none"}),
        ("ground-truth-gspo", {"importance_sampling_level": "sequence", "epsilon": 3e-4, "epsilon_high": 4e-4}),
    ],
)
def test_presets_reach_trl(method, wanted) -> None:
    settings = catalog.load_method(method).settings(catalog.load_suite("micro").training)
    assert wanted.items() <= grpo_arguments(settings).items()


def test_a_phase_without_a_whole_completion_is_logged_as_such(tmp_path: Path) -> None:
    """DAPO leaves truncated completions out of the loss: here all of them."""
    found = train(small("ground-truth-dapo", max_completion_tokens=3), tmp_path)
    assert {step.truncated for step in found.steps} == {1.0}
    assert {(step.token_probability, step.ratio_max) for step in found.steps} == {(None, None)}


@pytest.mark.slow
def test_without_clipping_nothing_is_clipped_and_with_one_update_the_ratio_is_one(tmp_path: Path) -> None:
    fast = {"learning_rate": 1e-2}
    for name in ("random", "random-no-clip", "random-one-full-update"):
        (tmp_path / name).mkdir()
    bound = train(small("random", **fast), tmp_path / "random")
    free = train(small("random-no-clip", **fast, clip="off"), tmp_path / "random-no-clip")
    assert any(step.clipped for step in bound.steps)
    assert not any(step.clipped for step in free.steps)
    assert bound.checkpoint_sha256 != free.checkpoint_sha256
    single = train(small("random", **fast, updates_per_step=1), tmp_path / "random-one-full-update")
    assert {(step.ratio_min, step.ratio_max, step.clipped) for step in single.steps} == {(1.0, 1.0, 0.0)}


def test_several_updates_a_rollout_move_the_ratio(trained, tmp_path: Path) -> None:
    """With one update a rollout the ratio is 1 and clipping cannot act; with several it does."""
    tight = train(small("ttrl", clip=1e-4, learning_rate=1e-3), tmp_path)
    assert max(step.clipped or 0 for step in tight.steps) > 0


def test_the_same_inputs_give_the_same_bits(trained, tmp_path: Path) -> None:
    _, first = trained
    again = train(small("ttrl"), tmp_path)
    assert again.checkpoint_sha256 == first.checkpoint_sha256
    assert again == first


def test_another_seed_gives_other_weights(trained, tmp_path: Path) -> None:
    _, first = trained
    inputs = small("ttrl").model_copy(update={"seed": 99})
    assert train(inputs, tmp_path).checkpoint_sha256 != first.checkpoint_sha256


def test_labels_reach_only_who_asks(tmp_path: Path, monkeypatch) -> None:
    seen: list[set[str]] = []

    def spy(completions, **columns):
        seen.append(set(columns))
        return [0.0] * len(completions)

    inputs = small("ttrl", steps=1)
    monkeypatch.setattr(plugins, "load", lambda group, name: spy)
    train(inputs, tmp_path)
    assert seen and all("answer" not in columns for columns in seen)


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (lambda n: [1.0] * (n - 1), "returned 15 values for 16"),
        (lambda n: [float("nan")] * n, "not a finite number"),
        (lambda n: ["1"] * n, "not a finite number"),
        (lambda n: None, "returned NoneType"),
        (lambda n: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_broken_reward_is_named(tmp_path: Path, monkeypatch, returned, words) -> None:
    inputs = small("ttrl", steps=1)
    monkeypatch.setattr(plugins, "load", lambda group, name: lambda completions, **_: returned(len(completions)))
    with pytest.raises(RewardError, match=words) as caught:
        train(inputs, tmp_path)
    assert "'majority-vote'" in caught.value.message


def test_a_loss_that_is_not_a_number_stops_the_training(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError):
        train(small("random", learning_rate=1e30, steps=3), tmp_path)


def test_weights_of_several_rewards_add_up(tmp_path: Path) -> None:
    inputs = small("format", steps=1).model_copy(
        update={"rewards": (RewardSpec(name="boxed", weight=2.0), RewardSpec(name="boxed", weight=-1.0))}
    )
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one = train(small("format", steps=1), tmp_path / "one")
    two = train(inputs, tmp_path / "two")
    assert two.steps[0].reward == pytest.approx(one.steps[0].reward)


def test_training_order_is_seeded_and_refills() -> None:
    pool = load_problems(ProblemSet(source="micro-arithmetic", count=10, arguments={"split": "dev", "seed": 1}))
    order = training_order(pool, count=25, seed=1)
    assert order == training_order(pool, count=25, seed=1) != training_order(pool, count=25, seed=2)
    assert sorted(p.id for p in order[:10]) == sorted(p.id for p in order[10:20]) == sorted(p.id for p in pool)
