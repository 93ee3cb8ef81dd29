"""What a leaderboard submission says of itself. All of it is input from outside: bounded, printable, never a path."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from rlvr_bench.schema.base import Frozen, Line, Name
from rlvr_bench.schema.card import Card
from rlvr_bench.schema.method import Method
from rlvr_bench.schema.plan import Environment, Kind
from rlvr_bench.schema.record import Exposure, Failure, Labelling, Training
from rlvr_bench.schema.suite import Suite

Short = Annotated[Line, Field(max_length=300)]
Link = Annotated[Line, Field(pattern=r"^https://[A-Za-z0-9.-]+(/[A-Za-z0-9._~:/?#@!&'()*+,;=%-]*)?$", max_length=300)]
Date = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
Evidence = Literal["published", "reported", "recomputed", "reproduced"]
"""How much a row rests on: a paper's table judged by us; outcomes of a run; completions graded again; a second run by
other people."""


class Entry(Frozen):
    """`entry.json`. A `run` brings outcomes and is recomputed; a `table` brings a paper's accuracies with their source.

    `transductive` names methods of a table that train on the evaluation prompts. `paper` and `code` are links;
    `submitter` is a name or a handle of whoever answers for it.
    """

    schema_version: Literal[1] = 1
    kind: Literal["run", "table"]
    title: Short
    submitted: Date
    submitter: Short | None = None
    paper: Link | None = None
    code: Link | None = None
    source: Short | None = None
    version: Short | None = None
    transductive: Annotated[tuple[Short, ...], Field(max_length=100)] = ()
    notes: Annotated[str, Field(max_length=2_000)] = ""

    @field_validator("submitted")
    @classmethod
    def _a_day(cls, text: str) -> str:
        date.fromisoformat(text)
        return text

    @field_validator("notes")
    @classmethod
    def _readable(cls, notes: str) -> str:
        if not all(c.isprintable() or c == "\n" for c in notes):
            raise ValueError("notes hold control characters")
        return notes

    @model_validator(mode="after")
    def _sourced(self) -> "Entry":
        if self.kind == "table" and not (self.source and self.version):
            raise ValueError("a published table needs source and version: which text, which of its versions")
        return self


class Inputs(Frozen):
    """`inputs/plan.json`: all that the plan was made from. The stages follow from it and are made again."""

    schema_version: Literal[1] = 1
    suite: Suite
    method: Method
    cards: tuple[Card, ...]
    unreplayable: tuple[Short, ...] = ()
    environment: Environment
    plan: str = Field(pattern=r"^[0-9a-f]{64}$")


class StageSummary(Frozen):
    """One line of `stages.jsonl.gz`: a stage's record without its outcomes, logs and lists of problems."""

    id: Annotated[str, Field(max_length=300)]
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    kind: Kind
    training: Training | None = None
    labelling: Labelling | None = None
    failure: Failure | None = None
    exposure: Exposure | None = None
    adapted: dict[Name, Annotated[int, Field(ge=1)]] = Field(default_factory=dict, max_length=10)
    likelihoods: tuple[tuple[float, float] | None, ...] = ()
    generated_tokens: int | None = Field(default=None, ge=0)
    wall_seconds: float = Field(ge=0)
    cpu_seconds: float = Field(ge=0)


class SubmittedProvenance(Frozen):
    """`provenance.json`: with what and at what cost. Shown, and believed by nobody."""

    schema_version: Literal[1] = 1
    program: Short
    device: Short
    versions: dict[Name, Short]
    stages: int = Field(ge=0)
    wall_hours: float = Field(ge=0)
    cpu_hours: float = Field(ge=0)


class RowStatus(Frozen):
    """What the maintainers say of a submission, in `leaderboard/status.json`. Rows are never deleted."""

    state: Literal["current", "superseded", "withdrawn"] = "current"
    by: Name | None = None
    reason: Short | None = None
    evidence: Evidence | None = None
    evidence_note: Short | None = None

    @model_validator(mode="after")
    def _reasoned(self) -> "RowStatus":
        if self.state != "current" and not self.reason:
            raise ValueError(f"{self.state} needs a public reason")
        if self.state == "superseded" and not self.by:
            raise ValueError("superseded needs `by`, the submission that stands in its place")
        if self.evidence in ("recomputed", "reproduced") and not self.evidence_note:
            raise ValueError(f"{self.evidence} needs evidence_note: who looked, and at what")
        return self
