"""The loop that does work: nothing twice, nothing lost, failures contained."""

import pytest

from rlvr_bench.engine.runner import run_plan
from rlvr_bench.errors import InputsChangedError, InterruptedRunError, UsageError
from rlvr_bench.runs import layout, store
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.runs.lock import is_locked, locked
from tests.fakes import ENVIRONMENT, FakeExecutor, folder_of, planned

CUT = {"models": ["micro-qwen-a", "micro-olmo-a"], "seeds": 1, "limit": 20}
TRAIN = "micro-qwen-a/ttrl/seed-21/train"
AFTER = "micro-qwen-a/ttrl/seed-21/arithmetic"
MIDWAY = "micro-qwen-a/ttrl/seed-21/step-4/arithmetic"


def go(plan, runs, executor, run=None):
    events = []
    failed = run_plan(plan, run or folder_of(plan, runs), runs=runs, executor=executor, on_event=events.append)
    return failed, events


def test_every_stage_once_and_never_again(runs, fake) -> None:
    plan = planned(**CUT)
    failed, events = go(plan, runs, fake)
    assert failed == ()
    assert sorted(fake.ran) == sorted(s.id for s in plan.stages)
    assert events[-1].done == events[-1].total == len(plan.stages)
    again = FakeExecutor()
    _, events = go(plan, runs, again)
    assert again.ran == []
    assert {e.kind for e in events} == {"kept"}


def test_evaluation_waits_for_its_training(runs, fake) -> None:
    go(planned(**CUT), runs, fake)
    assert fake.ran.index(TRAIN) < fake.ran.index(AFTER)


def test_equal_stages_of_other_runs_come_from_the_cache(runs, fake) -> None:
    go(planned("python", **CUT), runs, fake)
    second = FakeExecutor()
    plan = planned("format", **CUT)
    _, events = go(plan, runs, second)
    assert {s.split("/")[1] for s in second.ran} == {"format"}
    assert sum(e.kind == "cached" for e in events) == len(plan.stages) - len(second.ran)
    assert all(store.read_record(folder_of(plan, runs), s) for s in plan.stages)


def test_a_failed_stage_blocks_only_what_needs_it_and_is_owed_again(runs) -> None:
    plan = planned(**CUT)
    broken = FakeExecutor(fail={TRAIN})
    failed, events = go(plan, runs, broken)
    assert failed == (TRAIN, AFTER, MIDWAY)
    assert AFTER not in broken.ran
    assert [e.kind for e in events if e.stage.id == AFTER] == ["blocked"]
    mended = FakeExecutor()
    assert go(plan, runs, mended)[0] == ()
    assert mended.ran == [TRAIN, AFTER, MIDWAY]


def test_a_failure_is_never_shared(runs) -> None:
    plan = planned(**CUT)
    go(plan, runs, FakeExecutor(fail={TRAIN}))
    digest = next(s.digest for s in plan.stages if s.id == TRAIN)
    assert not layout.cache_of(runs, digest).exists()


def test_a_killed_process_is_a_failure_with_its_exit_code(runs) -> None:
    plan = planned(**CUT)
    failed, _ = go(plan, runs, FakeExecutor(kill={TRAIN}))
    assert TRAIN in failed
    record = store.read_record(folder_of(plan, runs), next(s for s in plan.stages if s.id == TRAIN))
    assert record is not None and record.failure is not None
    assert (record.failure.kind, "-9" in record.failure.message) == ("killed", True)


def test_ctrl_c_keeps_what_is_done(runs) -> None:
    plan = planned(**CUT)
    executor = FakeExecutor(interrupt_after=3)
    with pytest.raises(InterruptedRunError, match=f"3 of {len(plan.stages)}") as caught:
        go(plan, runs, executor)
    assert caught.value.hint and "same command" in caught.value.hint
    assert executor.cancelled == 1
    rest = FakeExecutor()
    go(plan, runs, rest)
    assert sorted(executor.ran[:3] + rest.ran) == sorted(s.id for s in plan.stages)


def test_a_half_written_record_is_owed_again(runs, fake) -> None:
    plan = planned(**CUT)
    go(plan, runs, fake)
    path = folder_of(plan, runs).stage(TRAIN) / layout.RECORD
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])  # in place: the cache has a copy of its own
    again = FakeExecutor()
    _, events = go(plan, runs, again)
    assert [e.kind for e in events if e.stage.id == TRAIN] == ["cached"]
    assert again.ran == []


def test_a_record_of_other_inputs_is_refused(runs, fake) -> None:
    plan = planned(**CUT)
    go(plan, runs, fake)
    path = folder_of(plan, runs).stage(TRAIN) / layout.RECORD
    text = path.read_text().replace(next(s.digest for s in plan.stages if s.id == TRAIN), "f" * 64)
    path.unlink()
    path.write_text(text)
    with pytest.raises(InputsChangedError, match="other inputs"):
        go(plan, runs, FakeExecutor())


def test_a_folder_of_another_plan_is_refused_with_the_keys(runs, fake) -> None:
    folder = RunFolder(runs / "mine")
    go(planned("ttrl", **CUT), runs, fake, folder)
    with pytest.raises(InputsChangedError, match=r"method\.name"):
        go(planned("python", **CUT), runs, FakeExecutor(), folder)
    other = ENVIRONMENT.model_copy(update={"versions": {"trl": "2"}})
    with pytest.raises(InputsChangedError, match=r"environment\.versions\.trl"):
        go(planned("ttrl", environment=other, **CUT), runs, FakeExecutor(), folder)


def test_a_folder_that_holds_something_else_is_not_touched(runs) -> None:
    folder = RunFolder(runs / "mine")
    folder.path.mkdir(parents=True)
    (folder.path / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="holds no run"):
        go(planned(**CUT), runs, FakeExecutor(), folder)
    assert [p.name for p in folder.path.iterdir()] == ["thesis.tex"]


def test_two_runners_on_one_folder(runs) -> None:
    plan = planned(**CUT)
    folder = folder_of(plan, runs)
    with locked(folder):
        assert is_locked(folder)
        with pytest.raises(UsageError, match="pid"):
            go(plan, runs, FakeExecutor())
    assert not is_locked(folder)


def test_a_torn_journal_line_is_dropped(runs, fake) -> None:
    plan = planned(**CUT)
    go(plan, runs, fake)
    folder = folder_of(plan, runs)
    count = len(store.read_events(folder))
    with folder.journal.open("a") as file:
        file.write('{"time": 1, "eve')
    assert len(store.read_events(folder)) == count


def test_a_kill_during_the_first_write_leaves_a_folder_that_can_be_used(runs, fake) -> None:
    plan = planned(**CUT)
    folder = folder_of(plan, runs)
    folder.path.mkdir(parents=True)
    (folder.path / ".plan.json.123").write_text("{")
    assert go(plan, runs, fake)[0] == ()


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_damaged_weights_are_trained_again_before_they_are_evaluated(runs, damage) -> None:
    plan = planned(**CUT)
    go(plan, runs, FakeExecutor(fail={AFTER}))
    weights = folder_of(plan, runs).stage(TRAIN) / layout.CHECKPOINT / layout.WEIGHTS
    if damage == "missing":
        weights.unlink()
    else:
        weights.write_bytes(b"rotten")  # in place: the cache's hard link rots with it
    digest = next(s.digest for s in plan.stages if s.id == TRAIN)
    again = FakeExecutor()
    assert go(plan, runs, again)[0] == ()
    assert again.ran == ([AFTER] if damage == "missing" else [TRAIN, AFTER])
    assert weights.read_bytes() == (layout.cache_of(runs, digest) / layout.CHECKPOINT / layout.WEIGHTS).read_bytes()


def test_a_broken_cache_entry_is_replaced(runs, fake) -> None:
    plan = planned("python", **CUT)
    go(plan, runs, fake)
    digest = next(s.digest for s in plan.stages if s.cell.arm == "random" and s.kind == "train")
    (layout.cache_of(runs, digest) / layout.RECORD).write_text("{")
    second = FakeExecutor()
    go(planned("format", **CUT), runs, second)
    assert "micro-qwen-a/random/seed-21/train" in second.ran
    third = FakeExecutor()
    go(planned("ground-truth", **CUT), runs, third)
    assert {s.split("/", 3)[-1] for s in third.ran} == {"step-4/arithmetic"}  # weights were kept: no training


def test_looking_at_a_run_does_not_lock_it(runs, fake) -> None:
    folder = folder_of(planned(**CUT), runs)
    assert not is_locked(folder)
    with locked(folder):
        for _ in range(3):
            assert is_locked(folder)
    folder.lock.write_text("host elsewhere.example pid 1")
    assert is_locked(folder)
    import socket

    folder.lock.write_text(f"host {socket.gethostname()} pid 999999999")
    assert not is_locked(folder)
