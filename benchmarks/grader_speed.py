"""How fast answers are graded, beside math-verify alone in one thread, on the mix that a training run sees.

    python benchmarks/grader_speed.py [--golds FILE] [--pairs N]

The mix: MATH-500 golds, half of them whole numbers, groups of 16 answers with repetitions, right, wrong and
differently written. Then each kind of answer alone, all pairs distinct, where the cache cannot help. Both graders are
warm; ours starts each measurement with empty caches. At the end every verdict of the mix is compared with the slow
path: our normalisation and shapes, with every scalar left to math-verify.
"""

import argparse
import json
import logging
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

from math_verify import parse, verify

from rlvr_bench.scoring import compare_answers, forms, grader, values
from tests.scoring.rewritings import golds, mistakes, rewritings, slow_verdicts

GROUP = 16


def mix(wanted: list[str], rng: random.Random) -> list[tuple[str, str]]:
    """Return (gold, answer) pairs in groups of 16: 5 as the gold is written, 3 differently, 8 wrong of 3 or 4 kinds."""
    pairs = []
    for gold in wanted:
        right = list(rewritings(gold))
        wrong = [answer for answer in dict.fromkeys(mistakes(gold, rng)) if answer != gold] or ["0", "1"]
        few = rng.sample(wrong, min(len(wrong), 4))
        answers = [gold] * 5 + rng.choices(right, k=3) + rng.choices(few, k=GROUP - 8)
        rng.shuffle(answers)
        pairs += [(gold, answer) for answer in answers]
    return pairs


def kinds(rng: random.Random) -> dict[str, list[tuple[str, str]]]:
    """Return distinct pairs of each kind, half of them equal."""
    found: dict[str, list[tuple[str, str]]] = {}

    def add(kind: str, gold: str, right: str, wrong: str) -> None:
        found.setdefault(kind, []).extend([(gold, right), (gold, wrong)])

    for n in rng.sample(range(100, 10_000), 40):
        a, b = n % 97 + 2, n % 89 + 3
        add("whole numbers", f"{n}", f"{n}", f"{n + 1}")
        add("numbers written otherwise", f"{n}", f"{n:,}.0", f"{n + 1}.0")
        add("fractions and decimals", f"\\frac{{{n}}}{{8}}", f"{n / 8}", f"{n / 8 + 1}")
        add("roots", f"{a}\\sqrt{{{b}}}", f"\\sqrt{{{a * a * b}}}", f"{a}\\sqrt{{{b + 1}}}")
        add("expressions", f"(x+{a})(x-{b})", f"x^2+{a - b}x-{a * b}".replace("+-", "-"), f"x^2+{a}x-{b}")
        add("sets", f"{a}, {n}", f"{n}, {a}", f"{a}, {n + 1}")
        add("tuples", f"({a}, {n})", f"({a}.0, {n})", f"({n}, {a})")
        add("intervals", f"({a}, {a + n}]", f"({a}, \\frac{{{2 * (a + n)}}}{{2}}]", f"[{a}, {a + n}]")
        add("equations", f"y = {a}x + {n}", f"{a}x - y + {n} = 0", f"{a}x - y = {n}")
        rows = f"{a} & {b} \\\\ {n} & 1"
        add("matrices", f"\\begin{{pmatrix}} {rows} \\end{{pmatrix}}", f"\\begin{{bmatrix}}{rows}\\end{{bmatrix}}",
            f"\\begin{{pmatrix}} {b} & {a} \\\\ {n} & 1 \\end{{pmatrix}}")  # fmt: skip
        add("text", "\\text{Evelyn}", f"Evelyn{'.' * (n % 2)}", f"Briana {a}")
        add("sums (math-verify decides)", f"{n * (n + 1) // 2}", f"\\sum_{{k=1}}^{{{n}}} k", f"\\sum_{{k=2}}^{{{n}}} k")
        add(
            "integrals (math-verify decides)",
            f"\\frac{{{a}^{{2}}}}{{2}}",
            f"\\int_0^{{{a}}} x\\,dx",
            f"\\int_1^{{{a}}} x\\,dx",
        )
        add(
            "unknown functions (math-verify decides)",
            f"f({a}+x)+g({n})",
            f"g({n})+f(x+{a})",
            f"\\lfloor x+{a} \\rfloor+g({n})",
        )
    return found


def alone(pairs: list[tuple[str, str]]) -> float:
    """Return the seconds that math-verify takes, as it is used: both sides boxed, parsed and verified."""
    begun = time.perf_counter()
    for gold, answer in pairs:
        verify(parse(f"\\boxed{{{gold}}}"), parse(f"\\boxed{{{answer}}}"))
    return time.perf_counter() - begun


def ours(pairs: list[tuple[str, str]]) -> tuple[float, list[grader.Grade]]:
    """Return the seconds and grades of one batch with empty caches."""
    grader._grades.clear()
    grader._verdicts.known.clear()
    forms.form_of.cache_clear()
    values.scalar_of.cache_clear()
    begun = time.perf_counter()
    found = compare_answers(pairs)
    return time.perf_counter() - begun, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--golds", type=Path, help="JSON lines with an `answer` each (default: MATH-500)")
    parser.add_argument("--pairs", type=int, default=1_600, help="pairs of the mix that math-verify alone is timed on")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    rng = random.Random(0)
    if options.golds:
        found = [str(json.loads(line)["answer"]) for line in options.golds.read_text(encoding="utf-8").splitlines()]
    else:
        found = [gold for _, gold in golds("math500")]
    if not found:
        sys.exit("MATH-500 is not at hand: --golds FILE with one JSON object with `answer` a line")
    other = [gold for gold in found if not gold.lstrip("-").isdigit()]
    whole = rng.sample([gold for gold in found if gold.lstrip("-").isdigit()], len(other))
    pairs = mix(rng.sample(whole + other, 2 * len(other)), rng)
    ours([(f"f({n})", f"g({n})+\\lfloor x \\rfloor") for n in range(40)])  # starts the processes that hold math-verify
    alone(pairs[:64])
    seconds, grades = sorted((ours(pairs) for _ in range(3)), key=lambda found: found[0])[1]
    groups = rng.sample(range(0, len(pairs), GROUP), min(options.pairs, len(pairs)) // GROUP)
    sample = [pair for start in groups for pair in pairs[start : start + GROUP]]
    theirs = alone(sample)
    rate, other_rate = len(pairs) / seconds, len(sample) / theirs
    right = sum(grade.equal for grade in grades) / len(grades)
    print(f"mix: {len(pairs):,} pairs, {len(set(pairs)):,} distinct, {right:.0%} right")
    print(f"  ours {rate:,.0f} pairs/s; math-verify alone {other_rate:,.0f} pairs/s on {len(sample):,} of them")
    print(f"  ratio {rate / other_rate:.0f}; graded by {dict(Counter(grade.how for grade in grades))}")
    distinct = list(dict.fromkeys(pairs))
    fast, slow = compare_answers(distinct), slow_verdicts(distinct)
    differ = [
        (pair, f.equal, s) for pair, f, s in zip(distinct, fast, slow, strict=True) if s is not None and f.equal != s
    ]
    print(
        f"  {len(differ)} of {len(distinct):,} verdicts differ from the slow path, which gave up on {slow.count(None)}"
    )
    for (gold, answer), verdict, _ in differ:
        print(f"    gold {gold!r}, answer {answer!r}: {'equal' if verdict else 'different'} here")
    print("one kind at a time, distinct pairs: seconds of ours / of math-verify alone")
    for kind, some in kinds(rng).items():
        mine, theirs = min(ours(some)[0] for _ in range(2)), min(alone(some) for _ in range(2))
        by = Counter(g.how for g in compare_answers(some))
        print(f"  {kind:42} {mine:7.4f} / {theirs:7.4f} = {mine / theirs:6.4f}   {dict(by)}")


if __name__ == "__main__":
    main()
