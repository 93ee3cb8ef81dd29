"""The shapes that an answer can have, and how they are written: plain data, read by `forms`."""

import re
from dataclasses import dataclass

BARE = ("list", "or")
"""Kinds of several values without brackets; "or" says that they are alternatives, so no coordinates."""
ORDER_OPERATORS = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le"}


@dataclass(frozen=True)
class Leaf:
    """One scalar: its LaTeX, whether it was a percentage, its unit, and the base it is written in."""

    latex: str
    percent: bool = False
    unit: str | None = None
    base: int | None = None


@dataclass(frozen=True)
class Text:
    """Words; `marked` where LaTeX says that it is text."""

    words: str
    marked: bool


@dataclass(frozen=True)
class Choice:
    """A choice letter, with what was written behind it."""

    letter: str
    content: "Form | None" = None


@dataclass(frozen=True)
class Items:
    """Several values; `kind`: list (bare), or (alternatives), set, tuple (parentheses), square (brackets), ratio."""

    kind: str
    items: "tuple[Form, ...]"


@dataclass(frozen=True)
class Interval:
    """An interval that is not open on both ends as written, or that an inequality gave, with its variable."""

    left_open: bool
    right_open: bool
    low: "Form"
    high: "Form"
    variable: str | None = None


@dataclass(frozen=True)
class Union:
    """A union of intervals or sets."""

    parts: "tuple[Form, ...]"


@dataclass(frozen=True)
class Matrix:
    """Rows of a matrix or vector."""

    rows: "tuple[tuple[Form, ...], ...]"


@dataclass(frozen=True)
class Relation:
    """A chain of equations or inequalities: `sides[0] operators[0] sides[1] ...`."""

    operators: tuple[str, ...]
    sides: "tuple[Form, ...]"
    latex: str


@dataclass(frozen=True)
class Unknown:
    """Text whose shape is not known."""

    latex: str


Form = Leaf | Text | Choice | Items | Interval | Union | Matrix | Relation | Unknown


MINUS_INFINITY, INFINITY = Leaf("-\\infty"), Leaf("\\infty")


def parts_of(form: Form) -> "tuple[Form, ...]":
    """Return the forms that a form is made of; none for a scalar, text, a choice, and what is not known."""
    if isinstance(form, Items):
        return form.items
    if isinstance(form, Interval):
        return form.low, form.high
    if isinstance(form, Union):
        return form.parts
    if isinstance(form, Matrix):
        return tuple(cell for row in form.rows for cell in row)
    return form.sides if isinstance(form, Relation) else ()


def is_name(form: Form) -> bool:
    """Return whether a form is a bare variable, as on the left of an assignment."""
    return (
        isinstance(form, Leaf)
        and re.fullmatch(r"(?:[A-Za-z]|\\[A-Za-z]+)(?:_(?:\w|\{[^{}]*\}))?'*", form.latex) is not None
    )


def latex_of(form: Form) -> str:
    """Return a form as LaTeX that math-verify can read."""
    if isinstance(form, Leaf):
        return form.latex
    if isinstance(form, Text):
        return f"\\text{{{form.words}}}"
    if isinstance(form, Choice):
        return f"\\text{{{form.letter}}}"
    if isinstance(form, Unknown | Relation):
        return form.latex
    if isinstance(form, Interval):
        left, right = "[("[form.left_open], "])"[form.right_open]
        return f"{left}{latex_of(form.low)}, {latex_of(form.high)}{right}"
    if isinstance(form, Union):
        return " \\cup ".join(map(latex_of, form.parts))
    if isinstance(form, Matrix):
        rows = " \\\\ ".join(" & ".join(map(latex_of, row)) for row in form.rows)
        return f"\\begin{{pmatrix}} {rows} \\end{{pmatrix}}"
    inner = (":" if form.kind == "ratio" else ", ").join(map(latex_of, form.items))
    left, right = {"set": ("\\{", "\\}"), "tuple": ("(", ")"), "square": ("[", "]")}.get(form.kind, ("", ""))
    return f"{left}{inner}{right}"


_SYNONYMS = dict.fromkeys(("nosolutions", "norealsolution", "norealsolutions", "nosolutionexists"), "nosolution")


def words_of(form: Form) -> str | None:
    """Return what a text is compared by: letters and digits in lower case, or a single letter as it stands; or None."""
    if isinstance(form, Text):
        plain = form.words
    elif isinstance(form, Leaf | Unknown) and form.latex:
        plain = re.sub(r"\\text\{([^{}]*)\}", r"\1", form.latex)
        if not re.fullmatch(r"[A-Za-z0-9 ]+", plain):
            return None
    else:
        return None
    found = re.sub(r"[\W_]+", "", plain)
    return found if len(found) == 1 else _SYNONYMS.get(found.lower(), found.lower())


def askable(latex: str) -> bool:
    """Return whether math-verify may be asked about a text: not where it would drop or split what it cannot read.

    It reads several formulas out of a text with $ in it, ignores words, negations, primes and stray indices, and
    mends brackets that do not close.
    """
    if re.search(r"[$\n']|\\(?:text|not|lnot|neg|boxed|fbox|nexists|approx|mod|bmod|pmod)|[\d)}\]!]\s*_|!=", latex):
        return False
    depth = 0
    for piece in re.findall(r"\\.|[()\[\]{}]", latex):
        depth += (piece in "([{" or piece == "\\{") - (piece in ")]}" or piece == "\\}")
        if depth < 0:
            return False
    return depth == 0


def squeezed(latex: str) -> str:
    """Return LaTeX without spaces, for comparing it as text."""
    return latex.replace(" ", "")
