"""The referee: a submission is believed for nothing that can be computed again.

Owns what is refused and why. Nothing of a submission is executed: a method's Python text is data here.
"""

import csv
import io
import json
import re
from dataclasses import dataclass
from datetime import date, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rlvr_bench import catalog
from rlvr_bench.analysis import Records, report_of
from rlvr_bench.backends.data import load_problems
from rlvr_bench.backends.sources import GENERATORS
from rlvr_bench.elsewhere.collected import report as collected_report
from rlvr_bench.elsewhere.sources import collect
from rlvr_bench.errors import RefusedError, RlvrBenchError
from rlvr_bench.planning.planner import make_plan
from rlvr_bench.publishing import files, outcomes
from rlvr_bench.publishing.trainings import (
    check_apart,
    check_besides,
    check_exposure,
    check_labelling,
    check_training,
)
from rlvr_bench.schema.card import Card, HubWeights
from rlvr_bench.schema.finding import Report
from rlvr_bench.schema.method import Method
from rlvr_bench.schema.plan import EvaluateInputs, ExposureInputs, Plan, PrepareInputs, TrainInputs
from rlvr_bench.schema.record import Record, Timing
from rlvr_bench.schema.submission import Entry, Inputs, StageSummary, SubmittedProvenance
from rlvr_bench.schema.suite import ProblemSet, Rule, Suite

MOST_STAGES = 20_000
MOST_TABLE, MOST_TABLE_ROWS = 1_000_000, 5_000
TABLE_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,60}--[a-z0-9][a-z0-9.-]{0,30}")
MOST_SUMMARIES, MOST_LINE = 50_000_000, 1_000_000
CLOSE = 1e-9
"""Numbers of a report must agree this closely: the last bits differ between processors."""


@dataclass(frozen=True)
class CheckedTable:
    """A published table that holds: its entry, and the report of every method in it."""

    entry: Entry
    reports: tuple[Report, ...]


def check_table(folder: Path) -> CheckedTable:
    """Return a published table, judged. Raises RefusedError."""
    if not TABLE_NAME.fullmatch(folder.name):
        raise RefusedError(f"a table's folder is called paper--version, in small letters: {folder.name[:60]!r}")
    there = files.survey(folder)
    if there != files.OF_A_TABLE:
        raise RefusedError(f"a table's submission is {files.ENTRY} and {files.TABLE}", where=str(folder))
    try:
        entry = files.load(folder, files.ENTRY, Entry)
        if entry.kind != "table":
            raise RefusedError("entry.json says that this is a run, and there are no outcomes")
        _small(files.text_of(files.read_bytes(folder, files.TABLE), files.TABLE))
        found = collect(folder / files.TABLE, percent=False)
        reports = tuple(collected_report(one, Rule(), resamples=0) for one in found)
    except (RlvrBenchError, csv.Error) as error:
        message = error.message if isinstance(error, RlvrBenchError) else f"not a CSV table: {error}"
        raise RefusedError(message, where=str(folder)) from error
    _dated(entry)
    return CheckedTable(entry, reports)


def _dated(entry: Entry) -> None:
    if date.fromisoformat(entry.submitted) > date.today() + timedelta(days=1):
        raise RefusedError(f"submitted on {entry.submitted}, which is to come")


def _small(text: str) -> None:
    """Refuse a table that would take long to judge: the rule compares every pair of lineages."""
    rows = list(csv.reader(io.StringIO(text[:MOST_TABLE], newline="")))
    if len(text) > MOST_TABLE or len(rows) > MOST_TABLE_ROWS:
        raise RefusedError(f"a table of more than {MOST_TABLE_ROWS:,} rows or {MOST_TABLE:,} characters")
    head = rows[0] if rows else []
    for column, most in (("lineage", 30), ("method", 100), ("model", 200), ("benchmark", 30)):
        if column in head and len({row[head.index(column)] for row in rows[1:] if len(row) == len(head)}) > most:
            raise RefusedError(f"a table of more than {most} {column} names")


def check(folder: Path) -> "Checked | CheckedTable":
    """Return a submission after computing everything again, whichever kind it is. Raises RefusedError."""
    return check_table(folder) if files.TABLE in files.survey(folder) else check_run(folder)


@dataclass(frozen=True)
class Checked:
    """A submission that holds: its entry, its plan and records, and its report as computed here."""

    entry: Entry
    plan: Plan
    records: Records
    report: Report
    provenance: SubmittedProvenance


def check_run(folder: Path) -> Checked:
    """Return a run's submission after computing everything again. Raises RefusedError, with the first fault."""
    try:
        return _checked(folder)
    except RefusedError as error:
        raise RefusedError(error.message, where=error.where or str(folder), hint=error.hint) from error
    except RlvrBenchError as error:  # what a plan or an analysis refuses is a fault of the submission
        raise RefusedError(error.message, where=str(folder), hint=error.hint) from error


def _checked(folder: Path) -> Checked:
    there = files.survey(folder)
    missing = sorted(files.OF_A_RUN - there)
    if missing or files.TABLE in there:
        raise RefusedError(f"a run's submission lacks {missing[0]}" if missing else "a run brings no table.csv")
    entry = files.load(folder, files.ENTRY, Entry)
    if entry.kind != "run":
        raise RefusedError("entry.json says that this is a table, and there are outcomes")
    _dated(entry)
    provenance = files.load(folder, files.PROVENANCE, SubmittedProvenance)
    inputs = files.load(folder, files.PLAN, Inputs)
    plan = plan_of(inputs)
    name = f"{plan.method.name}--{plan.suite.name}--{plan.digest[:8]}"
    if folder.name != name:
        raise RefusedError(f"the folder must be called {name}")
    records = _records(folder, plan)
    report = report_of(plan, records)
    _agree(report, files.load(folder, files.REPORT, Report))
    if report.failures:
        raise RefusedError(f"{len(report.failures)} stages have no result: {report.failures[0].stage}")
    return Checked(entry, plan, records, report, provenance)


def own_trainings(checked: Checked) -> set[str]:
    """Return the weights of a submission's own method, by which two that are one are known.

    The reference and the control are shared by honest submissions, and a method that is one of them with it.
    """
    method = checked.plan.method.name
    found = {
        record.training.checkpoint_sha256
        for stage in checked.plan.stages
        if stage.cell.arm == method
        and (record := checked.records[stage.id]) is not None
        and record.training is not None
    }
    return found if method not in catalog.method_names() else set()


def plan_of(inputs: Inputs) -> Plan:
    """Return the plan that a submission's inputs make, on the official suite, with everything pinned.

    Raises RefusedError where suite, cards, control, reference or a built-in method are not this program's own, or where
    something is not pinned.
    """
    suite = _official(inputs.suite)
    if not inputs.environment.device.startswith(f"{suite.device}: "):
        raise RefusedError(f"suite {suite.name} runs on {suite.device}, this ran on {inputs.environment.device[:60]!r}")
    cards = [_known(card, inputs.suite) for card in inputs.cards]
    name = inputs.method.name
    if name in catalog.method_names() and inputs.method != catalog.load_method(name):
        raise RefusedError(f"{name} is the name of a method of this program, and this is another one")
    for known in catalog.method_names():
        if known != name and _signal(catalog.load_method(known)) == _signal(inputs.method):
            raise RefusedError(f"{name} is {known} under another name")
    made = make_plan(
        inputs.suite,
        inputs.method,
        cards,
        inputs.environment,
        control=catalog.load_method(suite.control) if suite.control else None,
        reference=catalog.load_method(suite.reference) if suite.reference else None,
        prompts=[catalog.load_prompt(name) for name in suite.prompts],
        unreplayable=inputs.unreplayable,
    )
    if len(made.stages) > MOST_STAGES:
        raise RefusedError(f"a plan of {len(made.stages):,} stages")
    if made.digest != inputs.plan:
        raise RefusedError(
            f"these inputs make the plan {made.digest[:12]}, the submission says {inputs.plan[:12]}: something was "
            "changed, or it was planned by another version of the program"
        )
    return made


def _signal(method: Method) -> Any:
    return method.model_dump(mode="json", exclude={"name", "title", "source", "notes", "preset"})


def _official(suite: Suite) -> Suite:
    """Return the program's own suite of a submission, which must be the same but for its pins."""
    if suite.name not in catalog.names("suite"):
        raise RefusedError(f"{suite.name} is no suite of this program: the leaderboard has official ones only")
    own = catalog.load_suite(suite.name)
    if suite.version != own.version:
        raise RefusedError(f"version {suite.version} of suite {suite.name} is not the present one, {own.version}")
    if _unpinned(suite) != _unpinned(own):
        raise RefusedError(f"suite {suite.name} was changed: {_first_difference(_unpinned(suite), _unpinned(own))}")
    for problems in suite.problem_sets:
        _pinned(problems)
    return own


def _pinned(problems: ProblemSet) -> None:
    if problems.source in GENERATORS:
        if problems.pin is not None:
            raise RefusedError(f"problems of {problems.source} are generated and have no pin")
        return
    pin, data = problems.pin, catalog.load_data_set(problems.source)
    if pin is None or pin.origin != "hub" or pin.commit is None or pin.sha256 is not None or data.hub is None:
        raise RefusedError(f"data set {problems.source} is not pinned to a commit of the hub, where all can look")
    if pin.data != data:
        raise RefusedError(f"data set {problems.source} is described otherwise than by this program")
    if (pin.repository or "").lower() != data.hub.repository.lower():
        raise RefusedError(f"data set {problems.source} is of {pin.repository}, not of {data.hub.repository}")
    if not pin.files or not all(any(fnmatchcase(f, pattern) for pattern in data.hub.files) for f in pin.files):
        raise RefusedError(f"data set {problems.source} is read from files that it has not: {list(pin.files)[:2]}")


def _unpinned(suite: Suite) -> Any:
    body = suite.model_dump(mode="json")
    for problems in (body["training_problems"], *(task["problems"] for task in body["tasks"])):
        problems.pop("pin", None)
    return body


def _known(card: Card, suite: Suite) -> Card:
    """Return a submitted card, which must be the program's own, with its commit looked up."""
    if card.name not in suite.models or card.name not in catalog.names("model"):
        raise RefusedError(f"{card.name} is no model of suite {suite.name}")
    own = catalog.load_card(card.name)
    if isinstance(own.weights, HubWeights):
        if not isinstance(card.weights, HubWeights) or card.weights.commit is None or not card.weights.files:
            raise RefusedError(f"{card.name} is not pinned to a commit with its files")
        if card.weights.repository.lower() != own.weights.repository.lower():
            raise RefusedError(f"the card of {card.name} names {card.weights.repository}, not {own.weights.repository}")
        frozen = {"commit": card.weights.commit, "files": card.weights.files, "repository": card.weights.repository}
        weights = own.weights.model_copy(update=frozen)
        own = own.model_copy(update={"weights": weights, "gated": card.gated})
    if card != own:
        changed = _first_difference(card.model_dump(mode="json"), own.model_dump(mode="json"))
        raise RefusedError(f"the card of {card.name} was changed: {changed}")
    return own


def _records(folder: Path, plan: Plan) -> Records:
    """Return the record of every stage, from its summary and the table of outcomes."""
    packed = files.read_bytes(folder, files.STAGES)
    text = files.text_of(files.unpacked(packed, files.STAGES, most=MOST_SUMMARIES), files.STAGES)
    stages = {stage.id: stage for stage in plan.stages}
    summaries: dict[str, StageSummary] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if number > MOST_STAGES:
            raise RefusedError(f"{files.STAGES} has more than {MOST_STAGES:,} lines")
        where = f"{files.STAGES}, line {number}"
        if len(line) > MOST_LINE:
            raise RefusedError(f"{where} has more than {MOST_LINE:,} characters")
        summary = files.as_model(files.parsed(line, where), StageSummary, where)
        stage = stages.get(summary.id)
        if stage is None or summary.kind != stage.kind:
            raise RefusedError(f"{where}: no such stage in the plan: {summary.id[:120]!r}")
        if summary.id in summaries:
            raise RefusedError(f"{where}: stage {summary.id} stands twice")
        if summary.digest != stage.digest:
            raise RefusedError(f"{where}: stage {summary.id} was made from other inputs than the plan's")
        if summary.failure is not None:
            raise RefusedError(f"stage {summary.id} has no result ({summary.failure.kind})")
        summaries[summary.id] = summary
    lost = [stage.id for stage in plan.stages if stage.id not in summaries]
    if lost:
        raise RefusedError(f"{len(lost)} stages of the plan are missing: {lost[0]}")
    table = files.unpacked(files.read_bytes(folder, files.OUTCOMES), files.OUTCOMES)
    besides = {
        name: {"generated_tokens": s.generated_tokens or 0, "likelihoods": s.likelihoods}
        for name, s in summaries.items()
    }
    evaluations = outcomes.read(files.text_of(table, files.OUTCOMES), plan, besides)
    _generated(plan, evaluations)
    records: Records = {}
    for stage in plan.stages:
        summary = summaries[stage.id]
        if isinstance(stage.inputs, TrainInputs):
            check_training(stage.id, stage.inputs, summary)
        elif isinstance(stage.inputs, PrepareInputs) and summary.labelling is not None:
            check_labelling(stage.id, stage.inputs, summary.labelling)
        elif isinstance(stage.inputs, ExposureInputs) and summary.exposure is not None:
            check_exposure(stage.id, stage.inputs, summary.exposure)
        elif (summary.training is not None) or not isinstance(stage.inputs, EvaluateInputs):
            raise RefusedError(f"stage {stage.id} is a {stage.kind} and says otherwise")
        check_besides(stage.id, stage.inputs, summary)
        records[stage.id] = Record(
            digest=stage.digest,
            kind=stage.kind,
            training=summary.training,
            labelling=summary.labelling,
            evaluation=evaluations.get(stage.id),
            exposure=summary.exposure,
            adapted=summary.adapted,
            timing=Timing(wall_seconds=summary.wall_seconds, cpu_seconds=summary.cpu_seconds, peak_memory_bytes=0),
        )
    check_apart(plan, records)
    return records


def _generated(plan: Plan, evaluations: dict[str, Any]) -> None:
    """Refuse outcomes on other problems than those that the program generates."""
    for stage in plan.stages:
        if isinstance(stage.inputs, EvaluateInputs) and stage.inputs.task.problems.source in GENERATORS:
            known = [problem.id for problem in load_problems(stage.inputs.task.problems)]
            if [o.id for o in evaluations[stage.id].sampled] != known:
                raise RefusedError(f"{stage.id}: its problems are not those of {stage.inputs.task.problems.source}")


def _agree(ours: Report, theirs: Report) -> None:
    """Refuse a report that says anything else than its outcomes."""
    difference = _first_difference(
        theirs.model_dump(mode="json", exclude={"program"}), ours.model_dump(mode="json", exclude={"program"})
    )
    if difference:
        raise RefusedError(f"report.json disagrees with the outcomes: {difference}")


def _first_difference(given: Any, ours: Any, where: str = "") -> str:
    """Return where two JSON values first differ, with both values; empty where they agree."""
    if isinstance(given, dict) and isinstance(ours, dict):
        for key in sorted(given.keys() | ours.keys()):
            found = _first_difference(given.get(key), ours.get(key), f"{where}.{key}" if where else str(key))
            if found:
                return found
        return ""
    if isinstance(given, list) and isinstance(ours, list) and len(given) == len(ours):
        for number, (one, other) in enumerate(zip(given, ours, strict=True)):
            found = _first_difference(one, other, f"{where}[{number}]")
            if found:
                return found
        return ""
    numbers = isinstance(given, int | float) and isinstance(ours, int | float)
    if numbers and not isinstance(given, bool) and not isinstance(ours, bool) and abs(given - ours) <= CLOSE:
        return ""
    if given == ours:
        return ""
    return f"{where} is {json.dumps(given)[:80]}, it should be {json.dumps(ours)[:80]}"
