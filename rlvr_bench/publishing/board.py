"""What the site shows: rows from checked submissions, sorted into tables. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from rlvr_bench.elsewhere.collected import report as collected_report
from rlvr_bench.elsewhere.sources import collect
from rlvr_bench.errors import RefusedError
from rlvr_bench.publishing import files
from rlvr_bench.reporting.words import word
from rlvr_bench.schema.base import digest
from rlvr_bench.schema.finding import Gain, Report
from rlvr_bench.schema.submission import Entry, Evidence, Inputs, RowStatus, SubmittedProvenance
from rlvr_bench.schema.suite import Rule

STATUS = "status.json"
_STATUSES = TypeAdapter(dict[str, RowStatus])


@dataclass(frozen=True)
class LineageCell:
    """One lineage of a row: its gain over the start, and over the control where there is one."""

    lineage: str
    gain: Gain
    over_control: Gain | None
    models: tuple[str, ...]


@dataclass(frozen=True)
class ModelCell:
    """One model of a row."""

    model: str
    lineage: str
    before: float
    after: float
    gain: Gain


@dataclass(frozen=True)
class Row:
    """One method of one submission. `worst` is the lower bound of the worst lineage: the default order; None where a
    lineage or model was not tested, as the worst is then not known.

    `board` names the table it stands in, `board_title` says what that is; `hours` are as the submitter gave them.
    """

    id: str
    submission: str
    method: str
    title: str
    board: str
    board_title: str
    published: bool
    transductive: bool
    rehearsal: bool
    verdict: str
    word: str
    over_start: str
    sentence: str
    flags: tuple[str, ...]
    lineages: tuple[LineageCell, ...]
    models: tuple[ModelCell, ...]
    worst: float | None
    untested: tuple[str, ...]
    evidence: Evidence
    evidence_note: str
    entry: Entry
    status: RowStatus
    hours: float | None
    device: str

    @property
    def current(self) -> bool:
        """Return whether the row stands in the tables; others are listed below them."""
        return self.status.state == "current"


def rows_of(submissions: Path, status: Path | None = None) -> list[Row]:
    """Return the rows of a folder of submissions, which `leaderboard check` has found to hold.

    Raises RefusedError for a submission or a status file that cannot be read.
    """
    states = _statuses(status)
    found: list[Row] = []
    for folder in sorted(p for p in submissions.iterdir() if p.is_dir() and not p.name.startswith(".")):
        there = files.survey(folder)
        own = states.get(folder.name, RowStatus())
        try:
            found += _table(folder, own) if files.TABLE in there else [_run(folder, own)]
        except RefusedError as error:
            raise RefusedError(error.message, where=error.where or str(folder), hint=error.hint) from error
    unknown = sorted(set(states) - {row.submission for row in found})
    if unknown:
        raise RefusedError(f"{STATUS} speaks of {unknown[0]!r}, which is no submission", where=str(status))
    return found


def _statuses(path: Path | None) -> Mapping[str, RowStatus]:
    if path is None or not path.is_file():
        return {}
    value = files.parsed(files.text_of(path.read_bytes(), path.name), path.name)
    try:
        return _STATUSES.validate_json(json.dumps(value))
    except ValueError as error:
        raise RefusedError(f"{path.name}: {' '.join(str(error).split())[:300]}", where=str(path)) from error


def _run(folder: Path, status: RowStatus) -> Row:
    entry = files.load(folder, files.ENTRY, Entry)
    report = files.load(folder, files.REPORT, Report)
    inputs = files.load(folder, files.PLAN, Inputs)
    provenance = files.load(folder, files.PROVENANCE, SubmittedProvenance)
    suite = inputs.suite
    return _row(
        folder.name,
        report,
        entry,
        status,
        board=f"{suite.name}-{suite.version}",
        board_title=f"{suite.name}, version {suite.version}: {suite.title}",
        transductive=inputs.method.data == "test-prompts",
        hours=provenance.cpu_hours,
        device=provenance.device,
    )


def _table(folder: Path, status: RowStatus) -> list[Row]:
    entry = files.load(folder, files.ENTRY, Entry)
    files.read_bytes(folder, files.TABLE)
    reports = [collected_report(one, Rule(), resamples=0) for one in collect(folder / files.TABLE, percent=False)]
    return [
        _row(
            folder.name,
            report,
            entry,
            status,
            board=f"published-{folder.name}",
            board_title=f"Published: {entry.source}, {entry.version}",
            transductive=report.method in entry.transductive,
            hours=None,
            device="",
            number=number,
        )
        for number, report in enumerate(reports, 1)
    ]


def _row(
    name: str,
    report: Report,
    entry: Entry,
    status: RowStatus,
    *,
    board: str,
    board_title: str,
    transductive: bool,
    hours: float | None,
    device: str,
    number: int | None = None,
) -> Row:
    cells = tuple(
        LineageCell(lineage=ln.lineage, gain=ln.gain, over_control=ln.gain_over_control, models=ln.models)
        for ln in report.lineages
    )
    models = tuple(
        ModelCell(model=m.model, lineage=m.lineage, before=m.before, after=sum(m.after) / len(m.after), gain=m.gain)
        for m in report.models
        if m.after
    )
    published = entry.kind == "table"
    lost = (*report.not_tested, *report.not_measured)
    return Row(
        id=name if number is None else f"{name}--{number}-{slug(report.method)}",
        submission=name,
        method=report.method,
        title=entry.title,
        board=board,
        board_title=board_title,
        published=published,
        transductive=transductive,
        rehearsal=report.rehearsal,
        verdict=report.verdict.word.value,
        word=word(report.verdict),
        over_start=word(report.over_start),
        sentence=report.verdict.sentence,
        flags=tuple(dict.fromkeys(flag.name for flag in report.flags)),
        lineages=cells,
        models=models,
        worst=None if lost or not cells else min(cell.gain.lower for cell in cells),
        untested=lost,
        evidence=status.evidence or ("published" if published else "reported"),
        evidence_note=status.evidence_note or "",
        entry=entry,
        status=status,
        hours=hours,
        device=device,
    )


def slug(text: str) -> str:
    """Return a text as a part of an address: small letters, digits, `-._`; never empty, never a path.

    Where anything but capitals had to change, a digest of the text keeps two of them apart.
    """
    lower = text.lower()
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-._") else "-" for c in lower).strip(".-")[:80]
    return plain if plain and plain == lower else f"{plain or 'x'}-{digest(text)[:8]}"


@dataclass(frozen=True)
class Board:
    """One table: rows that can be compared, the worst lineage's lower bound first."""

    id: str
    title: str
    published: bool
    transductive: bool
    rehearsal: bool
    rows: tuple[Row, ...]
    lineages: tuple[str, ...]


def boards_of(rows: Iterable[Row]) -> list[Board]:
    """Return the tables: one a suite version, published ones and transductive methods apart, rehearsals last."""
    groups: dict[tuple[str, bool], list[Row]] = {}
    for row in rows:
        if row.current:
            groups.setdefault((row.board, row.transductive), []).append(row)
    found = [
        Board(
            id=slug(board) + ("-transductive" if transductive else ""),
            title=some[0].board_title + (": methods that train on the evaluation prompts" if transductive else ""),
            published=some[0].published,
            transductive=transductive,
            rehearsal=some[0].rehearsal,
            rows=tuple(sorted(some, key=lambda row: (row.worst is None, -(row.worst or 0.0), row.id))),
            lineages=_lineages(some),
        )
        for (board, transductive), some in groups.items()
    ]
    return sorted(found, key=lambda b: (b.published, b.rehearsal, b.id))


def _lineages(rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cell.lineage for row in rows for cell in row.lineages))
