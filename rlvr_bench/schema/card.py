"""A model card: which model, of which lineage, and how it is prompted."""

from typing import Literal

from pydantic import Field

from rlvr_bench.schema.base import Frozen, Name


class EmbeddedWeights(Frozen):
    """Weights that ship inside the package; the digest is checked each time they are loaded."""

    source: Literal["embedded"]
    folder: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Band(Frozen):
    """Where a model's accuracy before training is expected, proportions."""

    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)


class Card(Frozen):
    """One model. `family` is the release line, `lineage` its root; the rule counts lineages.

    `expected` holds, by task, where its accuracy before training should lie: outside, the prompt, the parser or
    the sampling is not what it should be.
    """

    schema_version: Literal[1]
    name: Name
    family: Name
    lineage: Name
    architecture: str
    parameters: int = Field(gt=0)
    context_tokens: int = Field(gt=0)
    licence: str
    weights: EmbeddedWeights
    chat_template: str
    stop: tuple[str, ...] = ()
    expected: dict[Name, Band] = Field(default_factory=dict)
    notes: str = ""
