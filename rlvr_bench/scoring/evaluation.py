"""The value of a scalar expression at a point: exact where it is rational, else in double precision."""

import cmath
import math
from collections.abc import Callable
from fractions import Fraction

from rlvr_bench.scoring.expression import Node, TooLarge, Unreadable

MAX_BITS = 80_000
"""Exact numbers stop here: 2022! has 19,000 bits."""
MAX_WORK = 400_000
"""Bits of all exact sums and products of one evaluation together."""
MAX_FACTORIAL = 3_000
BEYOND = 64
"""A power or factorial this many times over those bounds is TooLarge; between them math-verify is asked."""

_FUNCTIONS: dict[str, Callable[[complex], complex]] = {
    "sin": cmath.sin, "cos": cmath.cos, "tan": cmath.tan, "sinh": cmath.sinh, "cosh": cmath.cosh, "tanh": cmath.tanh,
    "cot": lambda z: 1 / cmath.tan(z), "sec": lambda z: 1 / cmath.cos(z), "csc": lambda z: 1 / cmath.sin(z),
    "arcsin": cmath.asin, "arccos": cmath.acos, "arctan": cmath.atan, "ln": cmath.log,
    "lg": cmath.log10, "exp": cmath.exp,
}  # fmt: skip

Value = int | Fraction | complex


class Evaluation:
    """Evaluates trees at one point; `largest` is the largest term that an inexact sum met."""

    def __init__(self, point: dict[str, complex]) -> None:
        self.point = point
        self.largest = 0.0
        self.work = 0

    def of(self, node: Node) -> Value:
        """Return a tree's value: int or Fraction where exact, else complex. Raises Unreadable."""
        try:
            value = self._of(node)
        except Unreadable:
            raise
        except (ArithmeticError, ValueError, RecursionError) as error:
            raise Unreadable from error
        if isinstance(value, complex) and not cmath.isfinite(value):
            raise Unreadable
        return value

    def _of(self, node: Node) -> Value:
        kind = node[0]
        if kind == "number":
            value: Value = node[1]
            return value
        if kind == "variable":
            return self._variable(node[1])
        if kind == "constant":
            return complex(node[1])
        if kind == "add":
            return self._sum([self._of(term) for term in node[1]])
        if kind == "neg":
            return -self._of(node[1])
        if kind == "mul":
            return self._product(node[1])
        if kind == "div":
            return _quotient(self._of(node[1]), self._of(node[2]))
        if kind == "pow":
            return _power(self._of(node[1]), self._of(node[2]))
        if kind == "root":
            return _root(self._of(node[1]), 2 if node[2] is None else self._of(node[2]))
        if kind == "abs":
            inner = self._of(node[1])
            if isinstance(inner, complex):
                return complex(abs(inner))
            return inner if inner >= 0 else -inner
        if kind == "factorial":
            return _factorial(self._of(node[1]))
        if kind == "double-factorial":
            return _double_factorial(self._of(node[1]))
        if kind == "binomial":
            return _binomial(self._of(node[1]), self._of(node[2]))
        return self._call(*node[1:])

    def _variable(self, name: str) -> Value:
        if name == "e":
            return complex(math.e)
        if name == "i":
            return 1j
        return self.point[name]

    def _sum(self, terms: list[Value]) -> Value:
        if any(isinstance(term, complex) for term in terms):
            inexact = [_finite(term) for term in terms]
            self.largest = max(self.largest, *map(abs, inexact))
            return sum(inexact)
        total: Value = 0
        for term in terms:
            total = _bounded(total + term)
            self._spend(total)
        return total

    def _spend(self, value: Value) -> None:
        """Count the bits of exact numbers, so that no text can ask for much arithmetic."""
        if not isinstance(value, complex):
            self.work += _bits(value)
            if self.work > MAX_WORK:
                raise Unreadable

    def _product(self, factors: list[Node]) -> Value:
        total: Value = 1
        for factor in factors:
            if factor[0] == "inverse":
                total = _quotient(total, self._of(factor[1]))
            else:
                value = self._of(factor)
                exact = not isinstance(total, complex) and not isinstance(value, complex)
                total = _bounded(total * value) if exact else _finite(total) * _finite(value)
            self._spend(total)
        return total

    def _call(self, name: str, argument: Node, base: Node | None) -> Value:
        z = self._of(argument)
        if z == 0 and name in ("sin", "tan", "arcsin", "arctan", "sinh", "tanh"):
            return 0
        if (z == 0 and name in ("cos", "exp", "cosh")) or (z == 1 and name in ("ln", "log", "lg")):
            return 1 if z == 0 else 0
        if name == "log" and base is not None:
            return cmath.log(_finite(z)) / cmath.log(_finite(self._of(base)))
        if name == "log":
            return cmath.log10(_finite(z))  # as math-verify reads it; ln is the natural one
        return _FUNCTIONS[name](_finite(z))


def _finite(value: Value) -> complex:
    return value if isinstance(value, complex) else complex(float(value))


def _bits(value: int | Fraction) -> int:
    if isinstance(value, int):
        return value.bit_length()
    return value.numerator.bit_length() + value.denominator.bit_length()


def _bounded(value: Value) -> Value:
    if isinstance(value, Fraction):
        if value.denominator == 1:
            return _bounded(value.numerator)
        size = max(value.numerator.bit_length(), value.denominator.bit_length())
    elif isinstance(value, int):
        size = value.bit_length()
    else:
        return value
    if size > MAX_BITS:
        raise Unreadable
    return value


def _factorial(value: Value) -> Value:
    """Return n!, and by the gamma function between whole numbers, so that n!/(n-1)! = n at any point."""
    if isinstance(value, int):
        _check_factorial(value)
        return math.factorial(value)
    return complex(math.gamma(_on_the_line(value) + 1))


def _double_factorial(value: Value) -> Value:
    if isinstance(value, int):
        _check_factorial(value)
        return math.prod(range(value, 0, -2))
    z = _on_the_line(value)
    return complex(2 ** (z / 2) * (math.pi / 2) ** ((math.cos(math.pi * z) - 1) / 4) * math.gamma(z / 2 + 1))


def _check_factorial(value: int) -> None:
    if not 0 <= value <= MAX_FACTORIAL:
        raise TooLarge if value > BEYOND * MAX_FACTORIAL else Unreadable


def _binomial(n: Value, k: Value) -> Value:
    if isinstance(n, int) and isinstance(k, int):
        if not 0 <= k <= n <= 2 * MAX_FACTORIAL:
            raise TooLarge if n > BEYOND * MAX_FACTORIAL and BEYOND < k < n - BEYOND else Unreadable
        return math.comb(n, k)
    a, b = _on_the_line(n), _on_the_line(k)
    return complex(math.gamma(a + 1) / math.gamma(b + 1) / math.gamma(a - b + 1))


def _on_the_line(value: Value) -> float:
    z = _finite(value)
    if z.imag:
        raise Unreadable
    return z.real


def _quotient(a: Value, b: Value) -> Value:
    if isinstance(a, complex) or isinstance(b, complex):
        return _finite(a) / _finite(b)
    return _bounded(Fraction(a) / Fraction(b))


def _power(base: Value, exponent: Value) -> Value:
    if isinstance(exponent, int) and not isinstance(base, complex):
        size = max(Fraction(base).numerator.bit_length(), Fraction(base).denominator.bit_length())
        if abs(exponent) * size > MAX_BITS and base not in (0, 1, -1):
            raise TooLarge if abs(exponent) * size > BEYOND * MAX_BITS else Unreadable
        return _bounded(Fraction(base) ** exponent)
    if isinstance(exponent, Fraction) and not isinstance(base, complex) and base >= 0:
        root = _root(base, exponent.denominator)
        return _power(root, exponent.numerator)
    if isinstance(exponent, int):
        return _finite(base) ** exponent
    return _finite(base) ** _finite(exponent)


def _root(radicand: Value, index: Value) -> Value:
    """Return the principal root; the real one for an odd root of a negative number."""
    if isinstance(index, complex) or index == 0:
        raise Unreadable
    if not isinstance(radicand, complex) and isinstance(index, int) and 0 < index <= 64:
        value = Fraction(radicand)
        if value < 0 and index % 2:
            return -_root(-value, index)
        if value >= 0:
            top, bottom = _whole_root(value.numerator, index), _whole_root(value.denominator, index)
            if top is not None and bottom is not None:
                return _bounded(Fraction(top, bottom))
    return _finite(radicand) ** (1 / _finite(index))


def _whole_root(n: int, index: int) -> int | None:
    if index == 2:
        root = math.isqrt(n)
        return root if root * root == n else None
    if n.bit_length() > 900:
        return None
    near = round(n ** (1 / index))
    return next((r for r in (near - 1, near, near + 1) if r >= 0 and r**index == n), None)
