"""The shape of an answer: value, text, list, set, tuple, interval, union, matrix, ratio, equation or inequality.

Shapes are read from normalised text by its top-level separators and brackets alone; what stands inside is read
the same way. A text without a readable shape is Unknown, and then math-verify is asked about the whole.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from rlvr_bench.scoring.normal import normalise
from rlvr_bench.scoring.scalars import leaf_of
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
    is_name,
    latex_of,
)
from rlvr_bench.scoring.units import changes
from rlvr_bench.scoring.values import less, near_values, scalar_of

MAX_NESTING = 12
MAX_ITEMS = 64


_SCAN = re.compile(
    r"\\\{|\\\}|\\begin\b|\\end\b|\\text\{\s*,?\s*(?:and|or|AND|OR)\s*,?\s*\}"
    r"|\\(?:le|ge|ne|in|approx|equiv|cup|Leftrightarrow)\b"
    r"|\\[A-Za-z]+|:=|[()\[\]{},;:=<>]|(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])|\\\\"
)
_OPEN, _CLOSE = {"(", "[", "{", "\\{", "\\begin"}, {")", "]", "}", "\\}", "\\end"}
_RELATIONS = {"=", "<", ">", "\\le", "\\ge", "\\ne", "\\in", "\\approx", ":=", "\\equiv"}
_SHORT = frozenset({"no", "ne", "nw", "se", "sw"})
_WRITTEN = re.compile(r"^[A-Za-z][A-Za-z' .,\-]*$")
_TEXT = re.compile(r"\\text\{([^{}]*)\}")
_CHOICE = re.compile(r"^(?:(?:[Oo]ption|[Cc]hoice|[Aa]nswer):? )?(?:\(([A-Ja-j])\)|([A-J])[.):]?|\{([A-J])\})$")
_LABELLED = re.compile(
    r"^(?:(?:\\text\{)?\s*[Oo]ption:?\s*\}?\s*)?"
    r"(?:\\text\{\s*\(?([A-J])[).:]\s*\}|\(([A-J])\)(?=\s|\d)|([A-J])[.:)](?= ))"
    r"\s*([\w\\$(\[.-].*)$",
    re.DOTALL,
)
_OTHER_LABEL = re.compile(
    r"\([A-J]\)|(?<![A-Za-z])(?:or|and|not|wrong|incorrect|if|[A-J][.)])(?![A-Za-z])|\\text\{\s*\(?[A-J]\b"
)
_MATRIX = re.compile(r"^\\begin\{([pbBv]?(?:small)?matrix|array)\}(?:\{[lcr| ]*\})?(.*)\\end\{\1\}$", re.DOTALL)
_BUILDER = re.compile(r"^[A-Za-z]\s*(?:\\in\s*\\R\s*)?[|:]\s*(.+)$", re.DOTALL)
_FOR_ALL = re.compile(r"(?<=\S)\s*[,;]?\s*(?:\\text\{\s*(?:for|where)\s*\}\s*)?\(?\s*[kmn]\s*\\in\s*\\[ZN]\s*\)?$")
_EVERY = re.compile(r"(?<=\S)\s*,?\s*\\text\{\s*,?\s*for (?:all|every|any|each|some)\b[^{}]*\}[^,;=]*$")
_NOTE = re.compile(
    r"(?<=\S)\s*(?:\\text\{\s*\([^{}\d]*[a-z]{3}[^{}\d]*\)\s*\}|\((?:since|because|where|by|as|for)\b[^()]*\))$"
)
_TIME = re.compile(r"^\d{1,2}:\d\d\s*(?:\\text\{)?\s*[AaPp]\.?[Mm]\.?\s*\}?$")
_EMPTY = {"\\emptyset", "\\{\\}", "\\{ \\}"}
_REALS = {"\\R", "(-\\infty,\\infty)", "\\text{all real numbers}", "\\text{all reals}", "all real numbers", "all reals"}


@lru_cache(maxsize=5_000)
def form_of(answer: str) -> Form:
    """Return the shape of a bare answer as it was written. Never raises; at worst Unknown."""
    try:
        text = normalise(answer)
        return _form(text, 0)
    except Exception:
        return Unknown(answer)  # a training must not end because of one odd answer; math-verify decides


def _form(text: str, nesting: int) -> Form:
    text = _tidy(text)
    if nesting > MAX_NESTING or not text:
        return Unknown(text)
    if text in _EMPTY:
        return Items("set", ())
    if text in _REALS:
        return Interval(True, True, MINUS_INFINITY, INFINITY)
    if _TIME.match(text):
        return Text(text.replace("\\text", ""), marked=True)
    if (written := _written(text)) is not None:
        return written
    if (labelled := _LABELLED.match(text)) and not _OTHER_LABEL.search(content := labelled.group(4).strip()):
        return Choice(next(g for g in labelled.groups()[:3] if g), _form(content, nesting + 1))
    marks = _marks(text)
    if marks is None:
        return Unknown(text)
    for wanted in ((";",), (",", "and", "or"), _RELATIONS, ("\\cup",)):
        found = [(start, end, mark) for start, end, mark in marks if mark in wanted]
        if not found:
            continue
        parts = _cut(text, found)
        if len(parts) > MAX_ITEMS:
            return Unknown(text)
        if wanted is _RELATIONS:
            return _relation(text, [mark for _, _, mark in found], parts, nesting)
        if wanted == ("\\cup",):
            return Union(tuple(_form(part, nesting + 1) for part in parts))
        kept = [part for part in parts if part.strip()]
        words = {mark for _, _, mark in found}
        return (
            _list(kept, nesting, "or" if "or" in words else "and" if "and" in words else "list")
            if kept
            else Unknown(text)
        )
    return _single(text, [m for m in marks if m[2] == ":"], nesting)


def _tidy(text: str) -> str:
    text = text.strip()
    if (note := _NOTE.search(text)) and not changes(note.group()):
        text = text[: note.start()].strip()
    text = _FOR_ALL.sub("", _EVERY.sub("", text)).strip()
    while text.endswith((".", ",", ";")) and not text.endswith("..."):
        text = text[:-1].strip()
    return text


def _written(text: str) -> Form | None:
    """Return the text form or choice letter of an answer in words, or None."""
    marked = "\\text" in text
    plain = _TEXT.sub(r"\1", text).strip() if marked else text
    if choice := _CHOICE.match(plain):
        if marked or not plain.isalpha():
            return Choice(next(g for g in choice.groups() if g).upper())
        return None
    if not _WRITTEN.match(plain):
        return None
    if "," in plain or re.search(r"(?<![A-Za-z])(?:and|or|in)(?![A-Za-z])", plain):
        words = re.split(r"\s*(?:,|\band\b|\bor\b)\s*", plain)
        if len(words) > 1 and all(len(w) <= 2 for w in words):
            return _form(plain, 1) if marked and text.count("\\text") == 1 and text.startswith("\\text") else None
    letters = sum(c.isalpha() for c in plain)
    if (
        not marked
        and plain.lower() not in _SHORT
        and (letters < 3 or (any(len(w) < 2 for w in plain.split()) and letters < 6))
    ):
        return None
    return Text(plain, marked)


def _marks(text: str) -> list[tuple[int, int, str]] | None:
    """Return the separators that stand outside all brackets, or None where brackets do not close."""
    depth, found = 0, []
    for match in _SCAN.finditer(text):
        mark = match.group()
        if mark in _OPEN:
            depth += 1
        elif mark in _CLOSE:
            depth -= 1
            if depth < 0:
                return None
        elif depth == 0 and (mark[0] != "\\" or mark in _RELATIONS or mark == "\\cup" or mark.startswith("\\text{")):
            if mark.startswith("\\text{"):
                mark = "or" if "or" in mark.lower() else "and"
            found.append((match.start(), match.end(), mark))
    return found if depth == 0 else None


def _cut(text: str, marks: Iterable[tuple[int, int, str]]) -> list[str]:
    parts, last = [], 0
    for start, end, _ in marks:
        parts.append(text[last:start])
        last = end
    return [*parts, text[last:]]


def _list(parts: Sequence[str], nesting: int, joined: str = "list") -> Form:
    forms = [_form(part, nesting + 1) for part in parts]
    if len(forms) == 1:
        return forms[0]
    first = forms[0]
    alone = not any(isinstance(form, Relation | Interval) for form in forms[1:])
    if alone and isinstance(first, Relation) and first.operators == ("=",) and _names(first.sides[0]):
        forms[0] = first.sides[-1]  # x = 1, 2: the name stands for all
    flat: list[Form] = []
    for form in forms:
        flat += form.items if isinstance(form, Items) and form.kind in BARE else (form,)
    if all(isinstance(form, Interval | Union) for form in flat):
        return _joined_intervals([form for form in flat if isinstance(form, Interval | Union)], joined)
    return Items("or" if joined == "or" else "list", tuple(flat))


def _joined_intervals(found: list[Interval | Union], joined: str) -> Form:
    """Join inequalities: "or" unites, "and" intersects, a comma does what leaves something."""
    both = _overlap(found)
    if both is not None and joined != "or":
        return both
    if joined == "and" and all(isinstance(form, Interval) and form.variable for form in found):
        return Unknown(" \\wedge ".join(map(latex_of, found)))
    return Union(tuple(part for form in found for part in (form.parts if isinstance(form, Union) else (form,))))


def _overlap(found: list[Interval | Union]) -> Interval | None:
    """Return the interval between a lower and an upper bound of one variable, or None."""
    if len(found) != 2 or not all(isinstance(form, Interval) and form.variable for form in found):
        return None
    low, high = sorted(found, key=lambda form: isinstance(form, Interval) and form.low == MINUS_INFINITY)
    assert isinstance(low, Interval) and isinstance(high, Interval)
    if low.variable != high.variable or low.high != INFINITY or high.low != MINUS_INFINITY:
        return None
    below = less(latex_of(low.low), latex_of(high.high))
    return Interval(low.left_open, high.right_open, low.low, high.high, low.variable) if below else None


def _names(form: Form) -> bool:
    return is_name(form) or (isinstance(form, Items) and all(map(is_name, form.items)))


def _relation(text: str, operators: list[str], parts: Sequence[str], nesting: int) -> Form:
    if not parts[0].strip():
        return (
            _form(text[len(operators[0]) :].strip(), nesting + 1)
            if operators[0] in ("=", "\\approx")
            else Unknown(text)
        )
    if not all(part.strip() for part in parts):
        return Unknown(text)
    if "\\approx" in operators:
        # an exact value and its approximation: the exact value is the answer, if the other is near
        exact, _, near = text.partition("\\approx")
        form, value = _form(exact, nesting + 1), _form(near, nesting + 1)
        left = form.sides[-1] if isinstance(form, Relation) else form
        one, other = (scalar_of(f.latex) if isinstance(f, Leaf) else None for f in (left, value))
        return form if one and other and near_values(one, other) else Unknown(text)
    operators = ["=" if op in (":=", "\\equiv") else op for op in operators]
    sides = tuple(_form(part, nesting + 1) for part in parts)
    if operators == ["\\in"] and _names(sides[0]):
        inside = sides[1]
        if (
            isinstance(inside, Items)
            and inside.kind in ("tuple", "square")
            and len(inside.items) == 2
            and is_name(sides[0])
        ):
            is_open = inside.kind == "tuple"
            return Interval(is_open, is_open, *inside.items)
        return inside
    if operators == ["="]:
        sides = _in_order(*sides)
    relation = Relation(tuple(operators), sides, text)
    return _as_interval(relation) or relation


def _in_order(names: Form, values: Form) -> tuple[Form, Form]:
    """Return (y, x) = (5, 4) as (x, y) = (4, 5): coordinates go by the alphabet."""
    if not isinstance(names, Items) or not _names(names) or not isinstance(values, Items):
        return names, values
    if len(names.items) != len(values.items) or names.kind not in ("tuple", "square"):
        return names, values
    pairs = sorted(zip(names.items, values.items, strict=True), key=lambda pair: latex_of(pair[0]))
    return Items(names.kind, tuple(n for n, _ in pairs)), Items(values.kind, tuple(v for _, v in pairs))


def _as_interval(relation: Relation) -> Interval | None:
    """Return the interval of an inequality that bounds one variable, or None."""
    operators, sides = list(relation.operators), list(relation.sides)
    if any(op not in ORDER_OPERATORS for op in operators) or len(sides) > 3:
        return None
    size = re.fullmatch(r"\|([A-Za-z])\|", sides[0].latex) if isinstance(sides[0], Leaf) and len(sides) == 2 else None
    if size and operators[0] in ("<", "\\le") and isinstance(sides[1], Leaf) and not _has_letters(sides[1].latex):
        is_open = operators[0] == "<"
        return Interval(is_open, is_open, Leaf(f"-({sides[1].latex})"), sides[1], size.group(1))
    if operators[0] in (">", "\\ge"):
        operators, sides = [ORDER_OPERATORS[op] for op in reversed(operators)], sides[::-1]
    if any(op in (">", "\\ge") for op in operators):
        return None
    names = [i for i, side in enumerate(sides) if is_name(side) and side != INFINITY and side != Leaf("e")]
    others = [side for i, side in enumerate(sides) if i not in names]
    if len(names) != 1 or not all(isinstance(side, Leaf) and not _has_letters(side.latex) for side in others):
        return None
    at = names[0]
    name = sides[at].latex  # type: ignore[union-attr]
    if len(sides) == 3:
        if at != 1:
            return None
        return Interval(operators[0] == "<", operators[1] == "<", sides[0], sides[2], name)
    if at == 0:
        return Interval(True, operators[0] == "<", MINUS_INFINITY, sides[1], name)
    return Interval(operators[0] == "<", True, sides[0], INFINITY, name)


def _has_letters(latex: str) -> bool:
    return re.search(r"(?<![\\A-Za-z])[A-Za-df-hj-z](?![A-Za-z])", re.sub(r"\\[A-Za-z]+", "", latex)) is not None


def _single(text: str, colons: list[tuple[int, int, str]], nesting: int) -> Form:
    """Read a text without top-level separators: brackets, a matrix, a ratio, a ±, or a scalar."""
    if colons and "\\text" not in text:
        parts = tuple(_form(part, nesting + 1) for part in _cut(text, colons))
        return Items("ratio", parts) if all(isinstance(part, Leaf) for part in parts) else Unknown(text)
    if "matrix}" in text or "{array}" in text:
        return _matrix(text, nesting)
    if (bracketed := _bracketed(text, nesting)) is not None:
        return bracketed
    if "\\pm" in text or "\\mp" in text:
        return _plus_minus(text, nesting)
    if "\\not" in text or "\\cap" in text or "\\setminus" in text or "\\{" in text:
        return Unknown(text)
    return leaf_of(text)


def _bracketed(text: str, nesting: int) -> Form | None:
    left = "\\{" if text.startswith("\\{") else text[:1]
    right = "\\}" if text.endswith("\\}") else text[-1:]
    if left not in ("(", "[", "\\{", "{") or right not in (")", "]", "\\}", "}") or not _encloses(text):
        return None
    inner = text[len(left) : -len(right)].strip()
    marks = _marks(inner)
    if marks is None:
        return None
    if left == "{" and right == "}":
        return _form(inner, nesting + 1)
    commas = [m for m in marks if m[2] in (",", ";")]
    if any(m[2] == ";" for m in commas):
        commas = [m for m in commas if m[2] == ";"]
    parts = _cut(inner, commas)
    if len(parts) > MAX_ITEMS or not all(part.strip() for part in parts):
        return Unknown(text)
    if left == "\\{" and right == "\\}":
        if builder := _BUILDER.match(inner):
            found = _form(builder.group(1), nesting + 1)
            return found if isinstance(found, Interval | Union | Relation) else Unknown(text)
        if re.search(r"\||:|\.\.\.", inner):
            return Unknown(text)
        found = _list(parts, nesting)
        return Items("set", found.items if isinstance(found, Items) and found.kind in BARE else (found,))
    if len(parts) == 1:
        return _form(inner, nesting + 1) if (left, right) in (("(", ")"), ("[", "]")) else Unknown(text)
    forms = tuple(_form(part, nesting + 1) for part in parts)
    if len(forms) == 2 and (left, right) != ("(", ")") and {left, right} <= {"(", ")", "[", "]"}:
        if (left, right) != ("[", "]"):
            return Interval(left == "(", right == ")", *forms)
        return Items("square", forms)
    if (left, right) not in (("(", ")"), ("[", "]")):
        return Unknown(text)
    return Items("tuple" if left == "(" else "square", forms)


def _encloses(text: str) -> bool:
    """Return whether the first bracket closes with the last."""
    depth = 0
    for match in _SCAN.finditer(text):
        if match.group() in _OPEN:
            depth += 1
        elif match.group() in _CLOSE:
            depth -= 1
            if depth == 0:
                return match.end() == len(text)
    return False


def _matrix(text: str, nesting: int) -> Form:
    while text.startswith(("(", "[")) and text.endswith((")", "]")) and _encloses(text):
        text = text[1:-1].strip()
    match = _MATRIX.match(text)
    if match is None or match.group(1).startswith("v") or "\\begin" in match.group(2):
        return Unknown(text)
    rows = [row for row in match.group(2).split("\\\\") if row.strip() and row.strip() != "\\hline"]
    cells = tuple(tuple(_form(cell, nesting + 1) for cell in row.split("&")) for row in rows)
    if not cells or sum(map(len, cells)) > MAX_ITEMS or len({len(row) for row in cells}) != 1:
        return Unknown(text)
    return Matrix(cells)


def _plus_minus(text: str, nesting: int) -> Form:
    """Expand each sign: ± and ∓ of one answer go together, several ± without ∓ are all combinations."""
    pieces = re.split(r"(\\pm|\\mp)", text)
    signs = [i for i, piece in enumerate(pieces) if piece in ("\\pm", "\\mp")]
    if len(signs) > 3:
        return Unknown(text)
    found = []
    linked = any(pieces[i] == "\\mp" for i in signs)
    for choice in range(2 if linked else 2 ** len(signs)):
        out = list(pieces)
        for k, i in enumerate(signs):
            upper = (choice if linked else choice >> k) & 1 == 0
            plus = upper == (pieces[i] == "\\pm")
            bare = not "".join(out[:i]).strip() or "".join(out[:i]).rstrip()[-1] in "({[,="
            out[i] = ("" if bare else "+") if plus else "-"
        found.append(_form("".join(out), nesting + 1))
    return Items("list", tuple(found))
