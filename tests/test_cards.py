"""Every card and suite: facts, prompts as golden texts, and the same token ids through TRL and through lm-eval."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rlvr_bench import catalog
from rlvr_bench.backends.models import end_ids, prompt_ids
from rlvr_bench.cli.inputs import plan_of
from rlvr_bench.cli.shown import card_as_yaml, data_set_as_yaml, prompt_of
from rlvr_bench.errors import FileFormatError
from rlvr_bench.schema.plan import EvaluateInputs, TrainInputs
from tests.fakes import planned
from tests.tiny_models import tokenizer

CARDS = catalog.names("model")
HUB = [name for name in CARDS if not name.startswith("micro-")]
SUITES = catalog.names("suite")
GOLDEN = Path(__file__).parent / "golden" / "prompts.json"
PROBLEM = "What is $\\frac{1}{2}$ of 10?"

PAPER = {
    "qwen2.5-math-7b": "qwen", "qwen2.5-math-1.5b": "qwen", "qwen2.5-7b": "qwen", "qwen2.5-1.5b": "qwen",
    "llama-3.1-8b": "llama", "llama-3.1-8b-instruct": "llama",
    "llama-3.2-3b": "llama", "llama-3.2-3b-instruct": "llama",
    "olmo-2-1124-7b": "olmo", "olmo-2-1124-7b-sft": "olmo",
}  # fmt: skip
TRAINED = {"qwen2.5-math-7b-instruct", "qwen2.5-7b-instruct", "llama-3.1-tulu-3-8b"}
RELEASES = {
    "qwen3",
    "gemma-2",
    "gemma-3",
    "mistral",
    "deepseek-math",
    "phi-4",
    "smollm2",
    "granite-3.3",
    "falcon3",
    "yi-1.5",
}


@pytest.mark.parametrize("name", CARDS)
def test_a_card(name) -> None:
    card = catalog.load_card(name)
    assert card.name == name
    assert catalog.card_of(name.upper()) == card
    own = yaml.safe_load((catalog.folder("model") / f"{name}.yaml").read_text(encoding="utf-8"))
    facts = (
        *(
            "architecture",
            "parameters",
            "context_tokens",
            "lineage",
            "licence",
            "gated",
            "tuning",
            "based_on",
            "thinking",
        ),
        *("released", "data_until", "template", "bos_token", "system", "instruction", "opening", "end_tokens", "stop"),
    )
    said = [key for key in facts if own.get(key) not in (None, "", [])]
    assert name not in HUB or [key for key in said if key not in card.sources] == []
    assert all(band.source or name not in HUB for band in card.expected.values())
    assert prompt_of(card, PROBLEM).count(PROBLEM) == 1
    if card.weights.source == "hub":
        assert card.weights.commit is None and card.weights.revision == "main", (
            "a commit is looked up, never written down"
        )
        assert card.name == card.weights.repository.split("/")[1].lower()
        assert card.context_tokens >= 4096 and card.parameters > 100_000_000


def test_the_models_that_must_be_there() -> None:
    cards = {name: catalog.load_card(name) for name in CARDS}
    assert {name: cards[name].lineage for name in PAPER} == PAPER
    assert {name for name in HUB if cards[name].tuning == "rl"} >= TRAINED
    assert {cards[name].family for name in HUB} >= RELEASES
    assert len({cards[name].lineage for name in HUB}) >= 11
    of_family: dict[str, set[str]] = {}
    for card in cards.values():
        of_family.setdefault(card.family, set()).add(card.lineage)
    assert all(len(lineages) == 1 for lineages in of_family.values())


def test_prompts_are_the_golden_ones() -> None:
    """What every model is asked, letter by letter. `RLVR_BENCH_GOLDEN=1` writes the file anew."""
    found = {name: prompt_of(catalog.load_card(name), PROBLEM) for name in HUB}
    if os.environ.get("RLVR_BENCH_GOLDEN") == "1":
        GOLDEN.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert found == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_the_paper_models_are_asked_as_the_paper_did() -> None:
    asked = {name: prompt_of(catalog.load_card(name), "Q?") for name in PAPER}
    boxed = "Please reason step by step, and put your final answer within \\boxed{}."
    for name in ("qwen2.5-math-7b", "qwen2.5-math-1.5b"):
        assert asked[name].startswith(f"<|im_start|>system\n{boxed}<|im_end|>\n<|im_start|>user\nQ?<|im_end|>\n")
    for name in ("qwen2.5-7b", "qwen2.5-1.5b", "llama-3.1-8b-instruct", "llama-3.2-3b-instruct", "olmo-2-1124-7b-sft"):
        assert "boxed" not in asked[name]
    for name in ("llama-3.1-8b", "llama-3.2-3b", "olmo-2-1124-7b"):
        assert asked[name].endswith("This is the problem:\nQ?\nAssistant: <think>")
        assert catalog.load_card(name).stop == ("</answer>",)


def test_an_instruction_is_not_given_twice() -> None:
    card = catalog.load_card("gemma-2-2b-it")
    assert prompt_of(card, "Q?").count("\\boxed{}") == 1
    assert prompt_of(card, "Put it in \\boxed{}.").count("\\boxed{}") == 1


SPECIAL = re.compile(r"<\|[a-z_]+\|>|<｜[^｜]+｜>|</?(?:s|bos|eos|start_of_turn|end_of_turn)>|\[/?INST\]")


@pytest.mark.parametrize("name", CARDS)
@pytest.mark.parametrize("adds_bos", [True, False])
def test_trl_and_lm_eval_feed_the_same_tokens(name, adds_bos, monkeypatch) -> None:
    """With a tokenizer that has the card's own special tokens and, as Llama's does, puts its bos before a bare text."""
    from rlvr_bench.backends import lm_eval as ours

    card = catalog.load_card(name)
    asked = prompt_of(card, PROBLEM)
    found = dict.fromkeys([*SPECIAL.findall(card.chat_template), *card.end_tokens, "<|endoftext|>"])
    own = tokenizer(card.bos_token or "<|startoftext|>", "<|endoftext|>", list(found), adds_bos=adds_bos)
    own.chat_template = card.chat_template
    by_trl = prompt_ids(own, PROBLEM)
    inputs = next(s.inputs for s in planned("ttrl").stages if isinstance(s.inputs, EvaluateInputs))
    model = ours.load_model(inputs.card)
    lm = ours._transformers_model(inputs.model_copy(update={"card": card}), model, None, own)
    text = lm.apply_chat_template([{"role": "user", "content": PROBLEM}], add_generation_prompt=True)
    (ids,) = lm.encoded([text])
    assert text == asked
    assert ids == by_trl
    if card.bos_token:
        bos = own.convert_tokens_to_ids(card.bos_token)
        assert by_trl[0] == bos
        assert by_trl.count(bos) == asked.count(card.bos_token) == 1
    assert own.decode(by_trl) == asked
    assert own.eos_token_id in end_ids(own, card)


@pytest.mark.parametrize("name", HUB)
def test_what_show_prints_loads_again(name, tmp_path) -> None:
    card = catalog.load_card(name)
    text = card_as_yaml(card)
    path = tmp_path / "again.yaml"
    path.write_text(text, encoding="utf-8")
    assert catalog.load_card(str(path)) == card
    assert text.count("# unknown") == sum(getattr(card, k) is None for k in (
        "licence", "gated", "released", "data_until", "based_on", "tuning", "thinking"))  # fmt: skip


def test_templates_and_their_words(tmp_path) -> None:
    text = card_as_yaml(catalog.load_card("qwen2.5-0.5b"))

    def refused(change: tuple[str, str], match: str) -> None:
        path = tmp_path / "bad.yaml"
        path.write_text(text.replace(*change), encoding="utf-8")
        with pytest.raises(FileFormatError, match=match):
            catalog.load_card(str(path))

    refused(("template: chatml", "template: chatm"), "unknown template 'chatm'; did you mean 'chatml'")
    refused(("template: chatml", 'template: chatml\nchat_template: "x"'), "exclude each other")
    refused(("template: chatml", 'chat_template: "x"'), "system completes a template")
    refused(("lineage: qwen", "lineage: mine"), "is of lineage 'qwen'")
    refused(("Qwen/Qwen2.5-0.5B", "../../etc"), "repository")
    refused(("sources:", "sources:\n  licens: x"), "no field of a card")


@pytest.mark.parametrize("name", SUITES)
def test_a_suite(name) -> None:
    suite = catalog.load_suite(name)
    cards = [catalog.load_card(model) for model in suite.models]
    assert suite.name == name
    assert suite.why
    settings = suite.training
    for card in cards:
        assert settings.max_prompt_tokens + settings.max_completion_tokens <= card.context_tokens
    if name.startswith("micro"):
        return
    deciding = [task for task in suite.tasks if task.deciding]
    assert sum(task.problems.count for task in deciding) >= 300
    assert {task.sampling.temperature for task in suite.tasks} == {0.6}
    assert (suite.control, suite.reference) == ("random", "ground-truth")
    names = {task.name for task in suite.tasks}
    assert "clean" in names and not {"amc23", "amc83"} <= names
    models = [sum(card.lineage == lineage for card in cards) for lineage in {card.lineage for card in cards}]
    if name != "smoke":
        assert len(suite.seeds) >= (2 if min(models) >= 2 else 3)
        assert all((t.sampling.samples_before, t.sampling.samples_after) == (32, 16) for t in suite.tasks)
        assert len(models) >= 3


def test_what_the_suites_are() -> None:
    standard, small, zoo, smoke = (catalog.load_suite(name) for name in ("standard", "small", "zoo", "smoke"))
    assert set(standard.models) == set(PAPER)
    t = standard.training
    assert (t.prompts_per_step, t.group_size, t.updates_per_step, t.learning_rate, t.steps) == (64, 16, 8, 5e-7, 300)
    assert (t.adam_beta1, t.adam_beta2, t.clip, t.kl, t.max_completion_tokens) == (0.9, 0.95, 0.2, 0.0, 3072)
    assert max(catalog.load_card(m).parameters for m in small.models) < 3.3e9
    assert {catalog.load_card(m).lineage for m in zoo.models} == {catalog.load_card(n).lineage for n in HUB}
    assert (smoke.training.steps, len(smoke.models)) == (20, 2)
    assert "10,000 A100-hours" in standard.why


@pytest.mark.parametrize("name", [s for s in SUITES if not s.startswith("micro")])
@pytest.mark.parametrize("method", ["ttrl", "majority-vote", "one-shot"])
def test_a_plan_without_a_network(name, method, tmp_path, monkeypatch) -> None:
    from rlvr_bench.backends import hub

    def nowhere(kind, repository, revision):
        raise hub.UnreachableError("the hub cannot be reached", where="here")

    monkeypatch.setattr(hub, "look_up", nowhere)
    found = plan_of(method, name, runs=tmp_path)
    cost = found.plan.estimate
    assert cost.gpu_hours is not None and cost.gpu_hours.low < cost.gpu_hours.high
    assert cost.visible_gain > 0.02 and cost.visible_gain_over_control is not None
    assert [fault.exit_code for fault in found.faults] == [4]
    assert "models and data sets are not in the local cache" in found.faults[0].message
    assert {s.inputs.device for s in found.plan.stages} == {"cuda"}
    assert not list(tmp_path.iterdir())
    if name == "standard" and method == "majority-vote":
        assert 3_000 < cost.gpu_hours.low < 10_000 < cost.gpu_hours.high < 30_000
    for stage in found.plan.stages:
        if isinstance(stage.inputs, TrainInputs) and stage.cell.arm == "ground-truth":
            assert stage.inputs.tested == tuple(t.problems for t in found.plan.suite.tasks)


def test_ttrl_trains_on_what_decides_and_leaves_the_rest_to_be_seen(tmp_path, monkeypatch) -> None:
    from rlvr_bench.backends import hub

    monkeypatch.setattr(hub, "look_up", lambda *_: (_ for _ in ()).throw(hub.UnreachableError("away")))
    plan = plan_of("ttrl", "small", runs=tmp_path).plan
    own = next(s.inputs for s in plan.stages if isinstance(s.inputs, TrainInputs) and s.cell.arm == "ttrl")
    assert [p.source for p in own.problems] == ["math500"]


def test_what_is_said_of_models_and_data_is_in_no_digest() -> None:
    from rlvr_bench.schema.card import HubFile
    from rlvr_bench.schema.suite import Pin, ProblemSet

    card = catalog.load_card("gemma-2-2b-it")
    files = {"config.json": HubFile(size=3)}

    def frozen(**changes):
        weights = card.weights.model_copy(update={"commit": "a" * 40, "files": files, **changes})
        return card.model_copy(update={"weights": weights})

    one = frozen().computed()
    assert frozen(revision="v1", repository="other/name").computed() == one
    assert frozen(commit="b" * 40).computed() != one
    said = {"notes": "x", "licence": "y", "sources": {}, "exposure": (), "gated": True, "released": "z"}
    assert frozen().model_copy(update=said).computed() == one
    assert frozen().model_copy(update={"chat_template": "x"}).computed() != one

    data = catalog.load_data_set("aime25")

    def digest(**changes):
        pin = Pin(origin="hub", data=data.model_copy(update=changes), repository="a/b", commit="c" * 40, files=("f",))
        return ProblemSet(source="aime25", count=30, pin=pin).computed()

    assert digest() == digest(notes="x", licence="y", title="z", source="w", published=None)
    assert digest() != digest(answers="text")


def test_a_suite_holds_one_amc_and_a_plan_says_where_too_little_decides(tmp_path, capsys, monkeypatch) -> None:
    from rlvr_bench.backends import hub
    from rlvr_bench.cli.app import run

    monkeypatch.setattr(hub, "look_up", lambda *_: (_ for _ in ()).throw(hub.UnreachableError("away")))
    text = (catalog.folder("suite") / "small.yaml").read_text()
    both = text.replace("source: aime24, count: 30", "source: amc23, count: 40")
    (tmp_path / "both.yaml").write_text(both)
    assert run(["plan", "--method", "random", "--suite", str(tmp_path / "both.yaml")]) == 2
    assert "amc23 is a part of amc83" in capsys.readouterr().err
    (tmp_path / "few.yaml").write_text(text.replace("count: 500", "count: 200"))
    assert run(["plan", "--method", "random", "--suite", str(tmp_path / "few.yaml"), "--runs", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "200 problems decide; below 300 little can be told" in out
    assert "gemma-2-2b-it: training" in out and "training holds 41.8 GB before any rollout" in out


@pytest.mark.parametrize(
    ("template", "match"),
    [("{{ strftime_now('%d') }}", "every day"), ("{% if %}", "chat_template, line 1"), ("{% for %}", "line 1")],
)
def test_a_chat_template_of_ones_own(tmp_path, template, match) -> None:
    text = card_as_yaml(catalog.load_card("llama-3.1-8b")).replace(
        "template: r1", f"chat_template: {json.dumps(template)}"
    )
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FileFormatError, match=match):
        catalog.load_card(str(path))
    good = "{{ bos_token }}{% for m in messages %}{% if loop.last %}{{ m.content }}{% break %}{% endif %}{% endfor %}"
    path.write_text(text.replace(json.dumps(template), json.dumps(good)), encoding="utf-8")
    card = catalog.load_card(str(path))
    assert prompt_of(card, PROBLEM) == "<|begin_of_text|>" + PROBLEM
    path.write_text(card_as_yaml(card), encoding="utf-8")
    assert catalog.load_card(str(path)) == card


def test_dapo_is_refused_where_stop_strings_would_pass_for_truncation(tmp_path, monkeypatch) -> None:
    from rlvr_bench.backends import hub
    from rlvr_bench.errors import UsageError

    monkeypatch.setattr(hub, "look_up", lambda *_: (_ for _ in ()).throw(hub.UnreachableError("away")))
    with pytest.raises(UsageError, match="stop strings for truncated"):
        plan_of("ground-truth-dapo", "standard", runs=tmp_path)


def test_new_card_and_suite(tmp_path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    bench = [sys.executable, "-m", "rlvr_bench.cli.app"]
    for kind, name, files in (
        ("card", "my-7b.v1", "my-7b.v1.yaml\ntest_my_7b_v1.py\n"),
        ("suite", "mine", "mine.yaml\ntest_mine.py\n"),
    ):
        done = run(*bench, "new", kind, name)
        assert (done.returncode, done.stdout) == (0, files), done.stderr
        assert run(*bench, "new", kind, name).returncode == 2
    assert run(*bench, "new", "card", "qwen2.5-7b").returncode == 2
    tests = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "3 passed" in tests.stdout, tests.stdout
    shown = run(*bench, "show", "card", "./my-7b.v1.yaml")
    assert "put your final answer within \\boxed{}.<|im_end|>" in shown.stdout
    assert run(*bench, "show", "suite", "./mine.yaml").returncode == 0


@pytest.mark.parametrize("name", catalog.data_set_names())
def test_a_data_set(name) -> None:
    data = catalog.load_data_set(name)
    assert data.name == name
    assert data.hub is not None
    assert yaml.safe_load(data_set_as_yaml(data))["name"] == name
