"""How long a verdict takes: 12 models x 640 problems x 32 samples x 3 seeds, closed form and 10,000 resamples.

    python benchmarks/verdict_speed.py [--table MEGABYTES]

Ratios to scipy.stats.bootstrap on the same data, in the same process. `--table` also times `rlvr-bench judge` on a
CSV of that size.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import scipy.stats

from rlvr_bench.judgement.evidence import Evidence, ModelResults
from rlvr_bench.judgement.sensitivity import cross_check
from rlvr_bench.judgement.sides import Question, words
from rlvr_bench.judgement.verdicts import judge
from rlvr_bench.schema.suite import Rule

MODELS, PROBLEMS, SAMPLES, SEEDS, RESAMPLES = 12, {"math500": 500, "amc": 80, "aime24": 30, "aime25": 30}, 32, 3, 10_000


def answers(rng: np.random.Generator, shift: float, runs: int) -> dict[str, np.ndarray]:
    """Right or wrong: (runs, problems, samples) by benchmark."""
    return {b: rng.random((runs, n, SAMPLES)) < rng.beta(1, 1, (1, n, 1)) * 0.6 + shift for b, n in PROBLEMS.items()}


def collapse(raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {b: found.mean(-1) for b, found in raw.items()}


def timed(work: Callable[[], object], repeats: int) -> float:
    spent = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        spent.append(time.perf_counter() - begun)
    return statistics.median(spent)


def table(megabytes: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.csv"
        rng = np.random.default_rng(0)
        with path.open("w") as file:
            file.write("method,model,lineage,benchmark,problems,before,after,seed\n")
            seed = 0
            while file.tell() < megabytes * 1e6:
                for method in range(20):
                    for model in range(12):
                        after = 0.45 + 0.02 * rng.standard_normal()
                        file.write(
                            f"method-{method},model-{model}-7b,ln-{model % 4},math500,500,0.4,{after:.4f},{seed}\n"
                        )
                seed += 1
        begun = time.perf_counter()
        command = [sys.executable, "-m", "rlvr_bench.cli.app", "judge", str(path), "--json"]
        done = subprocess.run(command, capture_output=True, check=True)
        rows = path.read_bytes().count(b"\n") - 1
        took = time.perf_counter() - begun
        print(f"table of {path.stat().st_size / 1e6:.0f} MB, {rows:,} rows, 20 methods: {took:.1f} s")
        assert done.stdout.startswith(b'{"schema"')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=float, default=0.0, metavar="MEGABYTES")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    raw = [
        (
            answers(rng, 0.0, 1),
            {
                arm: answers(rng, shift, SEEDS)
                for arm, shift in (("method", 0.1), ("control", 0.0), ("reference", 0.15))
            },
        )
        for _ in range(MODELS)
    ]

    def evidence() -> Evidence:
        models = [
            ModelResults(
                name=f"m{i}",
                lineage=f"l{i % 4}",
                start=collapse(start),
                arms={arm: collapse(found) for arm, found in arms.items()},
                samples=SAMPLES,
                samples_before=SAMPLES,
            )
            for i, (start, arms) in enumerate(raw)
        ]
        return Evidence(models=tuple(models), sizes=PROBLEMS, paired=True, blind=frozenset({"control"}))

    found = evidence()
    alone = Question("method", (), None, Rule())
    whole = Question("method", ("control",), "reference", Rule())
    gathered = timed(evidence, 15)
    one = timed(lambda: words(found, alone), 31)
    both = timed(lambda: words(found, whole), 31)
    everything = timed(lambda: judge(found, whole), 15)
    drawn = timed(lambda: cross_check(found, alone, resamples=RESAMPLES), 5)
    moved = np.stack(
        [
            np.mean(
                [
                    np.concatenate([(m.arms["method"][b].mean(0) - m.start[b][0]) for b in PROBLEMS])
                    for m in found.models
                    if m.lineage == f"l{f}"
                ],
                axis=0,
            )
            for f in range(4)
        ]
    )
    rival = timed(
        lambda: scipy.stats.bootstrap(
            (moved,),
            np.mean,
            axis=-1,
            n_resamples=RESAMPLES,
            method="percentile",
            vectorized=True,
            batch=500,
            rng=np.random.default_rng(0),
        ),
        3,
    )
    print(
        f"{MODELS} models, {sum(PROBLEMS.values())} problems of 4 benchmarks, {SAMPLES} samples, {SEEDS} seeds; medians"
    )
    print(f"samples to shares, 3 arms and the start     {1e3 * gathered:8.1f} ms")
    print(f"verdict over the start, closed form         {1e3 * one:8.1f} ms   ratio {one / rival:.4f}")
    print(f"verdict with control and reference          {1e3 * both:8.1f} ms   ratio {both / rival:.4f}")
    print(f"everything a report needs (judge)           {1e3 * everything:8.1f} ms   ratio {everything / rival:.4f}")
    print(f"verdict from {RESAMPLES:,} resamples              {1e3 * drawn:8.1f} ms   ratio {drawn / rival:.4f}")
    print(f"scipy.stats.bootstrap, intervals only       {1e3 * rival:8.1f} ms   ratio 1")
    if options.table:
        table(options.table)


if __name__ == "__main__":
    main()
