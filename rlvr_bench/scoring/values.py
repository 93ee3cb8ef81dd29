"""Whether two scalars are equal, as far as our own reader can tell: exactly, or at fixed points.

Rational values are compared exactly. Anything else is evaluated in double precision, with every variable at
fixed points: values that differ at a point differ, values that agree at all of them are taken as equal (Schwartz
and Zippel's argument for polynomials; two different constants that agree to ten digits do not occur as answers).
Where precision is lost, or a value exists at some points only, the verdict is None and math-verify decides.
"""

import math
import zlib
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from rlvr_bench.scoring.evaluation import Evaluation, Value
from rlvr_bench.scoring.expression import Node, TooLarge, Unreadable, read, variables

PLACES = 6
"""A decimal equals an exact value when both round to the same at this many places (math-verify's default) ..."""
CLOSENESS = 1e-4
"""... and differ by no more than this share: 0.0000672 and 0.0000674 are two numbers."""
_SAME, _DIFFERENT = 1e-10, 1e-8
_LOST = 1e5
_SMALLEST = 1e-250
NEAR = 0.05
"""An approximation that stands beside an exact value differs from it by no more than this share."""


@dataclass(frozen=True)
class Scalar:
    """A readable scalar: its exact value, or its values at the positive and at the mixed points.

    A value is None where cancellation left it too few digits; `out_of_bounds`: too large or too small
    to be computed.
    """

    exact: Fraction | None = None
    decimal: bool = False
    positive: tuple[complex | None, ...] = ()
    mixed: tuple[complex | None, ...] = ()
    out_of_bounds: bool = False


@lru_cache(maxsize=10_000)
def scalar_of(latex: str) -> Scalar | None:
    """Return what is known of a scalar expression, or None where the reader cannot read it."""
    try:
        tree = read(latex)
        names = sorted(variables(tree) - {"e", "i"})
        if names:
            return Scalar(positive=_at(tree, names, (1, 2, 3)), mixed=_at(tree, names, (-1, -2, -3)))
        evaluation = Evaluation({})
        value = evaluation.of(tree)
        abs(value)  # of a complex number this may overflow
    except TooLarge:
        return None if names else Scalar(out_of_bounds=True)
    except (Unreadable, ArithmeticError, ValueError):
        return None
    if isinstance(value, complex) and abs(value) < _SMALLEST and evaluation.largest < _SMALLEST:
        return Scalar(out_of_bounds=True)  # it underflowed
    if isinstance(value, complex):
        return Scalar(positive=(None if _lost(evaluation, value) else value,))
    return Scalar(exact=Fraction(value), decimal=_is_decimal(tree))


def _is_decimal(tree: Node) -> bool:
    while tree[0] == "neg":
        tree = tree[1]
    if tree[0] == "mul" and len(tree[1]) == 2 and tree[1][1][:2] == ("pow", ("number", 10, None)):
        tree = tree[1][0]
    return bool(tree[0] == "number" and tree[2] is not None)


def _lost(evaluation: Evaluation, value: complex) -> bool:
    # a value that underflowed, or that cancelled, is not known
    return abs(value) < _SMALLEST or evaluation.largest > _LOST * abs(value)


def _at(tree: Node, names: list[str], points: tuple[int, ...]) -> tuple[complex | None, ...]:
    found: list[complex | None] = []
    for number in points:
        evaluation = Evaluation({name: complex(_coordinate(name, number)) for name in names})
        value = evaluation.of(tree)
        value = value if isinstance(value, complex) else complex(float(value))
        found.append(None if _lost(evaluation, value) else value)
    return tuple(found)


@lru_cache(maxsize=4096)
def _coordinate(name: str, number: int) -> float:
    """Return a variable's value at a point: between 0.3 and 2.9, of either sign at the mixed points."""
    draw = zlib.crc32(f"{name}/{number}".encode())
    size = 0.3 + 2.6 * (draw % 999_983) / 999_983
    return -size if number == -1 or (number < 0 and draw & 64) else size


def rounds_to(one: Value, other: Value) -> bool:
    """Return whether two real numbers agree at PLACES decimals and within CLOSENESS of the larger."""
    if (pair := _reals(one, other)) is None:
        return False
    a, b = (round(value * 10**PLACES) for value in pair)
    return a == b and _within(*pair, CLOSENESS)


def _within(a: Fraction, b: Fraction, share: float) -> bool:
    return abs(a - b) <= Fraction(share) * max(abs(a), abs(b))


def _reals(one: Value | None, other: Value | None) -> tuple[Fraction, Fraction] | None:
    """Return two values where both are known and real."""
    a, b = (None if value is None else _real(value) for value in (one, other))
    return None if a is None or b is None else (a, b)


def _is_real(value: complex) -> bool:
    return abs(value.imag) <= _SAME * abs(value)


def _real(value: Value) -> Fraction | None:
    if isinstance(value, complex):
        return Fraction(value.real) if _is_real(value) else None
    return Fraction(value)


def equal_scalars(gold: str, answer: str) -> bool | None:
    """Return whether two scalar expressions in LaTeX are equal; None where this reader cannot tell."""
    g, a = scalar_of(gold), scalar_of(answer)
    if g is None or a is None:
        return None
    if g.out_of_bounds or a.out_of_bounds:
        return False  # such numbers are equal only as they are written
    if g.exact is not None and a.exact is not None:
        return g.exact == a.exact or ((g.decimal or a.decimal) and rounds_to(g.exact, a.exact))
    if g.decimal or a.decimal:
        one, other = _constant(g), _constant(a)
        if one is not None and other is not None:
            return rounds_to(one, other)
    verdict = _agree(_values(g, a, "positive"), _values(a, g, "positive"))
    if verdict is not True or not (g.mixed or a.mixed):
        return verdict
    xs, ys = _values(g, a, "mixed"), _values(a, g, "mixed")
    if all(value is None or _is_real(value) for value in (*g.positive, *a.positive)):
        # where an expression leaves the real line, as ln of a negative number does, its domain ends
        kept = [(x, y) for x, y in zip(xs, ys, strict=True) if x is None or y is None or (_is_real(x) and _is_real(y))]
        xs, ys = tuple(x for x, _ in kept), tuple(y for _, y in kept)
    return True if _agree(xs, ys) else None


def near_values(one: Scalar, other: Scalar) -> bool:
    """Return whether two constants lie near each other, as a value and its printed approximation do."""
    pair = _reals(_constant(one), _constant(other))
    return pair is not None and _within(*pair, NEAR)


def less(one: str, other: str) -> bool:
    """Return whether two constants in LaTeX are known and the first is the smaller."""
    a, b = scalar_of(one), scalar_of(other)
    pair = _reals(_constant(a), _constant(b)) if a and b else None
    return pair is not None and pair[0] < pair[1]


def too_far(gold: str, answer: str) -> bool:
    """Return whether a decimal is known to lie further from the other value than CLOSENESS allows."""
    g, a = scalar_of(gold), scalar_of(answer)
    if g is None or a is None or not (g.decimal or a.decimal):
        return False
    pair = _reals(_constant(g), _constant(a))
    return pair is not None and not _within(*pair, CLOSENESS)


def _constant(scalar: Scalar) -> Value | None:
    if scalar.exact is not None:
        return scalar.exact
    return scalar.positive[0] if len(scalar.positive) == 1 else None


def _inexact(exact: Fraction) -> complex:
    try:
        return complex(float(exact))
    except OverflowError:
        return complex(math.inf)


def _values(scalar: Scalar, other: Scalar, points: str) -> tuple[complex | None, ...]:
    """Return a scalar's values at the points of the other; a constant's is the same at each."""
    own: tuple[complex | None, ...] = getattr(scalar, points)
    if not own:
        own = scalar.positive or (_inexact(scalar.exact or Fraction(0)),)
    wanted = max(len(own), len(getattr(other, points)))
    return own if len(own) == wanted else own[:1] * wanted


def _agree(one: tuple[complex | None, ...], other: tuple[complex | None, ...]) -> bool | None:
    """Return False where a point differs, True where all agree to ten digits, None between."""
    verdict: bool | None = True
    for x, y in zip(one, other, strict=True):
        if x is None or y is None:
            verdict = None
            continue
        try:
            size, gap = max(abs(x), abs(y)), abs(x - y)
        except OverflowError:
            return None
        if math.isinf(size) or gap > _DIFFERENT * max(size, 1e-300):
            return False
        if gap > _SAME * size:
            verdict = None
    return verdict
