"""Extension points: looking up what entry points declare. Lazy; one broken plug-in never breaks the rest."""

import contextlib
import hashlib
import importlib
import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import lru_cache
from importlib import metadata
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

from rlvr_bench.errors import EnvironmentFaultError, NotFoundError

REWARDS = "rlvr_bench.rewards"
METHODS = "rlvr_bench.methods"
EXECUTORS = "rlvr_bench.executors"


@lru_cache
def _declared(group: str, _path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    return tuple(metadata.entry_points(group=group))


def entry_points(group: str) -> tuple[EntryPoint, ...]:
    """Return what all installed packages declare in a group; read once for each `sys.path`."""
    return _declared(group, tuple(sys.path))


def names(group: str) -> list[str]:
    """Return the names declared in an entry-point group, without importing any."""
    return sorted({point.name for point in entry_points(group=group)})


def _point(group: str, name: str) -> EntryPoint | None:
    """Return the entry point of a name; one of ours cannot be replaced by another package's."""
    found = [point for point in entry_points(group=group) if point.name == name]
    return min(found, key=lambda point: not point.value.startswith("rlvr_bench."), default=None)


def is_builtin(group: str, name: str) -> bool:
    """Return whether a name is one of ours."""
    point = _point(group, name) if ":" not in name else None
    return point is not None and point.value.startswith("rlvr_bench.")


def load(group: str, name: str) -> Callable[..., Any]:
    """Import and return the object that a plug-in declares, or that `package.module:name` names.

    Raises NotFoundError for an unknown name and EnvironmentFaultError for a plug-in that cannot be imported.
    """
    kind = _kind(group)
    if ":" in name:
        return imported(name, kind)  # type: ignore[no-any-return]
    point = _point(group, name)
    if point is None:
        raise NotFoundError(
            f"unknown {kind} {name!r}{did_you_mean(name, names(group))}", hint=f"rlvr-bench list {kind}s"
        )
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return point.load()  # type: ignore[no-any-return]
    except (Exception, SystemExit) as error:
        raise EnvironmentFaultError(
            f"the plug-in for {kind} {name!r} cannot be imported: {error}",
            where=point.value,
            hint="repair or uninstall the package that declares it",
        ) from error


def _kind(group: str) -> str:
    return group.rsplit(".", 1)[-1].removesuffix("s")


def target(group: str, name: str) -> str:
    """Return the `package.module:name` that a plug-in declares."""
    point = _point(group, name)
    assert point is not None
    return point.value


def imported(reference: str, kind: str) -> Any:
    """Return the object of `package.module:name`; the working directory counts, as for other tools of this form.

    Raises NotFoundError where there is no such module or name, EnvironmentFaultError where importing it fails.
    """
    module, _, name = reference.partition(":")
    hint = "give package.module:name, importable here, or a file: ./my_idea.py"
    if not module or not name or module.startswith("."):
        raise NotFoundError(f"{kind} {reference!r} is no package.module:name", hint=hint)
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            raise NotFoundError(f"no module {error.name!r} for {kind} {reference!r}", hint=hint) from error
        raise EnvironmentFaultError(f"{kind} {reference!r} cannot be imported: {error}", where=module) from error
    except AttributeError as error:
        raise NotFoundError(f"{module} has no {name!r}", where=reference, hint=hint) from error
    except (Exception, SystemExit) as error:
        raise EnvironmentFaultError(f"{kind} {reference!r} cannot be imported: {error}", where=module) from error
    return found


def source_digest(group: str, name: str) -> str | None:
    """Return the SHA-256 of a plug-in's code, None for a built-in (our own digest covers it).

    That is its whole package (or module), and every module outside installed packages that it uses, as far as names
    in modules tell.
    """
    found = load(group, name)
    module = (name if ":" in name else target(group, name)).partition(":")[0]
    if module.partition(".")[0] == "rlvr_bench":
        return None
    kind = inspect.getmodule(found) or inspect.getmodule(type(found))
    begun = [sys.modules[m] for m in {module, kind.__name__ if kind else module} if m in sys.modules]
    return _digest_of(_package_files(begun) | local_files(begun))


def local_code_digest(module: ModuleType) -> str | None:
    """Return the SHA-256 of the modules outside installed packages that a method's file uses, None without any."""
    files = local_files([module])
    return _digest_of(files) if files else None


def _digest_of(files: Iterable[Path]) -> str:
    h = hashlib.sha256()
    for path in sorted(files):
        h.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    return h.hexdigest()


def _package_files(modules: Iterable[ModuleType]) -> set[Path]:
    """Return all Python files of the top packages of modules; a module's own file where it has no package."""
    found: set[Path] = set()
    for module in modules:
        top = sys.modules.get(module.__name__.partition(".")[0], module)
        for folder in getattr(top, "__path__", ()):
            found |= set(Path(folder).rglob("*.py"))
        if not hasattr(top, "__path__") and (file := _file_of(top)):
            found.add(file)
    return found


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file) if file and Path(file).is_file() else None


_INSTALLED = tuple(
    {str(Path(sysconfig.get_paths()[key]).resolve()) for key in ("stdlib", "platstdlib", "purelib", "platlib")}
)


def local_files(begun: Iterable[ModuleType]) -> set[Path]:
    """Return the files of all modules that modules use and that are neither installed packages nor ours."""
    found: set[Path] = set()
    open_, seen = list(begun), set[str]()
    while open_:
        module = open_.pop()
        for value in list(vars(module).values()):
            used = value if inspect.ismodule(value) else sys.modules.get(str(getattr(value, "__module__", "")))
            if used is None or used.__name__ in seen or used.__name__.partition(".")[0] == "rlvr_bench":
                continue
            seen.add(used.__name__)
            file = _file_of(used)
            if file and file.suffix == ".py" and not str(file.resolve()).startswith(_INSTALLED):
                found.add(file)
                open_.append(used)
    return found


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
