"""Progress: plain lines, the live grid, and early warnings."""

import io
import json

import pytest
from rich.console import Console

from rlvr_bench.cli import output
from rlvr_bench.cli.progress import Grid, Lines, progress, warnings
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
        assert grid._now(TRAIN) == "ttrl/seed-11/train"
        (folder / layout.METRICS).write_text('{"step": 2, "upd')
        assert grid._now(TRAIN) == "ttrl/seed-11/train"
        (folder / layout.METRICS).write_text(json.dumps({"step": 2, "reward": 0.625}) + '\n{"step": 3, "upd')
        assert grid._now(TRAIN) == "ttrl/seed-11/train step 3/8 reward 0.62"
        grid.tick()
        grid.event(event())
        grid.tick()
    text = screen.file.getvalue()
    assert "step 3/8 reward 0.62" in text
    assert "1/14 stages" in text


def test_reused_stages_are_one_line(runs) -> None:
    lines = Lines()
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
        (training(signal=0.0), "no group ever had a reward that varied"),
        (training(truncated=1.0), "cut off"),
        (training(tokens=2.0), "collapsed from 14 to 2"),
    ],
)
def test_warnings(found, words) -> None:
    said = warnings(event(found=found))
    assert said == [] if words is None else words in said[0]
