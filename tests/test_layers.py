"""The layering of ARCHITECTURE.md, read from the source itself."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "rlvr_bench"
MODULES = sorted(p for p in ROOT.rglob("*.py"))

# lowest first; a room may import itself and any room in a line above it
LAYERS = [
    {"errors"},
    {"schema"},
    {"stats", "scoring", "plugins"},
    {"rewards"},
    {"catalog"},
    {"planning", "runs"},
    {"backends"},
    {"engine", "diagnostics"},
    {"judgement"},
    {"analysis", "elsewhere"},
    {"reporting", "ci"},
    {"publishing"},
    {"cli"},
]
LEVEL = {room: i for i, rooms in enumerate(LAYERS) for room in rooms}
GRADING = {"math_verify", "latex2sympy2_extended", "sympy"}
HEAVY = {
    "torch",
    "transformers",
    "trl",
    "vllm",
    "lm_eval",
    "datasets",
    "accelerate",
    "pyarrow",
    "huggingface_hub",
    "httpx2",
    "ray",
} | GRADING
BANNED = {"utils", "common", "helpers", "misc"}
MAX_LINES = 400


def room(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def imports(path: Path) -> list[tuple[str, ast.AST, bool]]:
    """Every imported module name, with its node and whether it is at the top level."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = set(map(id, tree.body))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found += [(f"{node.module}.{alias.name}", node, id(node) in top) for alias in node.names]
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_module(path: Path) -> None:
    assert path.stem not in BANNED
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "a module's docstring says what it owns"
    here = room(path)
    if here == "__init__":
        return
    for name, _, top in imports(path):
        parts = name.split(".")
        if parts[0] in HEAVY:
            # math-verify has one door too: the process that can be killed
            doors = {**dict.fromkeys(GRADING, ROOT / "scoring" / "checker.py"), "ray": ROOT / "engine" / "ray.py"}
            door = path == doors[parts[0]] if parts[0] in doors else here == "backends"
            assert door, f"{name} outside its door"
            assert not top, f"{name} at the top of a module"
        if parts[0] == "rlvr_bench" and len(parts) > 1 and parts[1] != "__version__":
            assert LEVEL[parts[1]] < LEVEL[here] or parts[1] == here, f"{here} imports {parts[1]}"


def test_every_room_has_a_level() -> None:
    assert {room(path) for path in MODULES} - {"__init__"} == set(LEVEL)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from rlvr_bench.cli.app import run; code = run(['--help']);"
        "bad = sorted({'torch', 'pandas', 'numpy', 'scipy', 'pydantic', 'yaml', 'transformers'} & set(sys.modules));"
        "sys.exit(f'imported {bad}' if bad or code else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_public_names() -> None:
    import rlvr_bench

    assert rlvr_bench.__all__ == [
        "Card",
        "Method",
        "Plan",
        "Record",
        "Report",
        "RlvrBenchError",
        "Suite",
        "analyse",
        "answers_equal",
        "grade_response",
        "load_method",
        "make_plan",
        "rehearse",
        "run_plan",
        "__version__",
    ]
    assert all(getattr(rlvr_bench, name) is not None for name in rlvr_bench.__all__)
    with pytest.raises(AttributeError):
        _ = rlvr_bench.nothing
