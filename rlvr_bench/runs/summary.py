"""A run's state and costs, from its records and journal."""

from dataclasses import dataclass
from typing import Any

from pydantic import Field

from rlvr_bench.runs import layout, store
from rlvr_bench.runs.invocations import invocations
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.runs.lock import is_locked
from rlvr_bench.schema.base import Frozen


class KindSummary(Frozen):
    """Costs of all stages of a kind; stages taken from the cache cost nothing here."""

    kind: str
    done: int
    cached: int
    cpu_seconds: float
    wall_seconds: float
    peak_memory_bytes: int


class Summary(Frozen):
    """How far a run is. `wall_seconds` and `idle_seconds` (before the first stage) are those of the last
    invocation that ended; `hours` are those of all stages that ran here so far, failed attempts too; `newest` says
    where the newest invocation ran; `queued` are arrays that may be in Slurm's queue;
    `seconds_left` is the work of all open stages, one after another, at the pace so
    far, None where a kind of stage has not been seen yet."""

    run: str
    stages: int
    done: int
    owed: int
    running: tuple[str, ...]
    failed: tuple[str, ...]
    kinds: tuple[KindSummary, ...]
    wall_seconds: float | None
    idle_seconds: float | None
    seconds_left: float | None
    hours: float = 0.0
    invocations: int = 0
    newest: str = ""
    queued: tuple[str, ...] = ()
    finished: tuple[str, ...] = Field(default=(), exclude=True, repr=False)


@dataclass
class _Stage:
    """A stage's newest event, and what its work cost where it is done here."""

    kind: str
    last: str = ""
    cached: bool = False
    paid: tuple[float, float, int] | None = None
    failure: str = ""

    @property
    def done(self) -> bool:
        return self.last == "done"


def summarise(run: RunFolder) -> Summary:
    """Return the state of a run folder: from its journal, and from the records of stages of which that says too little.

    A run of thousands of stages is told in a second; reading every record would take ten.
    """
    index, events = store.read_index(run), store.read_events(run)
    alive = bool(events) and events[-1]["event"] not in ("run-ended", "interrupted") and is_locked(run)
    found = _stages(run, index, events)
    running = tuple(s for s, one in found.items() if one.last in ("started", "attached") and alive)
    kinds = []
    for kind in dict.fromkeys(index.values()):
        own = [one for one in found.values() if one.kind == kind and one.done]
        paid = [one.paid for one in own if one.paid is not None and not one.cached]
        kinds.append(
            KindSummary(
                kind=kind,
                done=len(own),
                cached=len(own) - len(paid),
                cpu_seconds=round(sum(cpu for _, cpu, _ in paid), 3),
                wall_seconds=round(sum(wall for wall, _, _ in paid), 3),
                peak_memory_bytes=max((memory for *_, memory in paid), default=0),
            )
        )
    failed = tuple(f"{stage_id}: {one.failure}" for stage_id, one in found.items() if one.failure)
    finished = tuple(stage_id for stage_id, one in found.items() if one.done)
    wall, idle = _wall(events)
    each = {k.kind: k.wall_seconds / (k.done - k.cached) for k in kinds if k.done > k.cached}
    open_ = [one.kind for one in found.values() if not one.done]
    return Summary(
        run=run.path.name,
        stages=len(index),
        done=len(finished),
        owed=len(index) - len(finished) - len(failed) - len(running),
        running=running,
        failed=failed,
        kinds=tuple(kinds),
        wall_seconds=wall,
        idle_seconds=idle,
        hours=round(sum(float(e.get("seconds", 0.0)) * int(e.get("gpus", 1)) for e in events) / 3600, 4),
        invocations=len(known := invocations(run)),
        newest=_newest(known),
        queued=tuple(sorted(path.stem for path in run.slurm.glob("*.json"))),
        finished=finished,
        seconds_left=round(sum(each[kind] for kind in open_), 1) if all(kind in each for kind in open_) else None,
    )


def _stages(run: RunFolder, index: dict[str, str], events: list[dict[str, Any]]) -> dict[str, _Stage]:
    """Return what is known of each stage. A record is read only where the journal does not tell what it holds."""
    found = {stage_id: _Stage(kind) for stage_id, kind in index.items()}
    for event in events:
        one = found.get(str(event.get("stage")))
        if one is None:
            continue
        one.last = event["event"]
        if one.last == "finished":
            one.cached = False
            one.paid = (event["wall"], event["cpu"], event["memory"]) if "memory" in event else None
        elif one.last == "cached":
            one.cached, one.paid = True, None
    for stage_id, one in found.items():
        path = run.stage(stage_id) / layout.RECORD
        told = one.last == "cached" or (one.last in ("finished", "kept") and (one.paid or one.cached))
        if told and path.is_file():
            one.last = "done"
        elif path.is_file() and (record := store.peek_record(path)) is not None:
            if record.failure is not None:
                one.failure = f"{record.failure.kind}: {record.failure.message}"
                one.last = "failed"
            else:
                timing = record.timing
                one.paid = (timing.wall_seconds, timing.cpu_seconds, timing.peak_memory_bytes)
                one.last = "done"
        elif one.last in ("finished", "cached", "kept"):
            one.last = ""  # its record is gone: owed
    return found


def _newest(known: list[dict[str, Any]]) -> str:
    """Say where the newest invocation ran, and on what."""
    if not known:
        return ""
    last = known[-1]
    gpus = str(last.get("accelerators", "none seen"))
    what = gpus if gpus != "none seen" else f"{last.get('cores')} cores, no GPU"
    commit = f", commit {str(last['commit'])[:12]}" if last.get("commit") else ""
    return f"host {last.get('host')} ({what}), rlvr-bench {last.get('program')}{commit}"


def _wall(events: list[dict[str, object]]) -> tuple[float | None, float | None]:
    """Return the wall seconds of the last invocation that did work, and those before its first stage:
    submitting it waits until the worker server has imported everything."""
    best: tuple[float | None, float | None] = (None, None)
    begun: float | None = None
    first: float | None = None
    for event in events:
        time, kind = float(str(event["time"])), event["event"]
        if kind == "run-started":
            begun, first = time, None
        elif kind == "started" and first is None:
            first = time
        elif kind in ("run-ended", "interrupted") and begun is not None:
            if first is not None or best[0] is None:
                best = (max(0.0, time - begun), None if first is None else max(0.0, first - begun))  # clocks jump
            begun = None
    return best
