"""Real TRL on a real (tiny) model: several updates a rollout, bit-equal reruns, errors that name the reward."""

import json
import math
from pathlib import Path

import pytest

from rlvr_bench import plugins
from rlvr_bench.backends.data import load_problems
from rlvr_bench.backends.trl import NonFiniteError, RewardError, train, training_order
from rlvr_bench.runs import layout
from rlvr_bench.schema.method import RewardSpec
from rlvr_bench.schema.plan import TrainInputs
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
    assert (folder / layout.CHECKPOINT / "model.safetensors").is_file()
    updates = [json.loads(line) for line in (folder / layout.METRICS).read_text().splitlines()]
    assert [(u["step"], u["update"]) for u in updates] == [(0, 1), (0, 2), (1, 3), (1, 4)]
    assert len(found.steps) == 2
    for step in found.steps:
        assert 0 <= step.reward <= 1
        assert step.completion_tokens > 3
        assert step.loss is not None and math.isfinite(step.loss)


def test_every_rollout_is_kept_and_replays(trained) -> None:
    import pyarrow.parquet as pq

    folder, _ = trained
    rows = pq.read_table(folder / layout.ROLLOUTS).to_pylist()
    assert len(rows) == 32
    reward = plugins.load(plugins.REWARDS, "majority-vote")
    for start in range(0, 32, 4):
        group = rows[start : start + 4]
        again = reward(
            completions=[r["completion"] for r in group],
            problem_id=[r["problem_id"] for r in group],
            group_size=4,
        )
        assert again == [r["reward"] for r in group]
        assert {r["step"] for r in group} == {start // 16}


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
