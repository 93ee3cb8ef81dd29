"""The site: what it shows, that strangers' text stays text, and how it behaves in a browser."""

import csv
import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from rlvr_bench.analysis import read
from rlvr_bench.cli.app import run as rlvr_bench
from rlvr_bench.engine.runner import run_plan
from rlvr_bench.errors import RefusedError, UsageError
from rlvr_bench.publishing.board import boards_of, rows_of, slug
from rlvr_bench.publishing.site import as_csv, as_data, build, feed
from rlvr_bench.publishing.submission import build as submit
from rlvr_bench.publishing.submission import folder_name
from rlvr_bench.publishing.validation import check
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.schema.submission import Entry
from tests.fakes import FakeExecutor, planned

ROOT = Path(__file__).parents[2]
OWN = ROOT / "leaderboard" / "submissions"
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}"


@pytest.fixture(scope="module")
def submissions(tmp_path_factory) -> Path:
    """Two recorded runs, one of them transductive, and a published table full of markup."""
    folder = tmp_path_factory.mktemp("submissions")
    gains = {("python", "micro-qwen"): 0.25, ("ttrl", "micro-qwen"): 0.2, ("ttrl", "micro-llama"): 0.1}
    for number, method in enumerate(("python", "ttrl")):
        plan = planned(method)
        run = RunFolder(folder.parent / f"run-{number}")
        run_plan(plan, run, runs=folder.parent, executor=FakeExecutor(gains=gains))
        entry = Entry(kind="run", title=EVIL, submitted=f"2026-11-2{number}", submitter=EVIL, notes=EVIL + "\n" + EVIL)
        submit(plan, read(run)[1], entry, folder / folder_name(plan))
    table = folder / "a-paper--v0"
    table.mkdir()
    said = {"kind": "table", "title": EVIL, "submitted": "2025-05-27", "source": EVIL, "version": "v0"}
    (table / "entry.json").write_text(json.dumps(said))
    rows = [["method", "model", "lineage", "benchmark", "problems", "before", "after"]]
    rows += [
        [EVIL, EVIL + "-7B", "one" + EVIL[:9], "b", "500", "0.4", "0.7"],
        ["=cmd()", "b-7B", "two", "b", "500", "0.4", "0.41"],
    ]
    rows += [
        [EVIL, "b-7B", "two", "b", "500", "0.4", "0.41"],
        ["=cmd()", EVIL + "-7B", "one" + EVIL[:9], "b", "500", "0.4", "0.7"],
    ]
    with (table / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


@pytest.fixture(scope="module")
def site(submissions, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("site") / "site"
    build(rows_of(submissions), target, address="https://example.org/board")
    return target


class Page(HTMLParser):
    """What a page holds: its elements, links and identifiers."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.tags, self.links, self.ids, self.handlers = path, [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("href", "src"):
                self.links.append(value)
            if name == "id":
                self.ids.append(value)
            if name.startswith("on"):
                self.handlers.append(name)


def pages(site: Path) -> list[Page]:
    return [Page(path) for path in sorted(site.rglob("*.html"))]


def test_markup_of_strangers_stays_text(site) -> None:
    found = pages(site)
    assert len(found) > 10
    for page in found:
        assert page.tags.count("script") == 1 and "img" not in page.tags
        assert not page.handlers
        text = page.path.read_text(encoding="utf-8")
        assert "<script>alert" not in text and "49" not in [t.strip() for t in text.split("}}")][:0]
        assert len(set(page.ids)) == len(page.ids), page.path
    whole = (site / "index.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in whole
    assert "{{ 7*7 }}" in whole


def test_every_link_leads_somewhere_and_nowhere_else(site) -> None:
    found = {page.path: page for page in pages(site)}
    for page in found.values():
        for link in page.links:
            where, _, mark = link.partition("#")
            if where.startswith("https://"):
                continue
            assert ":" not in where and not where.startswith("/")
            target = (page.path.parent / where).resolve() if where else page.path
            assert target.is_file(), f"{page.path}: {link}"
            assert target.resolve().is_relative_to(site.resolve())
            if mark and mark != "main":
                assert mark in found[target].ids, f"{page.path}: {link}"


def test_tables_apart(submissions, site) -> None:
    boards = boards_of(rows_of(submissions))
    assert [(b.published, b.transductive, b.rehearsal) for b in boards] == [
        (False, False, True),
        (False, True, True),
        (True, False, False),
    ]
    for board in boards:
        worst = [row.worst for row in board.rows if row.worst is not None]
        assert worst == sorted(worst, reverse=True)
    text = (site / "index.html").read_text(encoding="utf-8")
    assert "it says nothing about real" in text and "They are never ranked with the others" in text
    assert "A paper's own before and after numbers" in text


def test_a_lineage_that_was_not_tested_is_no_good_worst(submissions) -> None:
    """A model that leaves the rule must not lift its row: the worst is then not known, and the row stands last."""
    from dataclasses import replace

    rows = [row for row in rows_of(submissions) if row.method in ("python", "ttrl")]
    lost = replace(rows[0], worst=None, untested=("micro-olmo",), board="x", transductive=False)
    other = replace(rows[1], worst=-0.5, board="x", transductive=False)
    (board,) = boards_of([lost, other])
    assert [row.method for row in board.rows] == [other.method, lost.method]


def test_names_that_look_alike_have_addresses_of_their_own() -> None:
    names = ["方法甲", "方法乙", "Ours+", "ours", "a b", "a-b", "qwen2.5-7b"]
    assert len({slug(name) for name in names}) == len(names)
    assert slug("Qwen2.5-7B") == slug("qwen2.5-7b") == "qwen2.5-7b"


def test_model_pages_say_how_far_a_base_was_moved(site) -> None:
    text = (site / "models" / "micro-qwen-a.html").read_text(encoding="utf-8")
    assert "The largest gain on record is +" in text
    assert text.index("python") < text.index("ttrl", text.index("<tbody>"))


def test_the_same_submissions_make_the_same_site(submissions, site, tmp_path) -> None:
    build(rows_of(submissions), tmp_path / "again", address="https://example.org/board")
    for path in site.rglob("*"):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(site)).read_bytes() == path.read_bytes()


def test_feed_json_and_csv(submissions, site) -> None:
    rows = rows_of(submissions)
    atom = "{http://www.w3.org/2005/Atom}"
    root = ElementTree.fromstring((site / "feed.xml").read_text(encoding="utf-8"))
    entries = root.findall(f"{atom}entry")
    assert len(entries) == len(rows) == 4
    assert root.findtext(f"{atom}updated") == "2026-11-21T00:00:00Z"
    for entry in entries:
        link = entry.findtext(f"{atom}id")
        assert link is not None and link.startswith("https://example.org/board/methods/")
        path, _, mark = link.removeprefix("https://example.org/board/").partition("#")
        assert mark in Page(site / path).ids
    data = json.loads((site / "data.json").read_text(encoding="utf-8"))
    assert data == as_data(rows)
    assert {row["method"] for row in data["rows"]} == {"python", "ttrl", EVIL, "=cmd()"}
    table = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert len(table) == sum(len(row.lineages) for row in rows)
    assert not any(
        value[:1] in "=+@" for line in table for value in (line["method"], line["id"], line["lineage"]) if value
    )
    assert ElementTree.fromstring(feed([], "https://example.org")).findall(f"{atom}entry") == []


def test_rows_are_withdrawn_with_a_reason_and_never_deleted(submissions, tmp_path) -> None:
    name = next(p.name for p in submissions.iterdir() if p.name.startswith("python"))
    status = tmp_path / "status.json"
    status.write_text(json.dumps({name: {"state": "withdrawn", "reason": "a <b>bug</b>"}}))
    rows = rows_of(submissions, status)
    build(rows, tmp_path / "site", address="https://example.org")
    text = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "Superseded and withdrawn" in text and "a &lt;b&gt;bug&lt;/b&gt;" in text
    assert "<strong>withdrawn</strong>" in (tmp_path / "site" / "methods" / "python.html").read_text(encoding="utf-8")
    assert name not in {row.submission for board in boards_of(rows) for row in board.rows}
    evidence = {name: {"evidence": "recomputed", "evidence_note": "200 answers graded again"}}
    status.write_text(json.dumps(evidence))
    assert {row.evidence for row in rows_of(submissions, status)} == {"recomputed", "reported", "published"}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"nobody": {}}, "which is no submission"),
        ({"a-paper--v0": {"state": "withdrawn"}}, "needs a public reason"),
        ({"a-paper--v0": {"state": "superseded", "reason": "x"}}, "superseded needs `by`"),
        ({"a-paper--v0": {"evidence": "reproduced"}}, "needs evidence_note"),
        ({"a-paper--v0": {"evidence": "true"}}, "status.json"),
        ([], "status.json"),
    ],
)
def test_a_status_file_that_is_none(submissions, tmp_path, value, says) -> None:
    (tmp_path / "status.json").write_text(json.dumps(value))
    with pytest.raises(RefusedError, match=says):
        rows_of(submissions, tmp_path / "status.json")


def test_a_folder_that_is_no_site_is_left_alone(submissions, tmp_path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="no site of this program"):
        build(rows_of(submissions), tmp_path / "home", address="https://example.org")
    assert (tmp_path / "home" / "thesis.tex").read_text() == "x"


@pytest.mark.parametrize("text", ["Qwen2.5-7B", "../../etc/passwd", "", "ünïcode", "a  b", "CON", "."])
def test_addresses_are_no_paths(text) -> None:
    assert not slug(text).startswith(".")
    assert slug(text) and all(c.isascii() and (c.isalnum() or c in "-._") for c in slug(text))


def test_the_projects_own_board_holds(tmp_path, capsys) -> None:
    """Nothing invented: micro's runs are computed again, the paper's table is the one that was printed."""
    found = {p.name: check(p) for p in sorted(OWN.iterdir())}
    assert {name.split("--")[0] for name in found} == {
        "ttrl",
        "python",
        "random",
        "format",
        "ground-truth",
        "one-shot",
        "spurious-rewards",
    }
    assert rlvr_bench(["leaderboard", "build", "--submissions", str(OWN), "--into", str(tmp_path / "s")]) == 0
    assert "12 rows" in capsys.readouterr().err
    paper = {r.method: r.verdict.word for r in found["spurious-rewards--v0"].reports}
    assert paper == {
        "ground-truth": "GENERALISES", "majority-vote": "MIXED", "one-shot": "ONE_FAMILY",
        "format": "INCONCLUSIVE", "incorrect": "ONE_FAMILY", "random": "ONE_FAMILY",
    }  # fmt: skip


# in a browser


def test_no_page_asks_the_network_or_complains(browser, site) -> None:
    page = browser.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append("dialog") or dialog.dismiss())
    for path in sorted(site.rglob("*.html")):
        page.goto(path.as_uri())
    assert said == []
    assert all(url.startswith(site.as_uri()) for url in asked)


def test_a_phone_scrolls_tables_and_not_the_page(browser, site) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 700})
    for path in sorted(site.rglob("*.html")):
        page.goto(path.as_uri())
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 360, path


def test_tables_sort_without_a_mouse(browser, submissions, site) -> None:
    page = browser.new_page()
    page.goto((site / "index.html").as_uri())
    table = page.locator("table.sortable").last
    order = lambda: table.locator("tbody tr").evaluate_all("rows => rows.map(r => Number(r.cells[2].dataset.value))")  # noqa: E731
    first = order()
    assert first == sorted(first, reverse=True)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    head = table.locator("thead th").nth(2)
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert order() == sorted(first)
    assert head.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Space")
    assert order() == sorted(first, reverse=True)
    assert table.locator("th[aria-sort]").count() == 1


def test_it_reads_without_scripts(browser, site) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    assert page.locator("table.sortable tbody tr").count() == 4
    assert page.locator("th button").count() == 0
