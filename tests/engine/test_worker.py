"""The one boundary: whatever happens in a stage becomes a record."""

import json
import os
import signal
import subprocess
import sys
from multiprocessing import forkserver

import pytest

from rlvr_bench.backends import lm_eval, trl
from rlvr_bench.backends.data import LabelsError
from rlvr_bench.engine import worker
from rlvr_bench.engine.local import ENVIRONMENT, LocalExecutor
from rlvr_bench.errors import EnvironmentFaultError, RewardError
from rlvr_bench.runs import layout, store
from rlvr_bench.schema.record import Record
from rlvr_bench.scoring import answers_equal, keep_verdicts
from tests.fakes import folder_of, planned, training

CUT = {"models": ["micro-qwen-a", "micro-olmo-a"], "seeds": 1, "limit": 20}


@pytest.fixture
def staged(runs):
    """The folder of a training stage, ready to run."""
    plan = planned("ttrl", **CUT)
    run = folder_of(plan, runs)
    store.start_run(run, plan)
    stage = next(s for s in plan.stages if s.kind == "train")
    store.write_model(run.stage(stage.id) / layout.STAGE, stage)
    return run, stage, run.stage(stage.id)


def test_a_result_becomes_a_record(staged, monkeypatch) -> None:
    run, stage, folder = staged
    monkeypatch.setattr(trl, "train", lambda inputs, where, **_: training())
    record = worker.run_stage(folder)
    assert store.read_record(run, stage) == record
    assert record.training == training()
    assert record.timing.peak_memory_bytes > 2**20


def test_what_math_verify_says_is_kept_in_the_run_for_its_other_stages(staged, monkeypatch) -> None:
    run, _, folder = staged

    def train(inputs, where, **_):
        assert answers_equal("\\lfloor x \\rfloor + 17", "17 + \\lfloor x \\rfloor")
        return training()

    monkeypatch.setattr(trl, "train", train)
    try:
        assert worker.run_stage(folder).failure is None
    finally:
        keep_verdicts(None)
    (kept,) = run.verdicts.rglob("*.jsonl")
    gold, answer, verdict = json.loads(kept.read_text())
    assert "17" in gold and "17" in answer and verdict is True


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RewardError("bad reward"), "reward"),
        (trl.NonFiniteError("loss is nan"), "non-finite"),
        (MemoryError(), "out-of-memory"),
        (EnvironmentFaultError("no weights", hint="get some"), "environment"),
        (LabelsError("none left"), "labels"),
        (RuntimeError("whatever"), "backend"),
    ],
)
def test_every_error_becomes_a_failure(staged, monkeypatch, error, kind) -> None:
    run, stage, folder = staged
    (folder / layout.LOG).write_text("the end of the log")

    def broken(inputs, where, **_):
        raise error

    monkeypatch.setattr(trl, "train", broken)
    failure = worker.run_stage(folder).failure
    assert failure is not None
    assert failure.kind == kind
    assert failure.message
    assert failure.hint == getattr(error, "hint", None)
    assert failure.log_tail == "the end of the log"
    assert store.read_record(run, stage) is not None


def test_leftovers_of_an_attempt_are_cleared_but_for_finished_chunks(staged, monkeypatch) -> None:
    _, _, folder = staged
    (folder / layout.CHECKPOINT).mkdir()
    (folder / layout.METRICS).write_text("half")
    (folder / layout.COMPLETIONS).write_text("chunks")
    monkeypatch.setattr(trl, "train", lambda inputs, where, **_: training())
    worker.run_stage(folder)
    # metrics stay: whether a training goes on with them is decided where it is (backends/resuming.py)
    assert {p.name for p in folder.iterdir()} == {
            layout.STAGE, layout.RECORD, layout.COMPLETIONS, layout.METRICS, layout.WORKING,
        }  # fmt: skip


def test_an_evaluation_gets_the_checkpoint_of_its_training(runs, monkeypatch) -> None:
    plan = planned("ttrl", **CUT)
    run = folder_of(plan, runs)
    store.start_run(run, plan)
    seen = []

    def spy(inputs, folder, checkpoint):
        seen.append(checkpoint)
        raise RuntimeError

    monkeypatch.setattr(lm_eval, "evaluate", spy)
    for kind in ("baseline", "evaluate"):
        stage = next(s for s in plan.stages if s.kind == kind)
        store.write_model(run.stage(stage.id) / layout.STAGE, stage)
        worker.run_stage(run.stage(stage.id))
        expected = run.stage(stage.needs[0]).resolve() / layout.CHECKPOINT if stage.needs else None
        assert seen[-1] == expected


def test_a_stage_in_a_fresh_interpreter(runs, monkeypatch) -> None:
    """`python -m rlvr_bench.engine.worker FOLDER`, for real: the untouched model on 20 problems."""
    plan = planned("ttrl", **CUT)
    run = folder_of(plan, runs)
    store.start_run(run, plan)
    stage = plan.stages[0]
    folder = run.stage(stage.id)
    store.write_model(folder / layout.STAGE, stage)
    done = subprocess.run(
        [sys.executable, "-m", "rlvr_bench.engine.worker", str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    record = Record.model_validate_json((folder / layout.RECORD).read_text())
    assert record.evaluation is not None
    assert len(record.evaluation.sampled) == 20
    (folder / layout.RECORD).unlink()
    (run.path / "plan.json").unlink()
    broken = stage.model_copy(update={"inputs": stage.inputs.model_copy(update={"card": _broken(stage.inputs.card)})})
    store.write_model(folder / layout.STAGE, broken)
    assert worker.run_stage(folder).failure is not None


def _broken(card):
    return card.model_copy(update={"weights": card.weights.model_copy(update={"sha256": "0" * 64})})


def test_the_preload_list_names_real_modules() -> None:
    """The server swallows a failed import and every worker would pay it again."""
    import importlib

    from rlvr_bench.backends import PRELOAD

    for name in PRELOAD:
        importlib.import_module(name)


def test_workers_have_one_thread_and_no_network(tmp_path) -> None:
    """Asked in a process with the server's environment, after a worker's own preparation."""
    code = (
        "from rlvr_bench.backends.models import prepare_process; prepare_process();"
        "import torch, huggingface_hub.constants as hub;"
        "print(torch.get_num_threads(), hub.HF_HUB_OFFLINE, hub.HF_HUB_DISABLE_TELEMETRY, torch.cuda.is_available())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "True", "True", "False"]


def test_local_executor_runs_and_kills(runs, monkeypatch, tmp_path) -> None:
    """A real forked stage ends with a record; a cancelled one leaves none."""
    plan = planned("ttrl", **CUT)
    run = folder_of(plan, runs)
    store.start_run(run, plan)
    baselines = [s for s in plan.stages if s.kind == "baseline"]
    for key, value in ENVIRONMENT.items():
        monkeypatch.setenv(key, value)
    executor = LocalExecutor(log=tmp_path / "server.log", capacity=2)
    executor.start()
    for stage in baselines:
        store.write_model(run.stage(stage.id) / layout.STAGE, stage)
    executor.submit(run.stage(baselines[0].id))
    ended = []
    while not ended:
        ended = executor.poll(1.0)
    assert ended == [(run.stage(baselines[0].id), 0)]
    record = store.read_record(run, baselines[0])
    assert record is not None and record.failure is None
    executor.submit(run.stage(baselines[1].id))
    executor.cancel()
    assert executor.poll(0.1) == []
    assert store.read_record(run, baselines[1]) is None
    os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)  # as the OOM killer might
    executor.submit(run.stage(baselines[1].id))
    ended = []
    while not ended:
        ended = executor.poll(1.0)
    record = store.read_record(run, baselines[1])
    assert ended == [(run.stage(baselines[1].id), 0)] and record is not None and record.failure is None
