"""A run in the forms of other programs, read back by them."""

import json
from pathlib import Path

import pytest
import yaml

from rlvr_bench import catalog
from rlvr_bench.analysis import analyse, read
from rlvr_bench.cli.app import run as rlvr_bench
from rlvr_bench.engine.runner import run_plan
from rlvr_bench.errors import NothingMeasuredError
from rlvr_bench.reporting.exports import DATE, to_hub
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.schema.plan import Plan
from rlvr_bench.schema.suite import Pin
from tests.fakes import FakeExecutor, planned

GAINS = {("python", "micro-qwen"): 0.25, ("python", "micro-llama"): 0.1}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    run_plan(planned("python"), folder, runs=tmp_path, executor=FakeExecutor(gains=GAINS))
    return folder


def test_lm_eval_layout_is_judged_as_the_run_is(run, tmp_path, capsys) -> None:
    """Our own reader of lm-eval folders, on what we wrote, gives the gains of the run's report."""
    assert rlvr_bench(["report", str(run.path), "--format", "lm-eval"]) == 0
    folders = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert len(folders) == len({f.name for f in folders}) == 6 * (1 + 3 + 3 * 2 + 2)
    at = {f.name: f for f in folders}
    plan, _ = read(run)
    rows = []
    for card in plan.cards:
        for arm in ("python", "random", "ground-truth"):
            for seed in (21, 22):
                role = {"python": "method", "random": "control", "ground-truth": "reference"}[arm]
                after = at[f"{card.name}__{arm}__seed-{seed}"]
                rows.append({"model": card.name, "lineage": card.lineage, "arm": role, "seed": seed}
                            | {"before": str(at[f"{card.name}__baseline"]), "after": str(after)})  # fmt: skip
    listing = tmp_path / "listing.yaml"
    listing.write_text(yaml.safe_dump({"schema_version": 1, "method": "python", "results": rows}))
    assert rlvr_bench(["judge", str(listing), "--json"]) == 0
    judged = json.loads(capsys.readouterr().out)["verdicts"][0]
    own = analyse(run)
    assert judged["verdict"] == own.verdict.word
    for mine, theirs in zip(own.lineages, judged["families"], strict=True):
        assert theirs["gain"]["estimate"] == pytest.approx(mine.gain.estimate)
        assert theirs["gain"]["lower"] == pytest.approx(mine.gain.lower)


def test_lm_evals_own_table_reads_it(run, capsys) -> None:
    from lm_eval.utils import make_table

    rlvr_bench(["report", str(run.path), "--format", "lm-eval"])
    folder = Path(capsys.readouterr().out.splitlines()[0])
    table = make_table(json.loads((folder / f"results_{DATE}.json").read_text()))
    assert "rlvr_micro_arithmetic" in table and "avg_at_k" in table and "maj_at_k" in table


def with_hub_data(plan: Plan) -> Plan:
    """The plan with its task on a data set of the hub: only what an export reads is changed."""
    data = catalog.load_data_set("math500")
    pin = Pin(origin="hub", data=data, repository="HuggingFaceH4/MATH-500", commit="a" * 40, files=("test.jsonl",))
    changed = []
    for stage in plan.stages:
        if stage.inputs.kind == "evaluate":
            problems = stage.inputs.task.problems.model_copy(update={"source": "math500", "pin": pin})
            task = stage.inputs.task.model_copy(update={"problems": problems, "name": "math500"})
            stage = stage.model_copy(update={"inputs": stage.inputs.model_copy(update={"task": task})})
        changed.append(stage)
    return plan.model_copy(update={"stages": tuple(changed)})


def test_files_for_a_models_page_are_read_by_the_hubs_library(run) -> None:
    from huggingface_hub import ModelCardData, parse_eval_result_entries

    plan, records = read(run)
    folders = to_hub(with_hub_data(plan), records, run)
    assert len(folders) == 12
    report = {m.model: m for m in analyse(run).models}
    for folder in folders:
        (entry,) = parse_eval_result_entries(yaml.safe_load((folder / ".eval_results" / "math500.yaml").read_text()))
        assert (entry.dataset_id, entry.task_id) == ("HuggingFaceH4/MATH-500", "math500")
        assert entry.dataset_revision == "a" * 40 and "avg@2, temperature 1" in str(entry.notes)
        model, seed = folder.name.split("-python-seed-")
        assert entry.value == pytest.approx(100 * report[model].after[int(seed) - 21], abs=0.006)
        _, front, _ = (folder / "README.md").read_text().split("---\n")
        card = ModelCardData(**yaml.safe_load(front), ignore_metadata_errors=False)
        (result,) = card.eval_results
        assert result.metric_value == entry.value and result.dataset_revision == "a" * 40


def test_generated_problems_are_no_benchmark_of_the_hub(run, capsys) -> None:
    plan, records = read(run)
    with pytest.raises(NothingMeasuredError, match="no task of this run is a data set of the hub"):
        to_hub(plan, records, run)
    assert rlvr_bench(["report", str(run.path), "--format", "hf"]) == 5
