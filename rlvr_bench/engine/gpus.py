"""Stages on the GPUs of this machine: each in an interpreter of its own, on as many GPUs as its training needs.

CUDA does not survive a fork, and a process a stage gives all memory back. A stage that needs more GPUs than are free
waits for them; stages behind it that need fewer do not.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from rlvr_bench.backends import hub
from rlvr_bench.backends.models import check_weights
from rlvr_bench.backends.placing import wanted_ranks
from rlvr_bench.engine.local import command, variables
from rlvr_bench.engine.worker import END_WITH_PARENT
from rlvr_bench.errors import EnvironmentFaultError
from rlvr_bench.planning.fit import SMI, Fit, Gpu, Shape, fit, shape_by
from rlvr_bench.runs import layout
from rlvr_bench.runs.machine import Device, smallest, visible
from rlvr_bench.runs.provenance import generator
from rlvr_bench.schema.card import Card, HubWeights
from rlvr_bench.schema.plan import Stage, TrainInputs
from rlvr_bench.schema.suite import TrainingSettings

POLL_SECONDS = 0.05


def needed(stage: Stage, gpu: Device, available: int) -> int:
    """Return how many GPUs a stage is given: those that its training needs, else one.

    Raises EnvironmentFaultError where it fits on none of the `available`.
    """
    if not isinstance(stage.inputs, TrainInputs) or stage.inputs.device == "cpu":
        return 1
    wanted = wanted_ranks()
    if wanted is not None and wanted > available:
        raise EnvironmentFaultError(
            f"{wanted} ranks are asked for, there are {available} GPUs", hint="set ranks to fewer, or leave it out"
        )
    return fit_on(stage.inputs.card, stage.inputs.settings, gpu, available, wanted).ranks


def fit_on(card: Card, settings: TrainingSettings, gpu: Device, available: int, wanted: int | None = None) -> Fit:
    """Return how a training fits on GPUs that nvidia-smi names, by the model's configuration where it is here.

    Raises EnvironmentFaultError.
    """
    kind = Gpu(gpu.name, SMI * gpu.memory)
    return fit(card, settings, kind, available, generation=generator("cuda"), shape=_shape(card), ranks=wanted)


def _shape(card: Card) -> Shape | None:
    """Return a model's shape by its configuration, None where it is not on this machine yet."""
    if isinstance(card.weights, HubWeights):
        weights = card.weights
        if weights.commit is None or not hub.is_here("model", weights.repository, weights.commit, ["config.json"]):
            return None
        path = hub.fetch("model", weights.repository, weights.commit, ["config.json"])[0]
    else:
        path = check_weights(card) / "config.json"
    try:
        return shape_by(card, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


class GpuExecutor:
    """Runs stage folders in fresh interpreters, each seeing its own GPUs alone."""

    detaches = False
    far = False

    def __init__(self, *, log: Path, capacity: int | None = None) -> None:
        self.devices = list(visible(os.environ.get("CUDA_VISIBLE_DEVICES")))
        self.capacity = capacity or max(1, len(self.devices))
        self._log = log
        self._waiting: list[tuple[Path, int]] = []
        self._dropped: list[Path] = []
        self._running: dict[Path, tuple[subprocess.Popen[bytes], list[Device]]] = {}
        self._free = list(self.devices)

    def start(self) -> None:
        """Check that there are GPUs. Raises EnvironmentFaultError."""
        if not self.devices:
            raise EnvironmentFaultError("the suite needs a GPU and none is seen", hint="rlvr-bench doctor")

    def attached(self) -> list[Path]:
        """Return nothing: stages end with their runner."""
        return []

    def waiting(self) -> set[Path]:
        """Return the folders that wait for GPUs."""
        return {folder for folder, _ in self._waiting}

    def gpus(self, folder: Path) -> int:
        """Return how many GPUs a stage has, or waits for."""
        counts = dict(self._waiting) | {f: len(mine) for f, (_, mine) in self._running.items()}
        return counts.get(folder, 1)

    def submit(self, folder: Path) -> None:
        """Start a stage, or let it wait for GPUs. Raises EnvironmentFaultError where it cannot fit."""
        stage = Stage.model_validate_json((folder / layout.STAGE).read_text(encoding="utf-8"))
        self._waiting.append((folder, needed(stage, smallest(self.devices), len(self.devices))))
        self._begin()

    def _begin(self) -> None:
        for folder, count in list(self._waiting):
            if count <= len(self._free):
                self._waiting.remove((folder, count))
                mine, self._free = self._free[:count], self._free[count:]
                self._running[folder] = (self._process(folder, mine), mine)

    def _process(self, folder: Path, mine: list[Device]) -> subprocess.Popen[bytes]:
        env = {**os.environ, **variables(len(mine)), END_WITH_PARENT: "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        env["CUDA_VISIBLE_DEVICES"] = ",".join(device.index for device in mine)
        with (folder / layout.LOG).open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own worker
                command(folder),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=env,
                start_new_session=True,  # Ctrl-C is the runner's to answer; what it starts is killed with it
            )

    def poll(self, timeout: float) -> list[tuple[Path, int]]:
        """Wait up to `timeout` seconds; return the folders whose process ended, with exit codes."""
        if self._dropped:
            dropped, self._dropped = self._dropped, []
            return [(folder, -signal.SIGKILL) for folder in dropped]
        deadline = time.monotonic() + timeout
        while True:
            found = [(f, code) for f, (p, _) in self._running.items() if (code := p.poll()) is not None]
            if found or time.monotonic() >= deadline:
                break
            time.sleep(POLL_SECONDS)
        for folder, _ in found:
            self._free += self._running.pop(folder)[1]
        self._free.sort(key=self.devices.index)
        self._begin()
        return found

    def said(self, folder: Path) -> str:  # noqa: ARG002
        """Return nothing: the stage's own log says it."""
        return ""

    def stop(self, folder: Path) -> None:
        """Kill one stage with all that it started; the next poll returns it."""
        if folder in self._running:
            _kill(self._running[folder][0])
        for one in [one for one in self._waiting if one[0] == folder]:
            self._waiting.remove(one)
            self._dropped.append(folder)

    def cancel(self) -> None:
        """Kill all running stages and wait for their end; they are owed again."""
        self._waiting.clear()
        for process, _ in self._running.values():
            _kill(process)
        for process, _ in self._running.values():
            process.wait()
        self._running.clear()
        self._free = list(self.devices)


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
