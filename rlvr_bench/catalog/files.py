"""Files of the catalog: where they lie, and YAML into frozen types, with the line of an error."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from rlvr_bench.errors import FileFormatError, NotFoundError
from rlvr_bench.plugins import did_you_mean

Kind = Literal["suite", "model", "method", "preset", "prompt", "data-set"]
Model = TypeVar("Model", bound=BaseModel)

_PACKAGE = Path(__file__).parents[1]


def folder(kind: Kind) -> Path:
    """Return where the built-in files of a kind lie: in the installed package, or in a checkout."""
    name = {"model": "model_cards", "data-set": "data_sets"}.get(kind, f"{kind}s")
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def names(kind: Kind) -> list[str]:
    """Return the built-in names of a kind."""
    return sorted(path.stem for path in folder(kind).glob("*.yaml"))


def is_path(reference: str) -> bool:
    """Return whether a reference is a path rather than a name."""
    return "/" in reference or reference.endswith((".yaml", ".yml", ".py"))


def resolve(kind: Kind, reference: str) -> Path:
    """Return the file of a name or path. Raises NotFoundError, with the nearest name."""
    if is_path(reference):
        path = Path(reference)
        if not path.is_file():
            raise NotFoundError(f"no such {kind} file: {reference}", hint=f"rlvr-bench list {kind}s")
        return path
    path = folder(kind) / f"{reference}.yaml"
    if reference not in names(kind):
        raise NotFoundError(
            f"unknown {kind} {reference!r}{did_you_mean(reference, names(kind))}",
            hint=f"rlvr-bench list {kind}s",
        )
    return path


def _line_of(root: yaml.Node | None, location: tuple[int | str, ...]) -> int:
    """Return the 1-based line of a location in a YAML tree; the nearest parent's where it is absent."""
    node, line = root, 1
    for key in location:
        if isinstance(node, yaml.MappingNode):
            found = [(k, v) for k, v in node.value if k.value == str(key)]
            if not found:
                break
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
            line = node.start_mark.line + 1
    return line


def _fields(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the field names allowed where an unknown key stands."""
    current: Any = model
    for key in location[:-1]:
        if isinstance(key, int):
            continue
        field = getattr(current, "model_fields", {}).get(key)
        candidates = [] if field is None else [field.annotation, *getattr(field.annotation, "__args__", ())]
        current = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
        if current is None:
            return []
    return list(current.model_fields)


def load_yaml(
    path: Path, model: type[Model], before: Callable[[dict[str, Any]], dict[str, Any]] | None = None
) -> Model:
    """Read one YAML file into a frozen type; `before` may complete what the file says.

    Raises FileFormatError with file and line: not YAML, a key twice, an unknown key (with the nearest
    field), a missing or a wrong value.
    """
    try:
        text = path.read_text(encoding="utf-8")
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        data = None if root is None else loader.construct_document(root)
    except UnicodeDecodeError as error:
        raise FileFormatError(f"not a text file: {error}", where=str(path)) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise FileFormatError(f"not valid YAML: {getattr(error, 'problem', error)}", where=where) from error
    try:
        _refuse_double_keys(root, path)
    except RecursionError as error:
        raise FileFormatError("nested too deeply, or an alias that holds itself", where=str(path)) from error
    if not isinstance(data, dict):
        raise FileFormatError("the file holds no settings", where=f"{path}:1")
    try:
        return model.model_validate(before(data) if before else data)
    except ValidationError as error:
        location = tuple(error.errors()[0]["loc"])
        raise FileFormatError(fault_of(error, model), where=f"{path}:{_line_of(root, location)}") from error


def fault_of(error: ValidationError, model: type[BaseModel]) -> str:
    """Return what is wrong with a file's settings: the first fault, with the nearest field, and how many more."""
    first = error.errors()[0]
    location = tuple(first["loc"])
    name = ".".join(str(part) for part in location)
    if first["type"] == "extra_forbidden":
        message = f"unknown key {name!r}{did_you_mean(str(location[-1]), _fields(model, location))}"
    elif first["type"] == "missing":
        message = f"missing key {name!r}"
    else:
        said = first["msg"].removeprefix("Value error, ")
        message = f"{name}: {said}" if name else said
    return message + (f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else "")


def _refuse_double_keys(node: yaml.Node | None, path: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise FileFormatError(f"key {key.value!r} stands twice", where=f"{path}:{key.start_mark.line + 1}")
            seen.add(key.value)
            _refuse_double_keys(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_double_keys(value, path)
