"""Checkpoints of every layout that training repositories leave: taken over, or refused with what to type."""

import json
import shutil
from pathlib import Path

import pytest

from rlvr_bench import catalog
from rlvr_bench.backends import models
from rlvr_bench.backends.adopting import adopt, pinned
from rlvr_bench.backends.layouts import locate
from rlvr_bench.backends.models import check_weights, load_model
from rlvr_bench.cli.app import run as rlvr_bench
from rlvr_bench.errors import EnvironmentFaultError, FileFormatError, RlvrBenchError, UsageError
from rlvr_bench.runs import layout
from rlvr_bench.runs.store import weights_digest
from rlvr_bench.schema.method import Checkpoint
from rlvr_bench.schema.plan import AdoptInputs
from tests.backends.test_hub import card, hub
from tests.backends.test_training import pytestmark
from tests.hub_server import Repository
from tests.tiny_models import repository

assert hub and pytestmark

MODEL = "micro-qwen-a"


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A folder as save_pretrained leaves it: other weights than the untouched model's."""
    import torch

    model = load_model(catalog.load_card(MODEL))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.001)
    target = tmp_path / "trained"
    model.save_pretrained(target)
    return target


def taken(path: Path, tmp_path: Path):
    frozen = pinned(Checkpoint(model=MODEL, seed=7, path=str(path)))
    stage = tmp_path / "stage"
    stage.mkdir()
    return adopt(AdoptInputs(card=catalog.load_card(MODEL), checkpoint=frozen), stage), stage


def test_a_folder_of_transformers_is_taken_over(trained, tmp_path) -> None:
    (trained / "training_args.bin").write_bytes(b"a pickle that nobody opens")  # as TRL's Trainer leaves it
    found, stage = taken(trained, tmp_path)
    assert found.imported is not None and found.imported.layout == "transformers" and found.imported.origin == "trained"
    assert found.checkpoint_sha256 == weights_digest(trained) == weights_digest(stage / layout.checkpoint())
    assert not (stage / layout.checkpoint() / "training_args.bin").exists()
    assert found.steps == () and found.rollouts == 0


@pytest.mark.parametrize("inside", ["global_step_120/actor/huggingface", "actor/huggingface", "huggingface", "hf", "."])
def test_models_inside_the_folders_of_training_repositories_are_found(inside, trained, tmp_path) -> None:
    home = tmp_path / "run"
    target = home / inside
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(trained, target)
    (home / "latest_checkpointed_iteration.txt").write_text("120")
    named = home / "global_step_120" if inside.startswith("global") else home
    assert locate(named).folder.resolve() == target.resolve()


@pytest.mark.slow
def test_several_parts_are_one_checkpoint(trained, tmp_path) -> None:
    model = load_model(catalog.load_card(MODEL), trained)
    parts = tmp_path / "parts"
    model.save_pretrained(parts, max_shard_size="100KB")
    assert len(list(parts.glob("model-*.safetensors"))) > 1
    found, stage = taken(parts, tmp_path)
    assert found.checkpoint_sha256 == weights_digest(parts) and len(found.imported.files) > 1
    again = load_model(catalog.load_card(MODEL), stage / layout.checkpoint())
    assert all(a.equal(b) for a, b in zip(again.state_dict().values(), model.state_dict().values(), strict=True))
    next(parts.glob("model-00002*")).unlink()
    with pytest.raises(EnvironmentFaultError, match="the parts beside it differ: model-00002"):
        locate(parts)


@pytest.mark.slow
def test_an_adapter_is_added_to_the_cards_model(tmp_path) -> None:
    peft = pytest.importorskip("peft")
    import torch

    own = catalog.load_card(MODEL)
    base = load_model(own)
    torch.manual_seed(1)
    config = peft.LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    adapter = peft.get_peft_model(base, config)
    adapter.save_pretrained(tmp_path / "adapter")

    def names(base: str) -> None:
        path = tmp_path / "adapter" / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": base}))

    names("somebody/micro-qwen-a")
    found, stage = taken(tmp_path / "adapter", tmp_path)
    assert found.imported.layout == "adapter"
    merged = load_model(own, stage / layout.checkpoint())
    untouched = load_model(own)
    one, two = merged.state_dict(), untouched.state_dict()
    assert any(not one[name].equal(two[name]) for name in one)
    names("meta-llama/Llama-3.1-8B")
    shutil.rmtree(stage)
    with pytest.raises(UsageError, match=r"trained on meta-llama/Llama-3.1-8B, the card is micro-qwen-a"):
        taken(tmp_path / "adapter", tmp_path)


FOREIGN = [
    (["actor/model_world_size_8_rank_0.pt", "actor/fsdp_config.json"], "verl's FSDP shards", "verl.model_merger"),
    (["global_step30/mp_rank_00_model_states.pt", "zero_to_fp32.py"], "DeepSpeed's shards", "zero_to_fp32.py"),
    (["__0_0.distcp", ".metadata"], "a distributed checkpoint", "accelerate merge-weights"),
    (["pytorch_model.bin", "config.json"], "pickled weights", "if you trust|where you trust"),
    (["notes.txt"], "holds no model", "config.json"),
    ([], "it is empty", "config.json"),
]


@pytest.mark.parametrize(("files", "said", "hint"), FOREIGN)
def test_what_is_not_loaded_is_refused_with_the_command(files, said, hint, tmp_path) -> None:
    home = tmp_path / "run"
    home.mkdir()
    for name in files:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(b"{}")
    with pytest.raises(RlvrBenchError, match=said) as caught:
        locate(home)
    assert any(word in str(caught.value.hint) for word in hint.split("|"))


def test_of_several_checkpoints_one_has_to_be_named(trained, tmp_path) -> None:
    for step in (50, 100):
        shutil.copytree(trained, tmp_path / "run" / f"checkpoint-{step}")
    with pytest.raises(UsageError, match="holds 2 checkpoints and is none itself") as caught:
        locate(tmp_path / "run")
    assert "name the final one" in str(caught.value.hint)


def test_weights_of_another_model_are_refused(trained, tmp_path) -> None:
    told = json.loads((trained / "config.json").read_text())
    for change, said in (
        ({"architectures": ["LlamaForCausalLM"]}, "is of LlamaForCausalLM, micro-qwen-a is Qwen2ForCausalLM"),
        ({"num_hidden_layers": 99}, "num_hidden_layers of the checkpoint is 99"),
        ({"vocab_size": 7}, "vocab_size of the checkpoint is 7"),
    ):
        (trained / "config.json").write_text(json.dumps({**told, **change}))
        shutil.rmtree(tmp_path / "stage", ignore_errors=True)
        with pytest.raises(UsageError, match=said):
            taken(trained, tmp_path)


def test_a_checkpoint_that_changes_after_the_plan_is_refused(trained, tmp_path) -> None:
    frozen = pinned(Checkpoint(model=MODEL, seed=7, path=str(trained)))
    weights = trained / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    (tmp_path / "stage").mkdir()
    with pytest.raises(EnvironmentFaultError, match=r"model.safetensors has changed since the plan"):
        adopt(AdoptInputs(card=catalog.load_card(MODEL), checkpoint=frozen), tmp_path / "stage")


def test_a_repository_of_the_hub_with_its_tokenizer_checked(hub, tmp_path) -> None:
    """From a hub on loopback: commit frozen, digests the hub's, another tokenizer refused."""
    base = models.pinned(card(tmp_path))
    models.fetch(base)
    files = dict(repository("Qwen2").files)
    hub.models["me/tuned"] = Repository(files, parameters=repository("Qwen2").parameters)
    frozen = pinned(Checkpoint(model=base.name, seed=1, repository="me/tuned"))
    assert frozen.commit and frozen.layout == "transformers"
    (tmp_path / "stage").mkdir()
    found = adopt(AdoptInputs(card=base, checkpoint=frozen), tmp_path / "stage")
    assert found.imported.commit == frozen.commit and found.imported.origin == "me/tuned"
    told = json.loads(files["tokenizer.json"])
    swapped = {"!": told["model"]["vocab"]['"'], '"': told["model"]["vocab"]["!"]}
    told["model"]["vocab"] |= swapped
    files["tokenizer.json"] = json.dumps(told).encode()
    hub.models["me/other"] = Repository(files, parameters=repository("Qwen2").parameters)
    other = pinned(Checkpoint(model=base.name, seed=1, repository="me/other"))
    with pytest.raises(UsageError, match=r"tokenizer is not that of tiny-qwen2: '.' is "):
        adopt(AdoptInputs(card=base, checkpoint=other), tmp_path / "stage")


METHOD = """
schema_version: 1
name: theirs
title: A method of others
source: its authors
checkpoints:
  - {model: micro-qwen-a, seed: 1, path: trained}
  - {model: micro-olmo-a, seed: 1, path: olmo}
"""


@pytest.mark.slow
def test_a_verdict_from_checkpoints_alone(trained, tmp_path, capsys) -> None:
    (tmp_path / "theirs.yaml").write_text(METHOD)
    shutil.copytree(check_weights(catalog.load_card("micro-olmo-a")), tmp_path / "olmo")
    arguments = ["--method", str(tmp_path / "theirs.yaml"), "--runs", str(tmp_path / "runs"), "--limit", "30"]
    assert rlvr_bench(["plan", *arguments]) == 0
    out = capsys.readouterr().out
    assert "trains on: 2 checkpoints trained elsewhere" in out and "arms:      theirs (the method)" in out
    assert rlvr_bench(["validate", *arguments]) == 0
    out = capsys.readouterr().out
    assert "imported: 2 checkpoints were trained elsewhere (transformers)" in " ".join(out.split())
    assert "no-control: no control is listed beside the checkpoints" in " ".join(out.split())
    (run,) = (tmp_path / "runs").glob("micro--theirs--*")
    assert str(tmp_path) not in json.dumps(json.loads((run / "plan.json").read_text())["method"])
    assert rlvr_bench(["submit", "theirs", "--runs", str(tmp_path / "runs"), "--into", str(tmp_path / "s")]) == 2
    assert "trained elsewhere" in capsys.readouterr().err
    # the same weights in another folder are the same run
    shutil.move(tmp_path / "trained", tmp_path / "moved")
    (tmp_path / "theirs.yaml").write_text(METHOD.replace("path: trained", "path: moved"))
    assert rlvr_bench(["validate", *arguments, "-q"]) == 0
    assert len(list((tmp_path / "runs").glob("micro--theirs--*"))) == 1
    # with a control beside them
    controlled = METHOD.replace("path: trained", "path: moved")
    controlled += "controls:\n  - {model: micro-qwen-a, seed: 1, path: olmo}\n"
    (tmp_path / "theirs.yaml").write_text(controlled)
    assert rlvr_bench(["validate", *arguments]) == 3  # olmo's weights are no control of qwen's
    assert "OlmoForCausalLM" in capsys.readouterr().err.replace("Olmo2", "Olmo")
    controlled = controlled.replace("seed: 1, path: olmo}\n", "seed: 1, path: moved}\n", 2)
    controlled = controlled.replace("micro-olmo-a, seed: 1, path: moved", "micro-olmo-a, seed: 1, path: olmo")
    (tmp_path / "theirs.yaml").write_text(controlled)
    assert rlvr_bench(["validate", *arguments]) in (0, 3)
    assert "no-control" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rewards": [{"name": "random"}]}, "rewards, or checkpoints"),
        ({"checkpoints": [{"model": "m", "seed": 1}]}, "in one place"),
        ({"checkpoints": [{"model": "m", "seed": 1, "path": "x"}] * 2}, "name a model and seed twice"),
        ({"grpo": {"clip": 0.3}}, "trained already"),
    ],
)
def test_slips_in_the_listing(change, said, tmp_path) -> None:
    import yaml

    body = {**yaml.safe_load(METHOD), **change}
    (tmp_path / "theirs.yaml").write_text(yaml.safe_dump(body))
    with pytest.raises(FileFormatError, match=said):
        catalog.load_method(str(tmp_path / "theirs.yaml"))


def test_a_model_that_the_suite_does_not_have(tmp_path, capsys) -> None:
    (tmp_path / "theirs.yaml").write_text(METHOD.replace("micro-olmo-a", "gpt-5"))
    assert rlvr_bench(["plan", "--method", str(tmp_path / "theirs.yaml")]) == 2
    assert "lists a checkpoint of gpt-5, which is not in suite micro" in capsys.readouterr().err
