"""A model card: which model, of which lineage, and how it is prompted."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from rlvr_bench.schema.base import Frozen, Line, Name

Repository = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=120)]
"""`organisation/name` on the hub."""

Revision = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=120)]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class EmbeddedWeights(Frozen):
    """Weights that ship inside the package; the digest is checked each time they are loaded."""

    source: Literal["embedded"]
    folder: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class HubFile(Frozen):
    """A file on the hub: bytes, and the digest where the hub tells it (large files)."""

    size: int = Field(ge=0)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")


class HubWeights(Frozen):
    """Weights on the Hugging Face hub. `revision` is a branch or tag; a plan resolves it to `commit` and freezes
    that with the `files` it loads. A card never holds a commit that nobody looked up."""

    source: Literal["hub"]
    repository: Repository
    revision: Revision = "main"
    commit: Commit | None = None
    files: dict[str, HubFile] = Field(default_factory=dict)


class Band(Frozen):
    """Where a model's accuracy before training is expected, proportions, and who says so."""

    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)
    source: Line | None = None

    @model_validator(mode="after")
    def _ordered(self) -> "Band":
        if self.low > self.high:
            raise ValueError(f"low {self.low} lies above high {self.high}")
        return self


class Exposure(Frozen):
    """What is published about a benchmark in a model's training data."""

    benchmark: Name
    finding: Line
    source: Line


DESCRIBED = (
    *("expected", "exposure", "gated", "tuning", "thinking", "template", "based_on"),
    *("released", "data_until", "sources", "bos_token", "system", "instruction", "opening"),
)
"""What a card says of a model that changes nothing that is computed: no part of a stage's digest."""


class Card(Frozen):
    """One model. `family` is the release line, `lineage` its root; the rule counts lineages.

    `chat_template` is the whole prompt, a Jinja text for TRL and lm-eval alike. In a file `template: NAME` stands for
    one of the program's, which is completed by `bos_token` (the text that begins it), `system` (the default system
    message), `instruction` (added to a problem that does not speak of a box) and `opening` (put before every answer).
    `end_tokens` end an answer (the tokenizer's own end token always does), `stop` are strings
    that do. `expected` holds, by task, where its accuracy before training should lie: outside, the prompt, the parser
    or the sampling is not what it should be. A fact that nobody could support is None and shown as unknown; `sources`
    says, by field, where a fact is from.
    """

    schema_version: Literal[1]
    name: Name
    family: Name
    lineage: Name
    architecture: str
    parameters: int = Field(gt=0)
    context_tokens: int = Field(gt=0)
    licence: str | None
    weights: Annotated[EmbeddedWeights | HubWeights, Field(discriminator="source")]
    template: Name | None = None
    bos_token: str = ""
    system: str = ""
    instruction: str = ""
    opening: str = ""
    chat_template: str
    end_tokens: tuple[str, ...] = ()
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    tuning: Literal["base", "sft", "instruct", "rl"] | None = None
    based_on: str | None = None
    thinking: Literal["none", "off", "on"] | None = None
    gated: bool | None = None
    released: str | None = None
    data_until: str | None = None
    expected: dict[Name, Band] = Field(default_factory=dict)
    exposure: tuple[Exposure, ...] = ()
    sources: dict[str, Line] = Field(default_factory=dict)
    notes: str = ""

    @model_validator(mode="after")
    def _sources_of_fields(self) -> "Card":
        for name in self.sources:
            if name not in type(self).model_fields:
                raise ValueError(f"sources names {name!r}, which is no field of a card")
        return self

    def computed(self) -> dict[str, Any]:
        """Return what results depend on. Where weights come from the hub, that is the commit and not its name."""
        unused = set(DESCRIBED) | ({"notes", "licence"} if self.weights.source == "hub" else set())
        found = self.model_dump(mode="json", exclude=unused)
        if not self.end_tokens:
            del found["end_tokens"]
        if self.weights.source == "hub" and self.weights.commit is not None:
            for name in ("repository", "revision"):
                del found["weights"][name]
        return found
