"""Rewards scored once more in an interpreter of their own: state and hash seeds of this process do not reach it."""

import os
import subprocess
import sys

from rlvr_bench import plugins
from rlvr_bench.schema.method import RewardSpec

HASH_SEED = "1"
"""Workers run under hash seed 0: a reward that keys on `hash(text)` answers otherwise here, as on another machine."""


def own_code(rewards: tuple[RewardSpec, ...]) -> bool:
    """Return whether some reward is not one of ours: ours are known to keep no state."""
    leaves = [leaf for spec in rewards for leaf in spec.leaves()]
    return any(leaf.code is not None or not plugins.is_builtin(plugins.REWARDS, str(leaf.name)) for leaf in leaves)


def in_fresh_interpreter(function: str, given: str, timeout: float | None = None) -> str | None:
    """Return what `module:function`, called without arguments in a new process, prints; `given` is its input.

    None where it fails or takes too long.
    """
    module, _, name = function.partition(":")
    try:
        done = subprocess.run(  # noqa: S603 - our own function, by our own interpreter
            [sys.executable, "-c", f"from {module} import {name}; {name}()"],
            input=given,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, "PYTHONHASHSEED": HASH_SEED, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )
    except subprocess.TimeoutExpired:
        return None
    sys.stderr.write(done.stderr)
    return done.stdout if done.returncode == 0 else None
