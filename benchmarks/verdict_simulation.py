"""How often the rule is right, in worlds whose truth is known: prints the tables of docs/simulation.md.

    python benchmarks/verdict_simulation.py --repetitions 1000 > docs/simulation.md

Every cell draws `repetitions` experiments and runs the program's own estimates, bounds and rule on each.
About 6 minutes on two cores at 1,000 repetitions; equal arguments give equal output.
"""

import argparse
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from rlvr_bench.schema.suite import Rule
from rlvr_bench.stats.simulation import AIME_30, MATH_500, World, draw, judge, label, with_gains

BENCHES = (("MATH-500", MATH_500), ("AIME-30", AIME_30))
SEEDS = (1, 2, 3, 5)
TRAINABLE = (0.25, 0.20, 0.20)


@dataclass(frozen=True)
class Cell:
    table: str
    row: tuple[str, ...]
    column: str
    world: World
    room_matters: bool = True


def play(job: tuple[Cell, int]) -> dict[str, float]:
    """Return shares of headlines, of verdicts over the start, of the state of the first lineage, and coverage."""
    cell, repetitions = job
    # the same experiments for both forms of the rule
    rng = np.random.default_rng(
        zlib.crc32("/".join((cell.table, *cell.row, cell.column * (cell.table != "end"))).encode())
    )
    world = cell.world
    truth = np.array(world.gain)
    found: dict[str, float] = {}

    def count(key: str, share: float = 1.0) -> None:
        found[key] = found.get(key, 0.0) + 100 * share / repetitions

    for _ in range(repetitions):
        seen = judge(draw(world, rng), Rule(), room_matters=cell.room_matters)
        count(label(seen.headline))
        count(f"start {label(seen.over_start)}")
        covered = (seen.start.lower <= truth) & (truth <= seen.start.upper)
        for f in range(len(truth)):
            count(f"covered {f}", float(covered[f]))
        count("half-width", float(np.mean(seen.start.upper - seen.start.lower)) / 2)
        if seen.control is not None and seen.start.lower[0] > 0.02:
            state = "genuine" if seen.headline.credited[0] else "elicited" if seen.headline.elicited[0] else "open"
            count(state)
    return found


def equal_gains() -> Iterator[Cell]:
    for bench, base in BENCHES:
        for gain in (0.0, 0.05, 0.10, 0.20):
            for seeds in SEEDS:
                for k in (1, 8, 32):
                    world = replace(base, gain=(gain,) * 3, seeds=seeds, samples=k)
                    yield Cell("equal", (bench, f"{100 * gain:+.0f}", str(seeds)), f"k={k}", world)


def noisy_runs() -> Iterator[Cell]:
    for sd in (0.005, 0.015, 0.03, 0.05):
        for gain in (0.0, 0.05, 0.10):
            for seeds in (1, 2, 3):
                world = replace(MATH_500, gain=(gain,) * 3, seeds=seeds, run_sd=sd)
                yield Cell("noisy", (f"{100 * sd:.1f}", f"{100 * gain:+.0f}"), f"S={seeds}", world)


def one_family() -> Iterator[Cell]:
    for bench, base in BENCHES:
        for gain in (0.05, 0.10, 0.20):
            for seeds in SEEDS:
                for k in (1, 8, 32):
                    world = replace(base, gain=(gain, 0.0, 0.0), seeds=seeds, samples=k)
                    yield Cell("one", (bench, f"{100 * gain:+.0f}", str(seeds), str(k)), "", world)
    for models, sd in ((1, 0.01), (1, 0.02), (2, 0.015)):
        for seeds in (1, 2, 3):
            world = replace(MATH_500, gain=(0.10, 0.0, 0.0), seeds=seeds, models=models, run_sd=sd)
            row = (f"MATH-500, {models} model{'s' * (models > 1)}, run SD {100 * sd:.1f}", "+10", str(seeds), "8")
            yield Cell("one", row, "", world)


def other_worlds() -> Iterator[Cell]:
    worlds = {
        "15/7/7": (0.15, 0.07, 0.07),
        "20/10/0": (0.20, 0.10, 0.0),
        "10/5/0": (0.10, 0.05, 0.0),
        "16/8/8": (0.16, 0.08, 0.08),
        "20/-7/-5": (0.20, -0.07, -0.05),
        "-8/-8/-5": (-0.08, -0.08, -0.05),
    }
    for bench, base in BENCHES:
        for name, gains in worlds.items():
            for seeds in (1, 2, 3):
                yield Cell("other", (bench, name, str(seeds)), "", with_gains(base, gains, seeds=seeds))


def lineages() -> Iterator[Cell]:
    for count in (2, 4, 6, 8):
        base = tuple(float(b) for b in np.linspace(0.55, 0.25, count))
        for gain in (0.0, 0.05):
            for seeds in (1, 3):
                world = replace(MATH_500, base=base, gain=(gain,) * count, seeds=seeds)
                yield Cell("lineages", (str(count), f"{100 * gain:+.0f}"), f"S={seeds}", world)


def coverage() -> Iterator[Cell]:
    low = World(base=(0.03, 0.01, 0.005), gain=(0.0, 0.0, 0.0), problems=30, run_sd=0.003)
    worlds = (
        ("MATH-500", replace(MATH_500, gain=(0.10, 0.0, 0.05))),
        ("AIME-30", replace(AIME_30, gain=(0.10, 0.0, 0.05))),
        ("AIME-30 low", low),
    )
    for bench, base in worlds:
        for seeds in SEEDS:
            for k in (1, 8, 32):
                yield Cell("coverage", (bench, str(seeds), str(k)), "", replace(base, seeds=seeds, samples=k))


def collapsed() -> Iterator[Cell]:
    for seeds in SEEDS:
        yield Cell("collapse", (str(seeds),), "", replace(MATH_500, gain=(0.10,) * 3, seeds=seeds, collapse=0.1))


def states() -> Iterator[Cell]:
    worlds = {
        "method = control on lineage 0 (20 v 20)": ((0.20, 0.10, 0.10), (0.20, 0.0, 0.0)),
        "method 10 above (30 v 20)": ((0.30, 0.10, 0.10), (0.20, 0.0, -0.06)),
        "method 5 above (25 v 20)": ((0.25, 0.10, 0.10), (0.20, 0.0, -0.06)),
    }
    for name, (gains, control) in worlds.items():
        for seeds in (1, 2, 3):
            for k in (1, 8):
                world = replace(MATH_500, gain=gains, control=control, seeds=seeds, samples=k)
                yield Cell("states", (name, str(seeds), str(k)), "", world)


END_TO_END = {
    "all gain 10, control 0": ((0.10,) * 3, (0.0,) * 3, TRAINABLE),
    "all gain 10, control harms two by 5": ((0.10,) * 3, (0.0, -0.05, -0.05), TRAINABLE),
    "all gain 5, control 0": ((0.05,) * 3, (0.0,) * 3, TRAINABLE),
    "nothing gains, control 0": ((0.0,) * 3, (0.0,) * 3, TRAINABLE),
    "nothing gains, control harms all by 6": ((0.0,) * 3, (-0.06,) * 3, TRAINABLE),
    "one gains 10, control 0": ((0.10, 0.0, 0.0), (0.0,) * 3, TRAINABLE),
    "one gains 20, control gives it 10": ((0.20, 0.0, 0.0), (0.10, 0.0, 0.0), TRAINABLE),
    "one gains 20, so does the control": ((0.20, 0.0, 0.0), (0.20, 0.0, 0.0), (0.30, 0.20, 0.20)),
    "25/10/10, control 20/0/0, reference 28": ((0.25, 0.10, 0.10), (0.20, 0.0, 0.0), (0.28, 0.20, 0.20)),
    "25/10/10, control 20/0/-6, the method is the reference": (
        (0.25, 0.10, 0.10),
        (0.20, 0.0, -0.06),
        (0.25, 0.10, 0.10),
    ),
    "20/10/0, control 20/0/0, reference 20": ((0.20, 0.10, 0.0), (0.20, 0.0, 0.0), (0.20, 0.20, 0.20)),
    "20/10/0, control 20/0/0, reference 30": ((0.20, 0.10, 0.0), (0.20, 0.0, 0.0), (0.30, 0.20, 0.20)),
    "all gain 10, control 10/10/0, reference 10": ((0.10,) * 3, (0.10, 0.10, 0.0), (0.10,) * 3),
    "all gain 10, control 10/10/0, reference 25/20/20": ((0.10,) * 3, (0.10, 0.10, 0.0), TRAINABLE),
    "20/20/0, untrainable third": ((0.20, 0.20, 0.0), (0.0,) * 3, (0.25, 0.20, 0.0)),
    "20/0/0, untrainable third": ((0.20, 0.0, 0.0), (0.0,) * 3, (0.25, 0.20, 0.0)),
}


def end_to_end() -> Iterator[Cell]:
    for name, (gains, control, reference) in END_TO_END.items():
        for seeds in (1, 2, 3):
            world = replace(
                MATH_500, gain=gains, control=control, reference=reference, seeds=seeds, control_run_sd=0.02
            )
            for matters, column in ((True, "new"), (False, "old")):
                yield Cell("end", (name, str(seeds)), column, world, matters)


MAKERS: tuple[Callable[[], Iterator[Cell]], ...] = (
    equal_gains,
    noisy_runs,
    one_family,
    other_worlds,
    lineages,
    coverage,
    collapsed,
    states,
    end_to_end,
)


def share(found: dict[str, float], *names: str) -> float:
    return sum(v for key, v in found.items() if any(key == n or key.startswith(f"{n}(") for n in names))


def top(found: dict[str, float], prefix: str = "") -> str:
    """The words with their shares, largest first; lineages named as f0, f1, ..."""
    plain = {
        key.removeprefix(prefix): value
        for key, value in found.items()
        if key.startswith(prefix)
        and " " not in key.removeprefix(prefix)
        and key.removeprefix(prefix).split("(")[0].isupper()
    }
    shown = sorted(plain.items(), key=lambda item: -item[1])
    return ", ".join(f"{word} {value:.1f}" for word, value in shown if value >= 0.05)


class Printer:
    def __init__(self, cells: list[Cell], results: list[dict[str, float]]) -> None:
        self.rows: dict[str, dict[tuple[str, ...], dict[str, dict[str, float]]]] = {}
        for cell, found in zip(cells, results, strict=True):
            self.rows.setdefault(cell.table, {}).setdefault(cell.row, {})[cell.column] = found

    def table(self, title: str, about: str, key: str, head: list[str], line: Callable[..., list[str]]) -> None:
        print(f"\n## {title}\n\n{about}\n")
        print("| " + " | ".join(head) + " |")
        print("|" + "---|" * len(head))
        for row, columns in self.rows[key].items():
            print("| " + " | ".join([*row, *line(columns)]) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    cells = [cell for make in MAKERS for cell in make()]
    jobs = [(cell, options.repetitions) for cell in cells]
    results = []
    with ProcessPoolExecutor(options.jobs) as pool:
        for number, found in enumerate(pool.map(play, jobs), 1):
            results.append(found)
            if number % 20 == 0:
                print(f"{number}/{len(jobs)} cells", file=sys.stderr)
    report(Printer(cells, results), options.repetitions)


def report(p: Printer, repetitions: int) -> None:
    print("# Simulations of the rule\n")
    print(
        f"Output of `python benchmarks/verdict_simulation.py --repetitions {repetitions}`, unedited. Per cent of "
        f"{repetitions:,} experiments a cell (standard error {21.8 / repetitions**0.5:.1f} at 5 %, "
        f"{50 / repetitions**0.5:.1f} at 50 %), each judged by the program's own code.\n\n"
        "The worlds: three lineages of one model each unless said, starting at 50/40/30 % on 500 problems (run-to-run "
        "SD 1.5 points) or at 15/10/6 % on 30 (3 points); difficulty varies with SD 2.5 on the logit scale, 70 % of it "
        "shared by all models; training shifts problems unevenly (SD 1.0), runs differ overall and by problem; then k "
        "samples. S is the number of runs. The rule's own prior of the run-to-run SD is 2 points, 3 below 200 "
        "problems, 4 for controls."
    )
    p.table(
        "1. False ONE_FAMILY: all lineages gain the same",
        "Over the start, no control.",
        "equal",
        ["data", "true gain", "S", "k=1", "k=8", "k=32"],
        lambda c: [f"{share(c[k], 'ONE_FAMILY'):.1f}" for k in ("k=1", "k=8", "k=32")],
    )
    p.table(
        "2. The same where runs differ more or less than assumed",
        "500 problems, k = 8. From an SD of 5 points on, single runs are not to be trusted: hence the tipping point.",
        "noisy",
        ["run SD", "true gain", "S=1", "S=2", "S=3"],
        lambda c: [f"{share(c[k], 'ONE_FAMILY'):.1f}" for k in ("S=1", "S=2", "S=3")],
    )
    p.table(
        "3. Detection: one lineage gains",
        "The right lineage named. LEANS adds the weaker word; the rest is undecided unless shown.",
        "one",
        ["data", "gain", "S", "k", "ONE_FAMILY", "or LEANS", "wrong lineage", "ABSENT"],
        lambda c: [
            f"{c[''].get('ONE_FAMILY(f0)', 0):.1f}",
            f"{c[''].get('ONE_FAMILY(f0)', 0) + c[''].get('LEANS_ONE_FAMILY(f0)', 0):.1f}",
            f"{share(c[''], 'ONE_FAMILY') - c[''].get('ONE_FAMILY(f0)', 0):.1f}",
            f"{share(c[''], 'ABSENT'):.1f}",
        ],
    )
    p.table(
        "4. Other worlds",
        "k = 8. Gains of lineages f0/f1/f2 in points.",
        "other",
        ["data", "true gains", "S", "verdicts"],
        lambda c: [top(c[""])],
    )
    p.table(
        "5. False ONE_FAMILY with more lineages",
        "500 problems, k = 8, equal gains.",
        "lineages",
        ["lineages", "true gain", "S=1", "S=3"],
        lambda c: [f"{share(c[k], 'ONE_FAMILY'):.1f}" for k in ("S=1", "S=3")],
    )
    p.table(
        "6. Coverage of the 95 % interval",
        "True gains +10/0/+5; `AIME-30 low` starts at 3/1/0.5 % and gains nothing.",
        "coverage",
        ["data", "S", "k", "f0", "f1", "f2", "mean half-width", "ABSENT"],
        lambda c: [
            *(f"{c[''].get(f'covered {f}', 0):.1f}" for f in range(3)),
            f"{c['']['half-width']:.1f}",
            f"{share(c[''], 'ABSENT'):.1f}",
        ],
    )
    p.table(
        "7. One run in ten collapses by 20 points; all gain 10",
        "500 problems, k = 8. `validate` looks at the health of single runs before such words; `judge` cannot.",
        "collapse",
        ["S", "verdicts"],
        lambda c: [top(c[""])],
    )
    p.table(
        "8. One lineage against its control",
        "Of all experiments: credited (genuine), shown within 5 points of the control (elicited), or open.",
        "states",
        ["truth on lineage 0", "S", "k", "genuine", "elicited", "open"],
        lambda c: [f"{c[''].get(state, 0):.1f}" for state in ("genuine", "elicited", "open")],
    )
    print("\n## 9. The rule with control and reference, end to end\n")
    print(
        '500 problems, k = 8, run-to-run SD 1.5 points (control 2). *Old*: "no more than the control" always counts '
        "against the method. *New* (built): only where the reference is shown to gain more than the control; see "
        "ARCHITECTURE.md.\n"
    )
    print("| truth: method, control, reference | S | new | old | over the start alone |")
    print("|---|---|---|---|---|")
    for row, columns in p.rows["end"].items():
        new, old = columns["new"], columns["old"]
        cells = [*row, top(new), "the same" if top(new) == top(old) else top(old), top(new, "start ")]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
