"""Experiment trackers of TRL's trainer, passed through. Operational: they change no number and no digest."""

import os
from pathlib import Path
from typing import Any

REPORT_TO = "RLVR_BENCH_REPORT_TO"
"""Environment variable: the trackers, with commas between."""

TRACKERS = {"wandb": ("wandb",), "trackio": ("trackio",), "tensorboard": ("tensorboard", "tensorboardX")}
"""The packages of each tracker; one is enough."""


def tracking(folder: Path | None) -> dict[str, Any]:
    """Return TRL's arguments for the trackers that are asked for; their files lie in `folder`, one for each cell."""
    wanted = [name for name in os.environ.get(REPORT_TO, "").split(",") if name]
    if not wanted or folder is None:
        return {"report_to": []}
    folder.mkdir(parents=True, exist_ok=True)
    for variable in ("TENSORBOARD_LOGGING_DIR", "WANDB_DIR", "TRACKIO_DIR"):
        os.environ[variable] = str(folder)
    return {"report_to": wanted, "run_name": "/".join(folder.parts[-3:])}
