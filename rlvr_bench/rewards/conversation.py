"""The text of completions, whether TRL hands over strings or conversations."""

from collections.abc import Sequence
from typing import Any


def texts(completions: Sequence[Any]) -> list[str]:
    """Return each completion's text; a conversation's text is the content of its last message."""
    return [c if isinstance(c, str) else str(c[-1]["content"]) for c in completions]
