"""Scalars as written: their percent sign, unit and base, and what these mean for a comparison."""

import re

from rlvr_bench.scoring.shapes import Form, Leaf, Unknown, squeezed
from rlvr_bench.scoring.units import comparable, split_unit, unit_of
from rlvr_bench.scoring.values import scalar_of

_BASE = re.compile(r"^\(?(-?[0-9A-Za-z]+)\)?_(?:\{?\s*(?:\\text\{)?\s*(?:base )?\(?(\d{1,2})\)?\s*\}{0,2})$")
_SPOKEN_BASE = re.compile(r" ?(?:\\text\{ ?)?\(? ?(?:in )?base[ -]?\}? ?(\d{1,2}) ?\)? ?\}?$", re.IGNORECASE)
_DEGREES = re.compile(r"°(?=\s*(?:[-+*/)}]|\\cdot|$))")
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)")
_PER = re.compile(r"\s*/\s*(?:\\text\{[A-Za-z .]*\}|[A-Za-z]+)$")
_IN_DEGREES = re.compile(r"(\d+(?:\.\d+)?)\s*°")


def leaf_of(text: str) -> Form:
    """Return a scalar with its percent sign, unit and base taken off, or Unknown."""
    unit = None
    if spoken := _SPOKEN_BASE.search(text):
        text = f"{text[: spoken.start()].strip()}_{spoken.group(1)}"
    if "$" in text or "€" in text or "£" in text:
        unit = "dollar" if "$" in text else "currency"
        text = _PER.sub("", re.sub(r"\s*[$€£]\s*", "", text).strip())
    if "°" in text and _TRIGONOMETRIC.search(text):
        text = _IN_DEGREES.sub(r"(\1\\cdot\\frac{\\pi}{180})", text)
    elif parts := split_unit(text):
        text, unit = parts[0], unit_of(parts[1]) or unit
    percent = text.endswith("%")
    text = text[:-1].strip() if percent else text
    if match := _BASE.match(text):
        digits, base = match.group(1), int(match.group(2))
        if 2 <= base <= 36 and (digits.lstrip("-")[:1].isdigit() or (base > 10 and digits.isupper())):
            return Leaf(digits.upper(), base=base)
    if "°" in text:
        text = _DEGREES.sub("", text)
    if not text or "\\text" in text or "%" in text:
        return Unknown(text)
    return Leaf(text, percent=percent, unit=unit)


def same_in_bases(gold: Leaf, answer: Leaf) -> bool:
    """Compare numerals: digits where the answer names no base, or 10 for a gold without one; else values."""
    if answer.base is None or gold.base is None:
        if answer.base not in (None, 10):
            return False
        return (squeezed(gold.latex).lstrip("0") or "0") == (squeezed(answer.latex).lstrip("0") or "0")
    try:
        return int(gold.latex, gold.base) == int(answer.latex, answer.base)
    except ValueError:
        return gold == answer


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
