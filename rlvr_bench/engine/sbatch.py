"""Slurm's commands: what they are told from the settings, and what their answers mean."""

import os
import shlex
import subprocess
import time

from rlvr_bench.engine.elsewhere import GPUS_PER_NODE, number
from rlvr_bench.errors import EnvironmentFaultError, UsageError

AWAY = ("Unable to contact", "Socket timed out", "Connection refused", "Zero Bytes", "not responding", "communication")
"""What Slurm's commands say while its controller is away: asked again later."""
FULL = ("MaxSubmitJob", "MaxJobs", "Job violates accounting/QOS policy", "temporarily unable to accept job")
"""What sbatch says where a user may submit no more jobs now."""
PATIENCE = 600.0
"""Seconds that a submission waits for a controller that is away."""


def nodes_of(gpus: int) -> int:
    """Return over how many nodes so many GPUs are spread, the same number on each."""
    least = max(1, -(-gpus // int(number(GPUS_PER_NODE, 8))))
    return next(n for n in range(least, max(gpus, least) + 1) if gpus % n == 0 or not gpus)


def options(gpus: int) -> list[str]:
    """Return sbatch's options for a stage with so many GPUs, from the settings. Raises UsageError."""
    nodes = nodes_of(gpus)
    found = [f"--nodes={nodes}", "--ntasks-per-node=1"]
    for name in ("account", "partition", "time"):
        if value := os.environ.get(f"RLVR_BENCH_SLURM_{name.upper()}"):
            found.append(f"--{name}={value}")
    if gpus:
        each = gpus // nodes
        found.append("--gres=" + (os.environ.get("RLVR_BENCH_SLURM_GRES") or "gpu:{gpus}").replace("{gpus}", str(each)))
        found.append(f"--cpus-per-task={int(number('RLVR_BENCH_SLURM_CPUS', 8)) * each}")
    for word in shlex.split((os.environ.get("RLVR_BENCH_SLURM_EXTRA") or "").replace("; ", " ")):
        if not word.startswith("-"):
            raise UsageError(
                f"slurm-extra: {word!r} is no option of sbatch", hint='slurm-extra = "--qos=high --mem=64G"'
            )
        found.append(word)
    return found


class AwayError(Exception):
    """Slurm's controller does not answer now."""


class FullError(Exception):
    """Slurm takes no more jobs of this user now."""


def patiently(*words: str) -> subprocess.CompletedProcess[str]:
    """Ask until Slurm answers. Raises EnvironmentFaultError where it does not for minutes."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return slurm(*words)
        except AwayError as error:
            if time.monotonic() > deadline:
                raise EnvironmentFaultError("Slurm's controller does not answer", where=str(error)) from error
            time.sleep(2.0)


def slurm(*words: str) -> subprocess.CompletedProcess[str]:
    """Run one of Slurm's commands. Raises AwayError, FullError, EnvironmentFaultError for what it refuses."""
    # sbatch hands on what it is given: of the runner's own job, where it is in one
    env = {name: value for name, value in os.environ.items() if name != "SLURM_RESTART_COUNT"}
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, env=env)  # noqa: S603 - words of our own
    except subprocess.TimeoutExpired as error:
        raise AwayError(f"{words[0]} does not answer") from error
    if done.returncode == 0:
        return done
    said = done.stderr.strip()
    if any(text in said for text in FULL):
        raise FullError(said)
    if any(text in said for text in AWAY):
        raise AwayError(said)
    raise EnvironmentFaultError(
        f"{words[0]} refuses: {said or done.returncode}",
        where=" ".join(words[:6]),
        hint="rlvr-bench show settings: slurm-*",
    )
