"""`rlvr-bench list` and `rlvr-bench show`: what there is."""

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlvr_bench.cli import completion
from rlvr_bench.cli.options import RUNS, JsonOption, RunsOption

if TYPE_CHECKING:
    from rlvr_bench.schema.method import Method
    from rlvr_bench.schema.preset import Preset
    from rlvr_bench.schema.prompt import Prompt


class Listed(StrEnum):
    """What can be listed."""

    suites = "suites"
    models = "models"
    methods = "methods"
    rewards = "rewards"
    presets = "presets"
    prompts = "prompts"
    data_sets = "data-sets"
    templates = "templates"
    executors = "executors"
    runs = "runs"


class Shown(StrEnum):
    """What can be shown."""

    suite = "suite"
    card = "card"
    model = "model"
    method = "method"
    reward = "reward"
    preset = "preset"
    prompt = "prompt"
    data_set = "data-set"
    template = "template"
    settings = "settings"


def list_(
    kind: Annotated[Listed, typer.Argument(help="What to list.")],
    runs: RunsOption = RUNS,
    json: JsonOption = False,
) -> None:
    """List what is built in, or the runs made so far, with one line each."""
    from rlvr_bench import catalog, plugins
    from rlvr_bench.cli import output

    rows: list[tuple[str, str]] = []
    if kind is Listed.suites:
        rows = [(name, catalog.load_suite(name).title) for name in catalog.names("suite")]
    elif kind is Listed.models:
        for card in map(catalog.load_card, catalog.names("model")):
            about = [
                f"lineage {card.lineage}",
                f"{card.parameters:,} parameters",
                *([card.tuning] if card.tuning else []),
            ]
            rows.append((card.name, f"{', '.join(about)}. {card.notes}"))
    elif kind is Listed.methods:
        rows = [(name, _told(partial(catalog.load_method, name))) for name in catalog.method_names()]
    elif kind is Listed.rewards:
        for name in plugins.names(plugins.REWARDS):
            rows.append((name, _told(partial(plugins.load, plugins.REWARDS, name))))
    elif kind is Listed.presets:
        rows = [(name, _titled(catalog.load_preset(name))) for name in catalog.names("preset")]
    elif kind is Listed.prompts:
        rows = [(name, _titled(catalog.load_prompt(name))) for name in catalog.names("prompt")]
    elif kind is Listed.data_sets:
        for data in map(catalog.load_data_set, catalog.data_set_names()):
            rows.append((data.name, f"{data.title}. {data.source}"))
    elif kind is Listed.templates:
        rows = [(name, "") for name in catalog.template_names()]
    elif kind is Listed.executors:
        rows = [
            (name, _told(partial(plugins.load, plugins.EXECUTORS, name))) for name in plugins.names(plugins.EXECUTORS)
        ]
    else:
        rows = [(path.parent.name, "") for path in sorted(runs.glob("*/plan.json"))]
    if json:
        names = [name for name, _ in rows]
        output.emit({"schema": "rlvr-bench/list/1", "kind": kind.value, "names": names, "about": dict(rows)})
        return
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        typer.echo(f"{name:<{width}}  {text}".rstrip())
    if not rows:
        output.aside().print(f"no {kind.value} here")


def _titled(value: "Method | Preset | Prompt") -> str:
    return f"{value.title}. {value.source}"


def _told(load: Callable[[], Any]) -> str:
    """Return what something says of itself, or that its plug-in is broken: the others still work."""
    from rlvr_bench.errors import RlvrBenchError
    from rlvr_bench.schema.method import Method

    try:
        found = load()
    except RlvrBenchError as error:
        return f"BROKEN: {error}"
    except Exception as error:  # a plug-in may do anything
        return f"BROKEN: {type(error).__name__}: {error}"
    return _titled(found) if isinstance(found, Method) else (found.__doc__ or "").split("\n")[0]


def _show_settings() -> None:
    """Print every setting, its value, and where that is from."""
    import os
    from pathlib import Path

    from rlvr_bench.cli import settings

    # what files set is a variable by now: they are asked first, and variables only where they say something else
    found = settings.read({}, Path.cwd())
    given = settings.read(os.environ, Path.cwd())
    rows = [(n, found[n] if found[n].value == given[n].value else given[n], s) for n, s in settings.SETTINGS.items()]
    width = max(len(name) for name, _, _ in rows)
    for name, value, setting in rows:
        typer.echo(
            f"{name:<{width}}  {value.value or '-':<12}  {value.source:<28}  {setting.about} ({setting.variable})"
        )


def show(
    kind: Annotated[Shown, typer.Argument(help="What to show.")],
    name: Annotated[
        str, typer.Argument(help="Its name, or its file; none for settings.", autocompletion=completion.shown)
    ] = "",
) -> None:
    """Print a suite, model card, method, preset, prompt or data set as it is loaded; a reward's source; or the
    settings, with where each is from."""
    import inspect

    from rlvr_bench import catalog, plugins

    if kind is Shown.settings:
        _show_settings()
        return
    if not name:
        from rlvr_bench.errors import UsageError

        raise UsageError(f"show {kind.value}: which one?", hint=f"rlvr-bench list {kind.value}s")
    from rlvr_bench.cli.shown import as_yaml, card_as_yaml, data_set_as_yaml

    if kind is Shown.reward:
        found = plugins.load(plugins.REWARDS, name)
        typer.echo(inspect.getsource(found if inspect.isroutine(found) else type(found)), nl=False)
        return
    if kind in (Shown.card, Shown.model):
        typer.echo(card_as_yaml(catalog.load_card(name)), nl=False)
        return
    if kind is Shown.template:
        typer.echo(catalog.load_template(name), nl=False)
        return
    if kind is Shown.data_set:
        typer.echo(data_set_as_yaml(catalog.load_data_set(name)), nl=False)
        return
    load = {
        Shown.suite: catalog.load_suite,
        Shown.method: catalog.load_method,
        Shown.preset: catalog.load_preset,
        Shown.prompt: catalog.load_prompt,
    }
    typer.echo(as_yaml(load[kind](name).model_dump(mode="json")), nl=False)
