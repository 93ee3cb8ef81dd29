"""Is a training problem one that is tested? By words alone, the same on every machine."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

NGRAM = 13
"""Words in a row that hardly meet by chance (Brown et al. 2020, Appendix C, and most decontaminations since)."""
SHARE = 0.5

_SPACING = re.compile(r"\\(?:[,;:!> ]|q?quad\b|left\b|right\b|displaystyle\b|limits\b)|[$~]")
_FRACTION = re.compile(r"\\[dtc]frac\b")
_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> tuple[str, ...]:
    """Return a text's words: lower case, no punctuation, no LaTeX spacing; numbers and command names are words."""
    plain = _FRACTION.sub(r"\\frac", unicodedata.normalize("NFKC", text))
    return tuple(_WORD.findall(_SPACING.sub(" ", plain).lower()))


def ngrams(found: tuple[str, ...], size: int = NGRAM) -> set[tuple[str, ...]]:
    """Return the runs of `size` words."""
    return {found[i : i + size] for i in range(len(found) - size + 1)}


class Evaluated:
    """Problems that are tested, as (id, text), ready to be compared with many others."""

    def __init__(self, problems: Iterable[tuple[str, str]]) -> None:
        self._whole: dict[tuple[str, ...], str] = {}
        self._sizes: dict[str, int] = {}
        self._where: dict[tuple[str, ...], list[str]] = {}
        for name, text in problems:
            found = words(text)
            if found:
                self._whole.setdefault(found, name)
            grams = ngrams(found)
            self._sizes[name] = len(grams)
            for gram in grams:
                self._where.setdefault(gram, []).append(name)

    def match(self, text: str) -> str | None:
        """Return the id of the tested problem that a text is, or None.

        It is one where both have the same words, or where it holds at least half of the 13-grams of the tested one.
        """
        found = words(text)
        if found in self._whole:
            return self._whole[found]
        hits = Counter(name for gram in ngrams(found) for name in self._where.get(gram, ()))
        near = [(hits[name] / self._sizes[name], name) for name in hits]
        share, name = max(near, default=(0.0, ""))
        return name if share >= SHARE else None
