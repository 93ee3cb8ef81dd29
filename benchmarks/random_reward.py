"""A random reward with and without clipping: what docs/micro.md says of it, by one command.

    python benchmarks/random_reward.py [FOLDER] [setting ...]

Runs `rlvr-bench validate` with the methods random and random-no-clip under each setting below, five seeds each, in
FOLDER (kept, so that the same command goes on where it stopped; default: random-reward), and prints a table a setting:
token probability, entropy, code share and accuracy over steps. Whatever a setting shows is printed. About half an
hour on two cores.
"""

import json
import sys
from pathlib import Path
from statistics import mean, stdev

import yaml
from method_table import row, validated

from rlvr_bench import catalog

SEEDS = [31, 32, 33, 34, 35]
METHODS = ("random", "random-no-clip")
HEAD = (
    *("step", "accuracy at T=1", "greedy", "gain (± SE; each run)", "runs above the start", "code share"),
    *("token probability", "entropy", "clipped share so far"),
)
ONE_PASS = {"passes": 1, "steps": 40, "prompts_per_step": 64}
CLIPPED_ONLY = ("habit-not-dominant",)
SETTINGS: dict[str, dict] = {
    "micro-random": {},
    "habit-not-dominant": {"models": ["micro-qwen-a"]},
    "sgd-one-pass": {
        "models": ["micro-qwen-math-a"],
        "evaluate_at": [10, 20, 30],
        "training": ONE_PASS,
    },
    "adam-one-pass": {
        "models": ["micro-qwen-math-a"],
        "evaluate_at": [10, 20, 30],
        "training": {**ONE_PASS, "optimizer": "adam", "learning_rate": 1e-4, "adam_beta2": 0.95, "loss": "grpo"},
    },
}
"""Changes to the suite micro-random. adam-one-pass is the paper's setup (Spurious Rewards, App. A.3: 64 x 16 rollouts,
8 updates, one pass, Adam, loss by sequence) but for the learning rate, which is 200 times larger, steps and lengths."""


def suite_file(folder: Path, name: str) -> tuple[Path, dict]:
    suite = yaml.safe_load((catalog.folder("suite") / "micro-random.yaml").read_text())
    change = SETTINGS[name]
    suite |= {"name": f"study-{name}", "seeds": SEEDS, "reference": None}
    suite |= {"models": [m for m in suite["models"] if "qwen" in m]}
    suite |= {key: value for key, value in change.items() if key != "training"}
    suite["training"] |= change.get("training", {})
    path = folder / f"study-{name}.yaml"
    path.write_text(yaml.safe_dump(suite, sort_keys=False))
    return path, suite


def measured(record: Path) -> tuple[float, float, float]:
    """Accuracy at temperature 1, greedy accuracy, code share at temperature 1."""
    found = json.loads(record.read_text())["evaluation"]
    attempts = sum(o["attempts"] for o in found["sampled"])
    right = sum(o["correct"] for o in found["sampled"]) / attempts
    code = sum(n for o in found["sampled"] for name, (n, _) in o["patterns"].items() if name[0] == "c") / attempts
    return right, mean(o["correct"] for o in found["greedy"]), code


def rows(run: Path, method: str, suite: dict) -> list[list[str]]:
    """One row a step: what was measured there, mean over models and seeds; token probability and entropy are those of
    the rollouts that led to it."""
    cells = [(m, run / "stages" / m / method / f"seed-{s}") for m in suite["models"] for s in suite["seeds"]]
    health = {cell: json.loads((cell / "train/record.json").read_text())["training"]["steps"] for _, cell in cells}
    start = {m: measured(run / "stages" / m / "baseline/arithmetic/record.json") for m, _ in cells}
    found = []
    last = suite["training"]["steps"]
    for step in (0, *suite["evaluate_at"], last):
        if step:
            where = "" if step == last else f"step-{step}/"
            at = {cell: measured(cell / f"{where}arithmetic/record.json") for _, cell in cells}
        else:
            at = {cell: start[m] for m, cell in cells}
        gains = [100 * (at[cell][0] - start[m][0]) for m, cell in cells]
        near = [health[cell][max(step - 1, 0)] for _, cell in cells]
        clipped = [mean(h["clipped"] for h in health[cell][: max(step, 1)]) for _, cell in cells]
        found.append(
            [
                str(step),
                *(f"{100 * mean(values[i] for values in at.values()):.1f}" for i in (0, 1)),
                f"{mean(gains):+.1f} ± {stdev(gains) / len(gains) ** 0.5:.1f}" if step else "",
                f"{sum(g > 0 for g in gains)} of {len(gains)}" if step else "",
                f"{100 * mean(values[2] for values in at.values()):.1f}",
                f"{mean(h['token_probability'] for h in near):.3f}",
                f"{mean(h['entropy'] for h in near):.3f}",
                f"{mean(clipped):.4f}",
            ]
        )
    each = " ".join(f"{g:+.1f}" for g in gains)
    found[-1][3] += f" ({each})"
    return [[cell.replace("-", "−") if i == 3 else cell for i, cell in enumerate(cells)] for cells in found]


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "random-reward")
    folder.mkdir(parents=True, exist_ok=True)
    wanted = sys.argv[2:] or list(SETTINGS)
    if unknown := [name for name in wanted if name not in SETTINGS]:
        raise SystemExit(f"no setting is called {unknown[0]}; known: {', '.join(SETTINGS)}")
    for name in wanted:
        path, suite = suite_file(folder, name)
        for method in METHODS:
            if method == "random-no-clip" and name in CLIPPED_ONLY:
                continue
            run = validated(method, path, folder)
            print(f"\n**{name}, `{method}`** ({', '.join(suite['models'])}; seeds {SEEDS[0]} to {SEEDS[-1]})\n")
            for cells in (HEAD, ["---"] * len(HEAD), *rows(run, method, suite)):
                row(*cells)


if __name__ == "__main__":
    main()
