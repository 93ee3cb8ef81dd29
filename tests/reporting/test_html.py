"""The report as a page: what it shows, that a model's text stays text, and how it reads in a browser."""

import base64
import csv
import io
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rlvr_bench import catalog
from rlvr_bench.analysis import judged, report_of
from rlvr_bench.backends.completions import packed
from rlvr_bench.backends.data import load_problems
from rlvr_bench.cli.app import run as rlvr_bench
from rlvr_bench.engine.runner import run_plan
from rlvr_bench.publishing.validation import check_run
from rlvr_bench.reporting import tables
from rlvr_bench.reporting.figures import figures
from rlvr_bench.reporting.html import as_csv, as_html, beside, visible
from rlvr_bench.reporting.written import gains, write_report
from rlvr_bench.runs import layout
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.schema.plan import EvaluateInputs
from tests.fakes import FakeExecutor, planned
from tests.judged import gains as gains_of

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}\u202e\x07 </pre></details>"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunFolder:
    """A recorded run whose completions are full of markup."""
    folder = tmp_path_factory.mktemp("runs")
    plan = planned("python")
    made = RunFolder(folder / "run")
    run_plan(plan, made, runs=folder, executor=FakeExecutor(gains=gains_of("python", 0.3, 0.0, -0.2)))
    for stage in plan.stages:
        inputs = stage.inputs
        if not isinstance(inputs, EvaluateInputs) or inputs.prompt or inputs.step:
            continue
        if stage.kind != "baseline" and (stage.cell.arm, stage.cell.seed) != ("python", 21):
            continue
        rows = []
        for problem in load_problems(inputs.task.problems):
            for i in range(inputs.samples):
                said = problem.answer if i % 2 else "1000"
                rows.append({"text": f"{EVIL} \\boxed{{{said}}}", "tokens": 9, "truncated": False})
        data = b"".join(packed({"key": str(i), "rows": rows[i : i + 128]}) for i in range(0, len(rows), 128))
        (made.stage(stage.id) / layout.COMPLETIONS).write_bytes(data)
    return made


@pytest.fixture(scope="module")
def page_path(run) -> Path:
    return write_report(*judged(run), run)


class Words(HTMLParser):
    """The text of a page, without drawings, styles and what is folded away."""

    skipped = ("style", "svg", "details", "nav")

    def __init__(self) -> None:
        super().__init__()
        self.depth, self.parts = 0, []

    def handle_starttag(self, tag, attrs):
        self.depth += tag in self.skipped
        if tag in ("p", "li", "tr", "h1", "h2", "h3", "dt", "dd", "caption", "figcaption"):
            self.parts.append("\n")

    def handle_endtag(self, tag):
        self.depth -= tag in self.skipped
        if tag in ("td", "th"):
            self.parts.append(" | ")

    def handle_data(self, data):
        if not self.depth:
            self.parts.append(data)


def text_of(page: str) -> str:
    words = Words()
    words.feed(page)
    lines = [" ".join(line.split()) for line in "".join(words.parts).split("\n")]
    return "\n".join(line for line in lines if line) + "\n"


def recorded(name: str):
    (folder,) = (ROOT / "leaderboard" / "submissions").glob(f"{name}--micro--*")
    checked = check_run(folder)
    return checked.plan, checked.records


def mixed(tmp_path):
    plan = planned("format")
    world = gains_of("format", 0.25, 0.2, 0.0)
    run = RunFolder(tmp_path / "mixed")
    run_plan(plan, run, runs=tmp_path, executor=FakeExecutor(gains=world))
    plan, records, _ = judged(run)
    return plan, records


@pytest.mark.parametrize(
    ("word", "method"),
    [("GENERALISES", "ground-truth"), ("ONE_FAMILY", "python"), ("INCONCLUSIVE", "one-shot"), ("MIXED", None)],
)
def test_golden_reports(word, method, tmp_path) -> None:
    """Recorded runs of the project; for MIXED, which none of them gives, a made-up one."""
    plan, records = recorded(method) if method else mixed(tmp_path)
    report = report_of(plan, records)
    assert report.verdict.word == word
    drawn = figures(report, margin=plan.suite.rule.margin, steps=plan.suite.training.steps)
    found = text_of(as_html(report, beside(plan, records), drawn))
    found = re.sub(r"rlvr-bench \d[\w.]*", "rlvr-bench VERSION", found)
    path = GOLDEN / f"report.{word.lower()}.txt"
    if os.environ.get("RLVR_BENCH_GOLDEN"):
        path.write_text(found)
    assert found == path.read_text()


def test_python_on_micro_is_explained_by_its_transitions() -> None:
    """What the report is for: language -> code carries micro-qwen's gain, and ruins micro-olmo."""
    report = report_of(*recorded("python"))
    said = {line.split(":")[0]: line for line in reversed(report.explanation.sentences)}
    assert said["micro-qwen"].startswith("micro-qwen: language → code carries the gain")
    assert not any("boxed" in line for line in report.explanation.sentences)  # nobody switched: 94 % before and after
    assert said["micro-olmo"].startswith("micro-olmo: language → code carries the loss")
    for model in ("micro-qwen-a", "micro-qwen-b"):
        (s,) = [s for s in report.explanation.strategies if (s.model, s.arm, s.behaviour) == (model, "python", "code")]
        parts = {(t.before, t.after): t.part for t in s.transitions}
        assert (parts["language", "code"] or 0) > 0.9 and s.gap == 0
        assert s.correlation is not None and s.correlation > 0.9 and s.checkpoints == 5


def test_the_pictures_of_the_guide_are_drawn_by_the_program() -> None:
    plan, records = recorded("python")
    drawn = {f.name: f for f in figures(report_of(plan, records), margin=0.02, steps=plan.suite.training.steps)}
    text = (ROOT / "docs" / "reading-a-report.md").read_text(encoding="utf-8")
    shown = re.findall(r"!\[[^\]]{20,}\]\(pictures/([a-z-]+)\.svg\)", text)
    assert len(shown) >= 5 and {p.stem for p in (ROOT / "docs" / "pictures").iterdir()} == set(shown)
    for name in shown:
        assert (ROOT / "docs" / "pictures" / f"{name}.svg").read_text(encoding="utf-8") == drawn[name].standalone()
    for line in (line for line in text.splitlines() if line.startswith("> - ")):
        assert line.removeprefix("> - ") in report_of(plan, records).explanation.sentences


def test_a_models_text_is_text(run, page_path) -> None:
    page = page_path.read_text()
    assert "<script" not in page and "<img" not in page and "{{ 7*7 }}" in page
    assert "&lt;script&gt;alert(1)" in page and "⟨U+202E⟩" in page and "⟨U+0007⟩" in page and "\u202e" not in page
    assert page.count("</details>") == page.count("<details")
    assert "one wrong and one right answer each" in page and "its completions are not here" not in page


def test_control_characters_are_made_visible() -> None:
    assert visible("a\n\tb\x00\u200b\u2066c é 😀 π") == "a\n\tb⟨U+0000⟩⟨U+200B⟩⟨U+2066⟩c é 😀 π"


def test_every_figure_is_a_file_and_stands_in_the_page(run, page_path) -> None:
    _, _, report = judged(run)
    page = page_path.read_text()
    drawn = figures(report, margin=0.02, steps=8)
    names = {figure.name for figure in drawn}
    assert names >= {
        "forest",
        "over-control",
        "tasks",
        "accuracy",
        "behaviour",
        "transitions",
        "pass-at-k",
        "exposure",
        "reward",
    }
    for figure in drawn:
        svg = (run.report / "figures" / f"{figure.name}.svg").read_text()
        root = ElementTree.fromstring(svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg" and "href" not in svg and "url(" not in svg
        assert [e.text for e in root.iter("{http://www.w3.org/2000/svg}title")] == [figure.title]
        rows = list(csv.reader(io.StringIO((run.report / "figures" / f"{figure.name}.csv").read_text())))
        assert tuple(rows[0]) == figure.rows.head and len(rows) == 1 + len(figure.rows.rows)
        for kind, text in (("image/svg+xml", svg), ("text/csv;charset=utf-8", as_csv(figure.rows))):
            assert f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}" in page
        assert figure.alt and f'id="figure-{figure.name}"' in page
    assert page_path.stat().st_size < 1_000_000


def test_the_numbers_of_a_figure_are_those_of_the_report(run) -> None:
    _, _, report = judged(run)
    named = {figure.name: figure for figure in figures(report, margin=0.02, steps=8)}
    forest = {row[0]: row[2] for row in named["forest"].rows.rows}
    assert forest["micro-qwen"].startswith(f"{100 * report.lineages[0].gain.estimate:+.1f}")
    marks = re.findall(r'<(?:path|circle)[^>]*class="(full|hollow)"', named["forest"].svg)
    assert marks.count("hollow") == 3 and marks.count("full") == 9
    parts: dict[str, float] = {}
    for row in named["transitions"].rows.rows:
        parts[row[0]] = parts.get(row[0], 0.0) + float(row[8])
    for m in report.models:
        assert parts[m.model] == pytest.approx(100 * m.gain.estimate, abs=0.25)


def test_gains_as_csv_and_formulas_defused(run, capsys) -> None:
    _, _, report = judged(run)
    rows = list(csv.DictReader(io.StringIO(as_csv(gains(report)))))
    qwen = next(r for r in rows if (r["name"], r["against"]) == ("micro-qwen", "start"))
    assert float(qwen["estimate"]) == pytest.approx(report.lineages[0].gain.estimate, rel=1e-5)
    assert rlvr_bench(["report", str(run.path), "--format", "csv"]) == 0
    assert capsys.readouterr().out == as_csv(gains(report)) == (run.report / "gains.csv").read_text()
    from rlvr_bench.reporting.explained import Rows

    evil = as_csv(Rows("t", ("a",), (("=cmd()",), ("-1.5",), ("-1.38778e-17",), ("+x",), ("@y",))))
    assert evil.splitlines() == ["a", "'=cmd()", "-1.5", "-1.38778e-17", "'+x", "'@y"]


def test_a_page_without_completions_controls_or_probes(tmp_path) -> None:
    """The least that a run can have still makes a page."""
    suite = catalog.load_suite("micro")
    small = suite.model_copy(
        update={"prompts": (), "evaluate_at": (), "exposure": None, "control": None, "seeds": (21,)}
    )
    plan = planned("random", suite=small)
    run = RunFolder(tmp_path / "run")
    run_plan(plan, run, runs=tmp_path, executor=FakeExecutor(dead={"micro-llama-a", "micro-llama-b"}))
    page = write_report(*judged(run), run).read_text()
    assert "left out: dead-reward" in page and 'id="exposure-check"' not in page and "not tested" in page


def test_texts_are_of_a_run_that_was_measured(run, tmp_path) -> None:
    """The first seed has no record: the second one's completions are shown."""
    plan, records, _ = judged(run)
    first = [s.id for s in plan.stages if (s.cell.arm, s.cell.seed) == ("python", 21)]
    left = {stage_id: None if stage_id in first else record for stage_id, record in records.items()}
    for flip in beside(plan, left, run).shown:
        assert flip.text_after is None and flip.text_before is not None  # only the first seed's were saved


@pytest.mark.slow
def test_twenty_models_stay_below_three_megabytes_and_five_hundred_of_memory() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "report_speed.py"), "20"], capture_output=True, text=True, check=True
    )
    sizes = dict(re.findall(r"(report\.\w+): ([\d.]+) MB", done.stdout))
    assert float(sizes["report.html"]) < 3 and float(sizes["report.json"]) < 3
    memory = [int(found) for found in re.findall(r"s, (\d+) MiB, status 0", done.stdout)]
    assert len(memory) == 2 and max(memory) <= 500


def test_report_says_where_the_page_is(run, capsys) -> None:
    assert rlvr_bench(["report", str(run.path), "--format", "html"]) == 0
    assert Path(capsys.readouterr().out.strip()) == run.report / "report.html"
    assert rlvr_bench(["report", str(run.path), "--behaviour", "code", "--behaviour", "boxed"]) == 0
    assert "language, boxed" in capsys.readouterr().out
    for wrong in (["--behaviour", "cod"], ["--behaviour", "code", "--behaviour", "code"]):
        assert rlvr_bench(["report", str(run.path), *wrong]) == 2
    assert "did you mean 'code'" in capsys.readouterr().err


def test_markdown_folds_the_details(run) -> None:
    text = tables.as_markdown(judged(run)[2])
    assert text.count("<details>") == text.count("</details>") > 4
    assert text.index("language → code") < text.index("| lineage")


# in a browser


def opened(browser, path: Path, **context):
    page = browser.new_context(**context).new_page()
    page.goto(path.as_uri())
    return page


def test_it_asks_nothing_and_runs_nothing(browser, page_path) -> None:
    page = browser.new_page()
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append("dialog") or dialog.dismiss())
    page.goto(page_path.as_uri())
    for at in page.locator("details").all():
        at.evaluate("d => d.open = true")
    assert asked == [page_path.as_uri()] and said == []
    assert page.evaluate("document.querySelectorAll('script, img, iframe, object, embed, form').length") == 0
    text = page.locator("details.flip pre").nth(1).inner_text()
    assert text.startswith("<script>alert(1)</script>") and "{{ 7*7 }}" in text


@pytest.mark.parametrize("width", [360, 1200])
def test_no_sideways_scrolling_of_the_page(browser, page_path, width) -> None:
    page = opened(browser, page_path, viewport={"width": width, "height": 800})
    page.locator("details").evaluate_all("all => all.forEach(d => d.open = true)")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width


def test_it_reads_by_keyboard_and_by_a_screen_reader(browser, page_path) -> None:
    page = opened(browser, page_path, java_script_enabled=True)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    summary = page.locator("details.flip summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("details.flip").first.get_attribute("open") is not None
    assert page.evaluate("[...document.querySelectorAll('.scroll')].every(e => e.tabIndex === 0 && e.ariaLabel)")
    named = """[...document.querySelectorAll('svg')].every(svg => svg.getAttribute('role') === 'img' &&
        svg.getAttribute('aria-labelledby').split(' ').every(id => document.getElementById(id).textContent.length > 3)
    )"""
    assert page.evaluate("document.querySelectorAll('svg').length") >= 9 and page.evaluate(named)
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    assert page.evaluate(
        "[...document.querySelectorAll('nav a')].every(a => document.querySelector(a.getAttribute('href')))"
    )
    assert page.evaluate("document.documentElement.lang") == "en"
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => Number(h.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in pairwise(levels))
    assert page.evaluate(
        "[...document.querySelectorAll('th')].every(th => th.scope) && "
        "[...document.querySelectorAll('table')].every(t => t.caption)"
    )


CONTRAST = """() => {
  const style = getComputedStyle(document.documentElement);
  const drawn = getComputedStyle(document.querySelector('svg.rb'));
  const rgb = text => { const c = document.createElement('span'); c.style.color = text; document.body.append(c);
    const v = getComputedStyle(c).color.match(/[\\d.]+/g).map(Number); c.remove(); return v; };
  const linear = x => x <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4;
  const light = v => { const [r, g, b] = v.map(x => linear(x / 255));
    return .2126 * r + .7152 * g + .0722 * b; };
  const found = {};
  const all = [['--ink', style], ['--soft', style], ['--link', style], ['--own', drawn], ['--warm', drawn]];
  for (const [name, of] of all) {
    const a = light(rgb(of.getPropertyValue(name))), b = light(rgb(style.getPropertyValue('--paper')));
    found[name] = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_have_enough_contrast(browser, page_path, scheme) -> None:
    page = opened(browser, page_path, color_scheme=scheme)
    found = page.evaluate(CONTRAST)
    assert all(ratio >= 4.5 for ratio in found.values()), found
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(255, 255, 255)") is (scheme == "light")


def test_it_prints_with_everything_unfolded_but_the_numbers(browser, page_path, tmp_path) -> None:
    page = opened(browser, page_path, viewport={"width": 794, "height": 1100})
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible() and not page.locator("details.rows").first.is_visible()
    assert page.locator("details.flip pre").first.bounding_box()["height"] > 0
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 794
    pdf = page.pdf(format="A4")
    assert pdf.startswith(b"%PDF") and len(pdf) > 20_000
