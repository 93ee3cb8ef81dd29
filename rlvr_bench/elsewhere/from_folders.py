"""From a listing of lm-eval output folders to one method's evidence, paired by document."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rlvr_bench import catalog
from rlvr_bench.elsewhere.collected import METHOD, REFERENCE, Collected, control_arm, lineage_of
from rlvr_bench.elsewhere.lm_eval_output import TaskResult, differences, read_folder
from rlvr_bench.errors import FileFormatError, UsageError
from rlvr_bench.judgement.evidence import Evidence, ModelResults
from rlvr_bench.schema.results import EvaluatedRun, ResultsListing
from rlvr_bench.stats.gains import Array

Folder = dict[str, TaskResult]


def collect(path: Path) -> list[Collected]:
    """Return the evidence of every method in a listing.

    Raises UsageError where evaluations are not comparable, naming what differs.
    """
    listing = catalog.load_yaml(path, ResultsListing)
    read = _read(listing, path)
    methods = list(dict.fromkeys(r.method or listing.method for r in listing.results if r.arm == "method"))
    if not methods:
        raise FileFormatError("no result has the arm 'method': there is nothing to judge", where=str(path))
    return [_one(method, listing, read, path) for method in methods]


def _read(listing: ResultsListing, path: Path) -> dict[str, Folder]:
    """Read every folder once, cut to the tasks that decide; all must have the same."""
    read: dict[str, Folder] = {}
    for result in listing.results:
        if result.before == result.after:
            raise UsageError(f"{result.model}: before and after are the same folder", where=str(path))
        for name in (result.before, result.after):
            if name not in read:
                folder = read_folder(path.parent / name, metric=listing.metric, chosen_filter=listing.filter)
                missing = [task for task in listing.tasks if task not in folder]
                if missing:
                    raise UsageError(
                        f"no task {missing[0]} here, only {', '.join(folder)}", where=str(path.parent / name)
                    )
                read[name] = {t: folder[t] for t in listing.tasks} if listing.tasks else folder
    first = next(iter(read))
    for name, folder in read.items():
        if set(folder) != set(read[first]):
            raise UsageError(
                f"folders of different tasks: {', '.join(sorted(read[first]))} in {first}, {', '.join(sorted(folder))} "
                f"in {name}",
                where=str(path),
                hint="list the tasks to judge by: tasks: [NAME]",
            )
    return read


def _one(method: str, listing: ResultsListing, read: dict[str, Folder], path: Path) -> Collected:
    results = [r for r in listing.results if r.arm != "method" or (r.method or listing.method) == method]
    own = [r for r in results if r.arm == "method"]
    controls = list(dict.fromkeys(r.method or "random" for r in results if r.arm == "control"))
    references = list(dict.fromkeys(r.method or "ground-truth" for r in results if r.arm == "reference"))
    order = {task: list(result.scores) for task, result in read[own[0].before].items()}
    models = []
    for name in dict.fromkeys(r.model for r in own):
        mine = [r for r in results if r.model == name]
        given = next((r.lineage for r in mine if r.lineage), None)
        if len({r.lineage for r in mine if r.lineage}) > 1:
            raise UsageError(f"model {name} is listed with two lineages", where=str(path))
        _comparable(mine, read)
        arms: dict[str, list[EvaluatedRun]] = {}
        for r in mine:
            arm = control_arm(r.method or "random") if r.arm == "control" else r.arm
            arms.setdefault(METHOD if arm == "method" else arm, []).append(r)
        for runs in arms.values():
            if len({str(r.seed) for r in runs}) < len(runs):
                raise UsageError(
                    f"{name}: arm {runs[0].arm} is listed twice with seed {runs[0].seed}",
                    where=str(path),
                    hint="several runs of one arm need a seed each",
                )
        starts = list(dict.fromkeys(r.before for r in mine))
        models.append(
            ModelResults(
                name=name,
                lineage=lineage_of(name, given, str(path)),
                start=_matrix(starts, order, read, path),
                arms={arm: _matrix([r.after for r in runs], order, read, path) for arm, runs in arms.items()},
                samples=min(t.repeats for r in mine for t in read[r.after].values()),
                samples_before=min(t.repeats for start in starts for t in read[start].values()),
            )
        )
    _same_question(own, read)
    assumed = tuple(f"the control {name} was trained in the setup of {method}" for name in controls)
    return Collected(
        method=method,
        source=path.name,
        evidence=Evidence(
            models=tuple(models),
            sizes={task: len(documents) for task, documents in order.items()},
            paired=True,
            blind=frozenset(control_arm(name) for name in controls),
        ),
        controls=tuple(controls),
        reference=references[0] if references and any(REFERENCE in m.arms for m in models) else None,
        no_control="the listing has no control",
        assumed=assumed,
    )


def _matrix(names: Sequence[str], order: dict[str, list[str]], read: dict[str, Folder], path: Path) -> dict[str, Array]:
    """Return (folders, problems) scores by task, all in one order of documents."""
    found = {}
    for task, documents in order.items():
        rows = []
        for name in names:
            scores = read[name][task].scores
            if scores.keys() != set(documents):
                lost, new = len(set(documents) - scores.keys()), len(scores.keys() - set(documents))
                raise UsageError(
                    f"not the same documents of task {task}: {lost} missing and {new} others in {name}",
                    where=str(path),
                    hint="evaluate with the same task version and the same --limit",
                )
            rows.append([scores[d] for d in documents])
        found[task] = np.array(rows)
    return found


def _comparable(mine: Sequence[EvaluatedRun], read: dict[str, Folder]) -> None:
    """Refuse evaluations of one model whose prompts, sampling or task versions differ."""
    first = mine[0].before
    for name in dict.fromkeys(n for r in mine for n in (r.before, r.after)):
        for task, result in read[name].items():
            base = read[first][task]
            other = differences({**base.asked, **base.prompting}, {**result.asked, **result.prompting})
            if not other and base.prompts.keys() == result.prompts.keys():
                changed = sum(base.prompts[d] != result.prompts[d] for d in base.prompts)
                other = [f"the prompts of {changed} documents"] if changed else []
            if other:
                raise UsageError(
                    f"{mine[0].model}, task {task}: {first} and {name} differ in {'; '.join(other)}",
                    where=str(result.file),
                    hint="evaluate both with the same prompts, sampling and task version",
                )


def _same_question(own: Sequence[EvaluatedRun], read: dict[str, Folder]) -> None:
    """Refuse models that were asked differently: their task versions or sampling differ (prompts may)."""
    first = own[0]
    for r in own[1:]:
        for task, result in read[r.before].items():
            other = differences(read[first.before][task].asked, result.asked)
            if other:
                raise UsageError(
                    f"task {task}: {first.model} and {r.model} differ in {'; '.join(other)}",
                    where=str(result.file),
                    hint="evaluate all models with the same sampling and task version",
                )
