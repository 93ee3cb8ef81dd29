"""Time, CPU and memory of the main command: a first method, then a second one, in a fresh folder.

    python benchmarks/micro_run.py [first] [second]

Prints one table. Ratios are of one run; wall seconds belong to the machine. Peak memory is the sum of the
proportional set sizes of all processes, sampled five times a second.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLE_SECONDS = 0.2


def family(root: int) -> list[int]:
    """Process ids of a process and all that descend from it."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def proportional_bytes(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def measured(method: str, cwd: Path) -> dict[str, float | str]:
    said = subprocess.run(["rlvr-bench", "plan", "--method", method, "--json"], cwd=cwd, capture_output=True, text=True)
    foretold = json.loads(said.stdout)["forecast"]
    started = time.monotonic()
    process = subprocess.Popen(
        ["rlvr-bench", "validate", "--method", method, "-q"], cwd=cwd, stdout=subprocess.PIPE, text=True
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(proportional_bytes, family(process.pid))))
        time.sleep(SAMPLE_SECONDS)
    wall = time.monotonic() - started
    assert process.stdout is not None
    verdict = process.stdout.read().strip()
    (run,) = cwd.glob(f"runs/micro--{method}--*")
    status = json.loads(
        subprocess.run(["rlvr-bench", "status", str(run), "--json"], capture_output=True, text=True, check=True).stdout
    )
    kinds = {k["kind"]: k for k in status["kinds"]}
    row: dict[str, float | str] = {"method": method, "wall": wall, "imports": status["idle_seconds"] or 0.0}
    for kind in kinds:
        paid = kinds[kind]["done"] - kinds[kind]["cached"]
        row[kind] = kinds[kind]["cpu_seconds"]
        row[f"{kind} each"] = kinds[kind]["cpu_seconds"] / paid if paid else 0.0
        row[f"{kind} paid"] = paid
    row["peak MiB"] = peak / 2**20
    row["verdict"] = verdict
    row["foretold"] = (foretold["low"] + foretold["high"]) / 2 / wall if foretold else 0.0
    return row


def main() -> None:
    methods = sys.argv[1:] or ["ttrl", "python"]
    with tempfile.TemporaryDirectory() as folder:
        rows = [measured(method, Path(folder)) for method in methods]
    for row in rows:
        print(f"{row['method']}: {row['wall']:.1f} s wall, of which {row['imports']:.1f} s imports, ", end="")
        print(f"peak {row['peak MiB']:.0f} MiB; {row['verdict']}")
        if row["foretold"]:
            print(f"  foretold {row['foretold']:.2f} of the wall time")
        for kind in ("baseline", "probe", "prepare", "train", "evaluate"):
            if kind not in row:
                continue
            print(
                f"  {kind:<9}{row[f'{kind} paid']:>3} stages  {row[kind]:>6.1f} CPU-s  {row[f'{kind} each']:.2f} each"
            )
    for row in rows[1:]:
        ratio = float(row["wall"]) / float(rows[0]["wall"])
        print(f"{row['method']} over {rows[0]['method']}: {ratio:.2f} of the wall time")


if __name__ == "__main__":
    main()
