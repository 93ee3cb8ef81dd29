"""Scalars as written: their percent sign, unit and base, and what these mean for a comparison."""

import re

from rlvr_bench.scoring.shapes import Form, Leaf, Unknown, squeezed
from rlvr_bench.scoring.units import UNIT_WORDS, comparable, unit_of
from rlvr_bench.scoring.values import scalar_of

_BASE = re.compile(r"^\(?(-?[0-9A-Za-z]+)\)?_(?:\{?\s*(?:\\text\{)?\s*(?:base )?(\d{1,2})\s*\}{0,2})$")
_SPOKEN_BASE = re.compile(r"\s*(?:\\text\{)?\s*\(?\s*(?:in )?base[\s-]*(\d{1,2})\s*\)?\s*\}?$", re.IGNORECASE)
_DEGREES = re.compile(r"°(?=\s*(?:[-+*/)}]|\\cdot|$))")
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)")
_UNIT = re.compile(
    r"^(.*?[\w)}\]°!.])\s*((?:\\text\{[^{}]*\}(?:\^\{?-?\d\}?)?|/|°|\\cdot|(?<=[ }\d])"
    + UNIT_WORDS
    + r"(?:\^\{?\d\}?)?|\s)+)$",
    re.DOTALL,
)


def leaf_of(text: str) -> Form:
    """Return a scalar with its percent sign, unit and base taken off, or Unknown."""
    unit = None
    if spoken := _SPOKEN_BASE.search(text):
        text = f"{text[: spoken.start()].strip()}_{spoken.group(1)}"
    if "$" in text or "€" in text or "£" in text:
        bare = text.replace("$", "").replace("€", "").replace("£", "").strip()
        unit, text = ("dollar" if "$" in text else "currency"), bare
    if match := _UNIT.match(text):
        value, found = match.group(1).strip(), match.group(2).strip()
        if found and not value.endswith(("^", "_", "\\text")):
            text, unit = value, unit_of(found) or unit
    percent = text.endswith("%")
    text = text.rstrip("%").strip() if percent else text
    if match := _BASE.match(text):
        digits, base = match.group(1), int(match.group(2))
        if 2 <= base <= 36 and (digits.lstrip("-")[:1].isdigit() or (base > 10 and digits.isupper())):
            return Leaf(digits.upper(), base=base)
    if "°" in text and not _TRIGONOMETRIC.search(text):
        text = _DEGREES.sub("", text)
    if not text or "\\text" in text:
        return Unknown(text)
    return Leaf(text, percent=percent, unit=unit)


def same_in_bases(gold: Leaf, answer: Leaf) -> bool:
    """Compare numerals: digits where one names no base, values where both do."""
    if gold.base is not None and answer.base is not None:
        try:
            return int(gold.latex, gold.base) == int(answer.latex, answer.base)
        except ValueError:
            return gold == answer
    one, other = (squeezed(leaf.latex).lstrip("0") or "0" for leaf in (gold, answer))
    return one == other


def is_share(latex: str) -> bool:
    """Return whether a number lies below 1, so that it was not asked for in percent."""
    value = scalar_of(latex)
    return value is not None and value.exact is not None and abs(value.exact) < 1


def with_unit_of(gold: Leaf, answer: Leaf) -> Leaf:
    """Read a bare `m` or `m/s` behind an answer as the unit that the gold names."""
    if gold.unit is None or answer.unit is not None:
        return answer
    match = re.match(r"^(.*[\d)}])\s*([A-Za-z]+(?:\s*/\s*[A-Za-z]+)?(?:\^\d)?)$", answer.latex)
    if match is None:
        return answer
    unit = unit_of(match.group(2))
    if unit == gold.unit or squeezed(unit or "") == squeezed(gold.unit) or comparable(gold.unit, unit):
        return Leaf(match.group(1), answer.percent, unit, answer.base)
    return answer
