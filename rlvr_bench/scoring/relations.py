"""Equations and inequalities: what they name, which value they give, and whether two are the same."""

import re

from rlvr_bench.scoring.expression import Unreadable, read, variables
from rlvr_bench.scoring.shapes import Form, Items, Leaf, Relation, Text, Unknown, askable, is_name, latex_of
from rlvr_bench.scoring.units import changes
from rlvr_bench.scoring.values import equal_scalars, scalar_of


def value_of(relation: Relation, *, names_last: bool = False) -> Form | None:
    """Return what an equation gives as the value: its last side, or its first where the last is a bare name.

    None where it gives none: an inequality, a negation, sides that contradict each other, an equation that is
    still to be solved (x^2 = 2), the equation of a curve (... = 0).
    """
    if set(relation.operators) != {"="} or not stated(relation):
        return None
    first, last = relation.sides[0], relation.sides[-1]
    if names_last and is_name(last) and not is_name(first) and len(relation.sides) == 2:
        return first
    if named(first) and not (last == Leaf("0") and isinstance(first, Leaf) and re.fullmatch("[a-z]{2,}", first.latex)):
        return last
    if not isinstance(first, Leaf) or last == Leaf("0"):
        return None
    return None if _in_one_unknown(first.latex) else last


_ASKED = re.compile(r"\|[^|]+\||\\(?:sin|cos|tan|cot|sec|csc)(?:\^2)?\s*\(?\s*\\?[A-Za-z]+\)?")


def _in_one_unknown(latex: str) -> bool:
    """Return whether a left side holds one small letter alone, as x^2 does; |z| and \\cos x are asked for."""
    if _ASKED.fullmatch(latex.strip()):
        return False
    try:
        names = variables(read(latex))
    except Unreadable:
        names = set(re.findall("[A-Za-z]", re.sub(r"\\[A-Za-z]+", "", latex)))
    names -= {"e", "i"}
    return len(names) == 1 and names.pop()[0].islower()


def stated(relation: Relation) -> bool:
    """Return whether no side denies or contradicts the last."""
    last = relation.sides[-1]
    for side in relation.sides[:-1]:
        if isinstance(side, Text) and (isinstance(last, Text) or changes(side.words)):
            return False
        if isinstance(side, Leaf) and " " in side.latex and changes(side.latex):
            return False
        if isinstance(side, Leaf) and isinstance(last, Leaf):
            one, other = scalar_of(side.latex), scalar_of(last.latex)
            if one and other and not one.mixed and not other.mixed and equal_scalars(side.latex, last.latex) is False:
                return False
    return askable(re.sub(r"\\text\{[^{}]*\}", "", relation.latex).replace("'", "").replace("$", ""))


def applied(form: Form) -> bool:
    """Return whether a form looks like f(x), the left side of a definition."""
    return (
        isinstance(form, Leaf)
        and re.fullmatch(r"\\?(?![xyzntkm]\()[A-Za-z]+(?:_\w|\^\{?-?\w+\}?)?\([^()]*\)", form.latex) is not None
    )


def named(form: Form) -> bool:
    """Return whether a left side only names a value: x, AB, \\angle A, f(x), (m, n), words; not 2x + y."""
    if isinstance(form, Items):
        return all(map(is_name, form.items))
    if isinstance(form, Text | Unknown):
        words = form.words if isinstance(form, Text) else form.latex
        plain = re.sub(r"\\text\{([^{}]*)\}", r"\1", words)
        return not changes(plain) and re.fullmatch(r"[A-Za-z ',.()]+", plain) is not None
    if is_name(form) or applied(form):
        return True
    return (
        isinstance(form, Leaf)
        and re.fullmatch(r"(?:\\(?:angle|triangle|measuredangle)|[A-Za-z]|[\s'])+", form.latex) is not None
    )


def numbered(one: Form, other: Form) -> bool:
    """Return whether two names differ by an index that one of them lacks: roots x_1 = 2 and x = 2."""
    if not is_name(one) or not is_name(other):
        return False
    names = latex_of(one).split("_"), latex_of(other).split("_")
    index = (names[0][1:] or names[1][1:] or [""])[0].strip("{}")
    return names[0][0] == names[1][0] and min(map(len, names)) == 1 and index.isdigit()


def both_define(one: Form, other: Form) -> bool:
    """Return whether two left sides name a function's value: y = ... and f(x) = ..."""
    sides = (one, other)
    return any(map(applied, sides)) and all(applied(side) or is_name(side) for side in sides)


def all_named(items: tuple[Form, ...]) -> bool:
    """Return whether items are assignments to different names, so that bare values follow their order."""
    names = [latex_of(item.sides[0]) for item in items if isinstance(item, Relation) and is_name(item.sides[0])]
    return len(names) == len(items) > 1 and len(set(names)) == len(names)


def by_name(items: tuple[Form, ...]) -> tuple[Form, ...]:
    """Return assignments in the alphabetical order of their names, which is that of coordinates."""
    return tuple(sorted(items, key=lambda item: latex_of(item.sides[0]) if isinstance(item, Relation) else ""))


def letters_of(relation: Relation) -> set[str]:
    """Return the letters of a relation outside commands."""
    return set(re.findall(r"[A-Za-z]", re.sub(r"\\[A-Za-z]+", "", relation.latex)))


def proportional(gold: Relation, answer: Relation) -> bool | None:
    """Return whether two equations have the same solutions as multiples of one another, or None.

    Equal where left minus right of one is a constant multiple of the other's at every point; different where
    both are straight lines or planes and it is not.
    """
    sides = [(latex_of(r.sides[0]), latex_of(r.sides[-1])) for r in (gold, answer) if len(r.sides) == 2]
    if len(sides) != 2:
        return None
    one, other = (scalar_of(f"({left})-({right})") for left, right in sides)
    if one is None or other is None or len(one.positive) != len(other.positive):
        return None
    pairs = list(zip(one.positive + one.mixed, other.positive + other.mixed, strict=True))
    ratios = [x / y for x, y in pairs if x is not None and y is not None and min(abs(x), abs(y)) > 1e-9]
    if len(ratios) < max(len(pairs), 2):
        return None
    if all(abs(r - ratios[0]) <= 1e-9 * abs(ratios[0]) for r in ratios):
        return True
    linear = all(
        re.search(r"[\^\\(|]|[A-Za-z]\s*[A-Za-z]|/\s*\d*\s*[A-Za-z]", text) is None for pair in sides for text in pair
    )
    return False if linear else None
