"""Names that a shell completes: suites, models, methods, runs, executors. Each returns at once, and never an error."""

import os
from collections.abc import Callable
from pathlib import Path

import typer


def _starting(names: list[str], incomplete: str) -> list[str]:
    return [name for name in sorted(names) if name.startswith(incomplete)]


def suites(incomplete: str) -> list[str]:
    """Return the built-in suites."""
    from rlvr_bench.catalog import files

    return _starting(files.names("suite"), incomplete)


def models(incomplete: str) -> list[str]:
    """Return the built-in model cards."""
    from rlvr_bench.catalog import files

    return _starting(files.names("model"), incomplete)


def methods(incomplete: str) -> list[str]:
    """Return the built-in methods and those of plug-ins."""
    from rlvr_bench.catalog.methods import method_names

    return _starting(method_names(), incomplete)


def executors(incomplete: str) -> list[str]:
    """Return the executors that are installed."""
    from rlvr_bench import plugins

    return _starting(plugins.names(plugins.EXECUTORS), incomplete)


def shown(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names of the kind that `show` was given."""
    from rlvr_bench import catalog, plugins

    kind = str(ctx.params.get("kind") or "")
    if kind in ("suite", "preset", "prompt", "data-set"):
        return _starting(catalog.names(kind), incomplete)  # type: ignore[arg-type]
    named: dict[str, Callable[[str], list[str]]] = {
        "card": models,
        "model": models,
        "method": methods,
        "template": lambda text: _starting(catalog.template_names(), text),
        "reward": lambda text: _starting(plugins.names(plugins.REWARDS), text),
    }
    return named[kind](incomplete) if kind in named else []


def runs(incomplete: str) -> list[str]:
    """Return the runs below the folder of runs."""
    folder = Path(os.environ.get("RLVR_BENCH_RUNS") or "runs")
    try:
        return _starting([path.parent.name for path in folder.glob("*/plan.json")], incomplete)
    except OSError:
        return []
