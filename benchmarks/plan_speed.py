"""How long a plan takes: `rlvr-bench plan` for each suite, a process each, beside the start of the program alone.

    python benchmarks/plan_speed.py [REPEATS]

The hub is not asked (HF_HUB_OFFLINE=1), so that the program is measured and not a network.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

SUITES = ("micro", "smoke", "small", "standard", "zoo")
COMMAND = [sys.executable, "-m", "rlvr_bench.cli.app"]


def seconds(words: list[str], folder: str) -> float:
    started = time.perf_counter()
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([*COMMAND, *words], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout
    return time.perf_counter() - started


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        start = statistics.median(seconds(["--version"], folder) for _ in range(repeats))
        print(f"{'--version':<10} {start:5.2f} s")
        for suite in SUITES:
            words = ["plan", "--method", "ttrl", "--suite", suite]
            median = statistics.median(seconds(words, folder) for _ in range(repeats))
            print(f"{suite:<10} {median:5.2f} s   {median / start:4.1f} times the start alone")


if __name__ == "__main__":
    main()
