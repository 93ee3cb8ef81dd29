"""The leaderboard's static site: pages, feed, JSON, CSV. All text of submissions is escaped; no script is inline."""

import csv
import io
import json
import shutil
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

from rlvr_bench import __version__
from rlvr_bench.errors import UsageError
from rlvr_bench.publishing.board import LineageCell, Row, boards_of, slug
from rlvr_bench.reporting.words import percent
from rlvr_bench.runs.store import write_text
from rlvr_bench.stats.sentences import points

PAGES = Path(__file__).parent / "pages"
MARK = ".rlvr-bench-site"
"""Stands in a folder that this module made, and may make anew."""

FEED_ROWS = 50


def build(rows: Sequence[Row], target: Path, *, address: str) -> list[Path]:
    """Write the site into a folder and return its pages; an older site in it is replaced as a whole.

    `address` is where it will lie, for the feed. Raises UsageError for a folder that holds something else.
    """
    if target.exists() and any(target.iterdir()) and not (target / MARK).is_file():
        raise UsageError("the folder holds something that is no site of this program", where=str(target))
    if target.is_symlink():
        raise UsageError("a link cannot be replaced as a whole: name the folder itself", where=str(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    fresh.chmod(0o755)
    (fresh / MARK).touch()
    for name in ("style.css", "sort.js"):
        shutil.copyfile(PAGES / name, fresh / name)
    boards = boards_of(rows)
    environment = _environment()
    pages: dict[str, str] = {}

    def page(path: str, template: str, **words: Any) -> None:
        root = "../" * path.count("/")
        assert path not in pages, path
        pages[path] = environment.get_template(template).render(root=root, program=f"rlvr-bench {__version__}", **words)

    page("index.html", "index.html", boards=boards, past=[row for row in rows if not row.current])
    page("about.html", "about.html")
    for name, own in _grouped(rows, lambda row: slug(row.method)).items():
        page(f"methods/{name}.html", "method.html", name=own[0].method, rows=own)
    for name, own in _grouped(rows, lambda row: slug(row.board)).items():
        mine = [b for b in boards if slug(b.rows[0].board) == name]
        page(f"suites/{name}.html", "suite.html", title=own[0].board_title, boards=mine)
    models = _models(rows)
    page("models.html", "models.html", models=models)
    for model in models:
        words = {"name": model.name, "lineage": model.lineage, "entries": model.entries, "best": model.best}
        page(f"models/{slug(model.name)}.html", "model.html", **words)
    for path, text in pages.items():
        write_text(fresh / path, text)
    write_text(fresh / "feed.xml", feed(rows, address))
    write_text(fresh / "data.json", json.dumps(as_data(rows), indent=1, ensure_ascii=False) + "\n")
    write_text(fresh / "data.csv", as_csv(rows))
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    return [target / path for path in pages]


def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"points": points, "percent": percent, "slug": slug, "lineage": _lineage}
    return environment


def _lineage(row: Row, lineage: str) -> LineageCell | None:
    return next((cell for cell in row.lineages if cell.lineage == lineage), None)


def _grouped(rows: Sequence[Row], key: Any) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def _models(rows: Sequence[Row]) -> list[SimpleNamespace]:
    """Return every model with all current methods on it, the largest gain first."""
    found: dict[str, SimpleNamespace] = {}
    for row in rows:
        for cell in row.models if row.current else ():
            own = found.setdefault(
                slug(cell.model), SimpleNamespace(name=cell.model, lineage=cell.lineage, entries=[], best=None, count=0)
            )
            own.entries.append(
                SimpleNamespace(
                    row=row,
                    method=row.method,
                    board_title=row.board_title,
                    before=cell.before,
                    after=cell.after,
                    gain=cell.gain,
                )
            )
    for own in found.values():
        own.entries.sort(key=lambda entry: -entry.gain.estimate)
        own.best, own.count = own.entries[0], len(own.entries)
    return sorted(found.values(), key=lambda model: (model.lineage, model.name))


def as_data(rows: Sequence[Row]) -> dict[str, Any]:
    """Return all rows as JSON values; proportions, not points."""

    def gain(value: Any) -> dict[str, float] | None:
        return None if value is None else {"estimate": value.estimate, "lower": value.lower, "upper": value.upper}

    return {
        "schema": "rlvr-bench/leaderboard/1",
        "rows": [
            {
                "id": row.id,
                "submission": row.submission,
                "method": row.method,
                "board": row.board,
                "verdict": row.verdict,
                "named": row.word,
                "over_start": row.over_start,
                "worst_lower": row.worst,
                "untested": list(row.untested),
                "evidence": row.evidence,
                "published": row.published,
                "transductive": row.transductive,
                "rehearsal": row.rehearsal,
                "state": row.status.state,
                "reason": row.status.reason,
                "flags": list(row.flags),
                "submitted": row.entry.submitted,
                "hours": row.hours,
                "lineages": {
                    c.lineage: {"gain": gain(c.gain), "over_control": gain(c.over_control)} for c in row.lineages
                },
                "models": {m.model: {"before": m.before, "after": m.after, "gain": gain(m.gain)} for m in row.models},
            }
            for row in rows
        ],
    }


def as_csv(rows: Sequence[Row]) -> str:
    """Return one line a row and lineage. Cells that a spreadsheet would take for a formula begin with an apostrophe."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    head = (
        "id",
        "method",
        "board",
        "verdict",
        "evidence",
        "state",
        "transductive",
        "lineage",
        "gain",
        "lower",
        "upper",
    )
    writer.writerow([*head, "over_control", "over_control_lower", "over_control_upper"])
    for row in rows:
        for cell in row.lineages:
            over = cell.over_control
            numbers = [cell.gain.estimate, cell.gain.lower, cell.gain.upper]
            numbers += [over.estimate, over.lower, over.upper] if over else ["", "", ""]  # type: ignore[list-item]
            said = [row.id, row.method, row.board, row.verdict, row.evidence, row.status.state]
            writer.writerow([*map(_plain, said), row.transductive, _plain(cell.lineage), *numbers])
    return out.getvalue()


def _plain(text: str) -> str:
    return f"'{text}" if text[:1] in "=+-@\t\r" else text


def feed(rows: Sequence[Row], address: str) -> str:
    """Return an Atom feed of the newest submissions."""
    atom = "http://www.w3.org/2005/Atom"
    ElementTree.register_namespace("", atom)
    root = ElementTree.Element(f"{{{atom}}}feed")

    def add(parent: ElementTree.Element, name: str, text: str = "", **attributes: str) -> ElementTree.Element:
        element = ElementTree.SubElement(parent, f"{{{atom}}}{name}", attributes)
        element.text = "".join(c for c in text if c.isprintable()) or None
        return element

    newest = sorted(rows, key=lambda row: (row.entry.submitted, row.id), reverse=True)[:FEED_ROWS]
    base = address.rstrip("/")
    add(root, "title", "rlvr-bench leaderboard")
    add(root, "id", base + "/")
    add(root, "link", rel="self", href=f"{base}/feed.xml")
    add(root, "updated", f"{newest[0].entry.submitted if newest else date(2026, 1, 1).isoformat()}T00:00:00Z")
    add(add(root, "author"), "name", "rlvr-bench")
    for row in newest:
        entry = add(root, "entry")
        where = f"{base}/methods/{slug(row.method)}.html#{slug(row.id)}"
        add(entry, "title", f"{row.method}: {row.word} ({row.board_title})")
        add(entry, "id", where)
        add(entry, "link", href=where)
        add(entry, "updated", f"{row.entry.submitted}T00:00:00Z")
        add(entry, "summary", row.sentence)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"
