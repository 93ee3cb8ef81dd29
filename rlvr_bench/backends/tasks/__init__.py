"""Our lm-eval tasks: YAML files, and the functions that they name."""

from pathlib import Path

from rlvr_bench.errors import NotFoundError

FOLDER = Path(__file__).parent


def check_task(name: str) -> None:
    """Raise NotFoundError where there is no task file of that name."""
    if not (FOLDER / f"{name}.yaml").is_file():
        known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.yaml")))
        raise NotFoundError(f"unknown lm-eval task {name!r}", hint=f"tasks of this program: {known}")
