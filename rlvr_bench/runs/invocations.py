"""`run.json`: who worked on a run, where and with what. Provenance: nothing here decides a number or is read back."""

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from rlvr_bench import __version__
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.runs.provenance import accelerators, processor
from rlvr_bench.runs.store import write_text
from rlvr_bench.schema.plan import Plan

SCHEMA = "rlvr-bench/run/1"
KEPT = 500


def source_commit() -> str | None:
    """Return the commit that this program was installed from or runs in, with `+changes` where files differ from it;
    None where it was installed from a package index."""
    root = Path(__file__).parents[2]
    if (root / ".git").exists() and (git := shutil.which("git")):
        try:
            words = [git, "-C", str(root), "rev-parse", "HEAD"]
            head = subprocess.run(words, capture_output=True, text=True, timeout=10, check=True).stdout  # noqa: S603 - words of our own
            words = [git, "-C", str(root), "status", "--porcelain", "--untracked-files=no"]
            changed = subprocess.run(words, capture_output=True, text=True, timeout=10, check=True).stdout  # noqa: S603 - words of our own
        except (OSError, subprocess.SubprocessError):
            return None
        return head.strip() + ("+changes" if changed.strip() else "")
    try:
        told = json.loads(metadata.distribution("rlvr-bench").read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        return None
    commit = told.get("vcs_info", {}).get("commit_id")
    return commit if isinstance(commit, str) else None


def here(command: Sequence[str] = ()) -> dict[str, Any]:
    """Return what this process is and runs on."""
    return {
        "time": round(time.time(), 3),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "command": list(command),
        "program": __version__,
        "commit": source_commit(),
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": _memory(),
        "accelerators": accelerators(),
    }


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def invocations(run: RunFolder) -> list[dict[str, Any]]:
    """Return the invocations that worked on a run, oldest first; none where the file is damaged."""
    try:
        found = json.loads(run.about.read_text(encoding="utf-8"))["invocations"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def note_invocation(run: RunFolder, plan: Plan, command: Sequence[str] = ()) -> None:
    """Add this process to the run's file."""
    body = {
        "schema": SCHEMA,
        "plan": plan.digest,
        "suite": f"{plan.suite.name} {plan.suite.version}",
        "method": plan.method.name,
        "invocations": [*invocations(run), here(command)][-KEPT:],
    }
    write_text(run.about, json.dumps(body, indent=1) + "\n")
