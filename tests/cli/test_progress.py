"""Progress: plain lines, the live grid, and early warnings."""

import io
import json

import pytest
from rich.console import Console

from rlvr_bench.cli import output
from rlvr_bench.cli.progress import Grid, Json, Lines, progress
from rlvr_bench.cli.watch import Watch
from rlvr_bench.engine.runner import Event
from rlvr_bench.runs import layout
from rlvr_bench.schema.record import Record, Timing
from tests.fakes import folder_of, planned, training

PLAN = planned("ttrl", models=["micro-qwen-a", "micro-olmo-a"], seeds=1)
TRAIN = next(s for s in PLAN.stages if s.kind == "train")


def event(kind="finished", found=None) -> Event:
    record = Record(
        digest=TRAIN.digest,
        kind="train",
        training=found or training(),
        timing=Timing(wall_seconds=6.5, cpu_seconds=6, peak_memory_bytes=1),
    )
    return Event(kind, TRAIN, record if kind == "finished" else None, 3, 14)


@pytest.fixture
def screen(monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    monkeypatch.setattr(output, "aside", lambda: console)
    return console


def test_a_terminal_gets_the_grid_and_others_lines(screen, runs, monkeypatch) -> None:
    assert isinstance(progress(folder_of(PLAN, runs), PLAN), Grid)
    monkeypatch.setattr(output, "aside", lambda: Console(file=io.StringIO(), width=100))
    assert isinstance(progress(folder_of(PLAN, runs), PLAN), Lines)


def test_the_grid_shows_step_and_reward_while_training(screen, runs) -> None:
    run = folder_of(PLAN, runs)
    folder = run.stage(TRAIN.id)
    folder.mkdir(parents=True)
    with Grid(run, PLAN) as grid:
        grid.event(event("started"))
        grid.tick()
        assert grid._now(TRAIN) == "ttrl/seed-21/train"
        (folder / layout.METRICS).write_text('{"step": 2, "rew')
        grid.tick()
        assert grid._now(TRAIN) == "ttrl/seed-21/train"
        (folder / layout.METRICS).write_text(json.dumps({"step": 2, "reward": 0.625}) + '\n{"step": 3, "upd')
        grid.tick()
        assert grid._now(TRAIN) == "ttrl/seed-21/train step 3/8 reward 0.62"
        grid.event(event())
        grid.tick()
    text = screen.file.getvalue()
    assert "step 3/8 reward 0.62" in text
    assert f"1/{len(PLAN.stages)} stages" in text


def test_reused_stages_are_one_line(runs) -> None:
    lines = Lines(folder_of(PLAN, runs))
    lines.console = Console(file=io.StringIO(), width=100)
    with lines:
        for _ in range(3):
            lines.event(event("kept"))
        lines.event(event("cached"))
        lines.event(event())
    text = lines.console.file.getvalue().splitlines()
    assert text[0] == "3 stages done before, 1 shared with other runs"
    assert text[1].startswith(f"[3/14] finished {TRAIN.id}  6.5 s  reward 0.50 > 0.50")
    assert len(text) == 2


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (training(), None),
        (training(signal=0.0), "no group had a reward that varied in steps 2 to 3, 0.5 throughout"),
        (training(truncated=1.0), "cut off"),
        (training(tokens=2.0), "collapsed from 14 to 2"),
        (training(repetitive=0.9), "90 % of the completions repeat"),
        (training(entropy=1.0), "entropy rose from 0.20 to 1.00"),
    ],
)
def test_warnings(found, words, runs) -> None:
    watch = Watch(folder_of(PLAN, runs))
    said = watch.event(event(found=found))
    assert said == [] if words is None else words in said[0]
    assert watch.event(event(found=found)) == []  # once for a training


def test_a_warning_comes_while_the_training_runs(runs, monkeypatch, capsys) -> None:
    run = folder_of(PLAN, runs)
    metrics = run.stage(TRAIN.id) / layout.METRICS
    metrics.parent.mkdir(parents=True)
    console = Console(file=io.StringIO(), width=200)
    monkeypatch.setattr(output, "aside", lambda: console)
    lines, programs = Lines(run), Json(run)
    steps = training(signal=0.0).steps
    for shown in (lines, programs):
        metrics.write_text("not json\n[1]\n")
        shown.event(event("started"))
        for step in steps:
            with metrics.open("a") as file:
                file.write(json.dumps({"step": step.step, "health": step.model_dump()}) + "\n")
            shown.tick()
        shown.event(event(found=training(signal=0.0)))
    text = console.file.getvalue()
    assert text.count("warning: ") == 1 and "no group had a reward that varied in steps 1 to 2" in text
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in printed] == ["stage-started", "warning", "stage-finished"]
    assert printed[1]["stage"] == TRAIN.id
