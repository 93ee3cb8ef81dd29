"""Methods: a built-in name, a YAML file, a Python file, `package.module:name`, or a name that a plug-in declares.

A Python file needs one function that takes completions. A dictionary METHOD beside it may say the rest: title, source,
data, labels, grpo and whatever else a method's YAML file may hold.
"""

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from rlvr_bench import plugins
from rlvr_bench.catalog.files import fault_of, is_path, load_yaml, names, resolve
from rlvr_bench.catalog.presets import with_preset
from rlvr_bench.errors import FileFormatError, NotFoundError
from rlvr_bench.plugins import did_you_mean
from rlvr_bench.rewards.signal import GIVEN, Function, function_of, module_of, the_reward
from rlvr_bench.schema.method import GrpoOverrides, Method, RewardSpec


def method_names() -> list[str]:
    """Return the built-in methods and those of plug-ins, by name."""
    return sorted({*names("method"), *plugins.names(plugins.METHODS)})


def load_method(reference: str) -> Method:
    """Load a method, with its rewards found and their parameters complete.

    Raises NotFoundError, FileFormatError with the line, RewardError where a Python file cannot be executed.
    """
    if reference.endswith(".py"):
        return _of_file(reference)
    if ":" in reference and not is_path(reference):
        return _of_object(plugins.imported(reference, "method"), reference)
    if not is_path(reference) and reference not in names("method"):
        if reference not in plugins.names(plugins.METHODS):
            raise NotFoundError(
                f"unknown method {reference!r}{did_you_mean(reference, method_names())}",
                hint=_file_beside(reference) or "rlvr-bench list methods, or give a file: --method ./my_idea.py",
            )
        found = plugins.load(plugins.METHODS, reference)
        return _of_object(found, plugins.target(plugins.METHODS, reference), name=reference)
    return _of_yaml(resolve("method", reference))


def _of_yaml(path: Path) -> Method:
    method = load_yaml(path, Method, lambda data: _with_preset(data, path))
    if method.imported:
        return _beside(method, path)
    if any(leaf.code is not None for leaf in method.leaves()):
        raise FileFormatError(
            "a YAML file holds no code", where=str(path), hint="give the Python file itself: --method ./my_idea.py"
        )
    return _checked(method, path)


def _beside(method: Method, path: Path) -> Method:
    """Return a method whose checkpoints' folders are whole paths: those in the file are beside it."""
    found = {
        name: tuple(
            one.model_copy(update={"path": str((path.parent / one.path).absolute())}) if one.path else one
            for one in getattr(method, name)
        )
        for name in ("checkpoints", "controls")
    }
    return method.model_copy(update=found)


def _file_beside(name: str) -> str | None:
    """Return what to type where a file of the name lies here."""
    found = [f"./{name}{suffix}" for suffix in (".py", ".yaml", ".yml") if Path(f"{name}{suffix}").is_file()]
    return f"--method {found[0]}" if found else None


def _with_preset(data: dict[str, Any], path: Path) -> dict[str, Any]:
    own = data.get("grpo") or {}
    if data.get("preset") is None or not isinstance(own, dict):
        return data
    return {**data, "grpo": with_preset(own, data["preset"], GrpoOverrides.model_fields, path)}


def _of_file(reference: str) -> Method:
    """Return the method of a Python file: its text goes into the plan, so that a run needs nothing else."""
    path = Path(reference)
    if not path.is_file():
        raise NotFoundError(f"no such method file: {reference}", hint="rlvr-bench new method my-idea")
    try:
        code = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"not a text file: {error}", where=str(path)) from error
    module = module_of(code, path.stem)
    spec = RewardSpec(name=path.stem, code=code)
    return _of_function(the_reward(module), module, spec, path.stem, path)


def _of_object(found: Any, reference: str, name: str | None = None) -> Method:
    """Return the method that an imported object is: a Method, a dictionary, a YAML file's path, or a reward.

    `name` is the one under which a plug-in declares it.
    """
    where = Path(reference)
    if isinstance(found, Method):
        return _checked(found, where)
    if isinstance(found, dict):
        return _checked(_validated(_with_preset(found, where), where), where)
    if isinstance(found, str | Path):
        if not Path(found).is_file():
            raise FileFormatError(f"no such method file: {found}", where=reference)
        return _of_yaml(Path(found))
    if not callable(found):
        raise FileFormatError(
            f"a method is a function that takes completions, a dictionary or a Method, not {type(found).__name__}",
            where=reference,
        )
    module = inspect.getmodule(found)
    name = name or reference.rsplit(":", 1)[-1]
    return _of_function(found, module, RewardSpec(name=reference), name, where)


def _of_function(function: Function, module: ModuleType | None, spec: RewardSpec, name: str, where: Path) -> Method:
    given = getattr(module, "METHOD", {})
    if not isinstance(given, dict):
        raise FileFormatError("METHOD must be a dictionary", where=str(where))
    if "rewards" in given:
        raise FileFormatError(
            "METHOD has no rewards: the function is the reward",
            where=str(where),
            hint="mix several in a YAML file: rlvr-bench new method my-mix --format yaml",
        )
    said = [inspect.getdoc(function), module.__doc__ if module else None]
    told = (next(filter(None, said[::-1] if spec.code else said), None) or name).strip().split("\n")[0]
    if name == "reward" and module and spec.code is None:  # the name says nothing: its module's does
        name = module.__name__.rsplit(".", 1)[-1]
    weight, parameters = given.get("weight", 1.0), given.get("parameters", {})
    reward = {**spec.model_dump(), "weight": weight, "parameters": parameters}
    data = {
        "schema_version": 1,
        "name": re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip("-.") or "method",
        "title": told,
        "source": f"{where.name} (not published)",
        "labels": _wants_labels(function),
        **{key: value for key, value in given.items() if key not in ("weight", "parameters")},
        "rewards": [reward],
    }
    return _checked(_validated(_with_preset(data, where), where), where)


def _validated(data: dict[str, Any], where: Path) -> Method:
    try:
        return Method.model_validate(data)
    except ValidationError as error:
        raise FileFormatError(f"METHOD: {fault_of(error, Method)}", where=str(where)) from error


def _wants_labels(function: Function) -> bool:
    parameter = _parameters(function).get("answer")
    return parameter is not None and parameter.default is inspect.Parameter.empty


def _parameters(function: Function) -> Mapping[str, inspect.Parameter]:
    """Return a function's parameters; none for what cannot tell them, as some built-ins."""
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def _checked(method: Method, path: Path) -> Method:
    """Return the method with each reward found, and its parameters checked and complete."""
    return method.model_copy(update={"rewards": tuple(_whole(spec, method, path) for spec in method.rewards)})


def _whole(spec: RewardSpec, method: Method, path: Path) -> RewardSpec:
    """Check rewards against their functions and fill in the defaults, so that a plan says them."""
    if spec.all_:
        return spec.model_copy(update={"all_": tuple(_whole(part, method, path) for part in spec.all_)})
    if spec.not_:
        return spec.model_copy(update={"not_": _whole(spec.not_, method, path)})
    assert spec.name is not None
    known = plugins.names(plugins.REWARDS)
    if spec.code is None and ":" not in spec.name and spec.name not in known:
        raise NotFoundError(
            f"unknown reward {spec.name!r}{did_you_mean(spec.name, known)}",
            where=str(path),
            hint="rlvr-bench list rewards",
        )
    function = function_of(spec)
    signature = _parameters(function)
    kinds = {parameter.kind for parameter in signature.values()}
    open_ = inspect.Parameter.VAR_KEYWORD in kinds
    if not open_ and not GIVEN & set(signature):
        raise FileFormatError(f"{spec.name!r} takes no completions: it is no reward", where=str(path))
    if not open_:
        raise FileFormatError(
            f"reward {spec.name!r} must accept any further keyword, as TRL passes every column: add **_ at its end",
            where=str(path),
        )
    own = {
        name: parameter.default
        for name, parameter in signature.items()
        if name not in GIVEN and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }
    for name in spec.parameters:
        if name not in own:
            raise FileFormatError(
                f"reward {spec.name!r} has no parameter {name!r}{did_you_mean(name, list(own))}", where=str(path)
            )
    missing = [n for n, default in own.items() if default is inspect.Parameter.empty and n not in spec.parameters]
    if missing:
        raise FileFormatError(f"reward {spec.name!r} needs the parameter {missing[0]!r}", where=str(path))
    if (spec.name == "label" and not method.preparation) or (spec.name == "ground-truth" and method.preparation):
        raise FileFormatError(
            "reward 'label' is for prepared labels and 'ground-truth' for gold answers",
            where=str(path),
            hint="add preparation: {labels: majority} with reward label, or use ground-truth without a preparation",
        )
    if _wants_labels(function) and not method.labels:
        raise FileFormatError(f"reward {spec.name!r} needs gold answers: set labels: true", where=str(path))
    odd = [name for name, value in own.items() if not isinstance(value, str | int | float | bool)]
    given = {name: value for name, value in {**own, **spec.parameters}.items() if name not in odd}
    return spec.model_copy(update={"parameters": {**given, **spec.parameters}})
