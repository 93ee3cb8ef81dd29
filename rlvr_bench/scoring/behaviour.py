"""How a response behaves: in classes that are counted together per problem, so that any two can be crossed."""

import re
from collections.abc import Mapping

import numpy as np

from rlvr_bench.scoring.answers import boxed_answer
from rlvr_bench.scoring.code import holds_code

MAX_SCANNED = 65_536
"""Characters of a response that are searched for repetition: the work is the length times the pattern lengths."""


def mentions_python(text: str) -> bool:
    """Return whether the response contains the string "python", in any case (Spurious Rewards, Shao et al. 2025)."""
    return "python" in text.lower()


def repeats(text: str, *, times: int = 10, shortest: int = 10, longest: int = 256) -> bool:
    """Return whether some stretch of `shortest` to `longest` characters stands `times` or more times in a row.

    The definition is that of the code released with Spurious Rewards (Shao et al. 2025): 10 to 256 characters, 10
    times. A text has the period L over a run of n characters where it equals itself shifted by L over n - L.
    """
    codes = np.frombuffer(text[:MAX_SCANNED].encode("utf-32-le", errors="surrogatepass"), dtype=np.uint32)
    for length in range(shortest, min(longest, len(codes) // times) + 1):
        need = (times - 1) * length
        breaks = np.flatnonzero(codes[:-length] != codes[length:])
        ends = np.concatenate(([-1], breaks, [len(codes) - length]))
        if int(np.diff(ends).max()) - 1 >= need:
            return True
    return False


BEHAVIOURS: dict[str, dict[str, str]] = {
    "code": {"c": "code", "l": "language"},
    "python": {"p": "python", "-": "no python"},
    "boxed": {"b": "boxed", "-": "not boxed"},
    "repetition": {"r": "repeating", "-": "not repeating"},
    "script": {"l": "latin", "h": "han", "o": "other script", "m": "mixed", "-": "no letters"},
    "length": {"s": "short", "m": "medium", "l": "long", "t": "cut off"},
}
"""Every behaviour with its classes, each with the letter that stands for it in a pattern. `code` is program code of any
language (scoring.code), `python` the paper's own measure. `script` is of the letters outside LaTeX, `mixed` where a
second script has a tenth of them. `length` is by the limit of tokens: below an eighth, below a half, below it, cut."""

ORDER = tuple(BEHAVIOURS)
MIXED_SHARE = 0.1
SHORT, MEDIUM = 1 / 8, 1 / 2

_LATEX = re.compile(r"\\[A-Za-z]+")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")
_HAN = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_OTHER = re.compile(r"[\u0400-\u058f\u0590-\u0dff\u0e00-\u10ff\u1200-\u1bff]")

Patterns = Mapping[str, tuple[int, int]]


def script(text: str) -> str:
    """Return the letter of the class of scripts that a text is written in; Greek letters are taken for mathematics."""
    bare = _LATEX.sub(" ", text[:MAX_SCANNED])
    counts = {"l": len(_LATIN.findall(bare)), "h": len(_HAN.findall(bare)), "o": len(_OTHER.findall(bare))}
    total = sum(counts.values())
    if not total:
        return "-"
    first, second = sorted(counts, key=lambda name: -counts[name])[:2]
    return "m" if counts[second] >= MIXED_SHARE * total else first


def pattern(text: str, *, tokens: int, limit: int, truncated: bool) -> str:
    """Return how a response behaves: one letter for each of `BEHAVIOURS`, in their order.

    `tokens` of at most `limit` were generated; `truncated` says whether it was cut off there.
    """
    return "".join(
        (
            "c" if holds_code(text) else "l",
            "p" if mentions_python(text) else "-",
            "b" if boxed_answer(text) is not None else "-",
            "r" if repeats(text) else "-",
            script(text),
            "t" if truncated else "s" if tokens < SHORT * limit else "m" if tokens < MEDIUM * limit else "l",
        )
    )


def is_pattern(text: str) -> bool:
    """Return whether a text is a pattern: a letter of each behaviour's classes."""
    return len(text) == len(ORDER) and all(letter in BEHAVIOURS[name] for letter, name in zip(text, ORDER, strict=True))


def by_class(patterns: Patterns, behaviour: str) -> dict[str, tuple[int, int]]:
    """Return attempts and right ones by class (its letter) of one behaviour."""
    place = ORDER.index(behaviour)
    found: dict[str, tuple[int, int]] = {}
    for text, (attempts, right) in patterns.items():
        count, good = found.get(text[place], (0, 0))
        found[text[place]] = (count + attempts, good + right)
    return found


def counted(patterns: Patterns, behaviour: str) -> int:
    """Return how many attempts show a behaviour, by its first class: code, python, boxed, repeating."""
    letter = next(iter(BEHAVIOURS[behaviour]))
    return by_class(patterns, behaviour).get(letter, (0, 0))[0]
