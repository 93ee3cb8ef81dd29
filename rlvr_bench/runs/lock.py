"""The lock of a run folder: one process works on a run, and it is known when that one is gone.

The kernel's lock (flock) is released when its process ends, however that is. What the file says beside it (host,
process, when it began) is for those who look, and for file systems that know no locks; there, a holder of another
machine counts as gone when the file has not been touched for `STALE_SECONDS`.
"""

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rlvr_bench.errors import UsageError
from rlvr_bench.runs.layout import RunFolder

STALE_SECONDS = 900.0
BEAT_SECONDS = 30.0
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
"""What flock says on file systems without locks, such as Lustre mounted without them."""


@dataclass
class Held:
    """A lock that this process holds; `beat` shows that it is still there."""

    path: Path
    newest: float = 0.0

    def beat(self) -> None:
        """Touch the lock file, at most every `BEAT_SECONDS`."""
        now = time.monotonic()
        if now - self.newest >= BEAT_SECONDS:
            self.newest = now
            with contextlib.suppress(OSError):
                os.utime(self.path)


@contextmanager
def locked(run: RunFolder) -> Iterator[Held]:
    """Hold the run's lock; it is released when the process ends, however it ends.

    Raises UsageError naming the holder where another process works on the run.
    """
    run.path.mkdir(parents=True, exist_ok=True)
    with run.lock.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _taken(run) from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            if is_locked(run):
                raise _taken(run) from error
        file.seek(0)
        file.truncate()
        file.write(f"host {socket.gethostname()} pid {os.getpid()} began {_began(os.getpid()) or 0}\n")
        file.flush()
        try:
            yield Held(run.lock)
        finally:
            with contextlib.suppress(OSError):  # a disk that is full or gone must not hide why the run ended
                file.truncate(0)


def _taken(run: RunFolder) -> UsageError:
    holder = _read(run)
    return UsageError(
        f"another process works on this run: {holder or 'unknown'}",
        where=str(run.path),
        hint="wait for it, or stop it",
    )


def _read(run: RunFolder) -> str:
    try:
        return run.lock.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _began(pid: int) -> int | None:
    """Return when a process of this machine began, in ticks since it booted: a number used again is told apart."""
    try:
        return int(
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        )
    except (OSError, ValueError, IndexError):
        return None


def is_locked(run: RunFolder) -> bool:
    """Return whether a process works on the run now, by the holder that the lock names; looking takes no lock.

    A holder on another machine counts while it touches the file.
    """
    words = _read(run).split()
    named = dict(zip(words[::2], words[1::2], strict=False))
    if not named.get("pid", "").isdigit():
        return False
    if named.get("host") != socket.gethostname():
        try:
            return abs(time.time() - run.lock.stat().st_mtime) < STALE_SECONDS
        except OSError:
            return False
    pid = int(named["pid"])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    began, now = named.get("began", "0"), _began(pid)
    return began == "0" or now is None or str(now) == began
