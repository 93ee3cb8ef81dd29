"""Stages as tasks of a Ray cluster, an existing one or one of its own: placed by GPUs, owed again where a node dies.

A task does nothing but start a worker and wait for it, so that a stage has a process and a CUDA context of its own. Ray
retries nothing: the runner does, as everywhere. The run folder has to be on storage that every node sees; that is
checked before anything is placed.
"""

import contextlib
import os
import secrets
import socket
import time
from pathlib import Path
from typing import Any

from rlvr_bench.engine.elsewhere import gpus_of, passed
from rlvr_bench.engine.executor import LOST
from rlvr_bench.engine.local import command, variables
from rlvr_bench.engine.worker import END_WITH_PARENT
from rlvr_bench.errors import EnvironmentFaultError
from rlvr_bench.runs import layout

ADDRESS = "RLVR_BENCH_RAY_ADDRESS"
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_COLOR_PREFIX": "0"}
LOOK_SECONDS = 60.0
NOT_SHARED = -2
KILLED = -9


def work(folder: str, words: list[str], env: dict[str, str], cwd: str) -> int:
    """Do one stage in a process of its own and return its exit code: what runs on a node."""
    import os
    import signal
    import subprocess
    import time

    if not os.path.isdir(folder):  # noqa: PTH112 - runs where our package may not be imported yet
        return NOT_SHARED
    with open(os.path.join(folder, "log.txt"), "ab") as log:  # noqa: PTH118, PTH123
        process = subprocess.Popen(  # noqa: S603 - our own worker
            words,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **env},
            cwd=cwd if os.path.isdir(cwd) else None,  # noqa: PTH112
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                time.sleep(0.2)  # a place where Ray can interrupt
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return process.returncode


def _refuse_silence(address: str) -> None:
    """Raise EnvironmentFaultError where nobody answers at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise _no_cluster(address) from error


def _no_cluster(address: str) -> EnvironmentFaultError:
    return EnvironmentFaultError(
        f"no Ray cluster at {address}", where=ADDRESS, hint="ray start --head, or leave ray-address out"
    )


def sees(path: str) -> bool:
    """Return whether a node sees a file."""
    import os

    return os.path.exists(path)  # noqa: PTH110


def _mark(folder: Path) -> str:
    """Return which worker took a stage's lock last."""
    try:
        return (folder / layout.WORKING).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


class RayExecutor:
    """Runs stage folders as Ray tasks; at most `capacity` at once, Ray holds them until there is room."""

    detaches = False
    far = True

    def __init__(self, *, log: Path, capacity: int | None = None) -> None:
        self.capacity = capacity or 1_000
        self._run = log.parent.absolute()
        self._ray: Any = None
        self._refs: dict[Any, Path] = {}
        self._widths: dict[Path, int] = {}
        self._stopped: set[Path] = set()
        self._marks: dict[Path, str] = {}
        self._said: dict[Path, str] = {}
        self._seen: set[tuple[float, float]] = set()
        self._busy: set[Path] = set()

    def start(self) -> None:
        """Join the cluster, or start one here, and check that its nodes share the run's folder.

        Raises EnvironmentFaultError.
        """
        os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
        try:
            import ray
        except ImportError as error:
            raise EnvironmentFaultError("ray is not installed", hint="pip install 'rlvr-bench[ray]'") from error
        self._ray = ray
        if not ray.is_initialized():
            address = os.environ.get(ADDRESS) or "auto"
            options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
            _refuse_silence(address)
            try:
                ray.init(address=address, **options)
            except ConnectionError as error:
                if address != "auto":
                    raise _no_cluster(address) from error
                ray.init(address="local", include_dashboard=False, **options)
        self._check_storage()

    def _check_storage(self) -> None:
        """Raise EnvironmentFaultError naming the nodes that do not see a file written here just now."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        ray = self._ray
        token = self._run / f".shared-{secrets.token_hex(6)}"
        token.touch()
        try:
            nodes = [node for node in ray.nodes() if node["Alive"]]
            asked = {
                node["NodeID"]: ray.remote(sees)
                .options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
                .remote(str(token))
                for node in nodes
            }
            blind = []
            for node in nodes:
                try:
                    good = ray.get(asked[node["NodeID"]], timeout=LOOK_SECONDS)
                except ray.exceptions.RayTaskError as error:
                    name = node.get("NodeManagerHostname") or node["NodeID"][:8]
                    raise EnvironmentFaultError(
                        f"a task breaks on node {name}: {error.cause}",
                        hint="the same Python and packages on every node",
                    ) from error
                except (ray.exceptions.RayError, TimeoutError):
                    good = False
                if not good:
                    blind.append(node.get("NodeManagerHostname") or node["NodeID"][:8])
        finally:
            token.unlink(missing_ok=True)
        if blind:
            raise EnvironmentFaultError(
                f"the run's folder is not on storage that every node sees: not on {', '.join(sorted(blind))}",
                where=str(self._run),
                hint="--runs on NFS, Lustre or another shared file system",
            )

    def attached(self) -> list[Path]:
        """Return nothing: tasks end with their runner."""
        return []

    def submit(self, folder: Path) -> None:
        """Hand a stage to Ray. Raises EnvironmentFaultError where no node could hold it: Ray would wait forever."""
        gpus = gpus_of(folder)
        self._widths[folder] = gpus
        self._feasible(folder, gpus)
        self._marks[folder] = _mark(folder)
        self._busy.discard(folder)
        env = {**passed(), **variables(gpus), END_WITH_PARENT: "1"}
        remote = self._ray.remote(work).options(num_cpus=1, num_gpus=gpus, max_retries=0)
        self._refs[remote.remote(str(folder.absolute()), command(folder), env, str(Path.cwd()))] = folder

    def _feasible(self, folder: Path, gpus: int) -> None:
        """Refuse what no node that was ever seen could hold; one that died may come back, or another like it."""
        now = [(node["Resources"].get("GPU", 0), node["Resources"].get("CPU", 0)) for node in self._nodes()]
        self._seen |= set(now)
        if any(have >= gpus and cores >= 1 for have, cores in self._seen):
            return
        raise EnvironmentFaultError(
            f"no node of the Ray cluster has {gpus} GPUs and a core for a stage: the largest has "
            f"{max((have for have, _ in self._seen), default=0):g} GPUs",
            where=str(folder),
            hint="add a node (ray start --address ...), or --models without the ones that are too large",
        )

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def poll(self, timeout: float) -> list[tuple[Path, int]]:
        """Return the folders whose task ended; LOST where its node or Ray's own process died."""
        if not self._refs:
            time.sleep(timeout)
            return []
        ray = self._ray
        ended, _ = ray.wait(list(self._refs), num_returns=len(self._refs), timeout=timeout)
        found = []
        for ref in ended:
            folder = self._refs.pop(ref)
            try:
                code = ray.get(ref)
            except ray.exceptions.RayTaskError as error:  # our own task broke there: no node was lost
                code, self._said[folder] = 1, f"{type(error.cause).__name__}: {error.cause}"
            except (ray.exceptions.RayError, SystemExit):
                code = LOST
            if folder in self._stopped:
                self._stopped.discard(folder)
                code = KILLED
            if code == NOT_SHARED:
                raise EnvironmentFaultError(
                    "a node does not see the run's folder", where=str(folder), hint="--runs on a shared file system"
                )
            found.append((folder, code))
        return found

    def waiting(self) -> set[Path]:
        """Return the folders whose worker has not begun: it writes who it is where it locks its folder."""
        for folder in set(self._refs.values()) - self._busy:
            if _mark(folder) != self._marks[folder]:
                self._busy.add(folder)
        self._busy &= set(self._refs.values())
        return set(self._refs.values()) - self._busy

    def gpus(self, folder: Path) -> int:
        """Return how many GPUs a stage has; 1 on a CPU."""
        return max(1, self._widths.get(folder, 1))

    def said(self, folder: Path) -> str:
        """Return what a node said of a task that broke."""
        return self._said.pop(folder, "")

    def stop(self, folder: Path) -> None:
        """Stop one stage; the next poll returns it."""
        for ref, own in self._refs.items():
            if own == folder:
                self._stopped.add(folder)
                self._ray.cancel(ref, force=True)

    def cancel(self) -> None:
        """Stop every stage and leave the cluster as it is."""
        for ref in self._refs:
            with contextlib.suppress(Exception):  # one that has ended, or whose node is gone
                self._ray.cancel(ref, force=True)
        self._refs.clear()
