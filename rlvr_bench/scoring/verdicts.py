"""What math-verify has said, kept: in memory, and in files that a run's stages share.

Each process appends to a file of its own, so no lock is needed on any file system, and a torn last line
costs one verdict. The folder's name holds all versions that can change a verdict.
"""

import contextlib
import json
import os
import platform
import secrets
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

MOST = 200_000
LIBRARIES = ("math-verify", "latex2sympy2_extended", "sympy", "antlr4-python3-runtime")


class Verdicts:
    """Verdicts by (gold, answer) as put to math-verify; None stands for a question that took too long."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], bool | None] = {}
        self._folder: Path | None = None
        self._name = secrets.token_hex(4)
        self._read: dict[Path, int] = {}

    def keep_in(self, folder: Path | None, versions: str) -> None:
        """Read the verdicts that a folder holds and append new ones there; None ends keeping."""
        self._folder = None if folder is None else folder / versions
        self._read = {}
        self.refresh()

    def refresh(self) -> None:
        """Read what other processes have added; the first verdict of a question stays."""
        if self._folder is None or not self._folder.is_dir():
            return
        for path in sorted(self._folder.glob("*.jsonl")):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                whole, newline, _ = file.read().rpartition(b"\n")
            self._read[path] = self._read.get(path, 0) + len(whole) + len(newline)
            for line in whole.splitlines():
                with contextlib.suppress(ValueError, TypeError, RecursionError):
                    gold, answer, verdict = json.loads(line)
                    if isinstance(gold, str) and isinstance(answer, str) and isinstance(verdict, bool | None):
                        self._learn((gold, answer), verdict)

    def _learn(self, question: tuple[str, str], verdict: bool | None) -> None:
        if self.known.get(question) is None:  # a deadline that was missed once is no reason to forget an answer
            self.known[question] = verdict

    def add(self, questions: Sequence[tuple[str, str]], verdicts: Sequence[bool | None]) -> None:
        """Keep verdicts; there may be fewer than questions."""
        for question, verdict in zip(questions, verdicts, strict=False):
            self._learn(question, verdict)
        if self._folder is None:
            return
        rows = "".join(json.dumps([*q, verdict]) + "\n" for q, verdict in zip(questions, verdicts, strict=False))
        with contextlib.suppress(OSError):  # a full disk costs the sharing, not the training
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / f"{os.getpid()}-{self._name}.jsonl").open("a", encoding="utf-8") as file:
                file.write(rows)

    def trim(self) -> None:
        """Forget all where there is too much; never in the midst of a batch."""
        if len(self.known) >= MOST:
            self.known.clear()


def versions(*more: object) -> str:
    """Return a folder name of all versions and settings that can change a verdict."""
    parts = [str(part) for part in more]
    for name in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            parts.append(version(name))
    return "-".join([*parts, platform.python_version()])
