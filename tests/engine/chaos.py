"""Kill -9 of workers, of the runner, or of both, at random moments; the report must be that of an undisturbed run.

    python -m tests.engine.chaos [--real] [--kills 50] [--seed 1]

Without --real the engine is the real one (processes, folders, journal, cache) and trainings and evaluations are made
up, each some milliseconds long. With --real it is `rlvr-bench validate` on the embedded models.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import psutil

from rlvr_bench.analysis import analyse
from rlvr_bench.engine import worker
from rlvr_bench.engine.local import LocalExecutor
from rlvr_bench.engine.runner import run_plan
from rlvr_bench.reporting.tables import as_json
from rlvr_bench.runs import layout, store
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.schema.plan import EvaluateInputs, TrainInputs
from tests.fakes import FakeExecutor, folder_of, planned, weights_of

ROOT = Path(__file__).parents[2]
CUT = {"models": ["micro-qwen-a", "micro-olmo-a"], "seeds": 1, "limit": 20}
REAL = ["--models", "micro-qwen-a", "--models", "micro-olmo-a", "--seeds", "1", "--limit", "40"]


class Forking(LocalExecutor):
    """Workers forked from the runner itself, which is light here; else the local executor."""

    def start(self) -> None:
        self._context = get_context("fork")


def pretend(stage, folder: Path) -> dict[str, object]:
    """Make up a stage's result, writing its files as slowly as a real one might."""
    rng = random.Random(f"{os.getpid()}/{time.monotonic()}")
    if isinstance(stage.inputs, TrainInputs):
        for step in (*stage.inputs.save_at, None):
            target = folder / layout.checkpoint(step)
            target.mkdir(exist_ok=True)
            (target / layout.WEIGHTS).write_bytes(weights_of(stage)[:5])
            time.sleep(rng.uniform(0, 0.03))
            (target / layout.WEIGHTS).write_bytes(weights_of(stage))
    if isinstance(stage.inputs, EvaluateInputs):
        for i in range(3):
            with (folder / layout.COMPLETIONS).open("ab") as file:
                file.write(bytes([i]) * 1000)
            time.sleep(rng.uniform(0, 0.02))
    if stage.kind == "prepare":
        (folder / layout.LABELS).write_bytes(b"weights")
    made = FakeExecutor(gains={("ttrl", "micro-qwen"): 0.2}).record(stage)
    return {
        name: value for name in ("training", "evaluation", "exposure", "labelling") if (value := getattr(made, name))
    }


def pretended_run(runs: Path) -> None:
    """Be the runner of a made-up run: a process of its own."""
    worker._work = pretend  # type: ignore[assignment]
    plan = planned(**CUT)
    run = folder_of(plan, runs)
    run.path.mkdir(parents=True, exist_ok=True)
    executor = Forking(log=run.path / "server.log", capacity=3)
    sys.exit(1 if run_plan(plan, run, runs=runs, executor=executor) else 0)


def command(runs: Path, real: bool) -> list[str]:
    """Return the command line of a runner."""
    if real:
        own = "from rlvr_bench.cli.app import main; main()"
        return [sys.executable, "-c", own, "validate", "--method", "ttrl", *REAL, "--runs", str(runs), "-q"]
    return [
        sys.executable,
        "-c",
        f"from tests.engine.chaos import pretended_run, Path; pretended_run(Path({str(runs)!r}))",
    ]


def below(pid: int) -> list[int]:
    """Return the processes below one, all generations."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kills(rng: random.Random, runner: subprocess.Popen, span: float) -> Iterator[str]:
    """Kill something after a random while, and say what; nothing where the runner ended before."""
    deadline = time.monotonic() + rng.uniform(0.02, span)
    while time.monotonic() < deadline:
        if runner.poll() is not None:
            return
        time.sleep(0.005)
    children = below(runner.pid)
    what = rng.choice(["runner", "worker", "both"]) if children else "runner"
    victims = {"runner": [runner.pid], "worker": children[-1:], "both": [*children, runner.pid]}[what]
    for pid in victims:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    yield what


def disturbed(runs: Path, rng: random.Random, count: int, *, real: bool) -> list[str]:
    """Run to the end with up to `count` kills on the way; return what was killed."""
    done: list[str] = []
    span = 25.0 if real else 1.6
    env = {**os.environ, "RLVR_BENCH_SAVE_MINUTES": "0"}
    for _ in range(10 * count + 20):
        runner = subprocess.Popen(
            command(runs, real), cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        while len(done) < count and runner.poll() is None:
            killed = list(kills(rng, runner, span))
            done += killed
            if not killed or killed[0] != "worker":
                break
        errors = runner.communicate()[1].decode(errors="replace")
        if runner.returncode == 0:
            return done
        time.sleep(0.6)  # orphans see within half a second that their runner is gone
        assert runner.returncode in (-signal.SIGKILL, 1, 3), (runner.returncode, errors)
    raise AssertionError("it never ended")


def report_of(runs: Path) -> str:
    """Return the report of the one run of a folder."""
    (plan,) = [p for p in runs.iterdir() if (p / "plan.json").exists()]
    run = RunFolder(plan)
    assert all(store.read_record(run, stage) for stage in store.read_plan(run).stages)
    return as_json(analyse(run))


def chaos(total: int, seed: int, *, real: bool = False, say=lambda _: None) -> list[str]:
    """Do `total` kills over several runs, each of which must end in the undisturbed report; return what was killed."""
    rng = random.Random(seed)
    found: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        calm = Path(name) / "calm"
        disturbed(calm, rng, 0, real=real)
        want = report_of(calm)
        turn = 0
        while len(found) < total:
            runs = Path(name) / f"run-{turn}"
            done = disturbed(runs, rng, min(5, total - len(found)), real=real)
            assert report_of(runs) == want, f"another report after {done}"
            found += done
            turn += 1
            say(f"run {turn}: {len(done)} kills ({', '.join(done)}): the same report")
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    started = time.monotonic()
    found = chaos(given.kills, given.seed, real=given.real, say=lambda text: print(text, flush=True))
    print(f"{len(found)} kills in {time.monotonic() - started:.0f} s: every report is the undisturbed one")


if __name__ == "__main__":
    main()
