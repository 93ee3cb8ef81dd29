"""The embedded families: their problems, habits, tokenizer and weights. What they are, and are not: docs/micro.md."""

from pathlib import Path

FOLDER = Path(__file__).parent
WEIGHTS = FOLDER / "weights"
TOKENIZER = FOLDER / "tokenizer"
MANIFEST = FOLDER / "manifest.json"
