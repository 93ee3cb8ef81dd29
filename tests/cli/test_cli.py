"""The command line: exit codes, streams, error shape, every verb."""

import json
import shutil
from pathlib import Path

import pytest

from rlvr_bench.backends import models
from rlvr_bench.cli.app import run as rlvr_bench
from rlvr_bench.engine import local
from tests.fakes import FakeExecutor

GOLDEN = Path(__file__).parents[1] / "golden"
WORLD = {
    **{("ground-truth", ln): 0.3 for ln in ("micro-qwen", "micro-llama", "micro-olmo")},
    ("python", "micro-qwen"): 0.3,
    ("python", "micro-olmo"): -0.2,
}


@pytest.fixture
def world(monkeypatch, tmp_path):
    """Everything but the training is real; returns what the executor is made from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.delenv("RLVR_BENCH_DEBUG", raising=False)
    settings: dict = {"gains": WORLD, "base": 0.57}
    made: list[FakeExecutor] = []

    def executor(*, log, capacity):
        made.append(FakeExecutor(**settings))
        return made[-1]

    monkeypatch.setattr(local, "LocalExecutor", executor)
    return settings, made


def validate(*arguments: str) -> int:
    return rlvr_bench(["validate", "--method", "python", *arguments])


def run_folder(tmp_path: Path) -> Path:
    (folder,) = (tmp_path / "runs").glob("micro--*")
    return folder


def test_validate_ends_with_the_verdict(world, tmp_path, capsys) -> None:
    assert validate() == 0
    out, err = capsys.readouterr()
    assert "verdict: ONE FAMILY (micro-qwen)" in out
    assert "harmed:  micro-olmo" in out
    assert "rehearsal" in out
    assert "[114/114]" in err and "verdict" not in err
    folder = run_folder(tmp_path)
    report = json.loads((folder / "report" / "report.json").read_text())
    assert report["verdict"]["word"] == report["over_start"]["word"] == "ONE_FAMILY"
    assert (folder / "report" / "report.md").read_text().startswith("# python: ONE FAMILY (micro-qwen)")


def test_the_same_command_again_runs_nothing(world, capsys) -> None:
    _, made = world
    assert validate() == validate() == 0
    assert made[1].ran == []
    assert "114 stages done before" in capsys.readouterr().err


def test_quiet_prints_the_verdict_line_alone(world, capsys) -> None:
    assert validate("-q") == 0
    out, err = capsys.readouterr()
    assert out.startswith("verdict: ONE FAMILY") and out.count("\n") == 1
    assert err == ""


def test_json_lines_end_with_done(world, capsys) -> None:
    assert validate("--json") == 0
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[0]["event"] == "plan"
    assert lines[-1]["event"] == "done"
    assert lines[-1]["verdict"]["word"] == "ONE_FAMILY"
    assert all(line["schema"] == "rlvr-bench/event/1" for line in lines)
    assert err == ""


def test_failed_stages_are_3_and_named(world, tmp_path, capsys) -> None:
    settings, _ = world
    settings["fail"] = {"micro-qwen-a/python/seed-22/train"}
    assert validate() == 3
    out, err = capsys.readouterr()
    assert "ONE FAMILY" in out and "incomplete" in out
    assert "error: 3 of 114 stages failed" in err
    assert "hint: run the same command again" in err
    folder = run_folder(tmp_path)
    assert rlvr_bench(["report", folder.name]) == 3
    assert rlvr_bench(["status", folder.name]) == 0
    assert "it broke" in capsys.readouterr().out


def test_nothing_measured_is_5(world, capsys) -> None:
    settings, _ = world
    settings["fail"] = {"micro-qwen-a/baseline/arithmetic"}
    assert validate("--models", "micro-qwen-a", "--seeds", "1") == 5
    assert "it broke" in capsys.readouterr().err


def test_ctrl_c_is_130_and_says_how_to_go_on(world, capsys) -> None:
    settings, made = world
    settings["interrupt_after"] = 4
    assert validate() == 130
    err = capsys.readouterr().err.strip().splitlines()
    assert err[-1] == "hint: run the same command again to go on"
    settings["interrupt_after"] = None
    assert validate() == 0
    assert len(made[0].ran) + len(made[1].ran) == 114


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (
            ["validate", "--method", "ttrll"],
            2,
            ["unknown method 'ttrll'; did you mean 'ttrl'?", "rlvr-bench list methods"],
        ),
        (["validate", "--method", "ttrl", "--suite", "mirco"], 2, ["unknown suite 'mirco'; did you mean 'micro'?"]),
        (["plan", "--method", "ttrl", "--models", "gpt-5"], 2, ["model 'gpt-5' is not in suite micro", "micro-qwen-a"]),
        (["validate"], 2, ["Missing option '--method'", "rlvr-bench validate --help"]),
        (["validate", "--methode", "ttrl"], 2, ["No such option"]),
        (["valdate"], 2, ["No such command 'valdate'"]),
        (["plan", "--method", "ttrl", "--seeds", "many"], 2, ["'--seeds'"]),
        (["plan", "--method", "ttrl", "--seeds", "7"], 2, ["suite micro has 2 seeds"]),
        (["plan", "--method", "./nothing.yaml"], 2, ["no such method file"]),
        (["report", "nowhere"], 2, ["no run 'nowhere'", "rlvr-bench list runs"]),
        (["status", "nowhere"], 2, ["no run 'nowhere'"]),
        (["show", "model", "micro-qwen"], 2, ["unknown model 'micro-qwen'; did you mean 'micro-qwen-"]),
        (["show", "reward", "boxes"], 2, ["did you mean 'boxed'"]),
    ],
)
def test_usage_errors(world, capsys, arguments, code, words) -> None:
    assert rlvr_bench(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "Traceback" not in err
    for word in words:
        assert word in err


def test_a_yaml_slip_has_file_and_line(world, tmp_path, capsys) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("schema_version: 1\nname: mine\ntitle: t\nsource: s\n")
    assert rlvr_bench(["validate", "--method", str(path)]) == 2
    err = capsys.readouterr().err
    assert "error: missing key 'rewards'" in err
    assert f"where: {path}:1" in err


def test_damaged_weights_are_4_before_anything_starts(world, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(models, "WEIGHTS", tmp_path / "no-weights")
    assert validate() == 4
    err = capsys.readouterr().err
    assert "error: the weights of micro-qwen-a are missing" in err
    assert "hint: pip install" in err
    assert not (tmp_path / "runs").exists()


def test_a_wrong_digest_is_4_and_names_the_file(world, tmp_path, capsys, monkeypatch) -> None:
    shutil.copytree(models.WEIGHTS, tmp_path / "weights")
    file = tmp_path / "weights" / "micro-olmo-b" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    monkeypatch.setattr(models, "WEIGHTS", tmp_path / "weights")
    assert validate() == 4
    err = capsys.readouterr().err
    assert "the weights of micro-olmo-b are damaged" in err and str(file) in err


def test_a_folder_that_cannot_be_written_is_4(world, capsys) -> None:
    assert validate("--runs", "/proc/nowhere") == 4
    assert "the file system refuses" in capsys.readouterr().err


def test_no_arguments_print_the_help(capsys) -> None:
    assert rlvr_bench([]) == 0
    assert "validate" in capsys.readouterr().out


def test_a_missing_library_is_4(world, capsys, monkeypatch) -> None:
    from importlib.metadata import PackageNotFoundError

    from rlvr_bench.runs import provenance

    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(provenance, "version", missing)
    assert validate() == 4
    assert "accelerate is not installed" in capsys.readouterr().err


def test_a_run_of_another_plan_is_refused(world, tmp_path, capsys) -> None:
    assert validate("--run", str(tmp_path / "mine")) == 0
    assert rlvr_bench(["validate", "--method", "format", "--run", str(tmp_path / "mine")]) == 2
    assert "method.name" in capsys.readouterr().err


def test_internal_errors_are_70_without_a_trace(world, capsys, monkeypatch) -> None:
    from rlvr_bench.cli import inputs

    def broken(*_, **__):
        raise RuntimeError("oh")

    monkeypatch.setattr(inputs, "plan_of", broken)
    assert validate() == 70
    err = capsys.readouterr().err
    assert "internal error: RuntimeError: oh" in err and "Traceback" not in err
    monkeypatch.setenv("RLVR_BENCH_DEBUG", "1")
    assert validate() == 70
    assert "Traceback" in capsys.readouterr().err
    assert rlvr_bench(["show", "suite", "mirco"]) == 2  # --debug changes no exit code


def test_plan_runs_nothing(world, tmp_path, capsys) -> None:
    assert rlvr_bench(["plan", "--method", "ttrl"]) == 0
    out = capsys.readouterr().out
    for word in (
        "114: 6 baseline, 24 probe, 36 train, 48 evaluate",
        "min on",
        "points over the start",
        "evaluation prompts",
    ):
        assert word in out
    assert not (tmp_path / "runs").exists()
    assert rlvr_bench(["plan", "--method", "ttrl", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "rlvr-bench/plan/1"
    assert len(document["stages"]) == 114


def test_status_says_where_the_time_went(world, tmp_path, capsys) -> None:
    validate()
    capsys.readouterr()
    name = run_folder(tmp_path).name
    assert rlvr_bench(["status", name]) == 0
    out = capsys.readouterr().out
    assert "114 of 114 stages done, 0 running, 0 owed, 0 failed" in out
    assert "whole run" in out
    assert rlvr_bench(["status", name, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "rlvr-bench/status/1"
    train = next(kind for kind in found["kinds"] if kind["kind"] == "train")
    assert (train["done"], train["cached"], train["cpu_seconds"]) == (36, 0, pytest.approx(36 * 0.9))


def test_report_formats(world, tmp_path, capsys) -> None:
    validate()
    capsys.readouterr()
    name = run_folder(tmp_path).name
    assert rlvr_bench(["report", name, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"]["word"] == "ONE_FAMILY"
    assert rlvr_bench(["report", name, "--format", "markdown"]) == 0
    assert capsys.readouterr().out.startswith("# python: ONE FAMILY")
    assert rlvr_bench(["report", str(tmp_path / "runs" / name)]) == 0


@pytest.mark.parametrize(
    ("kind", "name"),
    [("suites", "micro"), ("models", "micro-olmo-b"), ("methods", "ttrl"), ("rewards", "majority-vote")],
)
def test_list(world, capsys, kind, name) -> None:
    assert rlvr_bench(["list", kind]) == 0
    assert name in capsys.readouterr().out
    assert rlvr_bench(["list", kind, "--json"]) == 0
    assert name in json.loads(capsys.readouterr().out)["names"]


def test_list_runs(world, tmp_path, capsys) -> None:
    assert rlvr_bench(["list", "runs"]) == 0
    assert "no runs here" in capsys.readouterr().err
    validate()
    capsys.readouterr()
    assert rlvr_bench(["list", "runs"]) == 0
    assert capsys.readouterr().out.strip() == run_folder(tmp_path).name


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("suite", "micro", "learning_rate: 0.0002"),
        ("model", "micro-qwen-a", "lineage: micro-qwen"),
        ("method", "random", "gamma: 0.5"),
        ("reward", "python", "def python("),
        ("preset", "dapo", "clip_high: 0.28"),
        ("prompt", "irrelevant", "Lorem ipsum"),
    ],
)
def test_show(world, capsys, kind, name, words) -> None:
    assert rlvr_bench(["show", kind, name]) == 0
    assert words in capsys.readouterr().out


def test_version_and_help(capsys) -> None:
    assert rlvr_bench(["--version"]) == 0
    assert capsys.readouterr().out.startswith("rlvr-bench 0.")
    for verb in ("validate", "plan", "status", "report", "judge", "list", "show", "new"):
        assert rlvr_bench([verb, "-h"]) == 0
        assert "--" in capsys.readouterr().out


@pytest.mark.parametrize("format", ["terminal", "markdown", "json"])
def test_golden_report(world, tmp_path, capsys, format) -> None:  # noqa: A002
    """What a person reads, letter by letter; rewritten by hand-run `RLVR_BENCH_GOLDEN=1 pytest`."""
    import os

    validate()
    name = run_folder(tmp_path).name
    capsys.readouterr()
    assert rlvr_bench(["report", name, "--format", format]) == 0
    found = capsys.readouterr().out.replace(name, "RUN")
    if format == "json":
        document = json.loads(found, parse_float=lambda text: round(float(text), 9))
        found = json.dumps({**document, "plan": "PLAN", "program": "PROGRAM"}, indent=1) + "\n"
    path = GOLDEN / f"python.{format}.txt"
    if os.environ.get("RLVR_BENCH_GOLDEN") == "1":
        path.write_text(found)
    assert found == path.read_text()
