"""Every built-in method on the embedded families, each once, with three seeds: the tables of docs/micro.md.

    python benchmarks/method_table.py [FOLDER] [method ...]

Runs `rlvr-bench validate` for every method on the suite micro with seeds 21, 22 and 23, in FOLDER (kept, so that the
same command goes on where it stopped; default: method-table), and prints the tables as Markdown. About 25 minutes on
two cores. Whatever a method shows is printed: nothing is chosen and nothing is left out.
"""

import json
import subprocess
import sys
from pathlib import Path
from statistics import mean

import yaml

from rlvr_bench import catalog

SEEDS = [21, 22, 23]
LINEAGES = ("micro-qwen", "micro-llama", "micro-olmo")
CLIPPING = ("random", "random-no-clip", "random-one-full-update", "random-one-small-update")


def suite_file(folder: Path) -> Path:
    suite = yaml.safe_load((catalog.folder("suite") / "micro.yaml").read_text())
    path = folder / "micro-three-seeds.yaml"
    path.write_text(yaml.safe_dump({**suite, "name": "micro-three-seeds", "seeds": SEEDS}, sort_keys=False))
    return path


def points(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "−")


def interval(gain: dict | None) -> str:
    if gain is None:
        return "–"
    return f"{points(gain['estimate'])} [{points(gain['lower'])}, {points(gain['upper'])}]"


def word(verdict: dict) -> str:
    named = verdict["lineages"] if 0 < len(verdict["lineages"]) < 3 else []
    return verdict["word"].replace("_", " ") + (f" ({', '.join(named)})" if named else "")


def row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |")


def validated(method: str, suite: Path, folder: Path) -> Path:
    """Validate a method on a suite file, named as its suite is, and return the run's folder, the newest of its name."""
    done = subprocess.run(
        ["rlvr-bench", "validate", "-m", method, "--suite", suite, "--runs", folder / "runs", "-q"],
        capture_output=True,
        text=True,
    )
    if done.returncode not in (0, 3, 5):
        raise SystemExit(f"{method}: exit {done.returncode}\n{done.stderr}")
    print(f"{method}: {done.stdout.strip() or done.stderr.strip()}", file=sys.stderr)
    runs = (folder / "runs").glob(f"{suite.stem}--{method}--*")
    return max(runs, key=lambda run: run.stat().st_mtime)


def health(run: Path, method: str) -> list[dict]:
    """First and last step of every training of the method."""
    records = [json.loads(path.read_text()) for path in sorted(run.glob(f"stages/*/{method}/*/train/record.json"))]
    return [record["training"] for record in records if record["training"]]


def gains_table(reports: dict[str, dict]) -> None:
    row("method", *LINEAGES, "verdict", "over the start alone", "flags")
    row(*["---"] * 7)
    for method, report in reports.items():
        by = {line["lineage"]: line for line in report["lineages"]}
        cells = []
        for lineage in LINEAGES:
            line = by.get(lineage)
            cells.append(interval(line["gain"]) if line else "left out")
        flags = ", ".join(dict.fromkeys(flag["name"] for flag in report["flags"]))
        row(f"`{method}`", *cells, word(report["verdict"]), word(report["over_start"]), flags)
    print()
    row("method", *(f"{lineage}, over random / over the best prompt" for lineage in LINEAGES))
    row(*["---"] * 4)
    for method, report in reports.items():
        by = {line["lineage"]: line for line in report["lineages"]}
        cells = []
        for lineage in LINEAGES:
            line = by.get(lineage) or {}
            over, net = line.get("gain_over_control"), line.get("net_gain")
            cells.append(f"{points(over['estimate']) if over else '–'} / {points(net['estimate']) if net else '–'}")
        row(f"`{method}`", *cells)


def code_table(reports: dict[str, dict]) -> None:
    row("method", *LINEAGES)
    row(*["---"] * 4)
    for method, report in reports.items():
        cells = []
        for lineage in LINEAGES:
            models = [m for m in report["models"] if m["lineage"] == lineage]
            before, after = (100 * mean(m[key] for m in models) for key in ("code_before", "code_after"))
            cells.append(f"{before:.1f} > {after:.1f}")
        row(f"`{method}`", *cells)


def clipping_table(reports: dict[str, dict], runs: dict[str, Path]) -> None:
    row(
        "method",
        "gain of each model, mean of three seeds",
        "SD between seeds",
        "token probability, first > last step",
        "entropy",
        "code share",
        "clipped share",
        "largest ratio",
    )
    row(*["---"] * 8)
    for method in CLIPPING:
        if method not in reports:
            continue
        models = reports[method]["models"]
        gains = [mean(m["after"]) - m["before"] for m in models]
        spread = mean(100 * (sum((a - mean(m["after"])) ** 2 for a in m["after"]) / 2) ** 0.5 for m in models)
        trained = health(runs[method], method)
        first, last = [t["steps"][0] for t in trained], [t["steps"][-1] for t in trained]
        steps = [step for t in trained for step in t["steps"]]

        def both(name: str, first: list[dict] = first, last: list[dict] = last) -> str:
            return f"{mean(s[name] for s in first):.3f} > {mean(s[name] for s in last):.3f}"

        row(
            f"`{method}`",
            ", ".join(points(g) for g in gains),
            f"{spread:.1f}",
            both("token_probability"),
            both("entropy"),
            f"{mean(m['code_before'] for m in models):.2f} > {mean(m['code_after'] for m in models):.2f}",
            f"{mean(s['clipped'] for s in steps):.4f}",
            f"{max(s['ratio_max'] for s in steps):.1f}",
        )


def prompts_table(report: dict) -> None:
    names = list(report["models"][0]["prompts"])
    row("untrained model", "own prompt", *(f"`{name}`" for name in names))
    row(*["---"] * (2 + len(names)))
    for m in report["models"]:
        shares = [m["before"], *(m["prompts"][name] for name in names)]
        row(m["model"], *(f"{100 * share:.1f}" for share in shares))


def labels_table(run: Path) -> None:
    row("model", "problems labelled", "right", "wrong", "right after all, for math-verify alone")
    row(*["---"] * 5)
    for path in sorted(run.glob("stages/*/baseline/labels-64/record.json")):
        found = json.loads(path.read_text())["labelling"]
        purity = found["purity"]
        row(path.parts[-4], found["labelled"], found["right"], purity["wrong"], purity["right_by_math_verify"])


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "method-table")
    methods = sys.argv[2:] or catalog.names("method")
    folder.mkdir(parents=True, exist_ok=True)
    suite = suite_file(folder)
    runs = {method: validated(method, suite, folder) for method in methods}
    reports = {m: json.loads((run / "report" / "report.json").read_text()) for m, run in runs.items()}
    gains_table(reports)
    print()
    code_table(reports)
    print()
    clipping_table(reports, runs)
    print()
    prompts_table(next(iter(reports.values())))
    if "incorrect" in runs:
        print()
        labels_table(runs["incorrect"])


if __name__ == "__main__":
    main()
