"""Outcomes as a table, problem by problem, and back: what every published number is computed from."""

import csv
import gzip
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from rlvr_bench.analysis import Records
from rlvr_bench.errors import RefusedError
from rlvr_bench.schema.plan import EvaluateInputs, Plan, Stage
from rlvr_bench.schema.record import Evaluation, Outcome
from rlvr_bench.scoring.behaviour import by_class, is_pattern
from rlvr_bench.scoring.counts import MAJORITIES

KEYS = ("model", "arm", "seed", "step", "task", "mode", "id")
COUNTS = ("attempts", "correct", "unparsed", "truncated", "math_verify", "timed_out")
PACKED = ("majority", "patterns")
"""Columns of several values: `2:0.5;4:1.0`, and `cpb-ll:3:2` for three answers of that behaviour, two of them right."""
MODES = ("sampled", "greedy")

_COUNT = re.compile(r"0|[1-9]\d{0,5}")
_PATTERN = re.compile(r"([a-z-]{6}):([1-9]\d{0,5}):(0|[1-9]\d{0,5})")
_SHARE = re.compile(r"(\d{1,2}):(\d(?:\.\d{1,17})?(?:e-\d{1,2})?)")


def write(plan: Plan, records: Records) -> bytes:
    """Return all outcomes of a run as a gzipped CSV, the same bytes for the same outcomes."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*KEYS, *COUNTS, *PACKED])
    for stage, mode, o in _rows(plan, records):
        majority = ";".join(f"{k}:{share!r}" for k, share in sorted(o.majority.items()))
        counts = [getattr(o, name) for name in COUNTS]
        patterns = ";".join(f"{name}:{count}:{right}" for name, (count, right) in sorted(o.patterns.items()))
        writer.writerow([*_key(stage), mode, o.id, *counts, majority, patterns])
    return gzip.compress(out.getvalue().encode(), mtime=0)


def _rows(plan: Plan, records: Records) -> Iterator[tuple[Stage, str, Outcome]]:
    for stage in plan.stages:
        record = records[stage.id]
        if record is None or record.evaluation is None:
            continue
        for mode in MODES:
            for outcome in getattr(record.evaluation, mode):
                yield stage, mode, outcome


def _key(stage: Stage) -> tuple[str, str, str, str, str]:
    assert isinstance(stage.inputs, EvaluateInputs)
    seed = "" if stage.cell.seed is None else str(stage.cell.seed)
    step = "" if stage.inputs.step is None else str(stage.inputs.step)
    return stage.cell.model, stage.cell.arm, seed, step, stage.inputs.task.name


def read(text: str, plan: Plan, besides: Mapping[str, Mapping[str, Any]]) -> dict[str, Evaluation]:
    """Return the evaluation of every stage from a table, each whole and of the plan's own shape.

    `besides` are the other fields of evaluations, by stage. Raises RefusedError, with the line.
    """
    wanted = {_key(s): s for s in plan.stages if isinstance(s.inputs, EvaluateInputs)}
    found: dict[str, dict[str, list[Outcome]]] = {s.id: {mode: [] for mode in MODES} for s in wanted.values()}
    most = sum(2 * s.inputs.task.problems.count for s in wanted.values() if isinstance(s.inputs, EvaluateInputs))
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        head = next(lines, [])
        if tuple(head) != (*KEYS, *COUNTS, *PACKED):
            raise RefusedError(f"the columns must be {', '.join([*KEYS, *COUNTS, *PACKED])}")
        for number, row in enumerate(lines, 2):
            if number > most + 1:
                raise RefusedError(f"more than the {most:,} rows of the plan")
            if len(row) != len(head):
                raise RefusedError(f"line {number} has {len(row)} columns, not {len(head)}")
            stage = wanted.get((row[0], row[1], row[2], row[3], row[4]))
            if stage is None or row[5] not in MODES:
                raise RefusedError(f"line {number} is of no stage of the plan: {'/'.join(row[:6])[:120]!r}")
            found[stage.id][row[5]].append(_outcome(row, number))
    except csv.Error as error:
        raise RefusedError(f"not a CSV table: {error}") from error
    for stage in wanted.values():
        _whole(stage, found[stage.id])
    _same_problems(list(wanted.values()), found)
    return {
        stage.id: Evaluation(
            task=stage.inputs.task.name,  # type: ignore[union-attr]
            sampled=tuple(found[stage.id]["sampled"]),
            greedy=tuple(found[stage.id]["greedy"]),
            **besides[stage.id],
        )
        for stage in wanted.values()
    }


def _outcome(row: Sequence[str], number: int) -> Outcome:
    name = row[6]
    if not name or len(name) > 300 or not name.isprintable():
        raise RefusedError(f"line {number}: an id must be one short line")
    values = _values(tuple(row[len(KEYS) :]))
    if isinstance(values, str):
        raise RefusedError(f"line {number}: {values}")
    return Outcome(id=name, **values)


@lru_cache(20_000)
def _values(cells: tuple[str, ...]) -> dict[str, Any] | str:
    """Return all of an outcome but its id, from its cells, or what is wrong with them. Few rows are alone in what they
    say, and their values are shared."""
    if not all(map(_COUNT.fullmatch, cells[: len(COUNTS)])):
        return "counts must be whole numbers"
    counts = dict(zip(COUNTS, map(int, cells), strict=False))
    attempts = counts["attempts"]
    if attempts < 1 or max(counts.values()) > attempts:
        return "a count is larger than the attempts"
    if counts["correct"] + counts["unparsed"] > attempts or counts["correct"] + counts["timed_out"] > attempts:
        return "right, unparsed and timed-out answers are more than the attempts"
    majority: dict[int, float] = {}
    for part in filter(None, cells[len(COUNTS)].split(";")):
        share = _SHARE.fullmatch(part)
        if share is None or not 0 <= float(share[2]) <= 1 or not 2 <= int(share[1]) <= attempts:
            return "majority must be K:SHARE, with K up to the attempts"
        majority[int(share[1])] = float(share[2])
    due = {k for k in MAJORITIES if k < attempts} | ({attempts} if attempts > 1 else set())
    if set(majority) != due or (not counts["correct"] and any(majority.values())):
        return f"majority must be of {sorted(due)}, and 0 where no answer is right"
    patterns: dict[str, tuple[int, int]] = {}
    for part in cells[len(COUNTS) + 1].split(";"):
        found = _PATTERN.fullmatch(part)
        if found is None or not is_pattern(found[1]) or int(found[3]) > int(found[2]) or found[1] in patterns:
            return "patterns must be LETTERS:COUNT:RIGHT, each once, joined by ;"
        patterns[found[1]] = (int(found[2]), int(found[3]))
    sums = [sum(values) for values in zip(*patterns.values(), strict=True)]
    cut = by_class(patterns, "length").get("t", (0, 0))[0]
    if sums != [attempts, counts["correct"]] or cut != counts["truncated"]:
        return "the patterns do not add up to its attempts, right and truncated answers"
    return {**counts, "majority": majority, "patterns": patterns}


def _whole(stage: Stage, found: Mapping[str, Sequence[Outcome]]) -> None:
    assert isinstance(stage.inputs, EvaluateInputs)
    count, samples = stage.inputs.task.problems.count, {"sampled": stage.inputs.samples, "greedy": 1}
    for mode, outcomes in found.items():
        if len(outcomes) != count:
            raise RefusedError(f"{stage.id}, {mode}: {len(outcomes)} problems, the plan has {count}")
        if len({o.id for o in outcomes}) != count:
            raise RefusedError(f"{stage.id}, {mode}: a problem stands twice")
        if any(o.attempts != samples[mode] for o in outcomes):
            raise RefusedError(f"{stage.id}, {mode}: a problem has other than {samples[mode]} attempts")


def _same_problems(stages: Sequence[Stage], found: Mapping[str, Mapping[str, Sequence[Outcome]]]) -> None:
    """Refuse where stages of one task have other problems, or others in their places."""
    first: dict[str, list[str]] = {}
    for stage in stages:
        assert isinstance(stage.inputs, EvaluateInputs)
        for outcomes in found[stage.id].values():
            ids = [o.id for o in outcomes]
            if first.setdefault(stage.inputs.task.name, ids) != ids:
                raise RefusedError(f"{stage.id}: its problems are not those of the other stages, in their order")
