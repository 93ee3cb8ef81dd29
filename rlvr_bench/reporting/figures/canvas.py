"""A small drawing board for SVG: shapes with classes, scales, and what a figure is.

Shape and line style carry the meaning, colour only repeats it: filled is the method, hollow what it is compared with.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from rlvr_bench.reporting.explained import Rows

STYLE = """
.rb{--ink:#1a1a1a;--soft:#55595f;--line:#c9ccd1;--paper:#fff;--own:#0b57a4;--warm:#9a3412}
@media (prefers-color-scheme:dark){
.rb{--ink:#e8e8e8;--soft:#a9aeb6;--line:#3d4248;--paper:#15171a;--own:#7ab7ff;--warm:#f0a57a}}
@media print{.rb{--ink:#000;--soft:#444;--line:#bbb;--paper:#fff;--own:#0b57a4;--warm:#9a3412}}
.rb text{font:12px system-ui,sans-serif;fill:var(--ink)}.rb .soft{fill:var(--soft)}.rb .bold{font-weight:700}
.rb .grid{stroke:var(--line);stroke-width:1}.rb .axis{stroke:var(--soft);stroke-width:1.5}
.rb .dash{stroke:var(--warm);stroke-width:1.5;stroke-dasharray:5 4}
.rb .bar{stroke:var(--own);stroke-width:2.5;fill:none}.rb .thin{stroke:var(--own);stroke-width:1.4;fill:none}
.rb .other{stroke:var(--soft);stroke-width:1.8;fill:none;stroke-dasharray:6 3}
.rb .third{stroke:var(--ink);stroke-width:1.6;fill:none;stroke-dasharray:1.5 3}
.rb .full{fill:var(--own);stroke:var(--own)}.rb .hollow{fill:var(--paper);stroke:var(--ink);stroke-width:1.6}
.rb .gain{fill:var(--own)}.rb .loss{fill:var(--paper);stroke:var(--warm);stroke-width:1.6}
"""
"""Colours and lines of every figure, for light, dark and paper; in a page it stands once."""


@dataclass(frozen=True)
class Figure:
    """A drawing with its words: `name` for files, `title`, `alt` (what it shows, in a sentence), and its numbers."""

    name: str
    title: str
    alt: str
    svg: str
    rows: Rows
    note: str = ""

    def standalone(self) -> str:
        """Return the SVG as a file of its own, with its style."""
        head, rest = self.svg.split(">", 1)
        own = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"')
        back = '<rect width="100%" height="100%" style="fill:var(--paper)"/>'
        return f'<?xml version="1.0" encoding="UTF-8"?>\n{own}><style>{STYLE}</style>{back}{rest}\n'


class Canvas:
    """Shapes on a board of `width` x `height` pixels; y grows downwards."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.parts: list[str] = []

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """Draw a line."""
        self.parts.append(f'<line x1="{n(x1)}" y1="{n(y1)}" x2="{n(x2)}" y2="{n(y2)}" class="{kind}"/>')

    def circle(self, x: float, y: float, r: float, kind: str) -> None:
        """Draw a circle."""
        self.parts.append(f'<circle cx="{n(x)}" cy="{n(y)}" r="{n(r)}" class="{kind}"/>')

    def diamond(self, x: float, y: float, r: float, kind: str) -> None:
        """Draw a diamond."""
        self.parts.append(
            f'<path d="M{n(x - r)} {n(y)}L{n(x)} {n(y - r)}L{n(x + r)} {n(y)}L{n(x)} {n(y + r)}Z" class="{kind}"/>'
        )

    def rect(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        """Draw a rectangle."""
        self.parts.append(
            f'<rect x="{n(x)}" y="{n(y)}" width="{n(max(width, 0.5))}" height="{n(height)}" class="{kind}"/>'
        )

    def path(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """Draw a line through points."""
        if len(points) > 1:
            d = "M" + "L".join(f"{n(x)} {n(y)}" for x, y in points)
            self.parts.append(f'<path d="{d}" class="{kind}"/>')

    def text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> None:
        """Write a text whose baseline begins, is centred or ends at a point."""
        at = "" if anchor == "start" else f' text-anchor="{anchor}"'
        of = f' class="{kind}"' if kind else ""
        self.parts.append(f'<text x="{n(x)}" y="{n(y)}"{at}{of}>{escape(words, quote=False)}</text>')

    def svg(self, name: str, title: str, alt: str) -> str:
        """Return the drawing as an SVG element that a screen reader can tell."""
        head = (
            f'<svg class="rb" viewBox="0 0 {n(self.width)} {n(self.height)}" width="{n(self.width)}" '
            f'height="{n(self.height)}" role="img" aria-labelledby="{name}-t {name}-d">'
        )
        named = f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(alt)}</desc>'
        return head + named + "".join(self.parts) + "</svg>"


@dataclass(frozen=True)
class Scale:
    """A straight line from values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        span = self.high - self.low or 1.0
        return self.start + (value - self.low) / span * (self.end - self.start)


def n(value: float) -> str:
    """Return a coordinate with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")


def ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Return round values that span a range: steps of 1, 2 or 5 times a power of ten."""
    span = max(high - low, 1e-9)
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * k for k in (1, 2, 5, 10) if span / (power * k) <= most)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def short(words: str, most: int = 30) -> str:
    """Return a name that fits its column."""
    return words if len(words) <= most else words[: most - 1] + "…"
