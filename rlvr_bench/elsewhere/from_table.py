"""From the rows of a table to each method's evidence: which rows are whose control, which step is the end."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from rlvr_bench.diagnostics.flags import START_TOLERANCE
from rlvr_bench.elsewhere.collected import (
    METHOD,
    REFERENCE,
    Collected,
    common_benchmarks,
    control_arm,
    lineage_of,
    same_lineages,
)
from rlvr_bench.elsewhere.table import Row
from rlvr_bench.errors import FileFormatError
from rlvr_bench.judgement.evidence import Evidence, ModelResults
from rlvr_bench.stats.gains import Array

Cells = dict[str, dict[str, dict[str, Row]]]
"""Rows by model, benchmark and seed."""


def collect(rows: Sequence[Row], path: Path) -> list[Collected]:
    """Return one entry per method that has rows with the arm `method`, in the order of the table.

    A row is a control or reference by its arm alone. Control rows named as a method belong to that method only;
    all others are shared by every method. Raises UsageError or FileFormatError.
    """
    lineages = _lineages(rows, path)
    by_arm: dict[str, dict[str, list[Row]]] = {"method": {}, "control": {}, "reference": {}}
    for row in rows:
        by_arm[row.arm].setdefault(row.method, []).append(row)
    if not by_arm["method"]:
        raise FileFormatError("no row has the arm 'method': there is nothing to judge", where=str(path))
    shared = {
        arm: [n for n, own in by_arm[arm].items() if n not in by_arm["method"] or _same(own, by_arm["method"][n])]
        for arm in ("control", "reference")
    }
    found = []
    for method, own in by_arm["method"].items():
        controls = _whose(method, by_arm["control"], shared["control"])
        references = _whose(method, by_arm["reference"], shared["reference"])
        is_reference = method in shared["reference"]
        arms: dict[str, list[Row]] = {METHOD: own}
        arms |= {control_arm(name): by_arm["control"][name] for name in controls}
        if references or is_reference:
            arms[REFERENCE] = by_arm["reference"][references[0]] if references else own
        if len(references) > 1:
            raise FileFormatError(f"{method} has several references: {', '.join(references)}", where=str(path))
        no_control = "the table has no control row"
        if method in shared["control"]:
            no_control = "the method is the control"
        elif by_arm["control"]:
            others = ", ".join(by_arm["control"])
            no_control = f"the table's control rows carry the names of other methods ({others}) and belong to them"
        found.append(_one(method, arms, controls, (references or [method])[0], no_control, lineages, path))
    return found


def _same(one: Iterable[Row], other: Iterable[Row]) -> bool:
    """Return whether an arm was entered twice: rows of the same cells, and no cell that differs."""

    def said(rows: Iterable[Row]) -> dict[tuple[object, ...], tuple[float, float]]:
        return {(r.model, r.benchmark, r.seed, r.step): (r.before, r.after) for r in rows}

    first, second = said(one), said(other)
    both = first.keys() & second.keys()
    return bool(both) and all(first[cell] == second[cell] for cell in both)


def _whose(method: str, arms: dict[str, list[Row]], shared: Sequence[str]) -> list[str]:
    """Return the arms of a method: those of its own name, and those that carry no method's name."""
    own = [method] if method in arms and method not in shared else []
    return own + [name for name in shared if name != method]


def _lineages(rows: Sequence[Row], path: Path) -> dict[str, str]:
    """Return each model's lineage: one for the whole table."""
    given: dict[str, Row] = {}
    for row in rows:
        if not row.lineage:
            continue
        first = given.setdefault(row.model, row)
        if first.lineage.casefold() != row.lineage.casefold():
            raise FileFormatError(
                f"model {row.model} has the lineage {row.lineage!r} here and {first.lineage!r} on line {first.line}",
                where=f"{path}:{row.line}",
            )
    found = {}
    for row in rows:
        if row.model not in found:
            known = given.get(row.model)
            found[row.model] = lineage_of(row.model, known.lineage if known else None, f"{path}:{row.line}")
    return same_lineages(found)


def _final(rows: Sequence[Row], path: Path) -> tuple[list[Row], list[Row], int | None, list[str]]:
    """Return the rows of the end of training, those before it, the step of the end, and what is uneven."""
    staged = [row for row in rows if row.step is not None]
    if not staged:
        return list(rows), [], None, []
    if len(staged) < len(rows):
        bare = next(row for row in rows if row.step is None)
        raise FileFormatError(
            f"no step here, while line {staged[0].line} has one: say of every row of {bare.method} at which step",
            where=f"{path}:{bare.line}",
        )
    last: dict[tuple[str, str], int] = {}
    for row in staged:
        cell = (row.model, row.seed)
        last[cell] = max(last.get(cell, 0), row.step or 0)
    end = max(last.values())
    uneven = [
        f"{model}{f', seed {seed},' if seed else ''} ends at step {step}, others at {end}: its last step counts"
        for (model, seed), step in last.items()
        if step < end
    ]
    final = [row for row in staged if row.step == last[row.model, row.seed]]
    return final, [row for row in staged if row.step != last[row.model, row.seed]], end, uneven


def _cells(rows: Iterable[Row]) -> Cells:
    found: Cells = {}
    for row in rows:
        found.setdefault(row.model, {}).setdefault(row.benchmark, {})[row.seed] = row
    return found


def _runs(by_benchmark: dict[str, dict[str, Row]], benchmarks: Sequence[str], what: str) -> dict[str, Array] | None:
    """Return (S,) accuracies by benchmark over the seeds that all benchmarks have, None where there is none."""
    if any(b not in by_benchmark for b in benchmarks):
        return None
    seeds = [s for s in by_benchmark[benchmarks[0]] if all(s in by_benchmark[b] for b in benchmarks)]
    if not seeds:
        return None
    return {b: np.array([getattr(by_benchmark[b][s], what) for s in seeds]) for b in benchmarks}


def _one(
    method: str,
    arms: dict[str, list[Row]],
    controls: Sequence[str],
    reference: str,
    no_control: str,
    lineages: dict[str, str],
    path: Path,
) -> Collected:
    final, earlier, end, incomplete = _final(arms[METHOD], path)
    cells = {METHOD: _cells(final)}
    mismatch = []
    for arm, rows in arms.items():
        if arm != METHOD:
            finished, _, stop, short = _final(rows, path)
            cells[arm] = _cells(finished)
            incomplete += [f"{arm}: {text}" for text in short]
            if arm != REFERENCE and stop != end:
                ends = [f"at step {step}" if step is not None else "at a step not given" for step in (stop, end)]
                mismatch.append(f"{arm} ends {ends[0]}, the method {ends[1]}")
    own = cells[METHOD]
    for model, benchmark in dict.fromkeys((row.model, row.benchmark) for row in earlier):
        if benchmark not in own.get(model, {}):
            incomplete.append(f"{model}: {benchmark} was measured before the end only, and does not count")
    sizes = _sizes([row for rows in arms.values() for row in rows], path)
    of_model = {m: list(found) for m, found in own.items()}
    benchmarks, kept, left = common_benchmarks(method, of_model, sizes, lineages, str(path))
    incomplete += left
    steps: dict[int, list[Row]] = {}
    for row in earlier:
        steps.setdefault(row.step or 0, []).append(row)
    at_step = {step: _cells(rows) for step, rows in steps.items()}
    models = []
    for model in kept:
        found = own[model]
        start, after = _runs(found, benchmarks, "before"), _runs(found, benchmarks, "after")
        if start is None or after is None:
            incomplete.append(f"{model} is left out: no seed has all benchmarks")
            continue
        runs = {arm: _runs(c[model], benchmarks, "after") for arm, c in cells.items() if model in c}
        before = {s: _runs(c[model], benchmarks, "after") for s, c in at_step.items() if model in c}
        for arm, values in runs.items():
            incomplete += _unfinished(model, arm, cells[arm][model], values, benchmarks)
            if arm.startswith("control "):
                mismatch += _other_start(model, arm, start, cells[arm][model])
        models.append(
            ModelResults(
                name=model,
                lineage=lineages[model],
                start=start,
                arms={arm: values for arm, values in runs.items() if values is not None},
                steps={step: values for step, values in before.items() if values is not None},
            )
        )
    if not models:
        raise FileFormatError(f"{method}: {'; '.join(incomplete)}", where=str(path))
    shared = [name for name in controls if name != method]
    assumed = (f"the control {' and '.join(shared)} was trained in the setup of {method}",) if shared else ()
    blind = frozenset(control_arm(name) for name in controls)
    return Collected(
        method=method,
        source=path.name,
        evidence=Evidence(models=tuple(models), sizes={b: sizes[b] for b in benchmarks}, paired=False, blind=blind),
        controls=tuple(controls),
        reference=reference if REFERENCE in arms else None,
        no_control=no_control,
        mismatch=tuple(mismatch),
        incomplete=tuple(incomplete),
        assumed=assumed,
        final_step=end,
        every=_every(own, lineages, {b: n for b, n in sizes.items() if any(b in names for names in of_model.values())}),
        left_out={m: lineages[m] for m in own if m not in {made.name for made in models}},
    )


def _unfinished(
    model: str, arm: str, found: dict[str, dict[str, Row]], values: dict[str, Array] | None, benchmarks: Sequence[str]
) -> list[str]:
    """Return which runs of an arm are left out for want of a benchmark."""
    who = model if arm == METHOD else f"{model}, {arm}"
    lacking = [b for b in benchmarks if b not in found]
    if lacking:
        return [f"{who}: no result on {', '.join(lacking)}"]
    seeds = {seed for b in benchmarks for seed in found[b]}
    whole = len(next(iter(values.values()))) if values else 0
    if whole < len(seeds):
        return [f"{who}: {len(seeds) - whole} of {len(seeds)} seeds lack a benchmark and are left out"]
    return []


def _every(own: Cells, lineages: dict[str, str], sizes: dict[str, int]) -> Evidence:
    """Return the method's results on all benchmarks, for the gains of each alone."""

    def values(found: dict[str, dict[str, Row]], what: str) -> dict[str, Array]:
        return {b: np.array([getattr(row, what) for row in rows.values()]) for b, rows in found.items()}

    models = [
        ModelResults(m, lineages[m], start=values(found, "before"), arms={METHOD: values(found, "after")})
        for m, found in own.items()
    ]
    return Evidence(models=tuple(models), sizes=sizes, paired=False)


def _sizes(rows: Sequence[Row], path: Path) -> dict[str, int]:
    first: dict[str, Row] = {}
    for row in rows:
        known = first.setdefault(row.benchmark, row)
        if known.problems != row.problems:
            raise FileFormatError(
                f"{row.benchmark} has {row.problems} problems here and {known.problems} on line {known.line}",
                where=f"{path}:{row.line}",
                hint="two sets of problems need two names",
            )
    return {b: row.problems for b, row in first.items()}


def _other_start(model: str, arm: str, start: dict[str, Array], control: dict[str, dict[str, Row]]) -> list[str]:
    """Return where a control starts elsewhere than the method: it was not evaluated in the same way."""
    found = []
    for b, values in start.items():
        theirs = [row.before for row in control.get(b, {}).values()]
        own, other = 100 * float(values.mean()), 100 * float(np.mean(theirs)) if theirs else 0.0
        if theirs and abs(other - own) > 100 * START_TOLERANCE:
            found.append(f"{model} on {b} starts at {own:.1f} %, {arm} at {other:.1f} %")
    return found
