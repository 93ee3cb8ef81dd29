"""Presets of GRPO settings, and how they complete the settings of a method or a suite."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from rlvr_bench.catalog.files import load_yaml, resolve
from rlvr_bench.errors import FileFormatError, NotFoundError
from rlvr_bench.schema.preset import Preset


def load_preset(reference: str) -> Preset:
    """Load a preset by name or path."""
    return load_yaml(resolve("preset", reference), Preset)


def with_preset(given: dict[str, Any], reference: object, allowed: Collection[str], path: Path) -> dict[str, Any]:
    """Return settings completed by a preset: what is given wins.

    Raises FileFormatError where the preset sets what these settings may not.
    """
    if reference is None:
        return given
    try:
        preset = load_preset(str(reference))
    except NotFoundError as error:
        raise NotFoundError(error.message, where=str(path), hint=error.hint) from error
    foreign = [key for key in preset.settings if key not in allowed]
    if foreign:
        raise FileFormatError(
            f"preset {preset.name!r} sets {', '.join(foreign)}, which cannot be set here",
            where=str(path),
            hint="learning rate, steps and lengths are the suite's; one_update is a method's",
        )
    settings = dict(preset.settings)
    if given.get("clip") in ("off", False):  # what the preset says of the range goes with it
        settings.pop("clip_high", None)
    return {**settings, **given}
