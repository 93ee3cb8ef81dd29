"""What math-verify has said, kept: in memory, and in files that a run's stages share.

Each process appends to a file of its own, so no lock is needed on any file system, and a torn last line
costs one verdict. The folder's name holds all versions that can change a verdict.
"""

import contextlib
import json
import os
import secrets
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

MOST = 400_000
LIBRARIES = ("math-verify", "latex2sympy2_extended", "sympy")


class Verdicts:
    """Verdicts by (gold, answer) as put to math-verify; None stands for a question that took too long."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], bool | None] = {}
        self._folder: Path | None = None
        self._name = secrets.token_hex(4)

    def keep_in(self, folder: Path | None, grader_version: int) -> None:
        """Read the verdicts that a folder holds and append new ones there; None ends keeping."""
        self._folder = None if folder is None else folder / _versions(grader_version)
        if self._folder is None or not self._folder.is_dir():
            return
        for path in sorted(self._folder.glob("*.jsonl")):
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError, TypeError):
                    gold, answer, verdict = json.loads(line)
                    if isinstance(gold, str) and isinstance(answer, str) and verdict in (True, False, None):
                        self.known[gold, answer] = verdict

    def add(self, questions: Sequence[tuple[str, str]], verdicts: Sequence[bool | None]) -> None:
        """Keep verdicts."""
        if len(self.known) >= MOST:
            self.known.clear()
        self.known.update(zip(questions, verdicts, strict=True))
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{os.getpid()}-{self._name}.jsonl").open("a", encoding="utf-8") as file:
            rows = zip(questions, verdicts, strict=True)
            file.write("".join(json.dumps([*question, verdict]) + "\n" for question, verdict in rows))


def _versions(grader_version: int) -> str:
    parts = [f"grader-{grader_version}"]
    for name in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            parts.append(version(name))
    return "-".join(parts)
