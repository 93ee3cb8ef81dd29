"""Writing one's own: the templates work as they are, and what is broken is refused before a stage starts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rlvr_bench.cli.app import run as rlvr_bench
from rlvr_bench.engine import local
from tests.fakes import FakeExecutor


@pytest.fixture
def made(monkeypatch, tmp_path) -> list[FakeExecutor]:
    """An empty folder, and the executors that were made."""
    monkeypatch.chdir(tmp_path)
    found: list[FakeExecutor] = []

    def executor(*, log, capacity):
        found.append(FakeExecutor())
        return found[-1]

    monkeypatch.setattr(local, "LocalExecutor", executor)
    return found


@pytest.mark.parametrize(("format", "file"), [("python", "my_idea.py"), ("yaml", "my-idea.yaml")])
def test_a_new_method_has_a_test_that_passes_and_runs(made, tmp_path, capsys, format, file) -> None:  # noqa: A002
    assert rlvr_bench(["new", "method", "my-idea", "--format", format]) == 0
    out, err = capsys.readouterr()
    assert out.split() == [file, "test_my_idea.py"] and f"--method ./{file}" in err
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout
    assert rlvr_bench(["validate", "--method", f"./{file}", "-q"]) == 0
    assert len(made[0].ran) == 114
    plan = json.loads(next(tmp_path.glob("runs/*/plan.json")).read_text())
    assert plan["method"]["name"] == "my-idea"


def test_nothing_is_overwritten_and_names_are_names(made, tmp_path, capsys) -> None:
    (tmp_path / "test_mine.py").write_text("precious")
    assert rlvr_bench(["new", "method", "mine"]) == 2
    assert "test_mine.py is there already" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["test_mine.py"]
    for name in ("Mine", "../up", "a b", "1st", ""):
        assert rlvr_bench(["new", "method", name]) == 2
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return [1.0]", "returned 1 values for 24 completions"),
        ("return [float('nan')] * len(completions)", "returned nan, not a finite number"),
        ("return [float('-inf')] * len(completions)", "returned -inf, not a finite number"),
        ("return [1 / 0 for _ in completions]", "raised ZeroDivisionError"),
        ("return ['yes' for _ in completions]", "returned 'yes', not a finite number"),
        ("return None", "returned NoneType"),
        ("raise SystemError('x')", "raised SystemError: x"),
    ],
)
def test_a_broken_reward_is_2_with_its_line_before_any_stage(made, tmp_path, capsys, body, words) -> None:
    Path("bad.py").write_text(f"def reward(completions, **_):\n    {body}\n")
    for verb in ("validate", "plan"):
        assert rlvr_bench([verb, "--method", "./bad.py"]) == 2
        out, err = capsys.readouterr()
        assert out == "" and words in err and "where: bad.py:" in err and "Traceback" not in err
    assert made == [] and not (tmp_path / "runs").exists()


def test_a_reward_that_does_not_replay_runs_and_is_marked(made, capsys) -> None:
    Path("dice.py").write_text(
        "import random\ndef reward(completions, **_):\n    return [random.random() for _ in completions]\n"
    )
    assert rlvr_bench(["plan", "--method", "./dice.py"]) == 0
    assert "reward dice does not replay" in capsys.readouterr().out
    assert rlvr_bench(["validate", "--method", "./dice.py"]) == 0
    out = capsys.readouterr().out
    assert "not-replayable: dice gave other values" in out and "control-mismatch" not in out


def test_executors_are_plug_ins_too(made, tmp_path, monkeypatch, capsys) -> None:
    Path("elsewhere.py").write_text(
        "from tests.fakes import FakeExecutor\nMADE = []\n"
        "def far(*, log, capacity):\n    MADE.append(capacity)\n    return FakeExecutor()\n"
    )
    assert rlvr_bench(["validate", "-m", "python", "-q", "--executor", "elsewhere:far", "--workers", "3"]) == 0
    assert sys.modules["elsewhere"].MADE == [3] and made == []
    monkeypatch.setenv("RLVR_BENCH_EXECUTOR", "nowhere")
    assert rlvr_bench(["validate", "-m", "python"]) == 2
    assert "unknown executor 'nowhere'" in capsys.readouterr().err


def test_trackers_are_checked_before_any_stage(made, monkeypatch, capsys) -> None:
    monkeypatch.setenv("RLVR_BENCH_REPORT_TO", "")
    assert rlvr_bench(["validate", "-m", "python", "--report-to", "wand"]) == 2
    assert "did you mean 'wandb'" in capsys.readouterr().err
    from rlvr_bench.cli import inputs

    monkeypatch.setattr(inputs, "find_spec", lambda name: None)
    assert rlvr_bench(["validate", "-m", "python", "--report-to", "tensorboard"]) == 4
    assert "pip install tensorboard" in capsys.readouterr().err
    assert made == []
    monkeypatch.setattr(inputs, "find_spec", lambda name: True)
    assert rlvr_bench(["validate", "-m", "python", "-q", "--report-to", "wandb, trackio"]) == 0
    import os

    assert os.environ["RLVR_BENCH_REPORT_TO"] == "wandb,trackio"
