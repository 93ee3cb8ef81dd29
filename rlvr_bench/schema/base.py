"""The base of all types, and their digest. Owns what "the same inputs" means."""

import hashlib
import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=80)]
"""A name that is safe as a part of paths and ids."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("line breaks or control characters in a name")
    return text


Line = Annotated[str, AfterValidator(_printable)]
"""One line of text that is safe to print on a terminal."""


class Frozen(BaseModel):
    """A value: immutable, unknown keys refused, NaN and infinities refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def digest(value: Any) -> str:
    """Return the SHA-256 (hex) of a value's canonical JSON: sorted keys, no spaces.

    A `Frozen` value and its `model_dump(mode="json")` have the same digest.
    """
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def seed_from(*parts: object) -> int:
    """Return a 63-bit seed made from the parts' text, the same on every machine."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
