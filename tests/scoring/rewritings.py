"""Ways in which one answer is written, and answers that differ from it: for tests and for the benchmark of speed."""

import json
import random
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from rlvr_bench.scoring.compare import Comparison
from rlvr_bench.scoring.forms import form_of
from rlvr_bench.scoring.pool import pool

DATA = Path(__file__).parents[3] / "shared" / "data"
BENCHMARKS = ("math500", "amc83", "amc23", "aime24", "aime25")
_FRACTION = re.compile(r"^(-?)\\[dt]?frac\{(\d+)\}\{(\d+)\}$")


def golds(*names: str) -> list[tuple[str, str]]:
    """Return (id, gold answer) of the named benchmarks; empty where they are not at hand."""
    paths = [DATA / f"{name}.jsonl" for name in names or BENCHMARKS]
    if not all(path.exists() for path in paths):
        return []
    rows = [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    return [(row["id"], str(row["answer"])) for row in rows]


def rewritings(gold: str) -> Iterator[str]:
    """Yield the same answer as models write it; every one is right."""
    yield gold
    yield f"\\boxed{{{gold}}}"
    yield f"${gold}$"
    yield f"\\({gold}\\)"
    yield f" {gold} ."
    yield f"\\displaystyle {gold}"
    yield gold.replace("\\frac", "\\dfrac")
    yield gold.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")
    yield re.sub(r"\\(left|right)\s*", "", gold)
    if "\\text" not in gold and "\\mbox" not in gold and "," not in gold and "\\begin" not in gold:
        yield re.sub(r"(?<![A-Za-z]) | (?![A-Za-z\d\\])", "", gold)
    if "\\begin" not in gold:
        yield gold.replace("(", "\\left(").replace(")", "\\right)") if "\\left" not in gold else gold
    yield gold.replace("pmatrix", "bmatrix")
    if re.fullmatch(r"-?\d+", gold):
        n = int(gold)
        yield from (
            f"{n}.0",
            f"{n:,}",
            f"{n}.",
            f"\\text{{{n}}}",
            f"\\frac{{{2 * n}}}{{2}}",
            f"{n}^{{1}}",
            f"{n - 1} + 1",
        )
        if n > 0:
            yield from (f"0{n}", f"+{n}", f"x = {n}", f"{n} \\text{{ units}}", f"{n}^\\circ", f"\\${n}")
    if match := _FRACTION.match(gold):
        sign, top, bottom = match.groups()
        value = Fraction(int(top), int(bottom))
        yield from (
            f"{sign}{top}/{bottom}",
            f"\\frac{{{sign}{top}}}{{{bottom}}}",
            f"{sign}\\frac{{{3 * int(top)}}}{{{3 * int(bottom)}}}",
        )
        yield f"{sign}{float(value):.12f}" if value.denominator in (2, 3, 4, 5, 6, 7, 8, 9, 16) else gold
        if value.denominator > 1 and value > 1:
            yield f"{sign}{int(value)}\\frac{{{(value - int(value)).numerator}}}{{{value.denominator}}}"
    if re.fullmatch(r"\d*\.\d+", gold):
        yield from (f"{gold}0", str(Fraction(gold)))
    if re.fullmatch(r"[a-z]", gold[:1]) and " = " in gold:
        yield gold.replace(" = ", "=")
    if "\\sqrt{" in gold and re.fullmatch(r"[^,=]*", gold):
        yield re.sub(r"\\sqrt\{(\d+)\}", r"\\sqrt{\1 \\cdot 1}", gold)
        yield f"{gold} + 0"
    if "^\\circ" in gold:
        yield from (
            gold.replace("^\\circ", "°"),
            gold.replace("^\\circ", ""),
            gold.replace("^\\circ", "\\text{ degrees}"),
        )


def mistakes(gold: str, rng: random.Random) -> Iterator[str]:
    """Yield answers that differ from the gold in value: another figure, a sign, a factor, a part left out."""
    figures = list(re.finditer(r"\d", gold))
    for match in rng.sample(figures, min(4, len(figures))):
        other = rng.choice([d for d in "123456789" if d != match.group()])
        yield gold[: match.start()] + other + gold[match.end() :]
    if re.fullmatch(r"-?\d+", gold):
        n = int(gold)
        yield from (str(n + 1), str(n - 1), str(10 * n + 3), str(-n - 1), f"\\frac{{{n}}}{{7}}" if n else "2")
    elif "," not in gold and "=" not in gold and "\\text" not in gold and "\\begin" not in gold and "\\pm" not in gold:
        yield from (f"{gold} + 1", f"17({gold})")


def slow_verdicts(pairs: list[tuple[str, str]]) -> list[bool | None]:
    """Return what the slow path says: our normalisation and shapes, every scalar by math-verify; None: too slow."""
    open_: dict[tuple[str, str], None] = {}

    def note(gold: str, answer: str) -> None:
        open_[gold, answer] = None

    forms = [(form_of(gold), form_of(answer)) for gold, answer in pairs]
    for gold, answer in forms:
        Comparison(note, exact=False).equal(gold, answer)
    questions = list(open_)
    said = dict(zip(questions, pool().run([(question,) for question in questions]), strict=True))
    found: list[bool | None] = []
    for gold, answer in forms:
        late = False

        def look(one: str, other: str) -> bool:
            nonlocal late
            verdict = said.get((one, other))
            late = late or verdict in (None, [None])
            return bool(verdict and verdict[0])

        verdict = Comparison(look, exact=False).equal(gold, answer)
        found.append(None if late and not verdict else bool(verdict))
    return found
