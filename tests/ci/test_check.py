"""The gate on recorded runs: what passes, what falls, what is missing, in every format; and the action's shell."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlvr_bench.ci import formats
from rlvr_bench.ci.baseline import read_accepted
from rlvr_bench.cli.app import run as rlvr_bench
from rlvr_bench.engine.runner import run_plan
from rlvr_bench.errors import FileFormatError, NotFoundError
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.schema.baseline import AcceptedVerdict, CheckReport, Compared
from rlvr_bench.schema.finding import VerdictWord
from tests.fakes import FakeExecutor, planned

ACTION = Path(__file__).parents[2] / ".github" / "actions" / "check"
GAINS = {("ttrl", "micro-qwen"): 0.2, ("ttrl", "micro-llama"): 0.15, ("ttrl", "micro-olmo"): 0.12}
GAINS |= {("ground-truth", lineage): 0.3 for _, lineage in list(GAINS)}


def recorded(runs: Path, name: str, *, gains: dict | None = None, fail: tuple[str, ...] = (), **cuts) -> RunFolder:
    """A finished run under a name, with chosen gains; its stages are not shared with other runs."""
    plan = planned("ttrl", **cuts)
    folder = RunFolder(runs / name)
    executor = FakeExecutor(gains=GAINS if gains is None else gains, fail=set(fail))
    run_plan(plan, folder, runs=runs / f"cache-of-{name}", executor=executor)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    recorded(runs, "good")
    recorded(runs, "slightly", gains={**GAINS, ("ttrl", "micro-qwen"): 0.19})
    recorded(runs, "fallen", gains={**GAINS, ("ttrl", "micro-qwen"): 0.05})
    recorded(runs, "better", gains={**GAINS, ("ttrl", "micro-olmo"): 0.3})
    recorded(runs, "lost", fail=("micro-qwen-a/ttrl/seed-21/train", "micro-qwen-a/ttrl/seed-22/train"))
    recorded(runs, "one-run-less", fail=("micro-olmo-b/ttrl/seed-22/train",))
    controls = tuple(s.id for s in planned("ttrl").stages if s.cell.arm == "random" and s.kind == "train")
    recorded(runs, "no-control", fail=controls)
    recorded(runs, "partial", models=["micro-qwen-a"])
    assert rlvr_bench(["check", str(runs / "good"), "--baseline", str(runs / "base.json"), "--update-baseline"]) == 0
    return runs


def check(runs: Path, name: str, capsys, *more: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = rlvr_bench(["check", str(runs / name), "--baseline", str(runs / "base.json"), *more])
    return code, *capsys.readouterr()


@pytest.mark.parametrize(("name", "code"), [("good", 0), ("slightly", 0), ("better", 0), ("fallen", 1), ("lost", 5)])
def test_exit_codes(made, capsys, name, code) -> None:
    assert check(made, name, capsys)[0] == code


def test_the_same_run_differs_by_nothing(made, capsys) -> None:
    _, out, _ = check(made, "good", capsys, "--format", "json")
    found = json.loads(out)
    assert found["schema"] == "rlvr-bench/check/1" and found["passed"]
    assert {(c["difference"], c["accepted"] - c["now"]) for c in found["lineages"]} == {(0.0, 0.0)}


def test_a_fall_is_told_in_words(made, capsys) -> None:
    code, out, err = check(made, "fallen", capsys)
    assert "micro-qwen: gain +" in out and "FELL" in out and "micro-llama" in out
    assert out.count("FELL") == 1
    assert "error: ttrl gains less on micro-qwen than the accepted run: +" in err
    assert "hint: if this is meant, accept it: rlvr-bench check " in err
    assert code == 1
    assert check(made, "fallen", capsys, "--minimum-drop", "40")[0] == 0


def test_a_missing_measurement_is_never_a_pass(made, capsys) -> None:
    code, out, err = check(made, "one-run-less", capsys)
    assert code == 5
    assert "not measured: micro-olmo-b, arithmetic: 1 of 2 runs" in out
    assert "accepted results are not measured" in err
    code, out, _ = check(made, "lost", capsys)
    assert code == 5
    assert "not measured: micro-qwen-a: no result now" in out


def test_a_partial_run_does_not_stand_for_a_whole_one(made, capsys) -> None:
    code, out, _ = check(made, "partial", capsys)
    assert code == 5
    assert out.count("no result now") > 4 and "a partial run" in out


def test_an_incomplete_run_is_not_accepted(made, tmp_path, capsys) -> None:
    target = tmp_path / "new.json"
    assert rlvr_bench(["check", str(made / "lost"), "--baseline", str(target), "--update-baseline"]) == 5
    assert not target.exists()
    assert "it is not accepted" in capsys.readouterr().err


def test_fail_on(made, capsys) -> None:
    code, _, err = check(made, "good", capsys, "--fail-on", "generalises")
    assert code == 1
    assert "the verdict is GENERALISES, which this check does not take" in err
    assert check(made, "good", capsys, "--fail-on", "harmful", "--fail-on", "ONE_FAMILY")[0] == 0
    code, _, err = check(made, "good", capsys, "--fail-on", "generalizes")
    assert code == 2
    assert "did you mean 'generalises'" in err


def test_fail_on_of_judge(tmp_path, capsys) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "method,model,lineage,benchmark,problems,before,after\n"
        "m,a,one,b,500,0.4,0.7\nm,b,two,b,500,0.4,0.41\nm,c,three,b,500,0.4,0.39\n"
    )
    assert rlvr_bench(["judge", str(path)]) == 0
    assert rlvr_bench(["judge", str(path), "--fail-on", "one-family"]) == 1
    assert "the verdict is ONE FAMILY (one), which --fail-on does not take" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda d: {**d, "suite": "small"}, "the run's suite is micro, the baseline's small"),
        (lambda d: {**d, "suite_version": 2}, "suite version is 4, the baseline's 2"),
        (lambda d: {**d, "method": "python"}, "method is ttrl, the baseline's python"),
    ],
)
def test_other_questions_are_refused(made, tmp_path, capsys, change, match) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps(change(json.loads((made / "base.json").read_text()))))
    assert rlvr_bench(["check", str(made / "good"), "--baseline", str(path)]) == 2
    assert match in capsys.readouterr().err


def damaged(data: dict, what: str) -> str:
    task = data["models"][0]["tasks"]["arithmetic"]
    if what == "short":
        task["before"] = task["before"][:-1]
    if what == "much":
        task["after"][0][3] = 99
    if what == "twice":
        task["ids"][1] = task["ids"][0]
    if what == "nan":
        return json.dumps(data).replace('"gains": {', '"gains": {"x": NaN, ')
    if what == "huge":
        task["samples_before"] = 10**400
    if what == "model":
        data["models"].append(data["models"][0])
    if what == "key":
        data["modles"] = []
    return json.dumps(data)[:-40] if what == "torn" else json.dumps(data)


def test_names_of_a_baseline_are_one_line(made, tmp_path, capsys) -> None:
    data = json.loads((made / "base.json").read_text())
    for change in ({"method": "x\n::error::forged"}, {"verdict": {"word": "MIXED", "lineages": ["a\n::error::x"]}}):
        (tmp_path / "b.json").write_text(json.dumps({**data, **change}))
        assert rlvr_bench(["check", str(made / "good"), "--baseline", str(tmp_path / "b.json")]) == 2
        out, err = capsys.readouterr()
        assert not any(line.startswith("::") for line in (out + err).splitlines())


def test_a_control_without_a_result_is_no_pass(made, capsys) -> None:
    code, out, _ = check(made, "no-control", capsys)
    assert code == 5
    assert "not measured: micro-qwen-a/random/seed-21/train: backend" in out


@pytest.mark.parametrize("what", ["short", "much", "twice", "nan", "key", "torn", "huge", "model"])
def test_a_damaged_baseline_is_refused(made, tmp_path, what) -> None:
    path = tmp_path / "bad.json"
    path.write_text(damaged(json.loads((made / "base.json").read_text()), what))
    with pytest.raises(FileFormatError):
        read_accepted(path)
    with pytest.raises(NotFoundError, match="no baseline file"):
        read_accepted(tmp_path / "nothing.json")


def test_other_problems_are_refused(made, tmp_path, capsys) -> None:
    data = json.loads((made / "base.json").read_text())
    data["models"][2]["tasks"]["arithmetic"]["ids"][0] = "another"
    (tmp_path / "b.json").write_text(json.dumps(data))
    assert rlvr_bench(["check", str(made / "good"), "--baseline", str(tmp_path / "b.json")]) == 2
    assert "have different problems" in capsys.readouterr().err


def test_problems_are_paired_by_id_and_not_by_place(made, tmp_path, capsys) -> None:
    data = json.loads((made / "base.json").read_text())
    for model in data["models"]:
        task = model["tasks"]["arithmetic"]
        task["ids"] = task["ids"][::-1]
        task["before"] = task["before"][::-1]
        task["after"] = [run[::-1] for run in task["after"]]
    (tmp_path / "b.json").write_text(json.dumps(data))
    code = rlvr_bench(["check", str(made / "good"), "--baseline", str(tmp_path / "b.json"), "--format", "json"])
    assert code == 0
    assert {c["difference"] for c in json.loads(capsys.readouterr().out)["lineages"]} == {0.0}


def test_a_baseline_reads_like_a_diff(made) -> None:
    text = (made / "base.json").read_text()
    assert text.count("\n") < 40
    assert read_accepted(made / "base.json").models[0].name == "micro-qwen-a"


# formats


def test_junit_is_valid_and_read_by_another_program(made, capsys, tmp_path) -> None:
    """Against the schema of Jenkins' xUnit plug-in (MIT, as pytest's source distribution carries it)."""
    import xmlschema
    from junitparser import JUnitXml

    schema = xmlschema.XMLSchema(str(Path(__file__).with_name("junit-10.xsd")))
    assert not schema.is_valid("<testsuites><testcase/></testsuites>")

    for name, failures in (("good", 0), ("fallen", 1), ("lost", 7)):
        _, out, _ = check(made, name, capsys, "--format", "junit")
        (tmp_path / "j.xml").write_text(out)
        schema.validate(str(tmp_path / "j.xml"))
        (suite,) = JUnitXml.fromfile(str(tmp_path / "j.xml"))
        assert (suite.failures, suite.errors, suite.skipped) == (failures, 0, 0)
        assert suite.tests == len(list(suite)) >= 4
        assert sum(not case.is_passed for case in suite) == failures


def test_annotations_and_the_job_summary(made, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    _, out, _ = check(made, "fallen", capsys, "--format", "github")
    assert out.startswith("::error title=rlvr-bench check::ttrl gains less on micro-qwen")
    assert out.count("\n") == 1
    summary = (tmp_path / "summary.md").read_text()
    assert "| micro-qwen | +" in summary and "**fell**" in summary
    _, out, _ = check(made, "good", capsys, "--format", "github")
    assert out.startswith("::notice title=rlvr-bench check::passed")


HOSTILE = st.text(max_size=40).filter(str.isprintable) | st.sampled_from(
    ["::error::x ::set-output name=a::b", "<b>|`x` %0A", "]]> & |"]
)


@settings(max_examples=60, deadline=None)
@given(HOSTILE, HOSTILE)
def test_hostile_names_stay_data(method, lineage) -> None:
    row = Compared(
        lineage=lineage, accepted=0.2, now=0.0, difference=-0.2, lower=-0.3, upper=-0.1, p_holm=0, fallen=True
    )
    verdict = AcceptedVerdict(word=VerdictWord.ONE_FAMILY, lineages=(lineage,))
    found = CheckReport(
        run="r", suite="s", method=method, minimum_drop=0.02, lineages=(row,), accepted=verdict, verdict=verdict
    )
    github = formats.as_github(found)
    assert github.count("\n") == 1 and "\r" not in github and github.startswith("::error ")
    root = ElementTree.fromstring(formats.as_junit(found))
    assert root[0].get("failures") == "1"
    table = [line for line in formats.as_markdown(found).split("\n") if line.startswith("| ") and "---" not in line]
    assert len(table) == 2 and "<b>" not in formats.as_markdown(found)


# the action


def action(tmp_path: Path, **inputs: str) -> tuple[int, dict[str, str], str, str]:
    """The action's shell as a runner would call it, with a made-up environment."""
    output, summary = tmp_path / "output", tmp_path / "summary"
    output.touch()
    given_inputs = {
        **{"INPUT_METHOD": "", "INPUT_SUITE": "micro", "INPUT_RUN": "", "INPUT_BASELINE": "baseline.json"},
        **{"INPUT_MINIMUM_DROP": "2", "INPUT_FAIL_ON": "", "INPUT_RUNS": "runs", "INPUT_JUNIT": ""},
        **{f"INPUT_{name.upper()}": value for name, value in inputs.items()},
    }
    environment = {
        **os.environ,
        **given_inputs,
        "GITHUB_ACTIONS": "true",
        "GITHUB_OUTPUT": str(output),
        "GITHUB_STEP_SUMMARY": str(summary),
        "GITHUB_ACTION_PATH": str(ACTION),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["bash", str(ACTION / "check.sh")], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    told = dict(line.split("=", 1) for line in output.read_text().splitlines())
    return done.returncode, told, done.stdout, summary.read_text() if summary.exists() else ""


def test_the_action_on_a_run_that_fell(made, tmp_path) -> None:
    junit = tmp_path / "out" / "check.xml"
    code, told, out, summary = action(
        tmp_path, run=str(made / "fallen"), baseline=str(made / "base.json"), junit=str(junit), fail_on="harmful mixed"
    )
    assert code == 1
    assert (told["passed"], told["exit-code"]) == ("false", "1")
    assert told["run"] == str(made / "fallen") and told["report"].endswith("report/report.md")
    assert told["verdict"] in set(VerdictWord)
    assert "::error title=rlvr-bench check::ttrl gains less on micro-qwen" in out
    assert "## Failed: ttrl on micro, version 4" in summary and summary.count("## ") == 1
    assert ElementTree.parse(junit).getroot()[0].get("failures") == "1"


def test_the_action_on_a_run_that_passes(made, tmp_path) -> None:
    code, told, out, _ = action(tmp_path, run=str(made / "good"), baseline=str(made / "base.json"))
    assert (code, told["passed"], told["exit-code"], told["verdict"]) == (0, "true", "0", "GENERALISES")
    assert "::notice " in out


@pytest.mark.parametrize(
    ("inputs", "code", "words"),
    [
        ({}, 2, "the action needs `method` or `run`"),
        ({"run": "good", "baseline": "nothing.json"}, 2, "could not compare (exit code 2)"),
        ({"run": "lost"}, 5, "a missing measurement is never a pass"),
        ({"run": "--help"}, 5, "there is no run to check"),
        ({"method": "no-such-method"}, 2, "validate ended with exit code 2"),
        ({"method": "ttrl; touch owned"}, 2, "validate ended with exit code 2"),
        ({"run": "good", "fail_on": "* $(touch owned)"}, 2, "could not compare"),
    ],
)
def test_the_action_never_passes_what_it_could_not_do(made, tmp_path, inputs, code, words) -> None:
    given_inputs = {"baseline": str(made / "base.json"), **inputs}
    if "run" in inputs and not inputs["run"].startswith("-"):
        given_inputs["run"] = str(made / inputs["run"])
    got, told, out, _ = action(tmp_path, **given_inputs)
    assert got == code != 0
    assert told["passed"] == "false"
    assert words in out
    assert not (tmp_path / "owned").exists()


def test_the_action_and_its_shell_name_the_same_inputs() -> None:
    import yaml

    action_file = yaml.safe_load((ACTION / "action.yml").read_text())
    (step,) = action_file["runs"]["steps"]
    assert set(step["env"]) == {f"INPUT_{name.upper().replace('-', '_')}" for name in action_file["inputs"]}
    assert "${{" not in step["run"], "an input in the text of a script would be run"
    shell = (ACTION / "check.sh").read_text()
    assert all(name in shell for name in step["env"])
    assert set(action_file["outputs"]) == {"passed", "exit-code", "verdict", "run", "report"}
    for workflow in (ACTION.parents[1] / "workflows").glob("*.yml"):
        text = yaml.safe_load(workflow.read_text())
        assert text["permissions"] == {"contents": "read"}, f"{workflow.name} holds more than it needs"
