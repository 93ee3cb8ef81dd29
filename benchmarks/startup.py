"""Start-up of the command line as a ratio to importing typer and rich alone: alternating runs, medians.

python benchmarks/startup.py [pairs]
"""

import statistics
import subprocess
import sys
import time

BARE = [sys.executable, "-c", "import typer, rich.console"]
HELP = ["rlvr-bench", "--help"]


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    bare, help_ = zip(*[(seconds(BARE), seconds(HELP)) for _ in range(pairs)], strict=True)
    a, b = statistics.median(bare), statistics.median(help_)
    print(f"import typer, rich.console: {a:.3f} s; rlvr-bench --help: {b:.3f} s; ratio {b / a:.2f}")


if __name__ == "__main__":
    main()
