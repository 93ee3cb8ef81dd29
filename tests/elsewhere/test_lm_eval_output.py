"""Verdicts from lm-eval's own output files, written by lm-eval itself."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import yaml

from rlvr_bench.cli.app import run as rlvr_bench

TASK = "rlvr_micro_arithmetic"
LIMIT = 60
MODELS = {"a": "qwen", "b": "llama", "c": "olmo"}
RATES = {"method": {"a": 0.8, "b": 0.4, "c": 0.4}, "control": dict.fromkeys(MODELS, 0.4)}
RATES["reference"] = dict.fromkeys(MODELS, 0.8)


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory) -> Path:
    """Folders of every model's start and arms, through lm-eval's evaluator and its EvaluationTracker."""
    import lm_eval.evaluator
    from lm_eval.api.model import LM
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    from rlvr_bench.backends.tasks import FOLDER

    lm_eval.evaluator.add_env_info = lambda _: None

    class Answerer(LM):
        """Right at a rate, by a hash of the request."""

        def __init__(self, rate: float, seed: str) -> None:
            super().__init__()
            self.rate, self.seed = rate, seed

        def generate_until(self, requests, disable_tqdm=True):
            found = []
            for number, request in enumerate(requests):
                draw = int(hashlib.sha256(f"{self.seed}/{number}".encode()).hexdigest(), 16) % 10_000 / 10_000
                found.append(f"\\boxed{{{request.doc['answer'] if draw < self.rate else 'x'}}}")
            return found

        def loglikelihood(self, requests):
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood

    root = tmp_path_factory.mktemp("lm-eval")
    manager = TaskManager(include_path=str(FOLDER), include_defaults=False)

    def evaluate(name: str, rate: float) -> None:
        results = lm_eval.evaluator.simple_evaluate(
            model=Answerer(rate, name),
            tasks=[TASK],
            task_manager=manager,
            log_samples=True,
            bootstrap_iters=0,
            limit=LIMIT,
        )
        samples = results.pop("samples")
        tracker = EvaluationTracker(output_path=str(root / name))
        tracker.general_config_tracker.model_name_sanitized = "org__model"
        tracker.save_results_aggregated(results, samples)
        for task, rows in samples.items():
            tracker.save_results_samples(task, rows)

    for model in MODELS:
        evaluate(f"{model}-start", 0.4)
        for arm, rates in RATES.items():
            for seed in (1, 2):
                evaluate(f"{model}-{arm}-{seed}", rates[model])
    return root


def listing(path: Path, *, arms=("method", "control", "reference"), change=None, **top) -> Path:
    """Write a listing beside the folders; `change` edits the entries."""
    entries = [
        {
            "model": model,
            "lineage": lineage,
            "arm": arm,
            "seed": seed,
            "before": f"{model}-start",
            "after": f"{model}-{arm}-{seed}",
        }
        for model, lineage in MODELS.items()
        for arm in arms
        for seed in (1, 2)
    ]
    if change:
        change(entries)
    path.write_text(yaml.safe_dump({"schema_version": 1, "method": "ours", **top, "results": entries}))
    return path


@pytest.fixture
def folder(evaluated, tmp_path) -> Path:
    shutil.copytree(evaluated, tmp_path / "out")
    return tmp_path / "out"


def verdict_of(path: Path, capsys, *options: str) -> dict:
    assert rlvr_bench(["judge", str(path), "--json", *options]) == 0, capsys.readouterr().err
    (found,) = json.loads(capsys.readouterr().out)["verdicts"]
    return found


def test_a_verdict_from_folders(folder, capsys) -> None:
    found = verdict_of(listing(folder / "runs.yaml"), capsys, "--bootstrap", "2000")
    assert (found["verdict"], found["lineage"], found["over_start"]) == ("ONE_FAMILY", "qwen", "ONE_FAMILY")
    assert found["method"] == "ours" and found["control"] == "random" and found["reference"] == "ground-truth"
    assert found["correlations"] == {}
    assert found["cross_check"]["word"] == "ONE_FAMILY" and found["cross_check"]["resamples"] == 2000
    assert {f["lineage"]: f["trainable"] for f in found["families"]} == {"qwen": True, "llama": True, "olmo": True}
    names = {flag["name"] for flag in found["flags"]}
    assert not names & {"single-run", "no-control", "no-reference"}
    assert any("60 problems are enough to decide on" in a for a in found["assumptions"])


def test_gains_are_those_of_the_samples(folder, capsys) -> None:
    found = verdict_of(listing(folder / "runs.yaml"), capsys)

    def mean(name: str) -> float:
        (file,) = (folder / name).glob("*/samples_*.jsonl")
        scores = [json.loads(line)["avg_at_k"] for line in file.read_text().splitlines()]
        return sum(scores) / len(scores)

    for family in found["families"]:
        model = family["models"][0]
        after = sum(mean(f"{model}-method-{s}") for s in (1, 2)) / 2
        assert family["gain"]["estimate"] == pytest.approx(after - mean(f"{model}-start"))
    (model, *_) = found["models"]
    assert model["after"] == pytest.approx([mean(f"a-method-{s}") for s in (1, 2)])


def test_documents_are_paired_by_hash_not_by_order(folder, capsys) -> None:
    before = verdict_of(listing(folder / "runs.yaml"), capsys)
    for file in folder.glob("*-method-*/*/samples_*.jsonl"):
        file.write_text("\n".join(reversed(file.read_text().splitlines())) + "\n")
    assert verdict_of(folder / "runs.yaml", capsys)["families"] == before["families"]


def edit_results(folder: Path, name: str, change) -> None:
    (file,) = (folder / name).glob("*/results_*.json")
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))


def edit_samples(folder: Path, name: str, change) -> None:
    (file,) = (folder / name).glob("*/samples_*.jsonl")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows = change(rows) or rows
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def hotter(data):
    data["configs"][TASK]["generation_kwargs"]["temperature"] = 0.6


def newer(data):
    data["versions"][TASK] = 2.0


def templated(data):
    data["chat_template_sha"] = "abc"


def shorter(data):
    data["config"]["model_args"] = "pretrained=x,max_gen_toks=16,dtype=float16"


def other_prompts(rows):
    for row in rows[:7]:
        row["prompt_hash"] = "0"


def other_request(rows):
    for row in rows:
        row["arguments"]["gen_args_0"]["arg_1"]["max_gen_toks"] = 99


@pytest.mark.parametrize(
    ("edit", "change", "words"),
    [
        (edit_results, hotter, "generation_kwargs.temperature: 1.0 and 0.6"),
        (edit_results, newer, "version: 1.0 and 2.0"),
        (edit_results, templated, 'chat_template_sha: null and "abc"'),
        (edit_results, lambda d: d["configs"].update({"../../x": {}}), "not a task's name: ../../x"),
        (edit_results, lambda d: d["configs"].update({"a\x1b[2J": {}}), "not a task's name: a [2J"),
        (edit_results, lambda d: d.update(versions=3), "version: 1.0 and null"),
        (edit_samples, lambda rows: [{**rows[0], "metrics": 3}], "scored 0 metrics"),
        (edit_results, shorter, "model_args.max_gen_toks: not set and 16"),
        (edit_samples, other_prompts, "the prompts of 7 documents"),
        (edit_samples, other_request, "sampling.max_gen_toks: 26 and 99"),
        (edit_samples, lambda rows: rows[:-3], "3 missing and 0 others"),
        (edit_samples, lambda rows: [{**rows[0], "avg_at_k": 3}], "not a share between 0 and 1"),
        (edit_samples, lambda rows: [{**rows[0], "avg_at_k": float("nan")}], "NaN is not a measurement"),
        (edit_samples, lambda rows: [{**rows[0], "metrics": ["exact_match", "other"]}], "metric: NAME"),
        (edit_samples, lambda rows: [*rows, {**rows[0], "filter": "second"}], "filter: NAME"),
        (edit_samples, lambda rows: [3], "not a sample of lm-eval"),
    ],
)
def test_what_is_not_comparable_is_refused_by_name(folder, capsys, edit, change, words) -> None:
    edit(folder, "a-method-1", change)
    assert rlvr_bench(["judge", str(listing(folder / "runs.yaml"))]) == 2
    out, err = capsys.readouterr()
    assert out == "" and words in err and "where: " in err


def test_more_samples_before_than_after_are_welcome(folder, capsys) -> None:
    def more(data):
        data["configs"][TASK]["repeats"] = 16
        data["configs"][TASK]["filter_list"][0]["filter"][0]["k"] = 16

    for model in MODELS:
        edit_results(folder, f"{model}-start", more)
    assert verdict_of(listing(folder / "runs.yaml"), capsys)["verdict"] == "ONE_FAMILY"


def other_task(folder: Path) -> None:
    """Rename the task of one folder: results and samples."""
    (file,) = (folder / "b-start").glob("*/results_*.json")
    file.write_text(file.read_text().replace(TASK, "another_task"))
    (samples,) = (folder / "b-start").glob("*/samples_*.jsonl")
    samples.rename(samples.with_name(samples.name.replace(TASK, "another_task")))


def test_folders_of_different_tasks_are_refused(folder, capsys) -> None:
    other_task(folder)
    path = listing(folder / "runs.yaml")
    assert rlvr_bench(["judge", str(path)]) == 2
    err = capsys.readouterr().err
    assert "folders of different tasks" in err and TASK in err and "another_task in b-start" in err
    assert rlvr_bench(["judge", str(listing(path, tasks=[TASK]))]) == 2
    assert f"no task {TASK} here, only another_task" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: e[0].update(after="nowhere"), "no lm-eval results"),
        (lambda e: e[0].update(after="a-start"), "before and after are the same folder"),
        (lambda e: e[0].update(before="./a-start/", after="a-start"), "before and after are the same folder"),
        (lambda e: e[1].update(after=e[0]["after"]), "is listed after training twice: for a, method, seed 1"),
        (lambda e: e[1].update(seed=1), "listed twice with seed 1"),
        (lambda e: e[0].update(model="a\x1b[2J"), "control characters"),
        (lambda e: e[-1].update(method="oracle"), "several references"),
        (lambda e: [x.pop("lineage") for x in e], "no lineage for model 'a'"),
        (lambda e: e[1].update(lineage="olmo"), "listed with two lineages"),
        (lambda e: [x.update(arm="control") for x in e], "no result has the arm 'method'"),
        (lambda e: e[0].update(arm="placebo"), "results.0.arm"),
        (lambda e: e[0].update(befor="x"), "unknown key"),
    ],
)
def test_bad_listings_are_2(folder, capsys, change, words) -> None:
    assert rlvr_bench(["judge", str(listing(folder / "runs.yaml", change=change))]) == 2
    out, err = capsys.readouterr()
    assert out == "" and words in err


def test_damaged_files_are_2(folder, capsys) -> None:
    (file,) = (folder / "a-start").glob("*/results_*.json")
    path = listing(folder / "runs.yaml")
    text = file.read_text()
    for damage in (text[:100], "[]", "[" * 100_000, '{"configs": ' + '{"a":' * 800 + "1" + "}" * 801):
        file.write_text(damage)
        assert rlvr_bench(["judge", str(path)]) == 2
        assert capsys.readouterr().err.startswith("error: ")
    file.write_text(text)
    (samples,) = (folder / "a-start").glob("*/samples_*.jsonl")
    whole = samples.read_bytes()
    for damage in (whole[:-40], b"\xff\xfe\n", b"", b"[" * 100_000):
        samples.write_bytes(damage)
        assert rlvr_bench(["judge", str(path)]) == 2
        assert capsys.readouterr().err.startswith("error: ")
    samples.unlink()
    assert rlvr_bench(["judge", str(path)]) == 2
    assert "--log_samples" in capsys.readouterr().err


def test_a_results_file_can_be_named_where_a_folder_holds_two(folder, capsys) -> None:
    (file,) = (folder / "a-start").glob("*/results_*.json")
    (samples,) = (folder / "a-start").glob("*/samples_*.jsonl")
    shutil.copy(file, file.with_name("results_later.json"))
    shutil.copy(samples, samples.with_name(f"samples_{TASK}_later.jsonl"))
    assert rlvr_bench(["judge", str(listing(folder / "runs.yaml"))]) == 2
    assert "evaluated twice" in capsys.readouterr().err

    def named(entries) -> None:
        for entry in entries:
            if entry["model"] == "a":
                entry["before"] = str(file.relative_to(folder))

    assert verdict_of(listing(folder / "runs.yaml", change=named), capsys)["verdict"] == "ONE_FAMILY"


def test_folders_without_control_say_so(folder, capsys) -> None:
    found = verdict_of(listing(folder / "runs.yaml", arms=("method",)), capsys)
    names = {flag["name"]: flag["evidence"] for flag in found["flags"]}
    assert "the listing has no control" in names["no-control"]
    assert "no-reference" in names


def test_the_start_is_the_methods_alone(folder, capsys) -> None:
    """A control that names another evaluation as its start must not move the gains."""
    plain = verdict_of(listing(folder / "runs.yaml"), capsys)

    def odd(entries) -> None:
        for entry in entries:
            if entry["arm"] == "control":
                entry["before"] = f"{entry['model']}-reference-1"

    found = verdict_of(listing(folder / "runs.yaml", change=odd), capsys)
    assert [f["gain"] for f in found["families"]] == [f["gain"] for f in plain["families"]]
    (flag,) = [f for f in found["flags"] if f["name"] == "control-mismatch"]
    assert "its control at" in flag["evidence"]


def test_a_control_named_as_a_method_is_that_methods_own(folder, capsys) -> None:
    def two(entries) -> None:
        for entry in list(entries):
            if entry["arm"] == "method" and entry["seed"] == 2:
                entry["method"] = "other"
            if entry["arm"] == "control":
                entry["method"] = "other"

    path = listing(folder / "runs.yaml", change=two)
    assert rlvr_bench(["judge", str(path), "--json"]) == 0
    found = {v["method"]: v for v in json.loads(capsys.readouterr().out)["verdicts"]}
    assert (found["ours"]["control"], found["other"]["control"]) == (None, "other")
    evidence = {f["name"]: f["evidence"] for f in found["ours"]["flags"]}["no-control"]
    assert "carry the names of other methods (other)" in evidence


def test_a_lost_control_is_not_a_disagreement(folder, capsys) -> None:
    def lose(entries) -> None:
        entries[:] = [e for e in entries if (e["model"], e["arm"]) != ("c", "control")]

    found = verdict_of(listing(folder / "runs.yaml", change=lose), capsys, "--bootstrap", "500")
    assert found["verdict"] == found["cross_check"]["word"] == "INCONCLUSIVE"
    assert found["over_start"] == found["cross_check"]["over_start"] == "ONE_FAMILY"


def test_a_listing_that_holds_itself_is_refused(tmp_path, capsys) -> None:
    path = tmp_path / "loop.yaml"
    path.write_text("a: &a [*a]\n")
    assert rlvr_bench(["judge", str(path)]) == 2
    assert "error: " in capsys.readouterr().err


def test_unnamed_controls_stay_when_their_reward_is_judged_too(folder, capsys) -> None:
    def more(entries) -> None:
        for entry in [e for e in entries if e["arm"] == "reference" and e["seed"] == 2]:
            entry.update(arm="method", method="random")

    path = listing(folder / "runs.yaml", change=more)
    assert rlvr_bench(["judge", str(path), "--json"]) == 0
    found = {v["method"]: v for v in json.loads(capsys.readouterr().out)["verdicts"]}
    assert (found["ours"]["control"], found["random"]["control"]) == ("random", "random")
    assert found["ours"]["verdict"] == "ONE_FAMILY"
