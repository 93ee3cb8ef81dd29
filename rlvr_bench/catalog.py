"""Finding and loading suites, model cards and methods, by name or by path; YAML errors with their line."""

import functools
import inspect
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from rlvr_bench import plugins
from rlvr_bench.errors import FileFormatError, NotFoundError
from rlvr_bench.plugins import did_you_mean
from rlvr_bench.schema.card import Card
from rlvr_bench.schema.method import Method, RewardSpec
from rlvr_bench.schema.suite import Suite

Kind = Literal["suite", "model", "method"]
Model = TypeVar("Model", bound=BaseModel)

GIVEN = frozenset(
    {
        *("prompts", "completions", "completion_ids", "answer", "problem_id"),
        *("index_in_group", "step", "seed", "group_size"),
    }
)
"""What the trainer hands to every reward: no parameter of a method may carry these names."""

_PACKAGE = Path(__file__).parent


def folder(kind: Kind) -> Path:
    """Return where the built-in files of a kind lie: in the installed package, or in a checkout."""
    name = {"suite": "suites", "model": "model_cards", "method": "methods"}[kind]
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def names(kind: Kind) -> list[str]:
    """Return the built-in names of a kind."""
    return sorted(path.stem for path in folder(kind).glob("*.yaml"))


def _is_path(reference: str) -> bool:
    return "/" in reference or reference.endswith((".yaml", ".yml"))


def _resolve(kind: Kind, reference: str) -> Path:
    if _is_path(reference):
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


def load_yaml(path: Path, model: type[Model]) -> Model:
    """Read one YAML file into a frozen type.

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
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        location = tuple(first["loc"])
        name = ".".join(str(part) for part in location)
        if first["type"] == "extra_forbidden":
            message = f"unknown key {name!r}{did_you_mean(str(location[-1]), _fields(model, location))}"
        elif first["type"] == "missing":
            message = f"missing key {name!r}"
        else:
            message = f"{name}: {first['msg']}" if name else first["msg"].removeprefix("Value error, ")
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise FileFormatError(message + more, where=f"{path}:{_line_of(root, location)}") from error


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


def load_suite(reference: str) -> Suite:
    """Load a suite by name or path, with the models, control and reference that it names checked."""
    path = _resolve("suite", reference)
    suite = load_yaml(path, Suite)
    # a card given by path lies relative to the suite that names it
    models = tuple(str(path.parent / name) if _is_path(name) else name for name in suite.models)
    suite = suite.model_copy(update={"models": models})
    for name in suite.models:
        load_card(name)
    for method in (suite.control, suite.reference):
        if method is not None:
            load_method(method)
    return suite


def load_card(reference: str) -> Card:
    """Load a model card by name or path.

    A family belongs to one lineage: a card that puts a known family elsewhere would turn one lineage into two.
    """
    path = _resolve("model", reference)
    card = load_yaml(path, Card)
    if _is_path(reference):
        for known in _known_cards().values():
            if known.family == card.family and known.lineage != card.lineage:
                raise FileFormatError(
                    f"family {card.family!r} is of lineage {known.lineage!r} (card {known.name}), not {card.lineage!r}",
                    where=str(path),
                    hint="one lineage entered as two turns 'one family' into 'two families'",
                )
    return card


@functools.cache
def _known_cards() -> dict[str, Card]:
    return {plain(name): load_card(name) for name in names("model")}


def plain(model: str) -> str:
    """Return a model's name as people write it, made comparable: no organisation, lower case, dashes."""
    return model.rsplit("/", 1)[-1].strip().lower().replace(" ", "-").replace("_", "-")


def card_of(model: str) -> Card | None:
    """Return the built-in card that knows a model, by its name in any spelling, or None."""
    return _known_cards().get(plain(model))


def load_method(reference: str) -> Method:
    """Load a method by name or path; its rewards must be registered."""
    path = _resolve("method", reference)
    method = load_yaml(path, Method)
    known = plugins.names(plugins.REWARDS)
    for spec in method.rewards:
        if spec.name not in known:
            raise NotFoundError(
                f"unknown reward {spec.name!r}{did_you_mean(spec.name, known)}",
                where=str(path),
                hint="rlvr-bench list rewards",
            )
    rewards = tuple(_whole(spec, method, path) for spec in method.rewards)
    return method.model_copy(update={"rewards": rewards})


def _whole(spec: RewardSpec, method: Method, path: Path) -> RewardSpec:
    """Check a reward's parameters against its function and fill in the defaults, so that a plan says them."""
    signature = inspect.signature(plugins.load(plugins.REWARDS, spec.name)).parameters
    own = {
        name: parameter.default
        for name, parameter in signature.items()
        if name not in GIVEN and parameter.kind is not parameter.VAR_KEYWORD
    }
    for name in spec.parameters:
        if name not in own:
            raise FileFormatError(
                f"reward {spec.name!r} has no parameter {name!r}{did_you_mean(name, list(own))}", where=str(path)
            )
    missing = [n for n, default in own.items() if default is inspect.Parameter.empty and n not in spec.parameters]
    if missing:
        raise FileFormatError(f"reward {spec.name!r} needs the parameter {missing[0]!r}", where=str(path))
    wants_labels = "answer" in signature and signature["answer"].default is inspect.Parameter.empty
    if wants_labels and not method.labels:
        raise FileFormatError(f"reward {spec.name!r} needs gold answers: set labels: true", where=str(path))
    return spec.model_copy(update={"parameters": {**own, **spec.parameters}})
