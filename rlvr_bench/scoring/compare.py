"""Whether two answers are equal, by their shapes; scalars by our reader, and by math-verify where it cannot tell.

Verdicts are three-valued: None means that it hangs on questions that were put to `ask` and have no answer yet.
The conventions are listed in docs/grading.md, each with its cases.
"""

import re
from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise

from rlvr_bench.scoring.relations import (
    all_named,
    both_define,
    by_name,
    letters_of,
    named,
    numbered,
    proportional,
    stated,
    value_of,
)
from rlvr_bench.scoring.scalars import is_share, same_in_bases, with_unit_of
from rlvr_bench.scoring.shapes import (
    BARE,
    INFINITY,
    MINUS_INFINITY,
    ORDER_OPERATORS,
    Choice,
    Form,
    Interval,
    Items,
    Leaf,
    Matrix,
    Relation,
    Text,
    Union,
    Unknown,
    askable,
    is_name,
    latex_of,
    squeezed,
    words_of,
)
from rlvr_bench.scoring.units import conversion, of_other_kind
from rlvr_bench.scoring.values import equal_scalars, too_far

Ask = Callable[[str, str], bool | None]
_INFINITE = re.compile(r"[-+]?\s*\\infty\s*")
_ORDERED = ("tuple", "square")


def _unless(decisive: bool, verdicts: Iterable[bool | None]) -> bool | None:
    """Return `decisive` where one verdict is that, else None where one is open, else its opposite (Kleene's logic)."""
    found: bool | None = not decisive
    for verdict in verdicts:
        if verdict is decisive:
            return decisive
        if verdict is None:
            found = None
    return found


_all, _any = partial(_unless, False), partial(_unless, True)


class Comparison:
    """Compares forms. `exact=False` leaves every scalar to `ask`: the slow path that the fast one is held to."""

    def __init__(self, ask: Ask, *, exact: bool = True) -> None:
        self.ask = ask
        self.exact = exact
        self._known: dict[tuple[int, int], bool | None] = {}

    def equal(self, gold: Form, answer: Form) -> bool | None:
        """Return whether an answer's form equals the gold's. Not symmetric: the gold says what is asked for."""
        if gold == answer:
            return True
        if not isinstance(gold, Items | Union | Matrix) or not isinstance(answer, Items | Union | Matrix):
            return self._equal(gold, answer)
        key = id(gold), id(answer)
        if key not in self._known:  # nested sets meet the same pair again and again
            self._known[key] = self._equal(gold, answer)
        return self._known[key]

    def _equal(self, gold: Form, answer: Form) -> bool | None:
        if isinstance(gold, Choice) or isinstance(answer, Choice):
            return self._choice(gold, answer)
        if isinstance(gold, Unknown) or isinstance(answer, Unknown):
            return self._unknown(gold, answer)
        if isinstance(gold, Relation) or isinstance(answer, Relation):
            return self._relation(gold, answer)
        if isinstance(gold, Text) or isinstance(answer, Text):
            return self._text(gold, answer)
        gold, answer = _lone(gold), _lone(answer)
        if isinstance(gold, Leaf) and isinstance(answer, Items) and answer.kind in BARE:
            return _all(isinstance(item, Leaf) and self.equal(gold, item) for item in answer.items)
        if isinstance(answer, Leaf) and isinstance(gold, Items) and gold.kind in BARE:
            return _all(isinstance(item, Leaf) and self.equal(item, answer) for item in gold.items)
        if isinstance(gold, Leaf) and isinstance(answer, Leaf):
            return self._leaf(gold, answer)
        if isinstance(gold, Matrix) or isinstance(answer, Matrix):
            return self._matrix(gold, answer)
        if isinstance(gold, Union) or isinstance(answer, Union):
            return self._unordered(_parts(gold), _parts(answer))
        if isinstance(gold, Interval) or isinstance(answer, Interval):
            return self._interval(gold, answer)
        if isinstance(gold, Items) and isinstance(answer, Items):
            return self._items(gold, answer)
        if {_kind(gold), _kind(answer)} == {"ratio", "leaf"}:
            return self._scalar(_quotient(gold), _quotient(answer))
        return False

    def _choice(self, gold: Form, answer: Form) -> bool | None:
        if isinstance(gold, Choice) and isinstance(answer, Choice):
            return gold.letter == answer.letter
        if isinstance(gold, Choice):
            if isinstance(answer, Leaf | Text) and (words_of(answer) or "").upper() == gold.letter:
                return True
            return gold.content is not None and self.equal(gold.content, answer)
        assert isinstance(answer, Choice)
        letter = words_of(gold)
        if letter and len(letter) == 1:
            return letter == answer.letter
        return answer.content is not None and self.equal(gold, answer.content)

    def _unknown(self, gold: Form, answer: Form) -> bool | None:
        if isinstance(answer, Text) or isinstance(gold, Text):
            return self._text(gold, answer)
        g, a = latex_of(gold), latex_of(answer)
        if squeezed(g) == squeezed(a):
            return True
        return self._asked(g, a) if g and a else False

    def _asked(self, gold: str, answer: str) -> bool | None:
        return self.ask(gold, answer) if askable(gold) and askable(answer) else False

    def _text(self, gold: Form, answer: Form) -> bool | None:
        one, other = words_of(gold), words_of(answer)
        return one is not None and one == other

    def _leaf(self, gold: Leaf, answer: Leaf) -> bool | None:
        if gold.base is not None or answer.base is not None:
            return same_in_bases(gold, answer)
        answer = with_unit_of(gold, answer)
        if of_other_kind(gold.unit, answer.unit):
            return False
        if answer.unit == "°" and gold.unit is None and "\\pi" in gold.latex:
            return False  # an angle in radians was asked for
        factor = conversion(gold.unit, answer.unit)
        latex = answer.latex
        if factor is not None:
            latex = f"({latex})\\cdot\\frac{{{factor.numerator}}}{{{factor.denominator}}}"
        if gold.percent == answer.percent:
            return self._scalar(gold.latex, latex)
        # a percentage is a hundredth of its number; the number alone will do where percent was asked for
        if gold.percent:
            return _any([self._scalar(gold.latex, latex), self._scalar(f"\\frac{{{gold.latex}}}{{100}}", latex)])
        share = self._scalar(gold.latex, f"\\frac{{{latex}}}{{100}}")
        return share if is_share(gold.latex) else _any([share, self._scalar(gold.latex, latex)])

    def _scalar(self, gold: str, answer: str) -> bool | None:
        if squeezed(gold) == squeezed(answer):
            return True
        if self.exact and (verdict := equal_scalars(gold, answer)) is not None:
            return verdict
        if too_far(gold, answer):
            return False
        if _INFINITE.fullmatch(gold) or _INFINITE.fullmatch(answer):
            return False
        return self._asked(gold, answer)

    def _matrix(self, gold: Form, answer: Form) -> bool | None:
        one, other = _rows(gold), _rows(answer)
        if one is None or other is None:
            return False
        if len(one) != len(other) or len(one[0]) != len(other[0]):
            vector = isinstance(gold, Items) or isinstance(answer, Items)
            if not vector or [len(one), len(one[0])] != [len(other[0]), len(other)]:
                return False
            other = tuple(zip(*other, strict=True))
        return _all(self.equal(g, a) for gs, as_ in zip(one, other, strict=True) for g, a in zip(gs, as_, strict=True))

    def _interval(self, gold: Form, answer: Form) -> bool | None:
        one, other = _as_interval(gold), _as_interval(answer)
        if one is None or other is None:
            return False
        if one.variable and other.variable and one.variable != other.variable:
            return False
        if _openness(one) != _openness(other):
            return False
        return _all([self.equal(one.low, other.low), self.equal(one.high, other.high)])

    def _items(self, gold: Items, answer: Items) -> bool | None:
        if gold.kind == "ratio" or answer.kind == "ratio":
            return self._ratio(gold, answer) if gold.kind == answer.kind else False
        if _other_kind(gold, answer):
            return False
        asked, given = gold.items, answer.items
        if gold.kind in _ORDERED and all_named(given):
            return self._in_order(asked, by_name(given))
        if gold.kind in _ORDERED:
            return self._in_order(asked, given)
        if all_named(asked) and not any(isinstance(item, Relation) for item in given):
            orders = [by_name(asked)] if answer.kind in _ORDERED else [asked, by_name(asked)]
            return _any(self._in_order(order, given) for order in orders)
        if gold.kind in BARE and answer.kind in BARE:
            return self._paired(asked, given)
        return self._unordered(asked, given)

    def _paired(self, gold: tuple[Form, ...], answer: tuple[Form, ...]) -> bool | None:
        """Compare bare lists without order: each value as often as the gold has it."""
        left, unsure = list(answer), len(gold) == len(answer)
        for g in gold:
            verdicts = [self.equal(g, a) for a in left]
            if True in verdicts:
                left.pop(verdicts.index(True))
            elif None not in verdicts:
                unsure = False
        if len(gold) == len(answer) and not left:
            return True
        return None if unsure else False

    def _in_order(self, gold: tuple[Form, ...], answer: tuple[Form, ...]) -> bool | None:
        return len(gold) == len(answer) and _all(map(self.equal, gold, answer))

    def _unordered(self, gold: tuple[Form, ...], answer: tuple[Form, ...]) -> bool | None:
        table = [[self.equal(g, a) for a in answer] for g in gold]
        forward = [_any(row) for row in table]
        return _all([*forward, *(_any(row[i] for row in table) for i in range(len(answer)))])

    def _ratio(self, gold: Items, answer: Items) -> bool | None:
        """Compare ratios as proportions: a:b = c:d where ad = bc."""
        one, other = ([latex_of(item) for item in form.items] for form in (gold, answer))
        if len(one) != len(other):
            return False
        return _all(
            self._scalar(f"({a})\\cdot({d})", f"({b})\\cdot({c})")
            for (a, b), (c, d) in zip(pairwise(one), pairwise(other), strict=True)
        )

    def _relation(self, gold: Form, answer: Form) -> bool | None:
        if not isinstance(gold, Relation):
            assert isinstance(answer, Relation)
            if isinstance(gold, Interval | Union) and set(answer.operators) <= set(ORDER_OPERATORS):
                return self._asked(latex_of(gold), answer.latex)
            value = value_of(answer, names_last=not is_name(gold))
            if isinstance(gold, Items) and isinstance(value, Leaf) and len(gold.items) != 1:
                return False
            return False if value is None else self.equal(gold, value)
        if not isinstance(answer, Relation):
            if isinstance(answer, Interval | Union) and set(gold.operators) <= set(ORDER_OPERATORS):
                return self._asked(gold.latex, latex_of(answer))
            value = value_of(gold)
            return False if value is None or not named(gold.sides[0]) else self.equal(value, answer)
        if set(gold.operators) == set(answer.operators) == {"="}:
            return self._equation(gold, answer)
        return self._chain(gold, answer)

    def _equation(self, gold: Relation, answer: Relation) -> bool | None:
        g, a = gold.sides[0], answer.sides[0]
        if not stated(answer):
            return False
        if squeezed(latex_of(g)) == squeezed(latex_of(a)) or numbered(g, a):
            return self.equal(gold.sides[-1], answer.sides[-1])
        if is_name(g) and is_name(a) and not (letters_of(gold) & letters_of(answer)):
            return False
        if isinstance(g, Text) or isinstance(a, Text) or both_define(g, a):
            return self.equal(gold.sides[-1], answer.sides[-1])
        if self.exact and (verdict := proportional(gold, answer)) is not None:
            return verdict
        return self._asked(gold.latex, answer.latex)

    def _chain(self, gold: Relation, answer: Relation) -> bool | None:
        """Compare inequalities side by side, as written or turned around; else math-verify decides."""
        sides, operators = answer.sides, answer.operators
        turned = tuple(ORDER_OPERATORS.get(op, op) for op in reversed(operators))
        for candidate, ops in ((sides, operators), (sides[::-1], turned)):
            if (
                ops == gold.operators
                and len(candidate) == len(gold.sides)
                and _all(map(self.equal, gold.sides, candidate)) is True
            ):
                return True
        return self._asked(gold.latex, answer.latex)


def _other_kind(gold: Items, answer: Items) -> bool:
    """Return whether two kinds of several values cannot mean the same: a set no point, a point no interval."""
    kinds = {gold.kind, answer.kind}
    if ("or" in kinds and kinds & set(_ORDERED)) or kinds in ({"set", "tuple"}, {"set", "square"}):
        return True
    pair = len(gold.items) == 2
    return pair and (kinds == {"tuple", "square"} or (gold.kind == "square" != answer.kind))


def _kind(form: Form) -> str | None:
    """Return "ratio" for a ratio of two, "leaf" for a scalar."""
    if isinstance(form, Leaf):
        return "leaf"
    return "ratio" if isinstance(form, Items) and form.kind == "ratio" and len(form.items) == 2 else None


def _quotient(form: Form) -> str:
    if isinstance(form, Items):
        return f"\\frac{{{latex_of(form.items[0])}}}{{{latex_of(form.items[1])}}}"
    return latex_of(form)


def _lone(form: Form) -> Form:
    return form.items[0] if isinstance(form, Items) and len(form.items) == 1 else form


def _parts(form: Form) -> tuple[Form, ...]:
    if isinstance(form, Items) and form.kind in BARE:
        return form.items
    return form.parts if isinstance(form, Union) else (form,)


def _rows(form: Form) -> tuple[tuple[Form, ...], ...] | None:
    if isinstance(form, Matrix):
        return form.rows
    if (
        isinstance(form, Items)
        and form.kind == "square"
        and all(isinstance(i, Items) and i.kind == "square" for i in form.items)
    ):
        rows = tuple(item.items for item in form.items if isinstance(item, Items))
        return rows if len(set(map(len, rows))) == 1 else None
    if isinstance(form, Items) and form.kind in (*_ORDERED, "list") and form.items:
        return (form.items,)
    return None


def _as_interval(form: Form) -> Interval | None:
    if isinstance(form, Interval):
        return form
    if isinstance(form, Items) and form.kind in _ORDERED and len(form.items) == 2:
        return Interval(form.kind == "tuple", form.kind == "tuple", *form.items)
    return None


def _openness(interval: Interval) -> tuple[bool, bool]:
    low = interval.low == MINUS_INFINITY
    high = interval.high in (INFINITY, Leaf("+\\infty"))
    return interval.left_open or low, interval.right_open or high
