"""The processes that run math-verify: killed, replaced, bounded, guarded; and the verdicts that they leave."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rlvr_bench.errors import EnvironmentFaultError
from rlvr_bench.scoring import (
    compare_answers,
)
from rlvr_bench.scoring import pool as pools
from rlvr_bench.scoring.checker import TIME_LIMIT
from rlvr_bench.scoring.pool import Pool
from rlvr_bench.scoring.verdicts import Verdicts

SLOW_BUT_FINE = ("\\Gamma(x)+\\lfloor y \\rfloor", "\\lfloor y \\rfloor + \\Gamma(x)")
"""A pair that only math-verify can decide."""


def test_a_batch_of_hanging_answers_hurts_none_of_its_neighbours() -> None:
    own = Pool(size=1)
    try:
        hang, fine = ("7", "\\prod_{k=1}^{10^{8}} k"), ("x+y", "y+x")
        jobs = [(fine,), (hang,), (fine,), (hang, fine), (fine, fine), (fine, hang, fine)]
        assert own.run(jobs) == [[True], [None], [True], [None], [True, True], [True, None]]
    finally:
        own.close()


def test_memory_is_bounded(tmp_path) -> None:
    """A child that allocates without end gets a MemoryError at its limit, not the machine's last byte."""
    code = (
        "import sys; from rlvr_bench.scoring import checker; checker._limit_memory()\n"
        "try: held = bytearray(3 << 30)\n"
        "except MemoryError: sys.exit(7)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 7
    own = Pool(size=1)
    try:
        found = own.run([(("7", "\\sum_{k=1}^{9} 10^{10^{9}}"),), (("1", "1.0"),)])
        assert found[0] in ([None], [False])
        assert found[1] == [True]
    finally:
        own.close()


def test_a_child_killed_from_outside_costs_no_verdict() -> None:
    own = Pool(size=1)
    try:
        own.run([(SLOW_BUT_FINE,)])
        supervisor = own.pids()[0]
        (child,) = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        assert own.run([(("x+y", "y+x"),)] * 3) == [[True]] * 3
    finally:
        own.close()


def test_killed_from_outside_it_starts_again() -> None:
    own = Pool(size=1)
    try:
        own.run([(SLOW_BUT_FINE,)])
        os.kill(own.pids()[0], signal.SIGKILL)
        assert own.run([(("x+y", "y+x"),)] * 3) == [[True]] * 3
    finally:
        own.close()


def test_nobody_is_left_behind_when_the_caller_is_killed() -> None:
    code = (
        "import sys, time; from rlvr_bench.scoring.pool import pool; pool().run([(('x+y','y+x'),)]);"
        "print(pool().pids()[0], flush=True); pool().run([(('7','\\\\prod_{k=1}^{10^{8}} k'),)] * 50)"
    )
    caller = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert caller.stdout
    supervisor = int(caller.stdout.readline())
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    assert children
    until = time.monotonic() + 10
    while state(int(children[0])) != "R" and time.monotonic() < until:  # in the midst of a product without end
        time.sleep(0.01)
    caller.kill()
    caller.wait()
    caller.stdout.close()
    ended = time.monotonic() + 10
    while any(state(int(pid)) != "Z" for pid in (supervisor, *children)) and time.monotonic() < ended:
        time.sleep(0.1)
    assert not any(state(int(pid)) != "Z" for pid in (supervisor, *children))


def state(pid: int) -> str:
    """Return a process's state letter; Z where it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return "Z"


def test_works_in_threads_and_after_a_fork() -> None:
    found: list[bool] = []

    def work(number: int) -> None:
        found.append(compare_answers([(f"\\lfloor x \\rfloor+{number}", f"{number}+\\lfloor x \\rfloor")])[0].equal)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4
    code = (
        "import os; from rlvr_bench.scoring import answers_equal;"
        "assert answers_equal('\\\\lfloor x \\\\rfloor+1', '1+\\\\lfloor x \\\\rfloor'); pid = os.fork();"
        "equal = answers_equal('\\\\lfloor y \\\\rfloor+1', '1+\\\\lfloor y \\\\rfloor');"
        "os._exit(0 if equal else 3) if pid == 0 else None;"
        "assert equal and os.waitpid(pid, 0)[1] == 0"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_interrupted_batch_leaves_no_answer_to_the_next(monkeypatch) -> None:
    own = Pool(size=1)
    try:
        own.run([(SLOW_BUT_FINE,)])

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(own, "_receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            own.run([(("1", "2"),)])
        monkeypatch.undo()
        assert own.run([(("x+y", "y+x"),)]) == [[True]]
    finally:
        own.close()


def test_without_math_verify_the_error_says_so(monkeypatch, tmp_path) -> None:
    (tmp_path / "math_verify").mkdir()
    (tmp_path / "math_verify" / "__init__.py").write_text("raise ImportError('no math-verify here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    own = Pool(size=1)
    with pytest.raises(EnvironmentFaultError, match="no math-verify here"):
        own.run([(("1", "2"),)])
    assert own.pids() == []


def test_the_guard_refuses_what_no_comparison_needs(tmp_path) -> None:
    code = (
        "import sys, os, json; from rlvr_bench.scoring import checker;"
        "checker.compare('1', '1'); sys.addaudithook(checker._guard); refused = []\n"
        "for name, act in {'system': lambda: os.system('true'), 'write': lambda: open(sys.argv[1], 'w'),"
        " 'eval': lambda: eval('len([])'), 'socket': lambda: __import__('socket').socket(),"
        " 'remove': lambda: os.remove(sys.argv[1])}.items():\n"
        "    try: act()\n"
        "    except PermissionError: refused.append(name)\n"
        "sys.stdout.write(json.dumps(refused))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x")], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["system", "write", "eval", "socket", "remove"]


def test_verdicts_are_kept_and_shared_between_stages(tmp_path) -> None:
    one = Verdicts()
    one.keep_in(tmp_path, "v2")
    one.add([("a", "b"), ("a", "c"), ("a", "d")], [True, None])
    (path,) = tmp_path.rglob("*.jsonl")
    with path.open("a") as file:
        file.write("[" * 100_000 + '\n["x", "y", 1]\n["torn", "li')
    two = Verdicts()
    two.keep_in(tmp_path, "v2")
    assert two.known == {("a", "b"): True, ("a", "c"): None}
    two.add([("d", "e"), ("a", "c"), ("a", "b")], [False, True, None])
    assert len(list(tmp_path.rglob("*.jsonl"))) == 2
    one.refresh()  # stages that run side by side: an answer replaces a missed deadline, never the other way
    assert one.known == {("a", "b"): True, ("a", "c"): True, ("d", "e"): False}
    three = Verdicts()
    three.keep_in(tmp_path, "v3")  # another grader asks anew
    assert three.known == {}


@pytest.mark.slow
def test_the_guard_changes_no_verdict() -> None:
    pairs = [
        ("2", "\\sum_{k=0}^{\\infty} \\frac{1}{2^k}"),
        ("\\frac{\\pi}{4}", "\\int_0^1 \\frac{1}{1+x^2} dx"),
        ("\\frac{2}{3}", "\\int_0^1 \\sqrt{x} dx"),
        ("e", "\\lim_{n \\to \\infty} (1+\\frac{1}{n})^n"),
        ("-2", "\\begin{vmatrix} 1 & 2 \\\\ 3 & 4 \\end{vmatrix}"),
    ]
    # A fresh interpreter each, as warm as a process that begins to serve; no deadline, as the claim is no speed.
    code = (
        "import sys, json, importlib; from rlvr_bench.scoring import checker;"
        "[checker.compare(*pair) for pair in checker._WARM_UP];"
        "[importlib.import_module(module) for module in checker._LATE];"
        "guarded, pair = json.load(sys.stdin);"
        "guarded and sys.addaudithook(checker._guard);"
        "print(checker.compare(*pair))"
    )
    for guarded, pair in [(guarded, pair) for pair in pairs for guarded in (False, True)]:
        given = json.dumps([guarded, pair])
        done = subprocess.run([sys.executable, "-c", code], input=given, capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["True"], (guarded, pair, done.stderr[-300:])


def test_the_time_limit_leaves_room_below_two_seconds() -> None:
    assert TIME_LIMIT <= 1.5
    assert pools.MAX_JOB_BYTES < 65536  # a pipe's size: a job that does not fit would block its writer
