"""Retries, time limits, a budget, smaller batches, and Ctrl-C once and twice: all around the real runner."""

import gzip
import json
import os
import signal
from pathlib import Path

import pytest

from rlvr_bench.diagnostics.origins import adapted
from rlvr_bench.engine.care import Care, Watchdog, read_adapted, smaller, with_smaller
from rlvr_bench.engine.runner import run_plan
from rlvr_bench.engine.worker import run_stage
from rlvr_bench.errors import BudgetError, InterruptedRunError
from rlvr_bench.runs import layout, store
from rlvr_bench.schema.plan import EvaluateInputs, TrainInputs
from rlvr_bench.schema.record import Failure
from tests.fakes import FakeExecutor, folder_of, planned

CUT = {"models": ["micro-qwen-a", "micro-olmo-a"], "seeds": 1, "limit": 20}
TRAIN = "micro-qwen-a/ttrl/seed-21/train"


def go(runs, executor, care=Care(), **more):  # noqa: B008
    plan = planned(**CUT)
    events, said = [], []
    failed = run_plan(
        plan, folder_of(plan, runs), runs=runs, executor=executor, on_event=events.append, on_notice=said.append,
        care=care, **more,
    )  # fmt: skip
    return failed, events, said


def record_of(runs, stage_id):
    plan = planned(**CUT)
    stage = next(s for s in plan.stages if s.id == stage_id)
    return store.read_record(folder_of(plan, runs), stage)


@pytest.mark.parametrize(("times", "retries", "ends"), [(1, 1, True), (2, 2, True), (2, 1, False), (1, 0, False)])
def test_a_failed_stage_is_tried_again_as_often_as_said(runs, times, retries, ends) -> None:
    executor = FakeExecutor(flaky={TRAIN: ("backend", times)})
    failed, events, _ = go(runs, executor, Care(retries=retries))
    assert (failed == ()) is ends
    assert executor.ran.count(TRAIN) == min(times, retries) + 1
    assert [e.kind for e in events if e.stage.id == TRAIN and e.kind == "retried"] == ["retried"] * min(times, retries)


def test_what_fails_the_same_way_again_is_not_tried_again(runs) -> None:
    executor = FakeExecutor(flaky={TRAIN: ("non-finite", 1)})
    assert TRAIN in go(runs, executor, Care(retries=5))[0]
    assert executor.ran.count(TRAIN) == 1


def test_out_of_memory_is_tried_once_with_half_the_batch(runs) -> None:
    plan = planned(**CUT)
    folder = folder_of(plan, runs).stage(TRAIN)
    failed, _, _ = go(runs, FakeExecutor(flaky={TRAIN: ("out-of-memory", 1)}))
    assert failed == () and read_adapted(folder) == {"micro_batch": 16, "sampling_batch": 64}
    record = store.read_record(folder_of(plan, runs), next(s for s in plan.stages if s.id == TRAIN))
    records = {s.id: None for s in plan.stages} | {TRAIN: record.model_copy(update={"adapted": read_adapted(folder)})}
    assert adapted(plan, records) == (f"{TRAIN} ran out of memory and then with micro_batch 16, sampling_batch 64",)


def test_out_of_memory_twice_is_a_failure(runs) -> None:
    executor = FakeExecutor(flaky={TRAIN: ("out-of-memory", 2)})
    failed, _, _ = go(runs, executor)
    assert TRAIN in failed and executor.ran.count(TRAIN) == 2
    found = record_of(runs, TRAIN)
    assert found is not None and found.failure is not None and found.failure.kind == "out-of-memory"


def test_smaller_batches_keep_the_effective_one() -> None:
    plan = planned(**CUT)
    train = next(s.inputs for s in plan.stages if s.kind == "train")
    assert isinstance(train, TrainInputs)
    seen, adapted = [], smaller(train, {})
    while adapted is not None:
        inputs = with_smaller(train, adapted)
        assert isinstance(inputs, TrainInputs)
        type(inputs.settings).model_validate(inputs.settings.model_dump())  # still whole updates
        seen.append((adapted["micro_batch"], adapted["sampling_batch"]))
        adapted = smaller(train, adapted)
    micro, sampled = zip(*seen, strict=True)
    assert list(dict.fromkeys(micro)) == [16, 8, 4, 2, 1] and sampled[-1] == 1  # then less is sampled at once
    assert sampled == tuple(sorted(set(sampled), reverse=True))
    own = {"steps", "prompts_per_step", "group_size", "updates_per_step", "learning_rate"}
    assert inputs.settings.model_dump(include=own) == train.settings.model_dump(include=own)
    evaluate = next(s.inputs for s in plan.stages if s.kind == "evaluate")
    assert isinstance(evaluate, EvaluateInputs)
    assert smaller(evaluate, {}) == {"batch_size": 64} and smaller(evaluate, {"batch_size": 1}) is None
    probe = next(s.inputs for s in plan.stages if s.cell.arm == "exposure")
    assert with_smaller(probe, smaller(probe, {}) or {}).batch_size == 64


def test_a_stage_that_takes_too_long_is_stopped_and_its_siblings_go_on(runs, monkeypatch) -> None:
    now = [0.0]
    real = FakeExecutor.poll
    monkeypatch.setattr(FakeExecutor, "poll", lambda self, t: now.__setitem__(0, now[0] + 10) or real(self, t))
    executor = FakeExecutor(hang={TRAIN})
    monkeypatch.setattr("rlvr_bench.engine.runner.Watchdog", lambda care: Watchdog(care, clock=lambda: now[0]))
    failed, _, _ = go(runs, executor, Care(stage_seconds=60))
    assert set(failed) == {s for s in failed if s.startswith("micro-qwen-a/ttrl/")} and TRAIN in failed
    found = record_of(runs, TRAIN)
    assert found is not None and found.failure is not None
    assert found.failure.kind == "timeout" and "more than the 60 s" in found.failure.message
    assert len(executor.stopped) == 1


def test_a_stage_that_writes_nothing_is_stuck_and_one_that_writes_is_not(tmp_path: Path) -> None:
    now = [0.0]
    dog = Watchdog(Care(stall_seconds=30), clock=lambda: now[0])
    quiet, busy = tmp_path / "quiet", tmp_path / "busy"
    for folder in (quiet, busy):
        folder.mkdir()
        dog.started(folder)
    found = []
    for _ in range(10):
        now[0] += 10
        with (busy / "log.txt").open("a") as file:
            file.write("x")
        os.utime(busy / "log.txt", (0, 0))  # a clock that jumps back to 1970
        found += dog.stuck()
    assert {folder for folder, _ in found} == {quiet} and found[0][1] == "wrote nothing for 30 s"
    assert dog.ended(busy) == (1, 100) and dog.running_seconds() == 100


def test_the_budget_ends_a_run_which_then_goes_on(runs, monkeypatch) -> None:
    now = [0.0]
    monkeypatch.setattr("rlvr_bench.engine.runner.Watchdog", lambda care: Watchdog(care, clock=lambda: now[0]))
    real = FakeExecutor.poll
    monkeypatch.setattr(FakeExecutor, "poll", lambda self, t: now.__setitem__(0, now[0] + 360) or real(self, t))
    first = FakeExecutor(capacity=1)
    with pytest.raises(BudgetError, match=r"budget of 0\.5 hours is reached with 5 of") as caught:
        go(runs, first, Care(hours=0.5))
    assert caught.value.exit_code == 6 and "larger" in str(caught.value.hint)
    again = FakeExecutor(capacity=1)
    with pytest.raises(BudgetError):  # what was spent before counts
        go(runs, again, Care(hours=0.5))
    assert again.ran == []
    rest = FakeExecutor(capacity=1)
    assert go(runs, rest, Care(hours=100))[0] == ()
    assert sorted(first.ran + rest.ran) == sorted(s.id for s in planned(**CUT).stages)


class Interrupting(FakeExecutor):
    """Sends itself signals after some polls."""

    def poll(self, timeout):
        for number, at in self.signals:  # type: ignore[attr-defined]
            if len(self.ran) == at:
                os.kill(os.getpid(), number)
        return super().poll(timeout)


def test_ctrl_c_once_starts_nothing_and_waits_for_what_runs(runs) -> None:
    executor = Interrupting(capacity=3)
    before = signal.getsignal(signal.SIGINT)
    executor.signals = [(signal.SIGINT, 2)]
    said: list[str] = []
    plan = planned(**CUT)
    with pytest.raises(InterruptedRunError, match=r"with 5 of") as caught:
        run_plan(plan, folder_of(plan, runs), runs=runs, executor=executor, on_notice=said.append)
    assert caught.value.exit_code == 130 and executor.cancelled == 0
    assert len(executor.ran) == 5 and "3 that run are waited for" in said[0]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM,)])
def test_ctrl_c_twice_and_a_schedulers_sigterm_stop_at_once(runs, numbers) -> None:
    executor = Interrupting(capacity=3)
    executor.signals = [(number, 2) for number in numbers]
    plan = planned(**CUT)
    with pytest.raises(InterruptedRunError, match=r"with 2 of"):
        run_plan(plan, folder_of(plan, runs), runs=runs, executor=executor)
    assert executor.cancelled == 1
    assert run_plan(plan, folder_of(plan, runs), runs=runs, executor=FakeExecutor()) == ()


def test_again_is_asked_of_the_kind() -> None:
    assert Care(retries=1).again(Failure(kind="killed", message="x"), 1)
    assert not Care(retries=1).again(Failure(kind="killed", message="x"), 2)
    assert not Care(retries=9).again(Failure(kind="labels", message="x"), 1)


def test_the_worker_does_as_the_file_says_and_records_it(tmp_path: Path) -> None:
    plan = planned(**CUT)
    stage = next(s for s in plan.stages if s.kind == "baseline")
    assert isinstance(stage.inputs, EvaluateInputs)
    stage = stage.model_copy(update={"inputs": stage.inputs.model_copy(update={"samples": 2})})
    folder = folder_of(plan, tmp_path).stage(stage.id)
    store.write_model(folder / layout.STAGE, stage)
    (folder / layout.ADAPTED).write_text('{"batch_size": 7}')
    record = run_stage(folder)
    assert record.failure is None and record.adapted == {"batch_size": 7}
    lines = gzip.decompress((folder / layout.COMPLETIONS).read_bytes()).splitlines()
    assert {len(json.loads(line)["rows"]) for line in lines} == {7, 5, 6}  # 40 sampled and 20 greedy, in sevens
    (folder / layout.ADAPTED).write_text('{"batch')
    assert read_adapted(folder) == {}


def test_what_waits_for_a_machine_is_taken_back_when_the_budget_ends(runs, monkeypatch) -> None:
    """A queue that holds a thousand stages would else go on after the budget is spent."""
    now = [0.0]
    monkeypatch.setattr("rlvr_bench.engine.runner.Watchdog", lambda care: Watchdog(care, clock=lambda: now[0]))

    class Queueing(FakeExecutor):
        def poll(self, timeout):
            now[0] += 360
            return super().poll(timeout)

        def waiting(self):
            return set(self._queue[1:])

        def stop(self, folder):
            self._queue.remove(folder)
            self._killed.append(folder)

    executor = Queueing(capacity=100)
    with pytest.raises(BudgetError):
        go(runs, executor, Care(hours=0.5))
    assert len(executor.ran) < 9
    rest = FakeExecutor()
    assert go(runs, rest, Care(hours=100))[0] == ()
    assert sorted(executor.ran + rest.ran) == sorted(s.id for s in planned(**CUT).stages)


def test_a_stage_that_ended_while_nobody_looked_is_counted_and_shared(runs) -> None:
    """Its job outlived the runner: the journal says nothing of its end."""
    plan = planned(**CUT)
    go(runs, FakeExecutor())
    folder = folder_of(plan, runs)
    lines = folder.journal.read_text().splitlines()
    folder.journal.write_text("".join(f"{line}\n" for line in lines if TRAIN not in line))
    digest = next(s.digest for s in plan.stages if s.id == TRAIN)
    import shutil

    shutil.rmtree(layout.cache_of(runs, digest))
    assert go(runs, FakeExecutor())[0] == ()
    told = [e for e in store.read_events(folder) if e.get("stage") == TRAIN]
    assert [e["event"] for e in told] == ["finished"] and told[0]["seconds"] == 1.0
    assert layout.cache_of(runs, digest).exists()


def test_a_record_that_is_seen_late_is_waited_for(runs, monkeypatch) -> None:
    """As on NFS, where another machine wrote it."""
    real, seen = store.read_record, []

    def late(run, stage):
        found = real(run, stage)
        if stage.id == TRAIN and found is not None and len(seen) < 2:
            seen.append(1)
            return None
        return found

    monkeypatch.setattr("rlvr_bench.engine.endings.time.sleep", lambda _: None)
    monkeypatch.setattr(store, "read_record", late)
    failed, events, _ = go(runs, FakeExecutor(far=True))
    assert failed == () and not [e for e in events if e.kind == "lost"] and len(seen) == 2
