"""Units of measure, as far as answers need them: which words are units, and which can be converted."""

import re
from fractions import Fraction

_QUANTITIES: tuple[dict[str, str], ...] = (
    {"mm": "1/1000", "millimeter": "1/1000", "cm": "1/100", "centimeter": "1/100", "dm": "1/10", "decimeter": "1/10",
     "m": "1", "meter": "1", "km": "1000", "kilometer": "1000", "inch": "0.0254", "foot": "0.3048",
     "yd": "0.9144", "yard": "0.9144", "mi": "1609.344", "mile": "1609.344"},
    {"mg": "1/1000000", "milligram": "1/1000000", "g": "1/1000", "gram": "1/1000", "kg": "1", "kilogram": "1",
     "lb": "0.45359237", "pound": "0.45359237", "oz": "0.028349523125", "ounce": "0.028349523125"},
    {"ms": "1/1000", "s": "1", "sec": "1", "second": "1", "min": "60", "minute": "60", "h": "3600", "hr": "3600",
     "hour": "3600", "day": "86400", "week": "604800"},
    {"ml": "1/1000", "milliliter": "1/1000", "cl": "1/100", "l": "1", "liter": "1"},
    {"cent": "1/100", "dollar": "1", "usd": "1"},
    {"°": "1", "degree": "1", "deg": "1"},
    {"radian": "1", "rad": "1"},
    {"grad": "1", "gradian": "1"},
)  # fmt: skip
"""Length, mass, time, volume, money, angle: each unit in one of its kind. Radians are no rational degrees."""
_TABLE = {
    name: (quantity, Fraction(factor)) for quantity, table in enumerate(_QUANTITIES) for name, factor in table.items()
}
_KNOWN = (
    "mm|cm|dm|km|mg|kg|ml|mL|cl|ft|lb|lbs|oz|yd|mi|hr|hrs|min|mins|sec|secs|mph|kmh|kph|in|inch|inches|foot|feet|sq|"
    "deg|degrees?|radians?|square|cubic|per|units?|dollars?|cents?|euros?|rupees|hours?|minutes?|seconds?|days?|"
    "weeks?|months?|years?|(?:centi|milli|kilo|deci)?(?:meters?|metres?|grams?|lit(?:er|re)s?)|miles?|yards?|"
    "pounds?|ounces?|gallons?|acres?"
)
_WORD = r"(?<= )(?=[b-df-hj-np-tv-z]*[aeiou])[a-z]{3,}(?![A-Za-z])"
_PART = re.compile(
    rf"(?:\\text\{{[A-Za-z ./\-]*\}}|°\s?[CF]?(?![A-Za-z])|(?:{_KNOWN})(?![A-Za-z])|{_WORD}"
    r"|m(?= ?/ ?s)|(?<=/)[hsmgL](?![A-Za-z])|(?<=/ )[hsmgL](?![A-Za-z]))\.?(?:\^\{?-?\d\}?)?"
)
_BETWEEN = re.compile(r" ?(?:(?:/|\\cdot(?![A-Za-z])) ?)?")
_START = re.compile(r"\\text\{|°|(?<![\\A-Za-z_^{])[A-Za-z]{2}|(?<=[\d)} ])m(?= ?/ ?s)")
_STARTS = 12
"""Places in an answer that are tried as the begin of its unit; each costs one pass over the rest."""


def split_unit(text: str) -> tuple[str, str] | None:
    """Return a value and what stands behind it as its unit, or None. Linear in the length of the text."""
    for number, match in enumerate(_START.finditer(text)):
        if number == _STARTS:
            return None
        value, tail = text[: match.start()].rstrip(), text[match.start() :]
        if value and (value[-1].isalnum() or value[-1] in ")}]!.%") and _is_parts(text, match.start()):
            return (value, tail) if is_unit(tail) and not value.endswith("\\text") else None
    return None


def _is_parts(text: str, position: int) -> bool:
    while part := _PART.match(text, position):
        if part.end() == len(text):
            return True
        between = _BETWEEN.match(text, part.end())
        position = between.end() if between else part.end()
    return False


_ONE_LETTER = frozenset("m s g h l L N J W V A K C F".split())
_CHANGING = frozenset(
    (
        "or and nor not no never isn but except unless if maybe wrong incorrect false less more fewer than "
        "below above under over half halves third thirds quarter quarters fourths fifths dozen dozens score "
        "hundred hundreds thousand million billion pair pairs double twice triple squared cubed factorial "
        "power root inverse log point minus plus negative positive times divided by mod modulo remainder "
        "choose to of is are zero one two three four five six seven eight tau eta lambda mu sigma omega phi "
        "psi sine cosine tangent nine ten eleven twelve twenty thirty forty fifty sixty seventy eighty ninety "
        "alpha beta gamma theta pi infinity exponent percent odd even"
    ).split()
)
"""Words that make another value of a number, or hedge it; they are no unit, and nothing is read out of them."""


def is_unit(text: str) -> bool:
    """Return whether the words behind a value name what is counted or measured, and nothing that changes it."""
    plain = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text)
    words = re.findall(r"[A-Za-z]+", plain)
    if len(words) > 5 or any(len(word) == 1 and word not in _ONE_LETTER for word in words):
        return False
    return not changes(plain)


def changes(words: str) -> bool:
    """Return whether words hedge or negate what they stand beside."""
    return any(word.lower() in _CHANGING for word in re.findall(r"[A-Za-z]+", words))


def unit_of(text: str) -> str | None:
    """Return a unit in one spelling: singular, lower case, powers as ^n; None for nothing."""
    words = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text).replace("{", "").replace("}", "").strip()
    words = words if words == "L" else words.lower()
    words = words.replace("metre", "meter").replace("litre", "liter")
    found: list[str] = []
    power = ""
    for word in re.findall(r"[a-z]+|°|/|\^-?\d", words):
        if word in ("square", "sq", "cubic", "cu"):
            power = "^2" if word.startswith("s") else "^3"
        elif word[0] == "^":
            power = ""
            if found:
                found[-1] += word
        else:
            plain = (
                word if word in ("s", "ms", "/") or word.endswith(("ss", "foot", "feet")) else word.removesuffix("s")
            )
            plain = "inch" if plain in ("inche", "in") else "foot" if plain in ("feet", "ft") else plain
            found.append(("/" if plain == "per" else plain) + power)
            power = ""
    return " ".join(found) or None


def conversion(gold: str | None, answer: str | None) -> Fraction | None:
    """Return the factor from the answer's unit to the gold's where both are known and differ, else None.

    None means that the bare numbers are compared: a missing, equal or unknown unit decides nothing.
    """
    if (known := _measures(gold, answer)) is None:
        return None
    (kind, one), (other_kind, other) = known
    return other / one if kind == other_kind and one != other else None


def comparable(gold: str | None, answer: str | None) -> bool:
    """Return whether two units measure the same quantity."""
    known = _measures(gold, answer)
    return known is not None and known[0][0] == known[1][0]


def of_other_kind(gold: str | None, answer: str | None) -> bool:
    """Return whether two known units measure different things, as money and angles, feet and square inches."""
    if (known := _measures(gold, answer)) is None:
        return False
    (one, _), (other, _) = known
    # the same unit without its power is a slip of the pen; feet are no square inches
    return one[0] != other[0] or (one != other and _name(gold) != _name(answer))


def _name(unit: str | None) -> str:
    return (unit or "").partition("^")[0]


_Measure = tuple[tuple[int, int], Fraction]


def _measures(gold: str | None, answer: str | None) -> tuple[_Measure, _Measure] | None:
    """Return both units as ((quantity, power), factor), or None where one is not known."""
    one, other = _measure(gold), _measure(answer)
    return None if one is None or other is None else (one, other)


def _measure(unit: str | None) -> _Measure | None:
    name, _, power = (unit or "").partition("^")
    known = _TABLE.get(name)
    if known is None or (power and not power.isdigit()):
        return None
    n = int(power or 1)
    return (known[0], n), known[1] ** n
