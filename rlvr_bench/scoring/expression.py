"""Scalar expressions, read by a closed grammar into a tree of tuples.

The grammar knows numbers, letters, fractions, roots, powers, factorials, binomials and the elementary
functions. Anything else is Unreadable, and then math-verify decides. Nothing is executed, and depth is bounded.
"""

import math
import re
from fractions import Fraction
from typing import Any

MAX_DEPTH = 32
"""Nesting of a tree; the reader's own recursion is a few frames a level."""
Node = tuple[Any, ...]


class Unreadable(Exception):  # noqa: N818
    """The text is not in the grammar, or its value is out of bounds: nothing is known about it."""


class TooLarge(Unreadable):
    """The value holds a number far beyond any answer: it equals no value that can be written out."""


_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+(?![A-Za-z.]))?)|(?P<command>\\[A-Za-z]+)"
    r"|(?P<letter>[A-Za-z])|(?P<other>[-+*/^_!(){}\[\]|'%]))"
)
FUNCTIONS = frozenset("sin cos tan cot sec csc sinh cosh tanh arcsin arccos arctan ln log lg exp".split())
_GREEK = frozenset(
    "alpha beta gamma delta theta phi lambda mu sigma omega epsilon rho tau psi xi eta kappa nu zeta chi "
    "Delta Theta Phi Lambda Sigma Omega Gamma Psi Xi ell".split()
)
_OPENERS = {"(": ")", "[": "]", "{": "}"}
_ARGUMENTS = frozenset({"\\pi", "\\frac", "\\sqrt", "(", *("\\" + name for name in _GREEK)})
_ENDS = frozenset({"", "+", "-", ")", "]", "}", "|"})


class _Reader:
    """Recursive descent over one text; every call is bounded by MAX_DEPTH and by the tokens left."""

    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        position, end = 0, len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if match is None:
                raise Unreadable
            self.tokens.append((match.lastgroup or "", match.group().strip()))
            position = match.end()
        self.tokens.append(("end", ""))
        self.at = 0
        self.depth = 0
        self.bars = 0

    @property
    def kind(self) -> str:
        return self.tokens[self.at][0]

    @property
    def piece(self) -> str:
        return self.tokens[self.at][1]

    def take(self, expected: str | None = None) -> str:
        piece = self.piece
        if expected is not None and piece != expected:
            raise Unreadable
        self.at += 1
        return piece

    def whole(self) -> Node:
        node = self.sum()
        if self.kind != "end":
            raise Unreadable
        return node

    def sum(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable
        terms = [self.product()]
        while self.piece in ("+", "-"):
            sign = self.take()
            term = self.product()
            terms.append(term if sign == "+" else ("neg", term))
        self.depth -= 1
        return terms[0] if len(terms) == 1 else ("add", terms)

    def product(self) -> Node:
        factors = [self.signed()]
        while True:
            if self.piece in ("*", "\\cdot"):
                self.take()
                factors.append(self.signed())
            elif self.piece == "/":
                self.take()
                factors.append(("inverse", self.signed()))
            elif self.kind == "end" or (self.piece in _ENDS and (self.bars or self.piece != "|")):
                return factors[0] if len(factors) == 1 else ("mul", factors)
            else:
                self.juxtaposed(factors)

    def juxtaposed(self, factors: list[Node]) -> None:
        """Read what stands next to a factor: a further factor, or the fraction of a mixed number."""
        left = factors[-1]
        if self.kind == "number" and self.tokens[self.at - 1][0] == "number":
            raise Unreadable
        start = self.at
        right = self.power()
        bare = self.at - start
        if left[0] == "number" and left[2] is None and right[0] == "div" and self.tokens[start][1] == "\\frac":
            top, bottom = right[1], right[2]
            plain = top[0] == bottom[0] == "number" and top[2] is None and bottom[2] is None
            if plain and bare > 1 and 0 < top[1] < bottom[1] and left[1] > 0:
                factors[-1] = ("add", [left, right])
                return
        factors.append(right)

    def signed(self) -> Node:
        if self.piece in ("-", "+"):
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise Unreadable
            sign = self.take()
            # a sign binds a whole product: -2\frac{1}{2} is -(2\frac{1}{2})
            node = self.signed_product()
            self.depth -= 1
            return node if sign == "+" else ("neg", node)
        return self.power()

    def signed_product(self) -> Node:
        factors = [self.signed()]
        while (self.kind in ("number", "letter", "command") or self.piece in _OPENERS) and self.piece != "\\cdot":
            self.juxtaposed(factors)
        return factors[0] if len(factors) == 1 else ("mul", factors)

    def power(self) -> Node:
        node = self.primary()
        while True:
            if self.piece == "!":
                self.take()
                double = self.piece == "!"
                if double:
                    self.take()
                node = ("double-factorial" if double else "factorial", node)
            elif self.piece == "^":
                self.take()
                self.depth += 1
                if self.depth > MAX_DEPTH:
                    raise Unreadable
                node = ("pow", node, self.exponent())
                self.depth -= 1
            else:
                return node

    def exponent(self) -> Node:
        if self.piece in ("-", "+"):
            sign = self.take()
            node = self.exponent()
            return ("neg", node) if sign == "-" else node
        if self.piece in ("{", "("):
            node = self.group()
            while self.piece == "!":
                self.take()
                node = ("factorial", node)
            if self.piece == "^":
                self.take()
                node = ("pow", node, self.exponent())
            return node
        node = self.primary()
        if self.piece == "^":
            self.take()
            node = ("pow", node, self.exponent())
        return node

    def group(self) -> Node:
        close = _OPENERS.get(self.take())
        if close is None:
            raise Unreadable
        bars, self.bars = self.bars, 0
        node = self.sum()
        self.bars = bars
        self.take(close)
        return node

    def argument(self) -> Node:
        """Read an argument of \\frac or \\binom: a group, a command, or one character."""
        if self.piece == "{":
            return self.group()
        if self.kind == "number":
            digits = self.piece
            if not digits.isdigit():
                raise Unreadable
            if len(digits) > 1:
                self.tokens[self.at] = ("number", digits[1:])
            else:
                self.take()
            return ("number", int(digits[0]), None)
        return self.primary()

    def primary(self) -> Node:
        kind, piece = self.tokens[self.at]
        if kind == "number":
            self.take()
            return _number(piece)
        if kind == "letter":
            self.take()
            return self.symbol(piece)
        if piece in _OPENERS:
            return self.group()
        if piece == "|":
            self.take()
            self.bars += 1
            node = self.sum()
            self.bars -= 1
            self.take("|")
            return ("abs", node)
        if kind == "command":
            return self.command(self.take()[1:])
        raise Unreadable

    def symbol(self, name: str) -> Node:
        if self.piece == "_":
            self.take()
            if self.piece == "{":
                depth, parts = 0, []
                while True:
                    part = self.take()
                    depth += (part == "{") - (part == "}")
                    parts.append(part)
                    if depth == 0:
                        break
                    if self.kind == "end":
                        raise Unreadable
                return ("variable", name + "_" + "".join(parts[1:-1]))
            if self.kind not in ("number", "letter"):
                raise Unreadable
            return ("variable", f"{name}_{self.take()}")
        if self.piece == "'":
            raise Unreadable
        return ("variable", name)

    def command(self, name: str) -> Node:
        if name == "frac":
            top = self.argument()
            return ("div", top, self.argument())
        if name == "sqrt":
            index: Node | None = None
            if self.piece == "[":
                index = self.group()
            radicand = self.group() if self.piece == "{" else self.primary()
            return ("root", radicand, index)
        if name == "binom":
            top = self.argument()
            return ("binomial", top, self.argument())
        if name == "pi":
            return ("constant", math.pi)
        if name in _GREEK:
            return self.symbol(name)
        if name in FUNCTIONS:
            return self.function(name)
        raise Unreadable

    def function(self, name: str) -> Node:
        base: Node | None = None
        power: Node | None = None
        for _ in range(2):
            if self.piece == "_" and name == "log":
                self.take()
                base = self.argument()
            elif self.piece == "^" and power is None:
                self.take()
                power = self.exponent()
        if power == ("neg", ("number", 1, None)):
            # sin^{-1} is the inverse function by convention, other powers are powers
            name, power = f"arc{name}", None
            if name not in FUNCTIONS:
                raise Unreadable
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable
        node: Node = ("call", name, self.function_argument(), base)
        self.depth -= 1
        return node if power is None else ("pow", node, power)

    def function_argument(self) -> Node:
        if self.piece in ("(", "{", "["):
            return self.power() if self.piece != "{" else self.group()
        factors = [self.power()]
        while self.kind in ("number", "letter") or self.piece in _ARGUMENTS:
            factors.append(self.power())
        return ("mul", factors)


def _number(piece: str) -> Node:
    """Return (number, value, places): places is None for a whole number, else its printed decimals."""
    mantissa, _, exponent = piece.lower().partition("e")
    if len(piece) > 600 or (exponent and abs(int(exponent)) > 400):
        raise Unreadable
    if "." not in mantissa and not exponent:
        return ("number", int(mantissa), None)
    whole, _, decimals = mantissa.partition(".")
    value = Fraction(int((whole or "0") + decimals), 10 ** len(decimals))
    if exponent:
        value *= Fraction(10) ** int(exponent)
    return ("number", value, len(decimals) - int(exponent or 0))


def read(text: str) -> Node:
    """Return the tree of a scalar expression. Raises Unreadable."""
    try:
        return _Reader(text).whole()
    except (RecursionError, ValueError, IndexError) as error:
        raise Unreadable from error


def variables(node: Node) -> set[str]:
    """Return the names of a tree's variables."""
    if node[0] == "variable":
        return {node[1]}
    found: set[str] = set()
    for part in node[1:]:
        if isinstance(part, tuple):
            found |= variables(part)
        elif isinstance(part, list):
            found |= set().union(*map(variables, part))
    return found
