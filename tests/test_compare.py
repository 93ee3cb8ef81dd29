"""Two runs on the same problems, and a run's answers graded again."""

import json
from pathlib import Path

import pytest

from rlvr_bench import catalog
from rlvr_bench.analysis import read, report_of
from rlvr_bench.analysis.compared import compare
from rlvr_bench.analysis.rescored import rescore
from rlvr_bench.backends.completions import packed
from rlvr_bench.backends.data import load_problems
from rlvr_bench.backends.lm_eval import outcome
from rlvr_bench.cli.app import run as rlvr_bench
from rlvr_bench.engine.runner import run_plan
from rlvr_bench.errors import EnvironmentFaultError, NotFoundError, UsageError
from rlvr_bench.reporting import comparing
from rlvr_bench.runs import layout
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.runs.store import find_run, write_model
from rlvr_bench.schema.plan import EvaluateInputs
from rlvr_bench.schema.record import Record
from tests.fakes import FakeExecutor, folder_of, planned
from tests.judged import BARE, gains


def made(runs: Path, method: str, *values: float, suite=BARE, **cuts) -> tuple[str, object, object]:
    plan = planned(method, suite=suite, **cuts)
    run = folder_of(plan, runs)
    run_plan(plan, run, runs=runs, executor=FakeExecutor(gains=gains(method, *values)))
    return (run.path.name, *read(run))


@pytest.fixture
def pair(tmp_path):
    return made(tmp_path, "python", 0.3, 0.0, 0.0), made(tmp_path, "format", 0.3, 0.2, -0.1)


def test_differences_are_paired_on_problems(pair) -> None:
    found = compare(*pair)
    rows = {d.name: d for d in found.lineages}
    assert abs(rows["micro-qwen"].difference.estimate) < 0.02 and rows["micro-qwen"].difference.lower < 0
    assert rows["micro-llama"].difference.lower > 0.1 and rows["micro-olmo"].difference.upper < 0
    for d in (*found.lineages, *found.models):
        assert d.second - d.first == pytest.approx(d.difference.estimate)
    reports = [report_of(plan, records) for _, plan, records in pair]
    for d, one, other in zip(found.lineages, reports[0].lineages, reports[1].lineages, strict=True):
        assert d.first == pytest.approx(one.gain.estimate) and d.second == pytest.approx(other.gain.estimate)
    assert [line.split(":")[0] for line in found.setup] == ["rewards"] and found.notes == ()


def test_flipped_problems_are_those_of_the_records(pair) -> None:
    found = compare(*pair)
    model, want = "micro-llama-a", set()
    sides = []
    for _, plan, records in pair:
        runs = [
            {o.id: o.correct / o.attempts for o in records[s.id].evaluation.sampled}
            for s in plan.stages
            if s.cell.model == model and s.cell.arm == plan.method.name and s.kind == "evaluate"
        ]
        sides.append({i: sum(run[i] for run in runs) / len(runs) for i in runs[0]})
    want = {i for i in sides[0] if (sides[0][i] - 0.5) * (sides[1][i] - 0.5) < 0}
    mine = [f for f in found.flipped if f.model == model]
    assert {f.problem for f in mine} == want and len(mine) > 20
    changes = [abs(f.second - f.first) for f in mine]
    assert changes == sorted(changes, reverse=True)
    listed = comparing.flip_list(found, 2).rows
    assert sum(row[0] == model for row in listed) == 4


def test_random_with_and_without_clipping_side_by_side(tmp_path, capsys) -> None:
    made(tmp_path, "random", 0.0, 0.0, 0.0)
    made(tmp_path, "random-no-clip", 0.0, 0.0, 0.0)
    assert rlvr_bench(["compare", "random", "random-no-clip", "--runs", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "differs: settings.clip: 0.2, off" in out and "clipped %" in out and "token probability" in out
    assert rlvr_bench(["compare", "random", "random-no-clip", "--runs", str(tmp_path), "--format", "json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["schema"] == "rlvr-bench/compare/1" and body["second"]["method"] == "random-no-clip"
    assert len(body["curves"][0]) == 12
    assert rlvr_bench(["compare", "random", "random-no-clip", "--runs", str(tmp_path), "--format", "markdown"]) == 0
    assert "| micro-qwen |" in capsys.readouterr().out


def test_other_starts_are_said_and_gains_compared(tmp_path) -> None:
    one = made(tmp_path / "a", "python", 0.3, 0.0, 0.0)
    plan = planned("format", suite=BARE)
    run = folder_of(plan, tmp_path / "b")
    run_plan(plan, run, runs=tmp_path / "b", executor=FakeExecutor(base=0.4, gains=gains("format", 0.3, 0.2, -0.1)))
    found = compare(one, (run.path.name, *read(run)))
    assert any("the starts differ" in note for note in found.notes)
    assert abs(found.lineages[0].difference.estimate) < 0.03


def test_what_cannot_be_compared_is_refused(tmp_path, pair) -> None:
    with pytest.raises(UsageError, match="both are the same run"):
        compare(pair[0], pair[0])
    fewer = made(tmp_path, "format", 0.3, 0.2, -0.1, limit=50)
    with pytest.raises(UsageError, match="task arithmetic is asked otherwise in the second run: problems: count"):
        compare(pair[0], fewer)
    task = BARE.tasks[0].model_copy(update={"sampling": BARE.tasks[0].sampling.model_copy(update={"temperature": 0.5})})
    cooler = made(tmp_path, "format", 0.3, 0.2, -0.1, suite=BARE.model_copy(update={"tasks": (task,)}))
    with pytest.raises(UsageError, match=r"sampling: temperature: 1\.0, 0\.5"):
        compare(pair[0], cooler)
    name, plan, records = pair[1]
    cards = tuple(c.model_copy(update={"chat_template": "x" + c.chat_template}) for c in plan.cards)
    with pytest.raises(UsageError, match="prompted otherwise"):
        compare(pair[0], (name, plan.model_copy(update={"cards": cards}), records))


def test_a_run_with_stages_missing_is_compared_and_said(tmp_path, capsys) -> None:
    made(tmp_path, "python", 0.3, 0.0, 0.0)
    plan = planned("format", suite=BARE)
    run = folder_of(plan, tmp_path)
    lost = {"micro-llama-a/format/seed-22/train"}
    run_plan(plan, run, runs=tmp_path, executor=FakeExecutor(gains=gains("format", 0.1, 0.0, 0.0), fail=lost))
    assert rlvr_bench(["compare", "python", "format", "--runs", str(tmp_path)]) == 3
    said = capsys.readouterr()
    assert "2 stages of micro--format" in said.out and "have no result" in said.err
    for stage in plan.stages:
        (run.stage(stage.id) / layout.RECORD).unlink(missing_ok=True)
    assert rlvr_bench(["compare", "python", "format", "--runs", str(tmp_path)]) == 5
    assert "where: micro--format" in capsys.readouterr().err


def test_one_model_in_common_is_enough(tmp_path) -> None:
    one = made(tmp_path, "python", 0.3, 0.0, 0.0, models=["micro-qwen-a", "micro-olmo-a"])
    two = made(tmp_path, "format", 0.1, 0.0, 0.0, models=["micro-qwen-a", "micro-llama-a"])
    found = compare(one, two)
    assert [d.name for d in found.models] == ["micro-qwen-a"]
    assert any("only in" in note and "micro-olmo-a" in note for note in found.notes)


def test_runs_by_short_names(tmp_path) -> None:
    for name in ("micro--ttrl--abc", "micro--ttrl--def", "micro--python--abc", "small--python--abc", "small--x--abc"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "plan.json").write_text("{}")
    assert find_run("micro--python", tmp_path).path.name == "micro--python--abc"
    assert find_run("x", tmp_path).path.name == "small--x--abc"
    for several in ("python", "micro--ttrl", "ttrl"):
        with pytest.raises(UsageError, match="is the name of 2 runs"):
            find_run(several, tmp_path)
    for none in ("pyth", "micro--pyt", "nothing"):
        with pytest.raises(NotFoundError):
            find_run(none, tmp_path)


# answers graded again


@pytest.fixture
def saved(tmp_path) -> RunFolder:
    """A small run whose records were graded from its completions."""
    suite = catalog.load_suite("micro").model_copy(update={"prompts": ("micro-python-first",), "evaluate_at": ()})
    plan = planned("python", suite=suite, models=["micro-qwen-a", "micro-llama-a"], seeds=1, limit=20)
    run = folder_of(plan, tmp_path)
    run_plan(plan, run, runs=tmp_path, executor=FakeExecutor())
    for stage in plan.stages:
        if not isinstance(stage.inputs, EvaluateInputs):
            continue
        problems, k = load_problems(stage.inputs.task.problems), stage.inputs.samples
        begin = stage.inputs.prompt.begin if stage.inputs.prompt else ""
        drawn = [
            {"text": f"\\boxed{{{p.answer if (i + n) % 3 else '1000'}}}", "tokens": 5, "truncated": False}
            for n, p in enumerate(problems)
            for i in range(k)
        ]
        drawn += [{"text": f"\\boxed{{{p.answer}}}", "tokens": 5, "truncated": False} for p in problems]
        members = [packed({"key": str(i), "rows": drawn[i : i + 7]}) for i in range(0, len(drawn), 7)]
        (run.stage(stage.id) / layout.COMPLETIONS).write_bytes(b"".join(members))

        def graded(rows, count, problems=problems, begin=begin):
            parts = [rows[n * count : (n + 1) * count] for n in range(len(problems))]
            return tuple(
                outcome(p, [begin + row["text"] for row in part], part, 16)
                for p, part in zip(problems, parts, strict=True)
            )

        path = run.stage(stage.id) / layout.RECORD
        record = Record.model_validate_json(path.read_text())
        new = {"sampled": graded(drawn, k), "greedy": graded(drawn[len(problems) * k :], 1)}
        evaluation = record.evaluation.model_copy(update=new)
        write_model(path, record.model_copy(update={"evaluation": evaluation}))
    return run


def test_grading_again_gives_the_same_and_changes_nothing(saved) -> None:
    before = {p: p.read_bytes() for p in saved.path.rglob("*.json")}
    plan, records = read(saved)
    seen = []
    found = rescore(plan, records, saved, workers=2, seen=lambda *at: seen.append(at))
    assert found.changed == () and found.records == records
    stages = [s for s in plan.stages if isinstance(s.inputs, EvaluateInputs)]
    assert found.answers == sum(20 * (s.inputs.samples + 1) for s in stages) and seen[-1] == (len(stages), len(stages))
    assert before == {p: p.read_bytes() for p in saved.path.rglob("*.json")}


def test_a_record_that_says_something_else_is_found(saved, capsys) -> None:
    plan, records = read(saved)
    stage = next(s for s in plan.stages if s.kind == "evaluate" and s.cell.arm == "python")
    path = saved.stage(stage.id) / layout.RECORD
    body = json.loads(path.read_text())
    first = body["evaluation"]["sampled"][0]
    first["correct"] = 0 if first["correct"] else 1
    path.write_text(json.dumps(body))
    assert rlvr_bench(["rescore", str(saved.path), "-j", "1", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [c["stage"] for c in said["changed"]] == [stage.id] and said["changed"][0]["problems"] == 1
    fresh = json.loads(Path(said["report"]).read_text())
    assert fresh == json.loads(report_of(plan, records).model_dump_json())
    assert rlvr_bench(["rescore", str(saved.path)]) == 0
    assert "differ, in 1 stages" in capsys.readouterr().err


def test_missing_completions_are_said(saved, capsys) -> None:
    plan, records = read(saved)
    stage = next(s for s in plan.stages if s.kind == "evaluate")
    path = saved.stage(stage.id) / layout.COMPLETIONS
    data = path.read_bytes()
    path.write_bytes(data[:-5])
    with pytest.raises(EnvironmentFaultError, match="completions, the plan asks for"):
        rescore(plan, records, saved, workers=1)
    path.unlink()
    assert rlvr_bench(["rescore", str(saved.path)]) == 4
    assert "the completions of this stage are not here" in capsys.readouterr().err
