"""From a listing of lm-eval output folders to one method's evidence, paired by document."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rlvr_bench import catalog
from rlvr_bench.diagnostics.flags import START_TOLERANCE
from rlvr_bench.elsewhere.collected import METHOD, REFERENCE, Collected, control_arm, lineage_of, same_lineages
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
    trained: dict[Path, EvaluatedRun] = {}
    for result in listing.results:
        places = [(path.parent / name).resolve() for name in (result.before, result.after)]
        if places[0] == places[1]:
            raise UsageError(f"{result.model}: before and after are the same folder", where=str(path))
        other = trained.setdefault(places[1], result)
        if other is not result:
            raise UsageError(
                f"{result.after} is listed after training twice: for {_named(other)} and for {_named(result)}",
                where=str(path),
                hint="every run has an output folder of its own",
            )
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


def _named(result: EvaluatedRun) -> str:
    return f"{result.model}, {result.arm}, seed {result.seed}"


def _belong(method: str, arm: str, listing: ResultsListing) -> list[EvaluatedRun]:
    """Return a method's controls or references: those of its own name, and those that carry no method's name."""
    methods = {r.method or listing.method for r in listing.results if r.arm == "method"} - {method}
    return [r for r in listing.results if r.arm == arm and (r.method is None or r.method not in methods)]


def _one(method: str, listing: ResultsListing, read: dict[str, Folder], path: Path) -> Collected:
    own = [r for r in listing.results if r.arm == "method" and (r.method or listing.method) == method]
    results = [
        *own,
        *_belong(method, "control", listing),
        *_belong(method, "reference", listing),
    ]
    controls = list(dict.fromkeys(r.method or "random" for r in results if r.arm == "control"))
    references = list(dict.fromkeys(r.method or "ground-truth" for r in results if r.arm == "reference"))
    if len(references) > 1:
        raise UsageError(f"{method} has several references: {', '.join(references)}", where=str(path))
    order = {task: list(result.scores) for task, result in read[own[0].before].items()}
    models, mismatch, assumed = [], [], []
    lineages = _lineages(own, listing, path)
    for name in dict.fromkeys(r.model for r in own):
        mine = [r for r in results if r.model == name]
        if len({r.lineage.casefold() for r in mine if r.lineage}) > 1:
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
        starts = list(dict.fromkeys(r.before for r in mine if r.arm == "method"))
        if len(starts) > 1:
            assumed.append(f"{name} was evaluated {len(starts)} times before training: the mean is its start")
        mismatch += _other_start(name, starts, mine, read)
        models.append(
            ModelResults(
                name=name,
                lineage=lineages[name],
                start=_matrix(starts, order, read, path),
                arms={arm: _matrix([r.after for r in runs], order, read, path) for arm, runs in arms.items()},
                samples=min(t.repeats for r in mine for t in read[r.after].values()),
                samples_before=min(t.repeats for start in starts for t in read[start].values()),
            )
        )
    _same_question(own, read)
    assumed += [f"the control {name} was trained in the setup of {method}" for name in controls]
    others = [r.method or "random" for r in listing.results if r.arm == "control"]
    no_control = "the listing has no control"
    if others and not controls:
        no_control = f"the listing's controls carry the names of other methods ({', '.join(dict.fromkeys(others))})"
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
        no_control=no_control,
        mismatch=tuple(mismatch),
        assumed=tuple(assumed),
    )


def _lineages(own: Sequence[EvaluatedRun], listing: ResultsListing, path: Path) -> dict[str, str]:
    given = {r.model: r.lineage for r in listing.results if r.lineage}
    return same_lineages({r.model: lineage_of(r.model, given.get(r.model), str(path)) for r in own})


def _other_start(name: str, starts: Sequence[str], mine: Sequence[EvaluatedRun], read: dict[str, Folder]) -> list[str]:
    """Return where a control starts from another evaluation with another result than the method."""

    def mean(folders: Sequence[str], task: str) -> float:
        every = [score for folder in folders for score in read[folder][task].scores.values()]
        return sum(every) / len(every)

    found = []
    for folder in dict.fromkeys(r.before for r in mine if r.arm == "control" and r.before not in starts):
        for task in read[folder]:
            own, other = 100 * mean(starts, task), 100 * mean([folder], task)
            if abs(own - other) > 100 * START_TOLERANCE:
                found.append(f"{name} on {task} starts at {own:.1f} %, its control at {other:.1f} %")
    return found


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
