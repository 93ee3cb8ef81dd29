"""Full disks, read-only folders, damaged files, clocks that jump, rewards that hang: nothing lost, nothing believed."""

import errno
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from rlvr_bench.cli.app import run as rlvr_bench
from rlvr_bench.engine import worker
from rlvr_bench.engine.care import check_room, disk_is_full
from rlvr_bench.engine.executor import LOST
from rlvr_bench.engine.runner import run_plan
from rlvr_bench.errors import EnvironmentFaultError, RlvrBenchError
from rlvr_bench.planning.cost import disk_bytes, scratch_bytes
from rlvr_bench.runs import layout, lock, store
from rlvr_bench.runs.invocations import invocations, source_commit
from rlvr_bench.runs.lock import is_locked, locked
from rlvr_bench.runs.summary import summarise
from rlvr_bench.schema.plan import Stage
from tests.fakes import FakeExecutor, folder_of, planned

CUT = {"models": ["micro-qwen-a", "micro-olmo-a"], "seeds": 1, "limit": 20}
TRAIN = "micro-qwen-a/ttrl/seed-21/train"


def go(runs, executor, **more):
    plan = planned(**CUT)
    return run_plan(plan, folder_of(plan, runs), runs=runs, executor=executor, **more)


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 400 kB of its own, where this machine lets us have one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_fills_up_stops_the_run_which_goes_on_with_room(small_disk, monkeypatch) -> None:
    monkeypatch.setattr("rlvr_bench.engine.runner.check_room", lambda *_: None)  # as if others had filled it meanwhile
    runs = small_disk / "runs"
    with pytest.raises(EnvironmentFaultError, match="the disk is full") as caught:
        go(runs, FakeExecutor())
    assert caught.value.exit_code == 4 and "same command again" in str(caught.value.hint)
    kept = [s.id for s in planned(**CUT).stages if store.read_record(folder_of(planned(**CUT), runs), s)]
    assert 0 < len(kept) < len(planned(**CUT).stages)
    subprocess.run(["mount", "-o", "remount,size=40m", str(small_disk)], check=True)
    rest = FakeExecutor()
    assert go(runs, rest) == ()
    assert not set(rest.ran) & set(kept[:-1])


def test_a_stage_that_does_not_fit_is_not_started(small_disk) -> None:
    runs = small_disk / "runs"
    executor = FakeExecutor()
    with pytest.raises(EnvironmentFaultError, match=r"the next stage needs 0\.0\d+ GB, .* are free"):
        go(runs, executor)
    assert TRAIN not in executor.ran


def test_a_full_disk_in_a_worker_is_told_from_other_errors() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    wrapped = RuntimeError("saving failed")
    wrapped.__cause__ = full
    torch_says = RuntimeError("[enforce fail at inline_container.cc] . PytorchStreamWriter failed writing file data/0")
    safetensors_says = Exception('Error while serializing: IoError(Os { code: 28, kind: StorageFull, message: "x" })')
    assert all(map(disk_is_full, (full, wrapped, torch_says, safetensors_says, OSError(errno.EDQUOT, "quota"))))
    assert not any(map(disk_is_full, (OSError(errno.EIO, "x"), ValueError("28"))))
    assert worker._kind(full) == worker._kind(wrapped) == "disk-full"
    assert worker._kind(PermissionError(errno.EROFS, "Read-only file system")) == "environment"


def test_a_worker_without_room_ends_the_run(runs) -> None:
    executor = FakeExecutor(flaky={TRAIN: ("disk-full", 1)})
    with pytest.raises(EnvironmentFaultError, match="the disk is full"):
        go(runs, executor)
    assert executor.cancelled == 1
    assert go(runs, FakeExecutor()) == ()


def test_what_a_plan_needs_counts_equal_stages_once_and_the_largest_scratch() -> None:
    stages = planned(**CUT).stages
    trainings = [s for s in stages if s.kind == "train"]
    assert scratch_bytes(trainings[0]) == 24 * trainings[0].inputs.card.parameters
    assert disk_bytes([*stages, *stages]) == disk_bytes(stages)
    assert disk_bytes(stages, 2) - disk_bytes(stages, 1) == sorted(map(scratch_bytes, trainings))[-2]


def test_a_disk_too_small_is_refused_before_anything_starts(small_disk, capsys, monkeypatch) -> None:
    arguments = ["--method", "python", "--runs", str(small_disk / "runs")]
    monkeypatch.setattr("rlvr_bench.engine.local.LocalExecutor.start", lambda _: pytest.fail("it started"))
    assert rlvr_bench(["validate", *arguments]) == 4
    assert "error: the disk is too small" in capsys.readouterr().err
    assert rlvr_bench(["plan", *arguments]) == 0
    assert "missing:   the disk is too small" in capsys.readouterr().out


@pytest.fixture
def read_only(small_disk):
    """A function that makes a small disk, made large enough, readable alone."""
    subprocess.run(["mount", "-o", "remount,size=40m", str(small_disk)], check=True)
    yield small_disk, lambda: subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)


def test_a_read_only_run_is_reported_all_the_same(read_only, capsys) -> None:
    disk, make_read_only = read_only
    runs = disk / "runs"
    go(runs, FakeExecutor())
    folder = folder_of(planned(**CUT), runs)
    make_read_only()
    assert rlvr_bench(["report", str(folder.path)]) == 0
    out, err = capsys.readouterr()
    assert "verdict:" in out and "report:" not in out
    assert "warning: the report could not be written into the run: Read-only file system" in err
    assert rlvr_bench(["report", str(folder.path), "--format", "html"]) == 4
    assert rlvr_bench(["validate", "--method", "python", "--runs", str(runs), "-q"]) == 4
    assert "the file system refuses: Read-only file system" in capsys.readouterr().err
    assert rlvr_bench(["status", str(folder.path)]) == 0


def test_a_clock_that_jumps_back_gives_no_negative_times(runs, monkeypatch) -> None:
    now = [2_000_000_000.0]
    monkeypatch.setattr(store.time, "time", lambda: now.__setitem__(0, now[0] - 3600) or now[0])
    assert go(runs, FakeExecutor()) == ()
    found = summarise(folder_of(planned(**CUT), runs))
    assert found.done == found.stages and found.wall_seconds == 0 and found.hours >= 0


def test_the_journal_after_a_torn_line_loses_nothing_more(runs) -> None:
    go(runs, FakeExecutor())
    folder = folder_of(planned(**CUT), runs)
    with folder.journal.open("a") as file:
        file.write('{"time": 1, "eve')
    before = len(store.read_events(folder))
    go(runs, FakeExecutor())
    events = store.read_events(folder)
    assert events[before]["event"] == "run-started" and events[-1]["event"] == "run-ended"


def test_a_process_number_that_is_used_again_is_no_holder(runs) -> None:
    folder = folder_of(planned(**CUT), runs)
    with locked(folder):
        text = folder.lock.read_text()
        assert is_locked(folder) and f"pid {os.getpid()} began " in text
    folder.lock.write_text(text.replace("began ", "began 9"))
    assert not is_locked(folder)


def test_a_holder_elsewhere_counts_while_it_beats(runs, monkeypatch) -> None:
    folder = folder_of(planned(**CUT), runs)
    folder.path.mkdir(parents=True)
    folder.lock.write_text("host elsewhere.example pid 1 began 5\n")
    assert is_locked(folder)
    old = time.time() - 2 * lock.STALE_SECONDS
    os.utime(folder.lock, (old, old))
    assert not is_locked(folder)
    with locked(folder) as held:
        os.utime(folder.lock, (old, old))
        held.beat()
        assert folder.lock.stat().st_mtime > old + 1
        os.utime(folder.lock, (old, old))
        held.beat()  # at most every half a minute
        assert folder.lock.stat().st_mtime == pytest.approx(old)


def test_a_file_system_without_locks_goes_by_the_named_holder(runs, monkeypatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", none)
    folder = folder_of(planned(**CUT), runs)
    with locked(folder), pytest.raises(RlvrBenchError, match="another process works on this run"), locked(folder):
        pass
    with locked(folder):
        assert is_locked(folder)


def test_the_run_says_who_worked_on_it(runs) -> None:
    go(runs, FakeExecutor())
    folder = folder_of(planned(**CUT), runs)
    go(runs, FakeExecutor())
    first, second = invocations(folder)
    assert first["pid"] == os.getpid() and first["cores"] >= 1 and first["processor"]
    assert first["time"] <= second["time"] and first["commit"] == source_commit()
    assert json.loads(folder.about.read_text())["plan"] == planned(**CUT).digest
    folder.about.write_text("{ torn")
    go(runs, FakeExecutor())
    assert len(invocations(folder)) == 1
    assert summarise(folder).newest.startswith("host ")


def test_leftovers_in_the_cache_are_swept_a_day_later(runs) -> None:
    cache = layout.cache_of(runs, "x").parent
    old, new = cache / ".new-old", cache / ".new-young"
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    store.sweep(runs)
    assert not old.exists() and new.exists()


def test_a_cache_entry_that_vanishes_while_it_is_taken_is_work_to_do(runs, monkeypatch) -> None:
    go(runs, FakeExecutor())
    stage = next(s for s in planned(**CUT).stages if s.id == TRAIN)
    other = folder_of(planned(**{**CUT, "seeds": 2}), runs)

    def vanished(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(store, "_link_tree", vanished)
    assert store.adopt(other, stage, runs) is None


class Refusing(FakeExecutor):
    def submit(self, folder: Path) -> None:
        if TRAIN in str(folder):
            raise EnvironmentFaultError("it does not fit", hint="a larger GPU")
        super().submit(folder)


def test_a_stage_that_cannot_be_placed_takes_no_other_with_it(runs) -> None:
    executor = Refusing()
    failed = go(runs, executor)
    assert TRAIN in failed and all(s.startswith("micro-qwen-a/ttrl/") for s in failed) and executor.cancelled == 0
    plan = planned(**CUT)
    record = store.read_record(folder_of(plan, runs), next(s for s in plan.stages if s.id == TRAIN))
    assert record.failure.kind == "environment" and record.failure.hint == "a larger GPU"
    assert go(runs, FakeExecutor()) == ()


def test_what_lies_in_its_folder_is_not_needed_twice(small_disk, tmp_path) -> None:
    """An interrupted training whose checkpoints fill the disk goes on."""
    stage = next(s for s in planned(**CUT).stages if s.id == TRAIN)
    needed = disk_bytes([stage])
    subprocess.run(["mount", "-o", f"remount,size={int(needed * 1.5)}", str(small_disk)], check=True)
    folder = small_disk / "stage"
    folder.mkdir()
    (folder / "trainer").mkdir()
    (folder / "trainer" / "checkpoint").write_bytes(bytes(int(needed * 0.8)))
    check_room(small_disk, stage, folder)
    with pytest.raises(EnvironmentFaultError, match="the next stage needs"):
        check_room(small_disk, stage, small_disk / "other")


@pytest.mark.parametrize("times", [3, 100])
def test_a_stage_that_the_machine_takes_away_is_owed_again_up_to_a_point(runs, times) -> None:
    taken: list[str] = []

    class Taking(FakeExecutor):
        def poll(self, timeout):
            if self._queue and TRAIN in str(self._queue[0]) and len(taken) < times:
                taken.append(TRAIN)
                return [(self._queue.pop(0), LOST)]
            return super().poll(timeout)

    failed = go(runs, Taking())
    assert (TRAIN in failed) is (times == 100) and len(taken) == min(times, 21)


HANGING = """
import time
from pathlib import Path

def hangs(completions, step, **_):
    if step >= 1 and "Made-up" not in str(_.get("prompts")):
        time.sleep(10_000)
    return [float(len(str(c)) % 2) for c in completions]
"""


@pytest.mark.slow
def test_a_reward_that_hangs_is_stopped_and_the_others_go_on(tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "hangs.py").write_text(HANGING)
    arguments = ["validate", "--method", str(tmp_path / "hangs.py"), "--models", "micro-qwen-a", "--seeds", "1"]
    arguments += ["--limit", "20", "--runs", str(tmp_path / "runs"), "--stall-timeout", "0.4"]
    assert rlvr_bench(arguments) == 5  # the method has no result at all
    said = capsys.readouterr().err
    assert "timeout: stopped: it wrote nothing for 24 s" in said
    (run,) = (tmp_path / "runs").glob("micro--*")
    plan = store.read_plan(store.find_run(run.name, tmp_path / "runs"))
    others: list[Stage] = [s for s in plan.stages if s.cell.arm != plan.method.name]
    assert all((r := store.read_record(layout.RunFolder(run), s)) and r.failure is None for s in others)


def test_damaged_completions_of_a_finished_stage_cost_their_texts_and_no_number(runs, capsys) -> None:
    go(runs, FakeExecutor())
    folder = folder_of(planned(**CUT), runs)
    assert rlvr_bench(["report", str(folder.path), "--format", "json"]) == 0
    want = capsys.readouterr().out
    for stage in planned(**CUT).stages:
        if stage.kind in ("baseline", "evaluate"):
            (folder.stage(stage.id) / layout.COMPLETIONS).write_bytes(b"\x1f\x8bnot gzip at all")
    assert rlvr_bench(["report", str(folder.path), "--format", "json"]) == 0
    assert capsys.readouterr().out == want
