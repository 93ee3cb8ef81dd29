"""How long the site takes: N submissions, copies of the project's own, as they lie on the leaderboard.

    python benchmarks/site_speed.py [N]

Prints seconds of reading and of writing, pages and bytes. The check of a submission is timed beside it.
"""

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from rlvr_bench.publishing.board import rows_of
from rlvr_bench.publishing.site import build
from rlvr_bench.publishing.validation import check

OWN = Path(__file__).parents[1] / "leaderboard" / "submissions"


def copies(folder: Path, count: int) -> None:
    """Write `count` submissions: each a copy of one of ours under another method's name; big files are links."""
    runs = [p for p in sorted(OWN.iterdir()) if (p / "report.json").exists()]
    texts = [{n: json.loads((p / n).read_text()) for n in ("report.json", "inputs/plan.json")} for p in runs]
    for number in range(count):
        at = number % len(runs)
        source, target = runs[at], folder / f"method-{number}--micro--{number:08x}"
        (target / "inputs").mkdir(parents=True)
        report, plan = dict(texts[at]["report.json"]), dict(texts[at]["inputs/plan.json"])
        report["method"] = f"method-{number}"
        plan["method"] = {**plan["method"], "name": f"method-{number}"}
        (target / "report.json").write_text(json.dumps(report))
        (target / "inputs" / "plan.json").write_text(json.dumps(plan))
        for name in ("entry.json", "provenance.json", "outcomes.csv.gz", "stages.jsonl.gz"):
            shutil.copyfile(source / name, target / name)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "submissions"
        folder.mkdir()
        copies(folder, count)
        started = time.perf_counter()
        rows = rows_of(folder)
        read = time.perf_counter()
        pages = build(rows, Path(name) / "site", address="https://example.org")
        done = time.perf_counter()
        size = sum(p.stat().st_size for p in (Path(name) / "site").rglob("*") if p.is_file())
        print(f"{count} submissions: read {read - started:.1f} s, written {done - read:.1f} s")
        print(f"{len(pages)} pages, {size / 1e6:.1f} MB")
    started = time.perf_counter()
    for folder in sorted(OWN.iterdir()):
        check(folder)
    print(f"checking our own {len(list(OWN.iterdir()))}: {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
