"""A prompt for an untouched model: what an arm without training changes."""

from typing import Literal

from pydantic import Field, model_validator

from rlvr_bench.schema.base import Frozen, Line, Name


class Prompt(Frozen):
    """Another way to ask: `template` holds `{problem}` once; `begin` is the forced start of the answer.

    `system` is a system message, for chat templates that have one. `chat: false` leaves the card's chat template
    out, so that the model goes on from the bare text.
    """

    schema_version: Literal[1]
    name: Name
    title: Line
    source: Line
    template: str = "{problem}"
    begin: str = ""
    system: str | None = None
    chat: bool = True
    notes: str = Field(default="")

    @model_validator(mode="after")
    def _whole(self) -> "Prompt":
        if self.template.count("{problem}") != 1:
            raise ValueError("template must hold {problem} exactly once")
        if self.system is not None and not self.chat:
            raise ValueError("a system message needs the chat template: chat must be true")
        return self

    def asked(self, problem: str) -> str:
        """Return the text that asks a problem."""
        return self.template.replace("{problem}", problem)
