"""Suites and prompts by name or by path, with everything that a suite names checked."""

from pathlib import Path
from typing import Any

from rlvr_bench.catalog.cards import load_card
from rlvr_bench.catalog.files import is_path, load_yaml, resolve
from rlvr_bench.catalog.methods import load_method
from rlvr_bench.catalog.presets import with_preset
from rlvr_bench.errors import FileFormatError
from rlvr_bench.schema.prompt import Prompt
from rlvr_bench.schema.suite import ProblemSet, Suite, TrainingSettings


def load_suite(reference: str) -> Suite:
    """Load a suite by name or path, with the models, prompts, control and reference that it names checked."""
    path = resolve("suite", reference)

    def whole(data: dict[str, Any]) -> dict[str, Any]:
        training = data.get("training")
        if not isinstance(training, dict) or "preset" not in training:
            return data
        own = {key: value for key, value in training.items() if key != "preset"}
        return {**data, "training": with_preset(own, training["preset"], TrainingSettings.model_fields, path)}

    suite = load_yaml(path, Suite, whole)
    beside = path.parent
    models, prompts = (_beside(beside, references) for references in (suite.models, suite.prompts))
    arms = {
        role: None if name is None else _beside(beside, (name,))[0]
        for role, name in (("control", suite.control), ("reference", suite.reference))
    }
    own = {
        "tasks": tuple(t.model_copy(update={"problems": _problems_beside(beside, t.problems)}) for t in suite.tasks),
        "training_problems": _problems_beside(beside, suite.training_problems),
    }
    suite = suite.model_copy(update={"models": models, "prompts": prompts, **arms, **own})
    for name in suite.models:
        load_card(name)
    for name in suite.prompts:
        load_prompt(name)
    if suite.reference is not None:
        load_method(suite.reference)
    if suite.control is not None and load_method(suite.control).labels:
        raise FileFormatError(
            f"control {suite.control!r} needs labels: a control replaces the reward by one that knows nothing",
            where=str(path),
            hint="control: random",
        )
    return suite


def _beside(folder: Path, references: tuple[str, ...]) -> tuple[str, ...]:
    """Return references in which a path lies relative to the suite that names it."""
    return tuple(str(folder / name) if is_path(name) else name for name in references)


def _problems_beside(folder: Path, problems: ProblemSet) -> ProblemSet:
    """Return problems whose files, where they have some, lie relative to the suite that names them."""
    if is_path(problems.source):
        return problems.model_copy(update={"source": str(folder / problems.source)})
    path = problems.arguments.get("path")
    if problems.source != "file" or not isinstance(path, str):
        return problems
    return problems.model_copy(update={"arguments": {**problems.arguments, "path": str(folder / path)}})


def load_prompt(reference: str) -> Prompt:
    """Load a prompt by name or path."""
    return load_yaml(resolve("prompt", reference), Prompt)
