"""A run's state and costs, from its records and journal."""

from typing import Any

from rlvr_bench.runs import store
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
    where the newest invocation ran; `seconds_left` is the work of all open stages, one after another, at the pace so
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


def summarise(run: RunFolder) -> Summary:
    """Return the state of a run folder."""
    plan = store.read_plan(run)
    events = store.read_events(run)
    records = {stage.id: store.read_record(run, stage) for stage in plan.stages}
    last: dict[str, str] = {}
    cached: set[str] = set()
    for event in events:
        if "stage" in event:
            last[event["stage"]] = event["event"]
            if event["event"] == "cached":
                cached.add(event["stage"])
            elif event["event"] == "finished":
                cached.discard(event["stage"])
    alive = bool(events) and events[-1]["event"] not in ("run-ended", "interrupted") and is_locked(run)
    running = tuple(s for s, kind in last.items() if kind == "started" and alive)
    kinds = []
    for kind in dict.fromkeys(stage.kind for stage in plan.stages):
        found = [
            (stage.id, record)
            for stage in plan.stages
            if stage.kind == kind and (record := records[stage.id]) is not None and record.failure is None
        ]
        paid = [record.timing for stage_id, record in found if stage_id not in cached]
        kinds.append(
            KindSummary(
                kind=kind,
                done=len(found),
                cached=len(found) - len(paid),
                cpu_seconds=round(sum(t.cpu_seconds for t in paid), 3),
                wall_seconds=round(sum(t.wall_seconds for t in paid), 3),
                peak_memory_bytes=max((t.peak_memory_bytes for t in paid), default=0),
            )
        )
    failed = tuple(
        f"{stage_id}: {record.failure.kind}: {record.failure.message}"
        for stage_id, record in records.items()
        if record is not None and record.failure is not None
    )
    done = sum(k.done for k in kinds)
    wall, idle = _wall(events)
    each = {k.kind: k.wall_seconds / (k.done - k.cached) for k in kinds if k.done > k.cached}
    finished = {stage_id for stage_id, record in records.items() if record and record.failure is None}
    open_ = [stage.kind for stage in plan.stages if stage.id not in finished]
    return Summary(
        run=run.path.name,
        stages=len(plan.stages),
        done=done,
        owed=len(plan.stages) - done - len(failed) - len(running),
        running=running,
        failed=failed,
        kinds=tuple(kinds),
        wall_seconds=wall,
        idle_seconds=idle,
        hours=round(sum(float(e.get("seconds", 0.0)) * int(e.get("gpus", 1)) for e in events) / 3600, 4),
        invocations=len(known := invocations(run)),
        newest=_newest(known),
        seconds_left=round(sum(each[kind] for kind in open_), 1) if all(kind in each for kind in open_) else None,
    )


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
