"""A method's rewards as one thing to call: each checked, combined, and its errors traced to a line.

The trainer, the dry call before a run and the replay of saved rollouts all call rewards here, in the same way.
"""

import asyncio
import contextlib
import hashlib
import inspect
import linecache
import math
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

from rlvr_bench import plugins
from rlvr_bench.errors import RewardError
from rlvr_bench.schema.method import RewardSpec

CONFIDENCE = ("self_certainty", "mean_entropy")
"""Columns that need the policy's full next-token distribution: given to those rewards that name them."""

GIVEN = frozenset(
    {
        *("prompts", "completions", "completion_ids", "answer", "problem_id"),
        *("index_in_group", "repeat", "step", "seed", "group_size", *CONFIDENCE),
        *("trainer_state", "log_metric", "log_extra", "environments"),
    }
)
"""What the trainer hands to every reward: no parameter of a method may carry these names."""

Values = list[float | None]
Function = Callable[..., Any]


@dataclass(frozen=True)
class Scored:
    """The rewards of a batch: the weighted sum, and each named reward's own values by its label."""

    total: Values
    parts: dict[str, Values]


def module_of(code: str, name: str) -> ModuleType:
    """Return the module of a method's Python file, from its text; executed once in a process.

    Raises RewardError with the line at fault where it cannot be executed.
    """
    known = f"rlvr_bench_method_{hashlib.sha256(f'{name}{code}'.encode()).hexdigest()[:16]}"
    if known in sys.modules:
        return sys.modules[known]
    file = f"{name}.py"
    module = ModuleType(known)
    module.__file__ = file
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)  # tracebacks show its lines
    sys.modules[known] = module
    try:
        with contextlib.redirect_stdout(sys.stderr):
            exec(compile(code, file, "exec"), module.__dict__)  # noqa: S102 - the author's file, never a model's text
    except BaseException as error:
        del sys.modules[known]
        if isinstance(error, SyntaxError):
            raise RewardError(f"not valid Python: {error.msg}", where=f"{file}:{error.lineno or 1}") from error
        if not isinstance(error, Exception | SystemExit):
            raise
        hint = "the file must stand alone, as its text runs on other machines; a package is package.module:name"
        raise RewardError(
            f"cannot be executed: {type(error).__name__}: {error}",
            where=line_of(error, file),
            hint=hint if isinstance(error, ImportError | OSError) else None,
        ) from error
    return module


def public_rewards(module: ModuleType) -> dict[str, Function]:
    """Return the functions that a method's file defines and that take completions, by name."""
    found = {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ in (module.__name__, None) and not name.startswith("_")
    }
    return {name: value for name, value in found.items() if "completions" in inspect.signature(value).parameters}


def the_reward(module: ModuleType) -> Function:
    """Return the one reward of a method's file: the function `reward`, or the only one that takes completions."""
    named = vars(module).get("reward")
    if callable(named):
        return named  # type: ignore[no-any-return]
    found = public_rewards(module)
    if len(found) != 1:
        names = ", ".join(found) or "none"
        raise RewardError(
            f"one function that takes `completions` is needed, here: {names}",
            where=module.__file__,
            hint="call it `reward`: def reward(completions, **_): return [1.0 for _ in completions]",
        )
    return next(iter(found.values()))


def function_of(spec: RewardSpec) -> Function:
    """Return the function of a named reward: from its code, its module or its entry point."""
    assert spec.name is not None
    if spec.code is not None:
        return the_reward(module_of(spec.code, spec.name))
    return plugins.load(plugins.REWARDS, spec.name)


def source_of(spec: RewardSpec, function: Function) -> str:
    """Return the SHA-256 (hex) of the file that defines a named reward."""
    if spec.code is not None:
        return hashlib.sha256(spec.code.encode()).hexdigest()
    file = plugins.source_file(function)
    return hashlib.sha256(file.read_bytes() if file else str(spec.name).encode()).hexdigest()


def line_of(error: BaseException, file: str | None) -> str | None:
    """Return `file:line` of the last frame of an error that lies in a file, else of its last frame."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    own = [frame for frame in frames if frame.filename == file] or frames[-1:]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else file


class Signal:
    """All rewards of a method, loaded."""

    def __init__(self, rewards: Sequence[RewardSpec]) -> None:
        self.rewards = tuple(rewards)
        self._leaves = [leaf for spec in rewards for leaf in spec.leaves()]
        names = [str(leaf.name) for leaf in self._leaves]
        self.labels = [n if names.count(n) == 1 else f"{n}#{names[:i].count(n) + 1}" for i, n in enumerate(names)]
        self.functions = [function_of(leaf) for leaf in self._leaves]

    @property
    def confidence(self) -> tuple[str, ...]:
        """Return the confidence columns that some reward names."""
        asked = {name for function in self.functions for name in inspect.signature(function).parameters}
        return tuple(name for name in CONFIDENCE if name in asked)

    def sources(self) -> dict[str, str]:
        """Return the digest of the source file of each reward, by label."""
        named = zip(self.labels, self._leaves, self.functions, strict=True)
        return {label: source_of(leaf, function) for label, leaf, function in named}

    def __call__(self, columns: Mapping[str, Any]) -> Scored:
        """Score a batch. `columns` holds TRL's keywords and ours; see the package's docstring.

        Raises RewardError with the line at fault: an exception, a wrong length, NaN or an infinity, or a part of
        `all` or `not` that is not 0 or 1.
        """
        count = len(columns["completions"])
        parts = {
            label: _checked(label, function, {**_copied(columns), **leaf.parameters}, count)
            for label, leaf, function in zip(self.labels, self._leaves, self.functions, strict=True)
        }
        left = iter(self.labels)
        total: Values = [None] * count
        for spec in self.rewards:
            values = self._combined(spec, parts, left)
            total = [t if v is None else (t or 0.0) + spec.weight * v for t, v in zip(total, values, strict=True)]
        return Scored(total, parts)

    def _combined(self, spec: RewardSpec, parts: Mapping[str, Values], left: Iterator[str]) -> Values:
        """Return the values of a reward; `left` are the labels of the leaves that are still to come."""
        if spec.name is not None:
            return parts[next(left)]
        values = []
        for part in spec.inside():
            found = self._combined(part, parts, left)
            odd = [v for v in found if v not in (0.0, 1.0)]
            if odd:
                what = part.name or ("all" if part.all_ else "not")
                raise RewardError(
                    f"reward {what!r} gave {odd[0]!r}, but the parts of all and not are 0 or 1",
                    hint="give a reward of other values a weight of its own beside them",
                )
            values.append([float(v) for v in found if v is not None])
        if spec.not_:
            return [1.0 - v for v in values[0]]
        return [float(all(row)) for row in zip(*values, strict=True)]


def _checked(name: str, function: Function, columns: Mapping[str, Any], count: int) -> Values:
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    here = f"{code.co_filename}:{code.co_firstlineno}" if code else None
    try:
        values = function(**columns)
        if inspect.isawaitable(values):
            values = asyncio.run(_awaited(values))
    except (Exception, SystemExit) as error:
        where = line_of(error, code.co_filename if code else None)
        raise RewardError(f"reward {name!r} raised {type(error).__name__}: {_said(error)}", where=where) from error
    sized = hasattr(values, "__len__") and not isinstance(values, str | bytes | dict | set)
    if not sized or len(values) != count:
        got = f"{len(values)} values" if sized else type(values).__name__
        raise RewardError(f"reward {name!r} returned {got} for {count} completions", where=here)
    found: Values = []
    for value in values:
        try:
            number = value.item() if hasattr(value, "item") else value  # a number of numpy or torch
            good = number is None or (isinstance(number, bool | int | float) and math.isfinite(number))
        except (TypeError, ValueError, OverflowError, RuntimeError):  # a row of a matrix, an integer without end
            good = False
        if not good:
            raise RewardError(f"reward {name!r} returned {_said(value)}, not a finite number", where=here)
        found.append(None if number is None else float(number))
    return found


def _said(value: object) -> str:
    """Return a short text of what a reward made, which may fail to say anything."""
    try:
        text = str(value) if isinstance(value, BaseException) else repr(value)
    except Exception:
        text = type(value).__name__
    return text if len(text) <= 200 else text[:200] + "..."


def _copied(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return columns that a reward may change without changing what is saved or what the next one sees."""

    def copied(value: Any) -> Any:
        if isinstance(value, list):
            return [copied(item) for item in value] if value and isinstance(value[0], list | dict) else list(value)
        return dict(value) if isinstance(value, dict) else value

    return {name: copied(value) for name, value in columns.items()}


async def _awaited(value: Any) -> Any:
    return await value


def around(step: int, seed: int, group_size: int, updates: int) -> dict[str, Any]:
    """Return what every call gets once: the step, and stand-ins for what TRL's trainer offers.

    `trainer_state` has `global_step` alone, in training too: a reward that reads more of the trainer could not be
    replayed. The two log functions do nothing outside a training.
    """
    return {
        "step": step,
        "seed": seed,
        "group_size": group_size,
        "trainer_state": SimpleNamespace(global_step=step * updates),
        "log_metric": _nothing,
        "log_extra": _nothing,
    }


def _nothing(*_: Any, **__: Any) -> None:
    return None
