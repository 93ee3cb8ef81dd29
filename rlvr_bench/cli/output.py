"""The one console: stdout carries the answer, stderr everything else."""

import json
import os
import sys
from typing import Any

from rich.console import Console

from rlvr_bench.errors import RlvrBenchError


def _console(*, stderr: bool) -> Console:
    """Return a console that honours NO_COLOR, FORCE_COLOR and TERM=dumb, and folds nothing off a terminal."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else 110
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False, emoji=False, markup=False)


def answer() -> Console:
    """The console of the answer."""
    return _console(stderr=False)


def aside() -> Console:
    """The console of progress, warnings and errors."""
    return _console(stderr=True)


def emit(document: dict[str, Any]) -> None:
    """Print one JSON document on one line of stdout."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def fail(error: RlvrBenchError) -> None:
    """Print an error in its three lines."""
    lines = [("error", error.message), ("where", error.where), ("hint", error.hint)]
    for label, text in lines:
        if text:  # one line each, whatever it quotes: a log's reader may take a line for a command
            sys.stderr.write(f"{label}: {''.join(c if c.isprintable() else ' ' for c in text)}\n")
    sys.stderr.flush()
