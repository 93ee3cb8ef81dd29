"""Extension points: looking up what entry points declare. Lazy; one broken plug-in never breaks the rest."""

import hashlib
import inspect
from collections.abc import Callable
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from rlvr_bench.errors import EnvironmentFaultError, NotFoundError

REWARDS = "rlvr_bench.rewards"


def names(group: str) -> list[str]:
    """Return the names declared in an entry-point group, without importing any."""
    return sorted({point.name for point in entry_points(group=group)})


def load(group: str, name: str) -> Callable[..., Any]:
    """Import and return the object that a plug-in declares.

    Raises NotFoundError for an unknown name and EnvironmentFaultError for a plug-in that cannot be imported.
    """
    found = [point for point in entry_points(group=group) if point.name == name]
    kind = group.rsplit(".", 1)[-1].removesuffix("s")
    if not found:
        raise NotFoundError(
            f"unknown {kind} {name!r}{did_you_mean(name, names(group))}", hint=f"rlvr-bench list {kind}s"
        )
    try:
        return found[0].load()  # type: ignore[no-any-return]
    except Exception as error:
        raise EnvironmentFaultError(
            f"the plug-in for {kind} {name!r} cannot be imported: {error}",
            where=found[0].value,
            hint="repair or uninstall the package that declares it",
        ) from error


def source_digest(group: str, name: str) -> str | None:
    """Return the SHA-256 of the file that defines a plug-in, None for a built-in (our own digest covers it)."""
    source = inspect.getsourcefile(load(group, name))
    if source is None or Path(source).is_relative_to(Path(__file__).parent):
        return None
    return hashlib.sha256(Path(source).read_bytes()).hexdigest()


def did_you_mean(name: str, known: list[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest known name, or an empty string."""
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
