"""Is a training problem one that is tested? By words alone, the same on every machine."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

NGRAM = 13
"""Words in a row that hardly meet by chance (Brown et al. 2020, Appendix C, and most decontaminations since)."""
SHARE = 0.5
SHORT = 8
"""A tested problem of fewer words than an n-gram, but at least this many words and signs, counts where it stands whole
inside a longer text."""

_FIGURE = re.compile(r"\[asy\].*?\[/asy\]|\\begin\{(asy|tikzpicture)\}.*?\\end\{\1\}", re.S | re.I)
_LAYOUT = re.compile(
    r"\\(?:[,;:!> ]|(?:q?quad|left|right|displaystyle|limits|[dtc]?frac|mbox)\b)|[$~]"
    r"|\\(?:text(?:bf|it|rm|sf|tt)?|math(?:rm|bf|it|sf))\b"
)
_WORD = re.compile(r"[^\W_]+")
_TOKEN = re.compile(r"[^\W_]+|[-+*=<>^!|]")
_MINUS = str.maketrans({"−": "-", "–": "-", "×": "*", "·": "*", "÷": " "})


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKC", _FIGURE.sub(" ", text)).translate(_MINUS)
    return _LAYOUT.sub(" ", text.lower())


def words(text: str) -> tuple[str, ...]:
    """Return a text's words: lower case, no punctuation, signs or figures, and no LaTeX of layout.

    Numbers are words, and so are names of commands that mean something, such as `ge`.
    """
    return tuple(_WORD.findall(_plain(text)))


def tokens(text: str) -> tuple[str, ...]:
    """Return a text's words and its signs (`+ - * = < > ^ ! |`), in order: 3+4 is not 3-4."""
    return tuple(_TOKEN.findall(_plain(text)))


def ngrams(found: tuple[str, ...], size: int = NGRAM) -> set[tuple[str, ...]]:
    """Return the runs of `size` words."""
    return {found[i : i + size] for i in range(len(found) - size + 1)}


class Evaluated:
    """Problems that are tested, as (id, text), ready to be compared with many others."""

    def __init__(self, problems: Iterable[tuple[str, str]]) -> None:
        self._whole: dict[tuple[str, ...], str] = {}
        self._short: dict[int, dict[tuple[str, ...], str]] = {}
        self._sizes: dict[str, int] = {}
        self._where: dict[tuple[str, ...], list[str]] = {}
        for name, text in problems:
            exact, found = tokens(text), words(text)
            if exact:
                self._whole.setdefault(exact, name)
            grams = ngrams(found)
            if not grams and len(exact) >= SHORT:
                self._short.setdefault(len(exact), {}).setdefault(exact, name)
            self._sizes[name] = len(grams)
            for gram in grams:
                self._where.setdefault(gram, []).append(name)

    def match(self, text: str) -> str | None:
        """Return the id of the tested problem that a text is, or None.

        It is one where both have the same words and signs; where it holds at least half of the 13-grams of the tested
        one; or where a tested one that is too short for these stands in it whole.
        """
        exact = tokens(text)
        if exact in self._whole:
            return self._whole[exact]
        hits = Counter(name for gram in ngrams(words(text)) for name in self._where.get(gram, ()))
        near = [(hits[name] / self._sizes[name], name) for name in hits]
        share, name = max(near, default=(0.0, ""))
        if share >= SHARE:
            return name
        for size, short in self._short.items():
            for run in ngrams(exact, size):
                if run in short:
                    return short[run]
        return None
