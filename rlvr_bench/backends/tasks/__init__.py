"""Our lm-eval tasks: YAML files, and the functions that they name."""

from pathlib import Path

FOLDER = Path(__file__).parent
