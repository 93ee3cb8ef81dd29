"""Models and data over the real download code, from a hub on loopback: what works, and each fault with its message."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlvr_bench import catalog
from rlvr_bench.backends import hub as ours
from rlvr_bench.backends import models, pins, sources
from rlvr_bench.backends.data import load_problems
from rlvr_bench.errors import EnvironmentFaultError
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.runs.store import read_plan
from rlvr_bench.schema.record import Record
from rlvr_bench.schema.suite import ProblemSet
from tests import hub_suite
from tests.hub_server import Hub, Repository, serving
from tests.tiny_models import ARCHITECTURES

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub whose contents a test may change, and an empty cache of its own."""
    from huggingface_hub import constants

    with serving(hub_suite.hub()) as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.url)  # as HF_ENDPOINT sets them on import
        template = served.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr("time.sleep", lambda _: None)  # huggingface_hub waits a second before it asks again
        yield served


def card(tmp_path: Path, architecture: str = "Qwen2"):
    hub_suite.write_suite(tmp_path)
    return catalog.load_card(str(tmp_path / f"{architecture.lower()}.yaml"))


def problem_set(tmp_path: Path, name: str = "math"):
    suite = catalog.load_suite(str(hub_suite.write_suite(tmp_path)))
    return next((t.problems for t in suite.tasks if t.name == name), suite.training_problems)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_model_is_pinned_fetched_and_loaded(hub, tmp_path, architecture) -> None:
    pinned = models.pinned(card(tmp_path, architecture))
    served = hub.models[f"tiny/{architecture}"]
    assert pinned.weights.commit == served.commit
    assert set(pinned.weights.files) == {
        *("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    }
    assert pinned.weights.files["model.safetensors"].sha256
    folder = models.fetch(pinned)
    assert not any("bin" in a or "modeling" in a for a in hub.asked)
    assert {p.name for p in folder.iterdir()} == set(pinned.weights.files)
    before = len(hub.asked)
    model = models.load_model(pinned)
    tokenizer = models.load_tokenizer(pinned)
    assert len(hub.asked) == before, "what is here is not asked for again"
    assert type(model).__name__ == f"{architecture}ForCausalLM"
    assert model.generation_config.repetition_penalty in (None, 1.0)
    assert model.generation_config.temperature in (None, 1.0)
    assert model.generation_config.eos_token_id == models.end_ids(tokenizer, pinned)
    assert tokenizer.pad_token_id is not None


def test_a_commit_is_asked_for_once_and_kept(hub, tmp_path) -> None:
    suite = catalog.load_suite(str(hub_suite.write_suite(tmp_path)))
    cards = [catalog.load_card(name) for name in suite.models]
    book = pins.Book(tmp_path / "runs")
    one = pins.freeze(suite, cards, book)
    assert not one.faults
    book.save()
    hub.models["tiny/Qwen2"].files["README.md"] = b"a new commit"
    hub.datasets["tiny/math"].files["README.md"] = b"a new commit"
    asked = len(hub.asked)
    again = pins.freeze(suite, cards, pins.Book(tmp_path / "runs"))
    assert (again.suite, again.cards) == (one.suite, one.cards)
    assert len(hub.asked) == asked
    other = pins.freeze(suite, cards, pins.Book(tmp_path / "elsewhere"))
    assert other.cards[0].weights.commit == hub.models["tiny/Qwen2"].commit != one.cards[0].weights.commit
    (tmp_path / "runs" / pins.REVISIONS).write_text("{")
    with pytest.raises(EnvironmentFaultError, match="frozen revisions is damaged"):
        pins.Book(tmp_path / "runs")


def test_data_sets_of_each_shape(hub, tmp_path) -> None:
    found = {n: load_problems(sources.pinned(problem_set(tmp_path, n))) for n in ("math", "amc", "aime")}
    assert [p.id for p in found["math"]][:2] == ["tiny-math/test/algebra/0.json", "tiny-math/test/algebra/1.json"]
    assert [(p.id, p.answer) for p in found["amc"]][:2] == [
        ("tiny-amc/2022_AMC_12A/1", "2"),
        ("tiny-amc/2022_AMC_12A/2", "4"),
    ]
    assert [p.answer for p in found["aime"]] == ["33", "70", "336"]
    train = load_problems(sources.pinned(problem_set(tmp_path, "train")), training=True)
    assert len(train) == 21
    assert train[3].answer == "6"


def sharded(hub: Hub, name: str, *, drop: bool = False, index: bytes | None = b"") -> None:
    """Cut a model's weights into two parts with an index, as large models lie on the hub."""
    from safetensors.torch import load, save

    files = hub.models[name].files
    weights = load(files.pop("model.safetensors"))
    names = sorted(weights)
    parts = {1: names[: len(names) // 2], 2: names[len(names) // 2 :]}
    for number, some in parts.items():
        if not (drop and number == 2):
            files[f"model-0000{number}-of-00002.safetensors"] = save(
                {n: weights[n] for n in some}, metadata={"format": "pt"}
            )
    where = {n: f"model-0000{number}-of-00002.safetensors" for number, some in parts.items() for n in some}
    if index is not None:
        files["model.safetensors.index.json"] = index or json.dumps({"metadata": {}, "weight_map": where}).encode()


def test_weights_in_parts(hub, tmp_path) -> None:
    import torch

    whole = models.load_model(models.pinned(card(tmp_path))).state_dict()
    sharded(hub, "tiny/Qwen2")
    hub.models["tiny/Qwen2"].files["consolidated.safetensors"] = b"x" * 2000
    parts = models.pinned(card(tmp_path))
    assert "consolidated.safetensors" not in parts.weights.files
    assert sum("model-" in name for name in parts.weights.files) == 2
    again = models.load_model(parts).state_dict()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_half_a_model_in_the_cache_is_no_model(hub, tmp_path, monkeypatch) -> None:
    from huggingface_hub import constants

    sharded(hub, "tiny/Qwen2")
    mine = card(tmp_path)
    commit = hub.models["tiny/Qwen2"].commit
    ours.fetch("model", "tiny/Qwen2", commit, ["config.json", "tokenizer.json", "model.safetensors.index.json"])
    ours.fetch("model", "tiny/Qwen2", commit, ["model-00001-of-00002.safetensors"])
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(EnvironmentFaultError, match="holds no model-00002-of-00002") as caught:
        models.pinned(mine)
    assert "hf download tiny/Qwen2" in str(caught.value.hint)


def faults(hub: Hub, tmp_path: Path) -> EnvironmentFaultError:
    """The one fault of pinning and fetching everything."""
    suite = catalog.load_suite(str(hub_suite.write_suite(tmp_path, architectures=("Qwen2", "Llama"))))
    frozen = pins.freeze(suite, [catalog.load_card(name) for name in suite.models], pins.Book(tmp_path / "runs"))
    found = [*frozen.faults, *pins.gates(frozen.cards)]
    if found:
        assert len(found) == 1
        return found[0]
    with pytest.raises(EnvironmentFaultError) as caught:
        pins.fetch_problems(frozen.suite)
        for task in frozen.suite.tasks:
            load_problems(task.problems)
        pins.fetch_models(frozen.cards, tmp_path / "runs", lambda _: None)
    return caught.value


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        (lambda h: setattr(h.models["tiny/Qwen2"], "gated", True), "tiny/Qwen2 is gated", "hf auth login"),
        (lambda h: h.models.pop("tiny/Llama"), "the hub has no model tiny/Llama, or it is private", "check the name"),
        (lambda h: h.datasets.pop("tiny/amc"), "the hub has no dataset tiny/amc", "check the name"),
        (
            lambda h: h.models["tiny/Qwen2"].files.pop("model.safetensors"),
            "tiny/Qwen2 holds no safetensors weights",
            "can run code",
        ),
        (lambda h: h.models["tiny/Qwen2"].files.pop("config.json"), "tiny/Qwen2 holds no config.json", "safetensors"),
        (
            lambda h: h.datasets["tiny/math"].files.update(
                {"tests.jsonl": h.datasets["tiny/math"].files.pop("test.jsonl")}
            ),
            "tiny/math holds none of the files test.jsonl: they were renamed",
            "RLVR_BENCH_DATA",
        ),
        (lambda h: h.models["tiny/Qwen2"].files.pop("tokenizer.json"), "tiny/Qwen2 holds no tokenizer", "choose"),
        (lambda h: sharded(h, "tiny/Qwen2", drop=True), "holds no model-00002-of-00002.safetensors", "choose"),
        (lambda h: sharded(h, "tiny/Qwen2", index=b"[1]"), "is no index of weights", None),
        (lambda h: sharded(h, "tiny/Qwen2", index=b'{"weight_map": {"a": "../../x"}}'), "names ['../../x']", None),
        (lambda h: sharded(h, "tiny/Qwen2", index=None), "holds no safetensors weights", "can run code"),
        (lambda h: h.broken.update({"api:tiny/Llama": "429"}), "the hub answered 429 for tiny/Llama", "in a while"),
        (
            lambda h: h.broken.update({"api:tiny/Llama": "403"}),
            "the hub refuses tiny/Llama",
            "a token may lack the right",
        ),
        (
            lambda h: h.broken.update({"api:tiny/Llama": "html"}),
            "the hub's answer about tiny/Llama is none",
            "HF_ENDPOINT",
        ),
        (lambda h: h.broken.update({"api:tiny/amc": "no-sha"}), "the hub's answer about tiny/amc is none", "browser"),
        (lambda h: setattr(h.models["tiny/Qwen2"], "parameters", 7), "has 7 parameters", "mend the card"),
        (lambda h: h.broken.update({"model.safetensors": "short"}), "model.safetensors of tiny/Qwen2", "again"),
        (lambda h: h.broken.update({"model.safetensors": "corrupt"}), "is damaged: its digest", "remove that file"),
        (lambda h: h.broken.update({"model.safetensors": "drop"}), "model.safetensors of tiny/Qwen2", "again"),
        (lambda h: h.broken.update({"model.safetensors": "error"}), "the hub answered 500", "in a while"),
        (
            lambda h: h.datasets["tiny/math"].files.update(
                {"test.jsonl": h.datasets["tiny/math"].files["test.jsonl"][:300]}
            ),
            "not valid JSON",
            None,
        ),
        (
            lambda h: h.datasets["tiny/aime"].files.update(
                {
                    "data/train-00000-of-00001.parquet": h.datasets["tiny/aime"].files[
                        "data/train-00000-of-00001.parquet"
                    ][:-9]
                }
            ),
            "not a readable parquet file",
            None,
        ),
        (
            lambda h: h.datasets["tiny/math"].files.update({"test.jsonl": hub_suite.jsonl(hub_suite.MATH[:-1])}),
            "tiny-math has 7 problems here, it should have 8",
            None,
        ),
        (
            lambda h: h.datasets["tiny/amc"].files.update(
                {"data/train-00000-of-00001.parquet": hub_suite.parquet([{"question": "q", "gold": 1.0}] * 5)}
            ),
            "no column 'problem'; there are question, gold",
            None,
        ),
    ],
)
def test_each_fault_has_its_message(hub, tmp_path, change, message, hint) -> None:
    change(hub)
    found = faults(hub, tmp_path)
    assert message in found.message
    assert hint is None or hint in str(found.hint)
    assert found.exit_code == 4
    assert found.where


def test_two_runs_keep_what_both_found(hub, tmp_path) -> None:
    one, other = pins.Book(tmp_path / "runs"), pins.Book(tmp_path / "runs")
    one.look_up("model", "tiny/Qwen2", "main")
    other.look_up("model", "tiny/Llama", "main")
    one.save()
    other.save()
    kept = json.loads((tmp_path / "runs" / pins.REVISIONS).read_text())
    assert set(kept) == {"model tiny/Qwen2 main", "model tiny/Llama main"}


def test_one_bad_answer_does_not_stop_the_others(hub, tmp_path) -> None:
    hub.broken["api:tiny/Qwen2"] = "429"
    suite = catalog.load_suite(str(hub_suite.write_suite(tmp_path)))
    frozen = pins.freeze(suite, [catalog.load_card(name) for name in suite.models], pins.Book(tmp_path / "runs"))
    assert len(frozen.faults) == 1
    assert [card.weights.commit is None for card in frozen.cards] == [True, False, False, False, False]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_attention_of_a_gpu_is_one_that_the_architecture_has(hub, tmp_path, architecture, monkeypatch) -> None:
    pinned = models.pinned(card(tmp_path, architecture))
    chosen = models.attention(pinned, "cuda")
    assert chosen == ("eager" if architecture == "Gemma2" else "sdpa")
    monkeypatch.setattr(models, "attention", lambda *_: chosen)
    assert models.load_model(pinned).config._attn_implementation == chosen


def test_a_connection_that_drops_goes_on_where_it_stopped(hub, tmp_path) -> None:
    """Half of the file arrives each time, until the server is mended: nothing is lost and nothing torn is believed."""
    pinned = models.pinned(card(tmp_path))
    hub.broken["model.safetensors"] = "drop"
    with pytest.raises(EnvironmentFaultError):
        models.fetch(pinned)
    hub.broken.clear()
    folder = models.fetch(pinned)
    assert (folder / "model.safetensors").read_bytes() == hub.models["tiny/Qwen2"].files["model.safetensors"]


def test_a_renamed_repository_is_followed_and_said(hub, tmp_path) -> None:
    hub.models["new/Qwen2"] = hub.models["tiny/Qwen2"]
    hub.models["tiny/Qwen2"] = Repository({}, moved_to="new/Qwen2")
    suite = catalog.load_suite(str(hub_suite.write_suite(tmp_path, architectures=("Qwen2",))))
    cards = [catalog.load_card(name) for name in suite.models]
    frozen = pins.freeze(suite, cards, pins.Book(tmp_path / "runs"))
    assert frozen.cards[0].weights.repository == "new/Qwen2"
    assert frozen.notes == ["tiny-qwen2: tiny/Qwen2 is new/Qwen2 on the hub now"]
    assert models.fetch(frozen.cards[0]).is_dir()


def test_a_file_that_was_cut_after_the_download_is_seen(hub, tmp_path) -> None:
    pinned = models.pinned(card(tmp_path))
    path = models.fetch(pinned) / "model.safetensors"
    path.resolve().write_bytes(path.read_bytes()[:-100])
    with pytest.raises(EnvironmentFaultError, match="bytes here, the hub says"):
        models.load_model(pinned)


def test_digests_of_large_files_are_computed_once(hub, tmp_path, monkeypatch) -> None:
    pinned = models.pinned(card(tmp_path))
    verified = pins.Verified(tmp_path / "runs")
    models.fetch(pinned, verified.seen, verified.saw)
    monkeypatch.setattr(models, "file_digest", lambda _: pytest.fail("computed again"))
    again = pins.Verified(tmp_path / "runs")
    path = models.fetch(pinned, again.seen, again.saw) / "model.safetensors"
    os.utime(path.resolve(), (1, 1))
    monkeypatch.setattr(models, "file_digest", lambda _: "0" * 64)
    with pytest.raises(EnvironmentFaultError, match="is damaged"):
        models.fetch(pinned, again.seen, again.saw)


def test_without_a_network_the_cache_answers(hub, tmp_path, monkeypatch) -> None:
    from huggingface_hub import constants

    mine = card(tmp_path)
    pinned = models.pinned(mine)
    models.fetch(pinned)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    away = models.pinned(mine)
    assert away.weights.commit == pinned.weights.commit
    assert away.weights.files["model.safetensors"] == pinned.weights.files["model.safetensors"]
    book = pins.Book(tmp_path / "runs")
    suite = catalog.load_suite(str(hub_suite.write_suite(tmp_path, architectures=("Qwen2",))))
    frozen = pins.freeze(suite, [mine], book)
    assert frozen.notes == ["the hub was not reached; the local cache says what tiny/Qwen2 hold"]
    assert [f.message for f in frozen.faults] == [
        "the hub cannot be reached, and 4 models and data sets are not in the local cache"
    ]
    book.save()
    assert not book.path.exists(), "what only the cache says is not kept"
    with pytest.raises(ours.UnreachableError, match="not in the local cache") as caught:
        models.pinned(card(tmp_path, "Llama"))
    assert "hf download tiny/Llama" in str(caught.value.hint)


def test_gated_but_here_needs_no_access(hub, tmp_path) -> None:
    pinned = models.pinned(card(tmp_path))
    models.fetch(pinned)
    hub.models["tiny/Qwen2"].gated = True
    closed = pinned.model_copy(update={"gated": True})
    assert pins.gates([closed]) == []
    assert "gated" in pins.gates([closed.model_copy(update={"weights": models.pinned(card(tmp_path, "Llama")).weights.model_copy(update={"repository": "tiny/Qwen2"})})])[0].message  # fmt: skip # noqa: E501


def test_a_wrong_card_is_told(hub, tmp_path) -> None:
    pinned = models.pinned(card(tmp_path))
    with pytest.raises(EnvironmentFaultError, match="is not one token of its tokenizer"):
        models.load_tokenizer(pinned.model_copy(update={"end_tokens": ("the end",)}))
    with pytest.raises(EnvironmentFaultError, match="the weights are of Qwen2ForCausalLM, the card says"):
        models.load_model(pinned.model_copy(update={"architecture": "LlamaForCausalLM"}))
    with pytest.raises(EnvironmentFaultError, match="tokens of context"):
        models.load_model(pinned.model_copy(update={"context_tokens": 1_000_000}))
    with pytest.raises(EnvironmentFaultError, match="begins texts with"):
        models.load_tokenizer(pinned.model_copy(update={"bos_token": "<s>"}))


@pytest.mark.skipif(not DATA.is_dir(), reason="the benchmark data is not beside this checkout")
def test_the_real_data_sets_as_the_hub_holds_them(hub) -> None:
    """All problems, in the columns and types that the hub's copies have: floats, leading zeros, degree marks."""

    def rows(name: str) -> list[dict]:
        return [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text().splitlines()]

    def url(row: dict) -> str:
        contest, number = row["id"].split("/")[1:]
        return f"https://artofproblemsolving.com/wiki/index.php/{contest}_Problems/Problem_{number}"

    math = [
        {"problem": r["problem"], "solution": "", "answer": r["answer"], "subject": r["subject"], "level": r["level"],
         "unique_id": r["id"].removeprefix("math500/")}
        for r in rows("math500")
    ]  # fmt: skip
    amc = [
        {"id": i % 43, "problem": r["problem"], "answer": float(r["answer"]), "url": url(r)}
        for i, r in enumerate(rows("amc83"))
    ]
    amc23 = [
        {"id": i, "question": r["problem"], "answer": r["answer"] + ".0", "url": url(r)}
        for i, r in enumerate(rows("amc23"))
    ]
    aime = [
        {
            "id": 60 + i,
            "problem": r["problem"],
            "solution": "",
            "answer": r["answer"].zfill(3),
            "url": url(r),
            "year": "2024",
        }
        for i, r in enumerate(rows("aime24"))
    ]
    new = [
        {"problem": r["problem"], "answer": r["answer"] + ("^\\circ" if r["answer"] == "336" else ""), "id": str(i)}
        for i, r in enumerate(rows("aime25"))
    ]
    hub.datasets = {
        "HuggingFaceH4/MATH-500": Repository({"test.jsonl": hub_suite.jsonl(math)}),
        "AI-MO/aimo-validation-amc": Repository({"data/train-00000-of-00001.parquet": hub_suite.parquet(amc)}),
        "math-ai/amc23": Repository({"test-00000-of-00001.parquet": hub_suite.parquet(amc23)}),
        "HuggingFaceH4/aime_2024": Repository({"data/train-00000-of-00001.parquet": hub_suite.parquet(aime)}),
        "math-ai/aime25": Repository({"test.jsonl": hub_suite.jsonl(new)}),
    }
    for name, count in (("math500", 500), ("amc83", 83), ("amc23", 40), ("aime24", 30), ("aime25", 30)):
        found = load_problems(sources.pinned(ProblemSet(source=name, count=count)))
        own = rows(name)
        assert [(p.problem, p.answer) for p in found] == [(r["problem"].strip(), r["answer"]) for r in own]
        if name != "aime25":
            assert [p.id for p in found] == [r["id"] for r in own]


def bench(folder: Path, hub: Hub, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("HF_", "RLVR_BENCH_"))},
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_DISABLE_XET": "1",
    }
    command = [sys.executable, "-m", "rlvr_bench.cli.app", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=400)


def test_a_gated_model_stops_a_run_before_it_starts(tmp_path) -> None:
    with serving(hub_suite.hub()) as hub:
        suite = hub_suite.write_suite(tmp_path, architectures=("Qwen2",))
        hub.models["tiny/Qwen2"].gated = True
        planned = bench(tmp_path, hub, "plan", "--method", "ttrl", "--suite", str(suite))
        assert planned.returncode == 0
        assert "missing:   tiny/Qwen2 is gated" in planned.stdout
        done = bench(tmp_path, hub, "validate", "--method", "ttrl", "--suite", str(suite))
        assert done.returncode == 4
        assert done.stderr.startswith("error: tiny/Qwen2 is gated and this machine has no access to it\nwhere: ")
        assert "hint: accept its terms on that page, then `hf auth login` or set HF_TOKEN" in done.stderr
        assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_plan_train_and_evaluate_models_of_real_architectures(tmp_path) -> None:
    """Five architectures and three data sets over the real download code; the second command asks the hub nothing."""
    with serving(hub_suite.hub()) as hub:
        suite = hub_suite.write_suite(tmp_path)
        planned = bench(tmp_path, hub, "plan", "--method", "ground-truth", "--suite", str(suite))
        assert planned.returncode == 0, planned.stderr
        assert f"tiny-qwen2 {hub.models['tiny/Qwen2'].commit[:7]}" in planned.stdout
        assert not (tmp_path / "runs").exists()
        done = bench(tmp_path, hub, "validate", "--method", "ground-truth", "--suite", str(suite))
        assert done.returncode == 0, done.stderr
        assert "fetching tiny-llama: tiny/Llama at" in done.stderr
        (run,) = (RunFolder(p) for p in (tmp_path / "runs").iterdir() if (p / "plan.json").exists())
        plan = read_plan(run)
        records = {s.id: Record.model_validate_json((run.stage(s.id) / "record.json").read_text()) for s in plan.stages}
        assert len(records) == 55
        assert all(record.failure is None for record in records.values())
        trainings = {name: r.training for name, r in records.items() if r.training}
        assert {tuple(t.left_out.values()) for t in trainings.values()} == {("tiny-math/test/algebra/3.json",)}
        assert not any(set(t.left_out) & set(t.problem_ids) for t in trainings.values())
        stopped = [o for o in records["tiny-olmo2/baseline/math"].evaluation.sampled if o.truncated < o.attempts]
        assert stopped, "the stop string ends answers before the limit"
        report = json.loads((run.report / "report.json").read_text())
        assert f"tiny-llama: tiny/Llama at {hub.models['tiny/Llama'].commit}" in report["data"]
        assert any(line.startswith("1 training problems are tested and were left out") for line in report["data"])
        assert {s["task"] for s in report["scores"]} == {"math", "amc", "aime"}
        asked = len(hub.asked)
        again = bench(tmp_path, hub, "validate", "--method", "ground-truth", "--suite", str(suite))
        assert again.returncode == 0
        assert "55" in again.stderr and "started" not in again.stderr
        assert not [a for a in hub.asked[asked:] if "agent-harnesses" not in a]


def trained(tmp_path: Path, architecture: str, **settings):
    """Train a tiny hub model in this process and return its record and its rollouts."""
    import pyarrow.parquet as pq

    from rlvr_bench.backends.trl import train
    from rlvr_bench.runs import layout
    from tests.fakes import planned

    suite = catalog.load_suite(str(hub_suite.write_suite(tmp_path, architectures=(architecture,))))
    pinned = models.pinned(catalog.load_card(suite.models[0]))
    models.fetch(pinned)
    inputs = next(s.inputs for s in planned("random").stages if s.kind == "train")
    inputs = inputs.model_copy(
        update={
            "card": pinned,
            "problems": (sources.pinned(suite.training_problems),),
            "tested": tuple(sources.pinned(task.problems) for task in suite.tasks),
            "settings": suite.training.model_copy(update=settings),
            "save_at": (),
        }
    )
    folder = tmp_path / "-".join(["train", *map(str, settings.values())])
    folder.mkdir()
    record = train(inputs, folder)
    return record, pq.read_table(folder / layout.ROLLOUTS).to_pylist(), folder / layout.checkpoint(), pinned


def test_training_ends_completions_at_stop_strings(hub, tmp_path) -> None:
    """No token after the one that completes a stop string: what follows in a batch is padding."""
    _, rows, _, pinned = trained(tmp_path, "Olmo2", max_completion_tokens=40)
    tokenizer = models.load_tokenizer(pinned)
    assert pinned.stop == ("</answer>", "e")
    stopped = [row for row in rows if "e" in row["completion"]]
    assert len(stopped) > len(rows) / 2
    for row in rows:
        ids = row["completion_ids"]
        assert "e" not in tokenizer.decode(ids[:-1], skip_special_tokens=True)
        assert tokenizer.pad_token_id not in ids
        ended = "e" in row["completion"] or ids[-1] == tokenizer.eos_token_id
        assert row["truncated"] == (not ended)


def test_micro_batches_add_up_to_the_same_update(hub, tmp_path) -> None:
    from safetensors.torch import load_file

    whole, rows, one, _ = trained(tmp_path, "Llama", micro_batch=4)
    parts, again, other, pinned = trained(tmp_path, "Llama", micro_batch=1)
    start = load_file(models.check_weights(pinned) / "model.safetensors")
    first = [row for row in rows if row["step"] == 0]
    assert [r["completion_ids"] for r in first] == [r["completion_ids"] for r in again if r["step"] == 0]
    a, b = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    moved = max(float((a[name] - start[name]).abs().max()) for name in a)
    apart = max(float((a[name] - b[name]).abs().max()) for name in a)
    assert moved > 1e-4
    assert len(whole.steps) == len(parts.steps) == 2
    assert parts.steps[0].ratio_min == pytest.approx(whole.steps[0].ratio_min, abs=1e-4)
    assert parts.steps[0].token_probability == pytest.approx(whole.steps[0].token_probability, abs=1e-4)
    assert apart < moved / 20


def test_weights_of_a_gpu_are_saved_as_they_are_evaluated(hub, tmp_path) -> None:
    from types import SimpleNamespace

    import torch
    from safetensors.torch import load_file

    from rlvr_bench.backends.trl import save_weights

    pinned = models.pinned(card(tmp_path, "Gemma2"))  # tied embeddings
    model = models.load_model(pinned, training=True)
    same = SimpleNamespace(unwrap_model=lambda model, **_: model)
    trainer = SimpleNamespace(model=model, accelerator=same, is_fsdp_enabled=False, is_deepspeed_enabled=False)
    save_weights(trainer, tmp_path / "gpu", "cuda")
    saved = load_file(tmp_path / "gpu" / "model.safetensors")
    assert {value.dtype for value in saved.values()} == {torch.bfloat16}
    again = models.load_model(pinned, tmp_path / "gpu").state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(again[name], value.to(torch.bfloat16).float())


def test_an_answer_ends_with_its_stop_string_in_evaluation_too(hub, tmp_path) -> None:
    from rlvr_bench.backends.completions import generate, up_to_stop

    pinned = models.pinned(card(tmp_path, "Olmo2"))
    model, own = models.load_model(pinned), models.load_tokenizer(pinned)
    asked = own.pad({"input_ids": [models.prompt_ids(own, f"What is {i}?") for i in range(24)]}, return_tensors="pt")
    how = {"seed": (1,), "limit": 30, "ends": models.end_ids(own, pinned), "stops": pinned.stop}
    rows = generate(model, own, asked["input_ids"], asked["attention_mask"], do_sample=True, temperature=1.0, **how)
    stopped = [row for row in rows if "e" in row["text"]]
    assert len(stopped) > 6
    assert all(row["text"].count("e") == 1 and row["text"].endswith("e") and not row["truncated"] for row in stopped)
    ids = own.encode("abc 12 hello there", add_special_tokens=False)
    for stop in ("e", "12", "lo th", "re"):
        cut = up_to_stop(own, [*ids, *[own.pad_token_id] * 3], [stop, "never"])
        assert stop in own.decode(cut) and stop not in own.decode(cut[:-1])
    assert up_to_stop(own, ids, ["never"]) == ids == up_to_stop(own, ids, [])
    assert {row["tokens"] for row in rows if row["truncated"]} <= {30}


def test_a_training_records_what_it_left_out(hub, tmp_path) -> None:
    record, rows, _, pinned = trained(tmp_path, "Qwen2", max_prompt_tokens=60)
    (own,) = record.left_out
    assert record.left_out[own] == "tiny-math/test/algebra/3.json"
    assert own not in record.problem_ids
    assert not any("3 + 4" in row["prompt"] for row in rows)
    lengths = {p: len(models.prompt_ids(models.load_tokenizer(pinned), p)) for p in {row["prompt"] for row in rows}}
    assert max(lengths.values()) <= 60
