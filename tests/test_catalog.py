"""Files by name or path; every slip with its file and line."""

from pathlib import Path

import pytest

from rlvr_bench import catalog
from rlvr_bench.errors import FileFormatError, NotFoundError
from rlvr_bench.rewards.rehearsal import rehearse
from rlvr_bench.schema.base import digest
from rlvr_bench.schema.suite import Suite, TrainingSettings

METHOD = """schema_version: 1
name: mine
title: Mine
source: nobody
rewards:
  - name: boxed
data: train
labels: false
"""


@pytest.mark.parametrize("name", catalog.names("suite"))
def test_every_suite_loads_and_says_why(name) -> None:
    suite = catalog.load_suite(name)
    assert suite.name == name
    assert len(suite.why) > 200
    deciding = [task for task in suite.tasks if task.deciding]
    assert sum(task.problems.count for task in deciding) >= 300


@pytest.mark.parametrize("name", catalog.names("model"))
def test_every_card_loads(name) -> None:
    card = catalog.load_card(name)
    assert card.name == name
    assert card.lineage.startswith("micro-") == (card.weights.source == "embedded")


@pytest.mark.parametrize("name", catalog.names("method"))
def test_every_method_loads(name) -> None:
    method = catalog.load_method(name)
    assert method.name == name
    assert method.labels == any(leaf.name in ("ground-truth", "label") for leaf in method.leaves())
    assert rehearse(method, group_size=8) == ()  # none of ours draws, remembers or breaks


def test_micro_has_two_models_of_each_of_three_lineages() -> None:
    cards = [catalog.load_card(name) for name in catalog.load_suite("micro").models]
    assert sorted(card.lineage for card in cards) == sorted(["micro-qwen", "micro-llama", "micro-olmo"] * 2)


@pytest.mark.parametrize(("kind", "typo", "meant"), [("method", "ttrll", "ttrl"), ("suite", "mirco", "micro")])
def test_did_you_mean(kind, typo, meant) -> None:
    load = {"method": catalog.load_method, "suite": catalog.load_suite}[kind]
    with pytest.raises(NotFoundError, match=f"did you mean '{meant}'"):
        load(typo)


def test_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(METHOD)
    assert catalog.load_method(str(path)).name == "mine"
    with pytest.raises(NotFoundError):
        catalog.load_method(str(tmp_path / "other.yaml"))


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (("data: train", "dat: train"), 7, "unknown key 'dat'; did you mean 'data'"),
        (("  - name: boxed", "  - nam: boxed"), 6, "unknown key 'rewards.0.nam'; did you mean 'name'"),
        (("rewards:\n  - name: boxed\n", ""), 1, "missing key 'rewards'"),
        (("  - name: boxed", "  []"), 5, "rewards: "),
        (("labels: false", "labels: perhaps"), 8, "labels: "),
        (("title: Mine", "title: [Mine"), 4, "not valid YAML"),
        (("title: Mine", "title: Mine\ntitle: Yours"), 4, "key 'title' stands twice"),
        (("labels: false", "labels: false\ngrpo: {clipp: 0.1}"), 9, "unknown key 'grpo.clipp'; did you mean 'clip'"),
        (("title: Mine", "title: !!python/object/apply:os.system ['true']"), 3, "not valid YAML"),
    ],
)
def test_slips_have_a_line(tmp_path: Path, change, line, words) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(METHOD.replace(*change))
    with pytest.raises(FileFormatError) as caught:
        catalog.load_method(str(path))
    assert words in caught.value.message
    assert caught.value.where == f"{path}:{line}"


@pytest.mark.parametrize("text", ["", "- a\n", "just words\n"])
def test_files_that_hold_no_settings(tmp_path: Path, text) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(FileFormatError):
        catalog.load_method(str(path))


def test_not_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileFormatError, match="not a text file"):
        catalog.load_method(str(path))


def test_unknown_reward_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(METHOD.replace("name: boxed", "name: boxes"))
    with pytest.raises(NotFoundError, match="did you mean 'boxed'") as caught:
        catalog.load_method(str(path))
    assert caught.value.where == str(path)


def test_minibatches_must_be_whole() -> None:
    good = catalog.load_suite("micro").training.model_dump()
    with pytest.raises(ValueError, match="equal mini-batches"):
        TrainingSettings.model_validate({**good, "updates_per_step": 3})
    with pytest.raises(ValueError, match="adam_beta2 has no meaning"):
        TrainingSettings.model_validate({**good, "optimizer": "sgd", "adam_beta2": 0.95})


def test_a_suite_needs_a_deciding_task_and_single_names() -> None:
    good = catalog.load_suite("micro").model_dump()
    with pytest.raises(ValueError, match="deciding"):
        Suite.model_validate({**good, "tasks": [{**good["tasks"][0], "deciding": False}]})
    with pytest.raises(ValueError, match="twice"):
        Suite.model_validate({**good, "seeds": [1, 1]})


def test_digest_is_of_the_content() -> None:
    suite = catalog.load_suite("micro")
    assert digest(suite) == digest(suite.model_dump(mode="json")) == digest(catalog.load_suite("micro"))
    assert digest(suite) != digest(suite.model_copy(update={"seeds": (1,)}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            ("  - name: boxed", "  - {name: random, parameters: {gama: 0.9}}"),
            "'gama'; did you mean 'gamma'",
        ),
        (("  - name: boxed", "  - {name: random, parameters: {seed: 3}}"), "no parameter 'seed'"),
        (("  - name: boxed", "  - name: ground-truth"), "set labels: true"),
        (("name: mine", "name: a/../../b"), "name: "),
        (("name: mine", "name: baseline"), "arm without training"),
    ],
)
def test_what_a_method_may_not_say(tmp_path: Path, change, words) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(METHOD.replace(*change, 1))
    with pytest.raises(FileFormatError) as caught:
        catalog.load_method(str(path))
    assert words in caught.value.message


def test_defaults_of_a_reward_are_written_out(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(METHOD.replace("name: boxed", "name: random"))
    assert catalog.load_method(str(path)).rewards == catalog.load_method("random").rewards


def test_a_task_may_not_be_called_train() -> None:
    good = catalog.load_suite("micro").model_dump()
    for name in ("train", "step-4", "labels-64"):
        with pytest.raises(ValueError, match="name of other stages"):
            Suite.model_validate({**good, "tasks": [{**good["tasks"][0], "name": name}]})


def test_a_suite_by_path_finds_its_cards_beside_it(tmp_path: Path, monkeypatch) -> None:
    from rlvr_bench.cli.inputs import plan_of

    text = (catalog.folder("suite") / "micro.yaml").read_text()
    line = next(row for row in text.splitlines() if row.startswith("models:"))
    (tmp_path / "mine.yaml").write_text(text.replace(line, "models: [./card.yaml, micro-olmo-a]"))
    card = (catalog.folder("model") / "micro-qwen-a.yaml").read_text()
    (tmp_path / "card.yaml").write_text(card.replace("name: micro-qwen-a", "name: my-qwen"))
    monkeypatch.chdir("/")
    plan = plan_of("python", str(tmp_path / "mine.yaml")).plan
    assert plan.suite.models == ("my-qwen", "micro-olmo-a")
    for old, new, words in (
        ("source: micro-arithmetic", "source: nothing", "unknown problem source"),
        ("lm_eval_task: rlvr_micro_arithmetic", "lm_eval_task: nothing", "unknown lm-eval task"),
    ):
        (tmp_path / "bad.yaml").write_text(text.replace(old, new))
        with pytest.raises(NotFoundError, match=words):
            plan_of("python", str(tmp_path / "bad.yaml"))
