"""`rlvr-bench list` and `rlvr-bench show`: what there is."""

from enum import StrEnum
from typing import Annotated

import typer

from rlvr_bench.cli.options import RUNS, JsonOption, RunsOption


class Listed(StrEnum):
    """What can be listed."""

    suites = "suites"
    models = "models"
    methods = "methods"
    rewards = "rewards"
    runs = "runs"


class Shown(StrEnum):
    """What can be shown."""

    suite = "suite"
    model = "model"
    method = "method"
    reward = "reward"


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
            rows.append((card.name, f"lineage {card.lineage}, {card.parameters:,} parameters. {card.notes}"))
    elif kind is Listed.methods:
        for method in map(catalog.load_method, catalog.names("method")):
            rows.append((method.name, f"{method.title}. {method.source}"))
    elif kind is Listed.rewards:
        for name in plugins.names(plugins.REWARDS):
            text = plugins.load(plugins.REWARDS, name).__doc__ or ""
            rows.append((name, text.split("\n")[0]))
    else:
        rows = [(path.parent.name, "") for path in sorted(runs.glob("*/plan.json"))]
    if json:
        output.emit({"schema": "rlvr-bench/list/1", "kind": kind.value, "names": [name for name, _ in rows]})
        return
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        typer.echo(f"{name:<{width}}  {text}".rstrip())
    if not rows:
        output.aside().print(f"no {kind.value} here")


def show(
    kind: Annotated[Shown, typer.Argument(help="What to show.")],
    name: Annotated[str, typer.Argument(help="Its name, or its file.")],
) -> None:
    """Print a suite, model card or method as it is loaded, defaults included; or a reward's definition."""
    import inspect

    import yaml

    from rlvr_bench import catalog, plugins

    if kind is Shown.reward:
        typer.echo(inspect.getsource(plugins.load(plugins.REWARDS, name)), nl=False)
        return
    load = {
        Shown.suite: catalog.load_suite,
        Shown.model: catalog.load_card,
        Shown.method: catalog.load_method,
    }
    value = load[kind](name)
    typer.echo(
        yaml.safe_dump(value.model_dump(mode="json"), sort_keys=False, width=100, allow_unicode=True),
        nl=False,
    )
