"""How long stages took here, and what a plan will take by that: the user's own past stages instead of a table.

Every finished stage leaves a line beside the cache. A stage's time is foretold from stages of its kind on the same
model and device, by tokens; from models of about the same size where there are none of its own.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from math import log2
from pathlib import Path
from statistics import median

from rlvr_bench.planning.cost import tokens_of
from rlvr_bench.runs import layout
from rlvr_bench.schema.plan import Plan, Stage

FILE = "pace.jsonl"
NEWEST = 2_000
"""Lines that are looked at: older ones are of other versions, or another load."""
STARTING_SECONDS = 4.0
"""Importing everything before the first stage, on a CPU (docs/benchmarks.md)."""
SPREAD = (0.8, 1.3)


@dataclass(frozen=True)
class Forecast:
    """Seconds of wall time, low and high, of the stages that are owed; `basis` says from how many past ones."""

    low: float
    high: float
    owed: int
    shared: int
    basis: str


def _kind(stage: Stage) -> str:
    return stage.inputs.kind if stage.cell.arm == "exposure" else stage.kind


def note(runs: Path, stage: Stage, device: str, seconds: float) -> None:
    """Add a finished stage to the file beside the cache; a line that cannot be written is not missed."""
    line = {
        "kind": _kind(stage),
        "model": stage.cell.model,
        "parameters": stage.inputs.card.parameters,
        "device": device,
        "tokens": tokens_of(stage),
        "seconds": round(seconds, 3),
    }
    path = layout.cache_of(runs, FILE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    except OSError:
        return


def _past(runs: Path, device: str) -> dict[tuple[str, str], list[float]]:
    """Return seconds a token by (kind, model) and by (kind, size bucket), on one device."""
    found: dict[tuple[str, str], list[float]] = {}
    try:
        lines = layout.cache_of(runs, FILE).read_text(encoding="utf-8", errors="replace").splitlines()[-NEWEST:]
    except OSError:
        return {}
    for text in lines:
        try:
            line = json.loads(text)
            each = float(line["seconds"]) / max(1.0, float(line["tokens"]))
            keys = (str(line["model"]), _bucket(int(line["parameters"])))
            if line["device"] != device:
                continue
        except (ValueError, KeyError, TypeError):
            continue
        for key in keys:
            found.setdefault((str(line["kind"]), key), []).append(each)
    return found


def _bucket(parameters: int) -> str:
    return f"2^{round(log2(max(parameters, 1)))} parameters"


def forecast(plan: Plan, runs: Path, *, capacity: int, done: Collection[str] = ()) -> Forecast | None:
    """Return how long the owed stages of a plan will take here, None where past stages do not tell.

    Stages in the cache and those of `done` (ids) cost nothing; equal digests are paid once. The wall time is that of
    `capacity` workers that take stages in the plan's order as their needs are met.
    """
    past = _past(runs, plan.environment.device)
    seconds: dict[str, float] = {}
    seen: set[str] = set()
    shared = 0
    used: list[int] = []
    for stage in plan.stages:
        if stage.id in done or stage.digest in seen or (layout.cache_of(runs, stage.digest) / layout.RECORD).is_file():
            seconds[stage.id] = 0.0
            shared += stage.id not in done
            continue
        seen.add(stage.digest)
        each = past.get((_kind(stage), stage.cell.model)) or past.get(
            (_kind(stage), _bucket(stage.inputs.card.parameters))
        )
        if not each:
            return None
        used.append(len(each))
        seconds[stage.id] = median(each[-20:]) * max(1.0, tokens_of(stage))
    owed = sum(value > 0 for value in seconds.values())
    wall = _wall(plan.stages, seconds, capacity) + (STARTING_SECONDS if owed else 0.0)
    basis = f"by {sum(used):,} past stages here" if used else "everything is there already"
    return Forecast(SPREAD[0] * wall, SPREAD[1] * wall, owed, shared, basis)


def _wall(stages: Sequence[Stage], seconds: dict[str, float], capacity: int) -> float:
    """Return when the last worker ends, each taking the first stage whose needs are met, as the runner does."""
    done = {stage.id for stage in stages if seconds[stage.id] == 0}
    waiting: dict[str, int] = {}
    after: dict[str, list[int]] = {}
    ready: list[int] = []
    for place, stage in enumerate(stages):
        if stage.id in done:
            continue
        open_ = [need for need in stage.needs if need in seconds and need not in done]
        waiting[stage.id] = len(open_)
        for need in open_:
            after.setdefault(need, []).append(place)
        if not open_:
            heappush(ready, place)
    now = 0.0
    running: list[tuple[float, str]] = []
    while ready or running:
        while ready and len(running) < capacity:
            stage = stages[heappop(ready)]
            heappush(running, (now + seconds[stage.id], stage.id))
        now, ended = heappop(running)
        for place in after.get(ended, ()):
            waiting[stages[place].id] -= 1
            if not waiting[stages[place].id]:
                heappush(ready, place)
    return now
