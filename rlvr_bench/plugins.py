"""Extension points: looking up what entry points declare. Lazy; one broken plug-in never breaks the rest."""

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from rlvr_bench.errors import EnvironmentFaultError, NotFoundError

REWARDS = "rlvr_bench.rewards"
METHODS = "rlvr_bench.methods"
EXECUTORS = "rlvr_bench.executors"


def names(group: str) -> list[str]:
    """Return the names declared in an entry-point group, without importing any."""
    return sorted({point.name for point in entry_points(group=group)})


def load(group: str, name: str) -> Callable[..., Any]:
    """Import and return the object that a plug-in declares, or that `package.module:name` names.

    Raises NotFoundError for an unknown name and EnvironmentFaultError for a plug-in that cannot be imported.
    """
    if ":" in name:
        return imported(name, _kind(group))  # type: ignore[no-any-return]
    found = [point for point in entry_points(group=group) if point.name == name]
    kind = _kind(group)
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


def _kind(group: str) -> str:
    return group.rsplit(".", 1)[-1].removesuffix("s")


def target(group: str, name: str) -> str:
    """Return the `package.module:name` that a plug-in declares."""
    return next(point.value for point in entry_points(group=group) if point.name == name)


def imported(reference: str, kind: str) -> Any:
    """Return the object of `package.module:name`; the working directory counts, as for other tools of this form.

    Raises NotFoundError where there is no such module or name, EnvironmentFaultError where importing it fails.
    """
    module, _, name = reference.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    hint = "give package.module:name, importable here, or a file: ./my_idea.py"
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            raise NotFoundError(f"no module {error.name!r} for {kind} {reference!r}", hint=hint) from error
        raise EnvironmentFaultError(f"{kind} {reference!r} cannot be imported: {error}", where=module) from error
    except AttributeError as error:
        raise NotFoundError(f"{module} has no {name!r}", where=reference, hint=hint) from error
    except Exception as error:
        raise EnvironmentFaultError(f"{kind} {reference!r} cannot be imported: {error}", where=module) from error
    return found


def source_digest(group: str, name: str) -> str | None:
    """Return the SHA-256 of the file that defines a plug-in, None for a built-in (our own digest covers it)."""
    source = source_file(load(group, name))
    if source is None or source.is_relative_to(Path(__file__).parent):
        return None
    return hashlib.sha256(source.read_bytes()).hexdigest()


def source_file(found: Any) -> Path | None:
    """Return the file that defines a function, or the class of a callable object; None where there is none."""
    plain = inspect.unwrap(getattr(found, "func", found))  # a partial is its function
    try:
        source = inspect.getsourcefile(plain if inspect.isroutine(plain) or inspect.isclass(plain) else type(plain))
    except TypeError:
        return None
    return Path(source) if source and Path(source).is_file() else None


def did_you_mean(name: str, known: list[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest known name, or an empty string."""
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
