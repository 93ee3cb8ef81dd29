"""What running trainings write: their newest step, and warnings as soon as something looks wrong."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from rlvr_bench.diagnostics.health import early_warnings
from rlvr_bench.engine.runner import Event
from rlvr_bench.runs import layout
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.schema.plan import Stage, TrainInputs
from rlvr_bench.schema.record import StepHealth


@dataclass
class Tail:
    """The metrics file of one training, read as it grows; a line that is still being written waits."""

    stage: Stage
    offset: int = 0
    newest: dict[str, Any] | None = None
    steps: list[StepHealth] = field(default_factory=list)

    def read(self, run: RunFolder) -> None:
        """Take the lines that have come."""
        try:
            with (run.stage(self.stage.id) / layout.METRICS).open("rb") as file:
                file.seek(self.offset)
                data = file.read()
        except OSError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self.offset += len(whole)
        for line in whole.splitlines():
            try:
                entry = json.loads(line)
                if "health" in entry:
                    self.steps.append(StepHealth.model_validate(entry["health"]))
                elif "reward" in entry:
                    self.newest = entry
            except (ValueError, ValidationError, TypeError):
                continue


class Watch:
    """All running trainings of a run. Each warning is given once for a training."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self.tails: dict[str, Tail] = {}
        self._said: set[tuple[str, str]] = set()

    def event(self, event: Event) -> list[str]:
        """Take note of an event; return what is wrong with a training that ended."""
        stage = event.stage
        if event.kind == "started" and isinstance(stage.inputs, TrainInputs):
            self.tails[stage.id] = Tail(stage)
        elif event.kind != "started":
            self.tails.pop(stage.id, None)
        training = event.record.training if event.record and event.kind == "finished" else None
        return [text for _, text in self._new(stage, list(training.steps))] if training else []

    def look(self) -> list[tuple[Stage, str]]:
        """Read what has come; return the new warnings with their stages."""
        found = []
        for tail in self.tails.values():
            tail.read(self.run)
            found += [(tail.stage, text) for _, text in self._new(tail.stage, tail.steps)]
        return found

    def now(self, stage: Stage) -> str:
        """Return `step 3/8 reward 0.62`, or an empty string before the first rollouts."""
        tail = self.tails.get(stage.id)
        if tail is None or tail.newest is None or not isinstance(stage.inputs, TrainInputs):
            return ""
        reward = tail.newest["reward"]
        said = f" reward {reward:.2f}" if isinstance(reward, int | float) else ""
        return f"step {tail.newest['step'] + 1}/{stage.inputs.settings.steps}{said}"

    def _new(self, stage: Stage, steps: list[StepHealth]) -> Iterator[tuple[str, str]]:
        for kind, text in early_warnings(steps).items():
            if (stage.id, kind) not in self._said:
                self._said.add((stage.id, kind))
                yield kind, text
