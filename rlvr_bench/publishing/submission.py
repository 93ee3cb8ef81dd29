"""Building a submission from a run: what is in it, and under which name."""

import gzip
import json
from pathlib import Path

from rlvr_bench import __version__
from rlvr_bench.analysis import Records, report_of
from rlvr_bench.errors import UsageError
from rlvr_bench.publishing import files, outcomes
from rlvr_bench.runs.store import write_text
from rlvr_bench.schema.finding import Report
from rlvr_bench.schema.plan import Plan
from rlvr_bench.schema.record import Record
from rlvr_bench.schema.submission import Entry, Inputs, StageSummary, SubmittedProvenance


def folder_name(plan: Plan) -> str:
    """Return the name of a run's submission: method, suite, digest."""
    return f"{plan.method.name}--{plan.suite.name}--{plan.digest[:8]}"


def build(plan: Plan, records: Records, entry: Entry, target: Path) -> Report:
    """Write the submission of a whole run into a new folder and return its report.

    Raises UsageError for a run that cannot be one: partial, a stage without a result, or a folder that is there.
    """
    if plan.method.imported:
        raise UsageError(
            "checkpoints that were trained elsewhere are no leaderboard entry: the plan cannot train them again",
            hint="submit the method itself, as rewards",
        )
    if plan.partial:
        raise UsageError(
            f"a partial run ({'; '.join(plan.partial)}) is no leaderboard entry", hint="run the whole suite"
        )
    owed = [stage.id for stage in plan.stages if (r := records[stage.id]) is None or r.failure is not None]
    if owed:
        raise UsageError(
            f"{len(owed)} of {len(plan.stages)} stages have no result: {owed[0]}",
            hint="run the same validate command again until all have one",
        )
    if target.exists():
        raise UsageError("the submission is there already", where=str(target), hint="remove it to build it anew")
    report = report_of(plan, records)
    kept = [_summary(stage_id, record) for stage_id, record in records.items() if record is not None]
    inputs = Inputs(
        suite=plan.suite,
        method=plan.method,
        cards=plan.cards,
        unreplayable=plan.unreplayable,
        environment=plan.environment,
        plan=plan.digest,
    )
    provenance = SubmittedProvenance(
        program=f"rlvr-bench {__version__}",
        device=plan.environment.device,
        versions=plan.environment.versions,
        stages=len(kept),
        wall_hours=round(sum(s.wall_seconds for s in kept) / 3600, 4),
        cpu_hours=round(sum(s.cpu_seconds for s in kept) / 3600, 4),
    )
    lines = "".join(summary.model_dump_json(exclude_none=True) + "\n" for summary in kept)
    write_text(target / files.PLAN, inputs.model_dump_json(indent=1) + "\n")
    write_text(target / files.REPORT, report.model_dump_json(indent=1) + "\n")
    write_text(target / files.PROVENANCE, provenance.model_dump_json(indent=1) + "\n")
    (target / files.OUTCOMES).write_bytes(outcomes.write(plan, records))
    (target / files.STAGES).write_bytes(gzip.compress(lines.encode(), mtime=0))
    write_text(target / files.ENTRY, json.dumps(entry.model_dump(mode="json", exclude_none=True), indent=1) + "\n")
    return report


def _summary(stage_id: str, record: Record) -> StageSummary:
    training = record.training
    return StageSummary(
        id=stage_id,
        digest=record.digest,
        kind=record.kind,
        training=training and training.model_copy(update={"problem_ids": ()}),
        labelling=record.labelling,
        failure=record.failure,
        exposure=record.exposure,
        adapted=record.adapted,
        likelihoods=record.evaluation.likelihoods if record.evaluation else (),
        generated_tokens=record.evaluation.generated_tokens if record.evaluation else None,
        wall_seconds=record.timing.wall_seconds,
        cpu_seconds=record.timing.cpu_seconds,
    )
