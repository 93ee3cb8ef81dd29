"""A data set: problems on the hub, or in a folder of one's own, and how to know that they are the right ones."""

from typing import Literal

from pydantic import Field, model_validator

from rlvr_bench.schema.base import Frozen, Line, Name
from rlvr_bench.schema.card import Repository, Revision


class HubProblems(Frozen):
    """Where a data set lies on the hub. `files` are patterns of paths; the first that matches files is read."""

    repository: Repository
    revision: Revision = "main"
    files: tuple[str, ...] = Field(min_length=1)


class Columns(Frozen):
    """Names of columns. Without `id`, an id is made from the problem's text."""

    id: str | None = None
    problem: str = "problem"
    answer: str = "answer"


class DataSet(Frozen):
    """One data set. Rows of the hub and of `NAME.jsonl` in a folder of one's own end up the same.

    `answers: integer` reads 142.0, 070 and 336^\\circ as 142, 70 and 336. `count` and `answers_sha256` (of the sorted
    answers: wordings differ between copies) are checked where they are known; a training set knows neither. `published`
    is when its problems were first public, for what a model may have seen.
    """

    schema_version: Literal[1]
    name: Name
    title: Line
    role: Literal["test", "train", "own"]
    hub: HubProblems | None = None
    columns: Columns = Columns()
    answers: Literal["integer", "text"] = "text"
    count: int | None = Field(default=None, ge=2)
    answers_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    published: str | None = None
    licence: str | None = None
    source: Line
    notes: str = ""

    @model_validator(mode="after")
    def _checked(self) -> "DataSet":
        if self.role == "test" and (self.count is None or self.answers_sha256 is None):
            raise ValueError("a data set that tests needs count and answers_sha256: else nobody would see another one")
        return self
