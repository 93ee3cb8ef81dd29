"""Equations and inequalities: what they name, which value they give, and whether two are the same."""

import re

from rlvr_bench.scoring.shapes import Form, Items, Leaf, Relation, Text, Unknown, is_name, latex_of
from rlvr_bench.scoring.values import scalar_of


def value_of(relation: Relation, *, names_last: bool = False) -> Form | None:
    """Return what an equation gives as the value: its last side, or its first where the last is a bare name."""
    if set(relation.operators) != {"="}:
        return None
    first, last = relation.sides[0], relation.sides[-1]
    return first if names_last and is_name(last) and not is_name(first) and len(relation.sides) == 2 else last


def applied(form: Form) -> bool:
    """Return whether a form looks like f(x), the left side of a definition."""
    return (
        isinstance(form, Leaf) and re.fullmatch(r"\\?[A-Za-z]+(?:_\w|\^\{?-?\w+\}?)?\([^()]*\)", form.latex) is not None
    )


def named(form: Form) -> bool:
    """Return whether a left side only names a value: x, AB, \\angle A, f(x), (m, n), words; not 2x + y."""
    if isinstance(form, Items | Text | Unknown) or is_name(form) or applied(form):
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
    return names[0][0] == names[1][0] and min(map(len, names)) == 1


def both_define(one: Form, other: Form) -> bool:
    """Return whether two left sides name a function's value: y = ... and f(x) = ..."""
    sides = (one, other)
    return any(map(applied, sides)) and all(applied(side) or is_name(side) for side in sides)


def all_named(items: tuple[Form, ...]) -> bool:
    """Return whether items are assignments to different names, so that bare values follow their order."""
    names = [latex_of(item.sides[0]) for item in items if isinstance(item, Relation) and is_name(item.sides[0])]
    return len(names) == len(items) > 1 and len(set(names)) == len(names)


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
