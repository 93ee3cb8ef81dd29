"""A preset: GRPO settings under a name, with their source, for methods and suites to start from."""

from typing import Any

from pydantic import Field, field_validator

from rlvr_bench.schema.base import Frozen, Line, Name
from rlvr_bench.schema.method import GrpoOverrides
from rlvr_bench.schema.suite import TrainingSettings


class Preset(Frozen):
    """Settings by name. A method may use one whose keys it may change; a suite, one with a training's own keys."""

    schema_version: int = Field(ge=1, le=1)
    name: Name
    title: Line
    source: Line
    settings: dict[str, Any] = Field(min_length=1)
    notes: str = ""

    @field_validator("settings")
    @classmethod
    def _known(cls, settings: dict[str, Any]) -> dict[str, Any]:
        for key in settings:
            if key not in {**TrainingSettings.model_fields, **GrpoOverrides.model_fields}:
                raise ValueError(f"{key!r} is not a training setting")
        return settings
