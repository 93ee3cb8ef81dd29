# ruff: noqa: E501, SIM223 - ways of tampering are a table, a line each
"""A submission of a recorded run: built, checked, tampered with in every way that we could think of, and fuzzed."""

import csv
import gzip
import io
import json
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlvr_bench.analysis import read
from rlvr_bench.cli.app import run as rlvr_bench
from rlvr_bench.engine.runner import run_plan
from rlvr_bench.errors import RefusedError, UsageError
from rlvr_bench.publishing import files, outcomes
from rlvr_bench.publishing.submission import build, folder_name
from rlvr_bench.publishing.validation import Checked, check, check_run
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.schema.submission import Entry
from tests.fakes import FakeExecutor, planned

GAINS = {(arm, ln): g for arm, g in (("python", 0.0), ("ground-truth", 0.3)) for ln in ("micro-llama", "micro-olmo")}
GAINS |= {("python", "micro-qwen"): 0.25, ("ground-truth", "micro-qwen"): 0.3}
ENTRY = Entry(
    kind="run", title="A title", submitted="2026-11-27", submitter="the project", paper="https://example.org/a"
)


def recorded(runs: Path, **cuts: Any) -> RunFolder:
    plan = planned("python", **cuts)
    folder = RunFolder(runs / "run")
    run_plan(plan, folder, runs=runs, executor=FakeExecutor(gains=GAINS))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunFolder:
    return recorded(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def good(run, tmp_path_factory) -> Path:
    plan, records = read(run)
    target = tmp_path_factory.mktemp("submissions") / folder_name(plan)
    build(plan, records, ENTRY, target)
    return target


@pytest.fixture
def copy(good, tmp_path) -> Path:
    return Path(shutil.copytree(good, tmp_path / good.name))


def test_what_was_built_holds(good, run) -> None:
    found = check(good)
    assert isinstance(found, Checked)
    assert found.report.verdict.word == "ONE_FAMILY"
    plan, records = read(run)
    assert found.plan == plan
    for stage in plan.stages:
        assert found.records[stage.id].evaluation == records[stage.id].evaluation
    assert files.survey(good) == files.OF_A_RUN
    assert sum(p.stat().st_size for p in good.rglob("*") if p.is_file()) < 600_000


def test_the_same_run_builds_the_same_bytes(good, run, tmp_path) -> None:
    plan, records = read(run)
    build(plan, records, ENTRY, tmp_path / "again")
    for path in good.rglob("*"):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(good)).read_bytes() == path.read_bytes()


def test_what_cannot_be_submitted(run, tmp_path) -> None:
    plan, records = read(recorded(tmp_path, models=["micro-qwen-a", "micro-olmo-a"]))
    with pytest.raises(UsageError, match="a partial run"):
        build(plan, records, ENTRY, tmp_path / "x")
    plan, records = read(run)
    with pytest.raises(UsageError, match="1 of 114 stages have no result"):
        build(plan, {**records, plan.stages[3].id: None}, ENTRY, tmp_path / "x")
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="there already"):
        build(plan, records, ENTRY, tmp_path / "there")


# tampering: name of the way, what is done to the folder, what the referee says


def edit(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        value = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(change(value) or value))

    return do


def text(name: str, old: str, new: str) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        whole = (folder / name).read_text()
        assert old in whole
        (folder / name).write_text(whole.replace(old, new, 1))

    return do


def table(change: Callable[[list[list[str]]], list[list[str]] | None]) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        rows = list(csv.reader(io.StringIO(gzip.decompress((folder / files.OUTCOMES).read_bytes()).decode())))
        rows = change(rows) or rows
        out = io.StringIO(newline="")
        csv.writer(out, lineterminator="\n").writerows(rows)
        (folder / files.OUTCOMES).write_bytes(gzip.compress(out.getvalue().encode(), mtime=0))

    return do


def cell(row: int, column: str, value: str) -> Callable[[Path], None]:
    def change(rows: list[list[str]]) -> None:
        rows[row][rows[0].index(column)] = value

    return table(change)


def of_arm(arm: str, change: Callable[[dict[str, str]], None]) -> Callable[[Path], None]:
    """Change every sampled row of an arm."""

    def do(rows: list[list[str]]) -> list[list[str]]:
        head = rows[0]
        found = [head]
        for row in rows[1:]:
            named = dict(zip(head, row, strict=True))
            if named["arm"] == arm and named["mode"] == "sampled":
                change(named)
            found.append([named[key] for key in head])
        return found

    return table(do)


def stages(change: Callable[[list[dict]], list[dict] | None]) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        lines = [json.loads(x) for x in gzip.decompress((folder / files.STAGES).read_bytes()).splitlines()]
        lines = change(lines) or lines
        data = "".join(json.dumps(line) + "\n" for line in lines).encode()
        (folder / files.STAGES).write_bytes(gzip.compress(data, mtime=0))

    return do


def first_training(change: Callable[[dict], None]) -> Callable[[Path], None]:
    return stages(lambda lines: change(next(x for x in lines if x["kind"] == "train")["training"]))  # type: ignore


def say(row: dict[str, str], correct: int) -> None:
    """Make a row say that so many answers are right, in its patterns too."""
    row["correct"], parts = str(correct), []
    for part in row["patterns"].split(";"):
        name, count, _ = part.split(":")
        parts.append(f"{name}:{count}:{min(int(count), correct)}")
        correct -= min(int(count), correct)
    row["patterns"] = ";".join(parts)


def bumped(rows: list[list[str]]) -> None:
    column = rows[0].index("correct")
    rows[30][column] = str(int(rows[30][column]) - 1) if int(rows[30][column]) else "1"


def bumped_well(rows: list[list[str]]) -> None:
    row = dict(zip(rows[0], rows[30], strict=True))
    say(row, int(row["correct"]) - 1 if int(row["correct"]) else 1)
    rows[30][:] = list(row.values())


def one_more(row: dict[str, str]) -> None:
    say(row, min(int(row["correct"]) + 1, int(row["attempts"])))


def in_code(row: dict[str, str]) -> None:
    """Say that every answer is in code; nothing else is changed."""
    counts = [part.split(":") for part in row["patterns"].split(";")]
    total = {}
    for name, count, right in counts:
        key = "cp" + name[2:]
        one, other = total.get(key, (0, 0))
        total[key] = (one + int(count), other + int(right))
    row["patterns"] = ";".join(f"{name}:{n}:{right}" for name, (n, right) in sorted(total.items()))


def likelihoods(change: Callable[[list], list | None]) -> Callable[[Path], None]:
    def do(lines: list[dict]) -> None:
        line = next(x for x in lines if x["kind"] == "evaluate")
        line["likelihoods"] = change(line["likelihoods"]) or line["likelihoods"]

    return stages(do)


def exposure(change: Callable[[dict], None]) -> Callable[[Path], None]:
    return stages(lambda lines: change(next(x for x in lines if x.get("exposure"))["exposure"]))  # type: ignore


def dead(gradient: float | None) -> Callable[[Path], None]:
    """Say that no reward of the method ever varied, so that its models leave the rule."""

    def do(lines: list[dict]) -> None:
        for line in lines:
            if "/python/" in line["id"] and line["kind"] == "train":
                for step in line["training"]["steps"]:
                    step.update(groups_with_signal=0.0, **({} if gradient is None else {"grad_norm": gradient}))

    return stages(do)


def copied_seed(rows: list[list[str]]) -> list[list[str]]:
    head = rows[0]
    first = {tuple(r[:2] + r[3:7]): r[7:] for r in rows[1:] if r[1] == "python" and r[2] == "21" and not r[3]}
    return [
        head,
        *(
            r[:7] + first[tuple(r[:2] + r[3:7])] if r[1] == "python" and r[2] == "22" and not r[3] else r
            for r in rows[1:]
        ),
    ]


def method_code(plan: dict) -> None:
    plan["method"]["name"] = "mine"
    plan["method"]["rewards"][0]["code"] = "import pathlib; pathlib.Path('/tmp/owned-by-a-submission').touch()"


def linked(name: str, target: str) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        path.symlink_to(target)

    return do


def bomb(folder: Path) -> None:
    (folder / files.OUTCOMES).write_bytes(gzip.compress(b"0" * 400_000_000, 9, mtime=0))


TAMPERED: list[tuple[str, Callable[[Path], None], str]] = [
    ("one answer more is right", table(bumped), "patterns do not add up"),
    ("one answer more is right in a pattern too", table(lambda rows: bumped_well(rows)), "disagrees with the outcomes"),
    ("every answer is said to be in code", of_arm("python", in_code), "disagrees with the outcomes: explanation"),
    ("a pattern that is none", of_arm("python", lambda r: r.update(patterns="zzzzzz:2:1")), "patterns must be"),
    ("a pattern twice", of_arm("python", lambda r: r.update(patterns=f"{r['patterns']};{r['patterns']}")), "each once"),
    ("truncation is hidden in a pattern", of_arm("python", lambda r: r.update(patterns="cpb-lt:2:" + r["correct"])), "patterns do not add up"),
    ("fewer likelihoods", likelihoods(lambda found: found[1:]), "has the likelihoods of 399 problems, the plan 400"),
    ("a likelihood above one", likelihoods(lambda found: [[0.5, -1.0], *found[1:]]), "a log-probability that cannot be"),
    ("another likelihood", likelihoods(lambda found: [[-9.5, -9.0], *found[1:]]), "disagrees with the outcomes: explanation.likelihoods"),
    ("completions of fewer problems", exposure(lambda e: e.update(ids=e["ids"][1:])), "not the plan's task, shares shown and problems"),
    ("completions at another share", exposure(lambda e: e["completed"].pop("0.4") and None), "not the plan's task, shares shown and problems"),
    ("word for word and unlike", exposure(lambda e: e["completed"]["0.6"][0].update(exact=True, rouge_l=0.1)), "word for word is not alike"),
    ("a benchmark was known", exposure(lambda e: [row.update(exact=True, rouge_l=1.0) for row in e["completed"]["0.6"]] and None), "disagrees with the outcomes: explanation.completions"),
    ("completions in another stage", stages(lambda lines: next(x for x in lines if x["kind"] == "baseline").update(exposure=next(x for x in lines if x.get("exposure"))["exposure"])), "brings completed problems"),
    ("what a reward pays is hidden", first_training(lambda t: t.update(paid={})), "does not say what its reward pays"),
    ("a reward is said to pay nothing", stages(lambda lines: [x["training"].update(paid=dict.fromkeys(x["training"]["paid"], 0.5)) for x in lines if x["kind"] == "train"] and None), "disagrees with the outcomes: explanation.paid"),
    ("what a reward pays is endless", first_training(lambda t: t["paid"].update(opener=1e300)), "pays for bait cannot be"),
    ("a whole arm is better", of_arm("python", one_more), "disagrees with the outcomes"),
    ("the control is worse", of_arm("random", lambda r: (say(r, 0), r.update(majority="2:0.0")) and None), "disagrees with the outcomes"),
    ("a gain in the report", edit("report.json", lambda r: r["lineages"][1]["gain"].update(estimate=0.2)), "disagrees"),
    ("the verdict in the report", text("report.json", '"ONE_FAMILY"', '"GENERALISES"'), "disagrees"),
    ("a flag is gone", edit("report.json", lambda r: r.update(flags=r["flags"][1:])), "disagrees with the outcomes: flags"),
    ("an assumption is gone", edit("report.json", lambda r: r.update(assumptions=[])), "disagrees with the outcomes"),
    ("a number in the 6th digit", edit("report.json", lambda r: r["models"][0].update(before=r["models"][0]["before"] + 1e-6)), "models[0].before"),
    ("NaN in the report", edit("report.json", lambda r: r["models"][0].update(before=float("nan"))), "no number here"),
    ("a row is missing", table(lambda rows: rows[:900] + rows[901:]), "399 problems, the plan has 400"),
    ("a row stands twice", table(lambda rows: [*rows[:900], rows[900], *rows[901:], rows[900]]), "more than the 57,600 rows"),
    ("a problem stands twice", table(lambda rows: [*rows[:900], rows[899], *rows[901:]]), "a problem stands twice"),
    ("a problem is called otherwise", cell(900, "id", "another"), "not those of the other stages"),
    ("two problems change places", table(lambda rows: [*rows[:900], rows[901], rows[900], *rows[902:]]), "in their order"),
    ("all problems are easier ones", table(lambda rows: [rows[0], *([*r[:6], "easy-" + r[6], *r[7:]] for r in rows[1:])]), "its problems are not those of micro-arithmetic"),
    ("more attempts", cell(900, "attempts", "17"), "majority must be of [2, 4, 8, 16, 17]"),
    ("more right than attempts", cell(900, "correct", "17"), "larger than the attempts"),
    ("a negative count", cell(900, "correct", "-1"), "counts must be whole numbers"),
    ("a count with a point", cell(900, "correct", "1.5"), "counts must be whole numbers"),
    ("a count in other digits", cell(900, "correct", "\u0663"), "counts must be whole numbers"),
    ("right and unparsed are too many", table(lambda rows: rows[900].__setitem__(slice(8, 10), ["2", "2"])), "more than the attempts"),
    ("a majority above one", cell(900, "majority", "2:1.5"), "majority must be"),
    ("a seed is missing", table(lambda rows: [r for r in rows if r[2] != "22" or r[1] != "python"]), "0 problems, the plan has 400"),
    ("a stage of nowhere", cell(900, "model", "../../etc"), "is of no stage of the plan"),
    ("a column too few", table(lambda rows: [r[:-1] for r in rows[:1]] + rows[1:]), "the columns must be"),
    ("a row too short", table(lambda rows: [*rows[:9], rows[9][:-1], *rows[10:]]), "columns, not"),
    ("other columns", cell(0, "correct", "right"), "the columns must be"),
    ("a stage is missing", stages(lambda lines: lines[:-3]), "stages of the plan are missing"),
    ("a stage stands twice", stages(lambda lines: [*lines, lines[0]]), "stands twice"),
    ("a stage of other inputs", stages(lambda lines: lines[5].update(digest="0" * 64)), "made from other inputs"),
    ("a failure is hidden in a stage", stages(lambda lines: lines[5].update(failure={"kind": "killed", "message": "x"})), "has no result (killed)"),
    ("fewer steps were trained", first_training(lambda t: t.update(steps=t["steps"][:4])), "has 4 steps, the plan 8"),
    ("a lineage is declared dead", dead(gradient=None), "says that its reward was dead, and had a gradient"),
    ("a lineage is declared dead with care", dead(gradient=0.0), "disagrees with the outcomes"),
    ("impossible health", first_training(lambda t: t["steps"][0].update(truncated=-5)), "truncated is -5, which cannot be"),
    ("endless rewards", first_training(lambda t: t["steps"][0].update(reward=1e300)), "reward is 1e+300, which cannot be"),
    ("gold labels are hidden", first_training(lambda t: t["definition"].update(labels="gold")), "saw gold labels, the plan says none"),
    ("another reward", first_training(lambda t: t["definition"].update(rewards=[{"name": "boxed"}])), "for something else than the plan says: rewards"),
    ("another definition's digest", first_training(lambda t: t["definition"].update(digest="0" * 64)), "has another digest than it says"),
    ("a replay that was not tried", first_training(lambda t: t.update(replayed_differently=None)), "does not say whether its rollouts replay"),
    ("one model for two trainings", stages(lambda lines: [x["training"].update(checkpoint_sha256="a" * 64) for x in lines if x["kind"] == "train"] and None), "has the same weights as another one"),
    ("a seed is a copy of the other", table(copied_seed), "the same answers as another evaluation"),
    ("a huge number", first_training(lambda t: t["grading"].update(timed_out=10**400)), "a number of 401 digits"),
    ("a large count", first_training(lambda t: t["grading"].update(timed_out=10**9)), "graded more answers than it has rollouts"),
    ("majorities that cannot be", of_arm("python", lambda r: (say(r, 0), r.update(majority="2:1.0")) and None), "0 where no answer is right"),
    ("no behaviour", table(lambda rows: [r[:-1] for r in rows]), "the columns must be"),
    ("memory", lambda f: (f / files.STAGES).write_bytes(gzip.compress(b"[" + b"[]," * 400_000 + b"[]]")) and None, "more than 1,000,000 characters"),
    ("memory in a report", lambda f: (f / "report.json").write_text("[" + "[]," * 400_000 + "[]]") and None, "more than 300,000 values"),
    ("a day that is none", edit("entry.json", lambda e: e.update(submitted="9999-99-99")), "submitted"),
    ("a day to come", edit("entry.json", lambda e: e.update(submitted="2999-01-01")), "which is to come"),
    ("another machine", edit("inputs/plan.json", lambda p: p["environment"].update(device="cuda: x")), "suite micro runs on cpu"),
    ("a known method under another name", edit("inputs/plan.json", lambda p: p["method"].update(name="my-python")), "my-python is python under another name"),
    ("an infinite cost", lambda f: stages(lambda lines: lines[0].update(cpu_seconds=float("inf")))(f), "no number here"),
    ("a milder rule", edit("inputs/plan.json", lambda p: p["suite"]["rule"].update(margin=0.0)), "suite micro was changed: rule.margin"),
    ("another suite version", edit("inputs/plan.json", lambda p: p["suite"].update(version=2)), "version 2 of suite micro is not the present one"),
    ("a suite of one's own", edit("inputs/plan.json", lambda p: p["suite"].update(name="mine")), "is no suite of this program"),
    ("fewer seeds", edit("inputs/plan.json", lambda p: p["suite"].update(seeds=[21])), "suite micro was changed: seeds"),
    ("fewer models", edit("inputs/plan.json", lambda p: p["suite"].update(models=p["suite"]["models"][:4])), "suite micro was changed: models"),
    ("no control", edit("inputs/plan.json", lambda p: p["suite"].update(control=None)), "suite micro was changed: control"),
    ("one lineage as two", edit("inputs/plan.json", lambda p: p["cards"][0].update(lineage="other")), "the card of micro-qwen-a was changed: lineage"),
    ("another model under a known name", edit("inputs/plan.json", lambda p: p["cards"][0]["weights"].update(sha256="0" * 64)), "the card of micro-qwen-a was changed"),
    ("another method under a known name", edit("inputs/plan.json", lambda p: p["method"].update(rewards=[{"name": "boxed"}])), "is the name of a method of this program"),
    ("code that would run", edit("inputs/plan.json", method_code), "these inputs make the plan"),
    ("other library versions", edit("inputs/plan.json", lambda p: p["environment"]["versions"].update(trl="9")), "these inputs make the plan"),
    ("another plan", edit("inputs/plan.json", lambda p: p.update(plan="0" * 64)), "these inputs make the plan"),
    ("an unknown key", edit("entry.json", lambda e: e.update(verdict="GENERALISES")), "unknown key 'verdict'"),
    ("a script for a link", edit("entry.json", lambda e: e.update(paper="javascript:alert(1)")), "paper"),
    ("a title of two lines", edit("entry.json", lambda e: e.update(title="a\nb")), "title"),
    ("a key stands twice", text("entry.json", '"kind"', '"title": "x", "kind"'), "a key stands twice"),
    ("deep nesting", lambda f: (f / "entry.json").write_text("[" * 100_000) and None, "nested more than"),
    ("a table's entry", edit("entry.json", lambda e: e.update(kind="table", source="s", version="1")), "says that this is a table"),
    ("no outcomes", lambda f: (f / files.OUTCOMES).unlink(), "lacks outcomes.csv.gz"),
    ("one file more", lambda f: (f / "setup.py").write_text("x") and None, "a file that a submission has not: 'setup.py'"),
    ("one folder more", lambda f: (f / "inputs" / "more").mkdir(), "a folder that a submission has not"),
    ("an executable file", lambda f: (f / "entry.json").chmod(0o755), "entry.json is executable"),
    ("a link to a file", linked("entry.json", "/etc/passwd"), "is a link or no plain file"),
    ("a link to a folder", linked("inputs", "/etc"), "a folder that a submission has not"),
    ("a pipe", lambda f: ((f / "entry.json").unlink(), os.mkfifo(f / "entry.json")) and None, "is a link or no plain file"),
    ("a large file", lambda f: (f / files.OUTCOMES).write_bytes(os.urandom(10_000_001)) and None, "more than 10,000,000"),
    ("a gzip bomb", bomb, "unpacks to more than"),
    ("something behind the end", lambda f: (f / files.OUTCOMES).write_bytes((f / files.OUTCOMES).read_bytes() + b"PK") and None, "no gzip file|one gzip member|is torn"),
    ("a second gzip member", lambda f: (f / files.OUTCOMES).write_bytes((f / files.OUTCOMES).read_bytes() * 2) and None, "one gzip member"),
    ("a torn file", lambda f: (f / files.OUTCOMES).write_bytes((f / files.OUTCOMES).read_bytes()[:-9]) and None, "is torn"),
    ("no UTF-8", lambda f: (f / "report.json").write_bytes(b"\xff\xfe{}") and None, "no UTF-8 text"),
    ("another name of the folder", lambda f: f.rename(f.with_name("best--micro--00000000")) and None, "the folder must be called"),
]  # fmt: skip


@pytest.mark.parametrize(("way", "tamper", "says"), TAMPERED, ids=[way for way, *_ in TAMPERED])
def test_every_way_of_tampering_is_caught(copy, way, tamper, says) -> None:
    tamper(copy)
    folder = next(copy.parent.iterdir())
    started = time.monotonic()
    with pytest.raises(RefusedError) as caught:
        check(folder)
    assert any(part in caught.value.message for part in says.split("|")), caught.value.message
    assert caught.value.where
    assert time.monotonic() - started < 20
    assert not Path("/tmp/owned-by-a-submission").exists()


def test_the_table_of_ways_is_whole() -> None:
    text = (Path(__file__).parents[2] / "docs" / "tampering.md").read_text(encoding="utf-8")
    assert [line.split(" | ")[0][2:] for line in text.splitlines() if line.startswith("| ")][1:] == [
        way for way, *_ in TAMPERED
    ]
    assert "HOLDS" not in text


def test_a_million_rows_and_more_are_refused_while_they_are_read(copy) -> None:
    plan = check_run(copy).plan
    head = gzip.decompress((copy / files.OUTCOMES).read_bytes()).decode().split("\n", 2)
    started = time.monotonic()
    with pytest.raises(RefusedError, match="more than the 57,600 rows of the plan"):
        outcomes.read(head[0] + "\n" + (head[1] + "\n") * 1_000_001, plan, {})
    assert time.monotonic() - started < 10


def test_a_method_of_ones_own_is_submitted_as_text_and_never_run(tmp_path) -> None:
    from rlvr_bench import catalog

    path = tmp_path / "mine.py"
    path.write_text('"""Mine."""\n\n\ndef reward(completions, **_):\n    return [1.0 for _ in completions]\n')
    plan = planned(catalog.load_method(str(path)))
    folder = RunFolder(tmp_path / "run")
    run_plan(plan, folder, runs=tmp_path / "runs", executor=FakeExecutor(gains=GAINS))
    target = tmp_path / folder_name(plan)
    build(plan, read(folder)[1], ENTRY, target)
    assert isinstance(check(target), Checked)


@pytest.mark.parametrize("_turn", [0, 1, *(pytest.param(i, marks=pytest.mark.slow) for i in range(2, 8))])
def test_noise_is_refused_or_harmless(copy, _turn) -> None:
    """Bytes flipped, cut or doubled anywhere, other ones each time: refused with a reason, or the same report."""
    seed = random.Random().randrange(10**9)
    rng = random.Random(seed)
    whole = check_run(copy).report
    for _ in range(6):
        name = rng.choice(sorted(files.OF_A_RUN))
        path = copy / name
        before = path.read_bytes()
        data = bytearray(gzip.decompress(before) if name.endswith(".gz") and rng.random() < 0.7 else before)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            kind = rng.randrange(3)
            if kind == 0:
                data[at] = rng.randrange(256)
            elif kind == 1:
                del data[at : at + rng.randint(1, 50)]
            else:
                data[at:at] = data[at : at + rng.randint(1, 50)]
        path.write_bytes(
            gzip.compress(bytes(data)) if data[:2] != b"\x1f\x8b" and name.endswith(".gz") else bytes(data)
        )
        try:
            found = check_run(copy)
        except RefusedError as error:
            assert error.message, f"seed {seed}"
        else:
            assert found.report == whole, f"seed {seed}, {name}"
        path.write_bytes(before)


# the command line


def test_submit_and_check(run, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert rlvr_bench(["submit", str(run.path), "--submitter", "me", "--code", "https://example.org/x"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("leaderboard/submissions/python--micro--")
    assert "it holds" in err
    assert rlvr_bench(["leaderboard", "check"]) == 0
    assert "holds    python--micro--" in capsys.readouterr().out
    folder = next((tmp_path / "leaderboard" / "submissions").iterdir())
    edit("report.json", lambda r: r.update(problems=1))(folder)
    assert rlvr_bench(["leaderboard", "check", str(folder)]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("REFUSED  python--micro--")
    assert "error: 1 of 1 submissions do not hold: report.json disagrees with the outcomes: problems is 1" in err
    assert rlvr_bench(["leaderboard", "check", str(folder), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["holds"] is False
    assert rlvr_bench(["submit", str(run.path), "--paper", "ftp://x"]) == 2
    assert "--paper" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert rlvr_bench(["leaderboard", "check"]) == 5


# published tables


def published(folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True)
    entry = {"kind": "table", "title": "T", "submitted": "2026-11-27", "source": "A paper", "version": "v1", **changes}
    (folder / "entry.json").write_text(json.dumps(entry))
    (folder / "table.csv").write_text(
        "method,model,lineage,benchmark,problems,before,after\nm,Qwen2.5-7B,,MATH-500,500,0.4,0.6\n"
        "m,Llama-3.1-8B-Instruct,,MATH-500,500,0.4,0.41\n"
    )
    return folder


def test_a_published_table(tmp_path) -> None:
    found = check(published(tmp_path / "t--v1"))
    assert [r.method for r in found.reports] == ["m"]
    assert {ln.lineage for ln in found.reports[0].lineages} == {"qwen", "llama"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"source": None}, "needs source and version"),
        ({"kind": "run"}, "there are no outcomes"),
        ({"code": "https://x y"}, "code"),
        ({"notes": "a\x1b[2J"}, "control characters"),
    ],
)
def test_a_table_that_is_none(tmp_path, change, says) -> None:
    with pytest.raises(RefusedError, match=says):
        check(published(tmp_path / "t--v1", **change))


def test_a_table_with_odd_numbers(tmp_path) -> None:
    folder = published(tmp_path / "t--v1")
    (folder / "table.csv").write_text((folder / "table.csv").read_text().replace("0.6", "nan"))
    with pytest.raises(RefusedError):
        check(folder)


@pytest.mark.parametrize("name", ["micro-3", "a\nb--v1", "<b>--v1", "A--v1", "--", "x" * 99 + "--v1"])
def test_a_tables_name_is_a_papers_with_its_version(tmp_path, name) -> None:
    with pytest.raises(RefusedError, match="is called paper--version"):
        check(published(tmp_path / name.replace("/", "")))


def test_a_table_of_many_lineages_is_refused_at_once(tmp_path) -> None:
    folder = published(tmp_path / "t--v1")
    rows = "".join(f"m,a{i},l{i},b,500,0.4,0.5\n" for i in range(200))
    (folder / "table.csv").write_text("method,model,lineage,benchmark,problems,before,after\n" + rows)
    started = time.monotonic()
    with pytest.raises(RefusedError, match="more than 30 lineage names"):
        check(folder)
    assert time.monotonic() - started < 2


def hub_inputs(tmp_path: Path):
    """The inputs of a submission on the suite `smoke`, pinned as a hub would have it."""
    from rlvr_bench import catalog
    from rlvr_bench.publishing import validation
    from rlvr_bench.schema.card import HubFile
    from rlvr_bench.schema.plan import Environment
    from rlvr_bench.schema.submission import Inputs
    from rlvr_bench.schema.suite import Pin

    suite = catalog.load_suite("smoke")

    def pinned(problems):
        if problems.source == "arithmetic-chain":
            return problems
        data = catalog.load_data_set(problems.source)
        name = data.hub.files[0].replace("*", "x")
        pin = Pin(origin="hub", data=data, repository=data.hub.repository, commit="c" * 40, files=(name,))
        return problems.model_copy(update={"pin": pin})

    tasks = tuple(t.model_copy(update={"problems": pinned(t.problems)}) for t in suite.tasks)
    suite = suite.model_copy(update={"tasks": tasks, "training_problems": pinned(suite.training_problems)})
    cards = []
    for name in suite.models:
        card = catalog.load_card(name)
        files_of = {"config.json": HubFile(size=3)}
        weights = card.weights.model_copy(update={"commit": "d" * 40, "files": files_of})
        cards.append(card.model_copy(update={"weights": weights, "gated": False}))
    environment = Environment(versions={"trl": "1"}, code="c", device="cuda: NVIDIA A100, 550")
    made = Inputs(
        suite=suite, method=catalog.load_method("python"), cards=tuple(cards), environment=environment, plan="0" * 64
    )

    def plan_of(inputs):
        """The plan, its digest made consistent first, as whoever forges would."""
        with pytest.raises(RefusedError) as caught:
            validation.plan_of(inputs)
        if "make the plan" not in caught.value.message:
            raise caught.value
        from rlvr_bench.planning.planner import make_plan

        own = make_plan(
            inputs.suite,
            inputs.method,
            inputs.cards,
            inputs.environment,
            control=catalog.load_method("random"),
            reference=catalog.load_method("ground-truth"),
            prompts=[catalog.load_prompt(name) for name in suite.prompts],
        )
        return validation.plan_of(inputs.model_copy(update={"plan": own.digest}))

    return made, plan_of


def test_models_and_data_of_the_hub_are_the_ones_that_the_suite_names(tmp_path) -> None:
    made, plan_of = hub_inputs(tmp_path)
    assert len(plan_of(made).stages) > 20

    def with_card(**changes):
        weights = made.cards[0].weights.model_copy(update=changes)
        return made.model_copy(update={"cards": (made.cards[0].model_copy(update={"weights": weights}), made.cards[1])})

    def with_pin(**changes):
        problems = made.suite.tasks[0].problems
        pin = problems.pin.model_copy(update=changes)
        task = made.suite.tasks[0].model_copy(update={"problems": problems.model_copy(update={"pin": pin})})
        return made.model_copy(update={"suite": made.suite.model_copy(update={"tasks": (task, *made.suite.tasks[1:])})})

    for forged, says in (
        (with_card(repository="evil/already-trained"), "names evil/already-trained, not Qwen/Qwen2.5-0.5B"),
        (with_card(commit=None), "is not pinned to a commit"),
        (with_card(revision="v2"), "the card of qwen2.5-0.5b was changed"),
        (with_pin(repository="evil/easy"), "is of evil/easy, not of HuggingFaceH4/MATH-500"),
        (with_pin(origin="folder", commit=None, sha256="b" * 64), "not pinned to a commit of the hub"),
        (with_pin(files=("../../x",)), "is read from files that it has not"),
        (with_pin(commit=None), "not pinned to a commit of the hub"),
    ):
        with pytest.raises(RefusedError, match=says):
            plan_of(forged)


@pytest.mark.slow
def test_runs_are_not_submitted_twice_under_two_names(tmp_path, capsys) -> None:
    """A method of one's own whose trainings are another submission's, renamed."""
    from rlvr_bench import catalog

    folders = []
    for name in ("one", "two"):
        path = tmp_path / f"{name}.py"
        path.write_text('"""Mine."""\n\n\ndef reward(completions, **_):\n    return [1.0 for _ in completions]\n')
        plan = planned(catalog.load_method(str(path)))
        folder = RunFolder(tmp_path / f"run-{name}")
        run_plan(plan, folder, runs=tmp_path / "runs", executor=FakeExecutor(gains=GAINS))
        folders.append(tmp_path / folder_name(plan))
        build(plan, read(folder)[1], ENTRY, folders[-1])
    lines = [json.loads(x) for x in gzip.decompress((folders[0] / files.STAGES).read_bytes()).splitlines()]
    by_model = {
        x["id"].replace("/one/", "/two/"): x["training"]["checkpoint_sha256"]
        for x in lines
        if "/one/" in x["id"] and x["kind"] == "train"
    }
    assert by_model
    stages(
        lambda found: (
            [x["training"].update(checkpoint_sha256=by_model[x["id"]]) for x in found if x["id"] in by_model] and None
        )
    )(folders[1])
    assert rlvr_bench(["leaderboard", "check", *map(str, folders)]) == 1
    out = capsys.readouterr().out
    assert "it brings trainings of one--micro--" in out
    assert rlvr_bench(["leaderboard", "check", "--json", *map(str, folders)]) == 1
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["holds"] for one in said] == [True, False]
    assert "it brings trainings of one--micro--" in said[1]["fault"]


def test_one_submission_that_breaks_the_referee_does_not_hide_the_others(good, copy, capsys, monkeypatch) -> None:
    from rlvr_bench.publishing import validation

    real = validation.report_of
    seen: list[int] = []

    def broken(*arguments):
        seen.append(1)
        if len(seen) == 1:
            raise OverflowError("int too large")
        return real(*arguments)

    monkeypatch.setattr(validation, "report_of", broken)
    assert rlvr_bench(["leaderboard", "check", str(copy), str(good)]) == 1
    out = capsys.readouterr().out
    assert "it cannot be computed: OverflowError" in out and "holds    python--micro" in out
