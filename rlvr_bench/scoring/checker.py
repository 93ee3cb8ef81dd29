"""math-verify in a process that can be killed: `python -m rlvr_bench.scoring.checker` serves one grader.

A supervisor imports math-verify once, then forks a child that does the work. A job that takes longer than
TIME_LIMIT costs its child and nothing else: the next is forked in milliseconds. A child that is killed from outside
gets its job a second chance. math-verify's own timeouts are SIGALRM, work in the main thread only, and do not
interrupt long integer arithmetic; they are off.

Jobs are JSON lines of (gold, answer) pairs on the standard input. Results are lines with a 1 (equal) or 0 for each
pair, cut short by a `?` for the pair that took too long.
"""

import contextlib
import importlib
import json
import logging
import os
import re
import resource
import select
import signal
import sys
import time
import warnings
from collections import deque
from pathlib import Path
from typing import Any

TIME_LIMIT = 1.2
"""Seconds of wall time for one answer, all its questions together."""
MEMORY_LIMIT = 1 << 30
"""Bytes of address space that a child may use beyond what it was forked with."""
READY = b"ready\n"
_WARM_UP = [
    ("\\frac{1}{2}", "0.5"),
    ("x^2+2x+1", "(x+1)^2"),
    ("(1, 2]", "(1,2]"),
    ("\\{1,2\\}", "2,1"),
    ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix} 1 \\\\ 3 \\end{pmatrix}"),
    ("\\sqrt{2}+\\ln 3", "\\ln 3+\\sqrt 2"),
    ("y=2x", "2y=4x"),
]
_LATE = (
    *(f"sympy.integrals.{name}" for name in ("manualintegrate", "meijerint", "risch", "heurisch", "transforms")),
    "sympy.solvers.inequalities",
    "sympy.series.gruntz",
)
"""What sympy imports in the midst of a computation: cheap here, and paid anew by every child otherwise."""
_FORBIDDEN = (
    "os.",
    "subprocess.",
    "socket.",
    "shutil.",
    "ctypes.",
    "urllib.",
    "ftplib.",
    "smtplib.",
    "webbrowser.",
    "pty.",
)
_WHEN_IDLE = [
    ("\\int_0^1 x dx", "\\sum_{k=1}^{2} k"),
    ("x^2-3x+2>0", "\\lim_{x\\to 0} x"),
    ("\\frac{\\pi}{4}", "\\int_0^1 \\frac{1}{1+x^2} dx"),
    ("2^n", "\\sum_{k=0}^{n} \\binom{n}{k}"),
    ("2", "\\sum_{k=0}^{\\infty} \\frac{1}{2^k}"),
]
"""What makes sympy import and build much, about 1 s: done while nobody waits, before the child is forked anew."""
_COMPILED = re.compile(
    r"from sympy import \*|def (?:__create_fn__|monomial_\w+)\((?s:.*)|[A-Za-z]\w{0,40}(?:\[[A-Za-z_, |\[\]]*\])?"
    r"|lambda _cls, [\w, ]*: _tuple_new\(_cls, \([\w, ]*\)\)"
    r"|(?:Integer|Float|Rational|[-+*/()\s]|'?[\d.]+(?:e[-+]?\d+)?'?){1,400}"
)
"""All that may be compiled from text: sympy's reading of numbers and its polynomial code, dataclasses, named
tuples, and names of types without a call: what late imports need."""
_HARMLESS = ("os.listdir", "os.scandir", "os.walk", "os.fwalk")


def compare(gold: str, answer: str) -> bool:
    """Return whether math-verify finds two LaTeX texts equal; the gold comes first, as order matters to it.

    Texts are parsed as LaTeX only: math-verify's other parser hands text to Python's eval.
    """
    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse, verify

    latex = LatexExtractionConfig(
        boxed_match_priority=-1,
        normalization_config=NormalizationConfig(
            basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none", equations=False
        ),
    )
    if any(set("$\n") & set(text) for text in (gold, answer)):
        return False  # a text that ends the formula it stands in would be read as several
    parsed = [parse(f"${text}$", [latex], fallback_mode="no_fallback", parsing_timeout=None) for text in (gold, answer)]
    return all(parsed) and bool(verify(*parsed, timeout_seconds=None))


def serve() -> None:
    """Answer jobs until the standard input ends, in their order; several may be handed over ahead."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    for pair in _WARM_UP:
        compare(*pair)
    for module in _LATE:
        importlib.import_module(module)
    os.write(1, READY)
    child = _Child()
    unread, deadline, died_before = b"", 0.0, b""
    cold = deque(_WHEN_IDLE)
    while True:
        busy = bool(child.jobs)
        if cold and not busy and not select.select([0], [], [], 0)[0]:
            compare(*cold.popleft())
            if not cold:
                child.end()
                child = _Child()
            continue
        timeout = max(0.0, deadline - time.monotonic()) if busy else None
        ready, _, _ = select.select([0, child.results] if busy else [0], [], [], timeout)
        if child.results in ready and (lines := child.read()) is not None:
            os.write(1, lines)
            deadline = time.monotonic() + TIME_LIMIT
        elif child.results in ready or not ready:  # it died, or took too long
            owed, said, died = list(child.jobs), child.unread, child.results in ready
            child.end()
            child = _Child()
            if not died or died_before == owed[0]:
                os.write(1, said + b"?\n")  # the answers that came, and the question that hangs
                del owed[0]
            died_before = owed[0] if died and owed else b""
            for line in owed:
                child.send(line)
            deadline = time.monotonic() + TIME_LIMIT
        elif 0 in ready:
            part = os.read(0, 65536)
            if not part:
                break
            *lines_in, unread = (unread + part).split(b"\n")
            for line in lines_in:
                child.send(line + b"\n")
            if not busy:
                deadline = time.monotonic() + TIME_LIMIT
    child.end()


class _Child:
    """A forked copy of the supervisor with a pipe each way; `jobs` are those it has not answered, oldest
    first; `unread` is what it has said of the first."""

    def __init__(self) -> None:
        theirs, self._send = os.pipe()
        self.results, results = os.pipe()
        self.jobs: deque[bytes] = deque()
        self.unread = b""
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self._send)
                os.close(self.results)
                _work(theirs, results)
            finally:
                os._exit(0)
        os.close(theirs)
        os.close(results)

    def send(self, line: bytes) -> None:
        """Hand a job over; that the child has died is met when its answer is read."""
        self.jobs.append(line)
        with contextlib.suppress(OSError):
            os.write(self._send, line)

    def read(self) -> bytes | None:
        """Return the whole answers that have come, or None where the child has died."""
        try:
            part = os.read(self.results, 65536)
        except OSError:
            return None
        if not part:
            return None
        whole, newline, self.unread = (self.unread + part).rpartition(b"\n")
        for _ in range((whole + newline).count(b"\n")):
            self.jobs.popleft()
        return whole + newline

    def end(self) -> None:
        """Kill the child and collect it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._send)
        os.close(self.results)


def _work(jobs: int, results: int) -> None:
    _end_with_parent()
    _limit_memory()
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    sys.addaudithook(_guard)
    with os.fdopen(jobs, "rb") as lines:
        for line in lines:
            for pair in json.loads(line):
                os.write(results, b"1" if _safely(*pair) else b"0")
            os.write(results, b"\n")


def _safely(gold: str, answer: str) -> bool:
    try:
        return compare(gold, answer)
    except (Exception, RecursionError):
        return False


def _end_with_parent() -> None:
    """Ask Linux to kill this process when the supervisor is gone, even in the midst of a long computation."""
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _limit_memory() -> None:
    try:
        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        used = 2 << 30
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_LIMIT, used + MEMORY_LIMIT))


def _guard(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse what no comparison needs: processes, sockets, writing files, and running text as Python."""
    if event == "open":
        mode, flags = arguments[1], arguments[2]
        writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (isinstance(flags, int) and flags & 3)
        if writes:
            raise PermissionError("a grader writes nothing")
    elif event == "compile":
        source = arguments[0].decode(errors="replace") if isinstance(arguments[0], bytes) else arguments[0]
        if str(arguments[1]).startswith("<") and not (isinstance(source, str) and _COMPILED.fullmatch(source.strip())):
            raise PermissionError("a grader runs no text")
    elif event.startswith(_FORBIDDEN) and event not in _HARMLESS:
        raise PermissionError(f"a grader needs no {event}")


if __name__ == "__main__":
    serve()
