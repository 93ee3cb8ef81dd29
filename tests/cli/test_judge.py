"""`judge` as a person and a program see it."""

import json
import os
from pathlib import Path

import pytest

from rlvr_bench.cli.app import run as rlvr_bench

GOLDEN = Path(__file__).parents[1] / "golden"
TABLE = """method,model,lineage,benchmark,problems,before,after,arm,seed
ours,Qwen2.5-Math-7B,qwen,MATH-500,500,0.494,0.760,,1
ours,Qwen2.5-Math-7B,qwen,MATH-500,500,0.494,0.742,,2
ours,Qwen2.5-Math-7B,qwen,AMC,83,0.33,0.55,,1
ours,Qwen2.5-Math-7B,qwen,AMC,83,0.33,0.53,,2
ours,Llama-3.1-8B-Instruct,llama,MATH-500,500,0.368,0.376,,1
ours,Llama-3.1-8B-Instruct,llama,MATH-500,500,0.368,0.371,,2
ours,Llama-3.1-8B-Instruct,llama,AMC,83,0.19,0.20,,1
ours,Llama-3.1-8B-Instruct,llama,AMC,83,0.19,0.18,,2
random,Qwen2.5-Math-7B,qwen,MATH-500,500,0.494,0.64,control,1
random,Qwen2.5-Math-7B,qwen,AMC,83,0.33,0.42,control,1
random,Llama-3.1-8B-Instruct,llama,MATH-500,500,0.368,0.32,control,1
random,Llama-3.1-8B-Instruct,llama,AMC,83,0.19,0.17,control,1
baseline|x,Qwen2.5-Math-7B,qwen,MATH-500,500,0.494,0.5,,
baseline|x,Llama-3.1-8B-Instruct,llama,MATH-500,500,0.368,0.37,,
"""


@pytest.fixture
def table(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results.csv").write_text(TABLE)
    return Path("results.csv")


@pytest.mark.parametrize("format", ["terminal", "markdown", "json"])
def test_golden_judge(table, capsys, format) -> None:  # noqa: A002
    assert rlvr_bench(["judge", str(table), "--format", format]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    if format == "json":
        out = json.dumps(json.loads(out), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    path = GOLDEN / f"judge.{format}.txt"
    if os.environ.get("RLVR_BENCH_GOLDEN") == "1":
        path.write_text(out)
    assert out == path.read_text()


def test_quiet_is_a_line_a_method(table, capsys) -> None:
    assert rlvr_bench(["judge", str(table), "-q"]) == 0
    out, _ = capsys.readouterr()
    assert [line.split(":")[0] for line in out.splitlines() if line[0] != " "] == ["ours", "baseline|x"]


def test_json_and_format_json_are_the_same(table, capsys) -> None:
    assert rlvr_bench(["judge", str(table), "--json"]) == 0
    one = capsys.readouterr().out
    assert rlvr_bench(["judge", str(table), "--format", "json"]) == 0
    assert capsys.readouterr().out == one
    document = json.loads(one)
    assert set(document) == {"schema", "verdicts"}
    assert set(document["verdicts"][0]) >= {"method", "verdict", "lineage", "families", "flags", "tipping_sd"}


def test_markup_in_names_is_text(tmp_path, capsys) -> None:
    path = tmp_path / "x.csv"
    path.write_text(TABLE.replace("ours", "[bold]<b>ours</b>[/]"))
    assert rlvr_bench(["judge", str(path)]) == 0
    assert "[bold]<b>ours</b>[/], from x.csv" in capsys.readouterr().out
    assert rlvr_bench(["judge", str(path), "--format", "markdown"]) == 0
    assert "baseline|x" not in [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("wanted", ["1", "199", "1000001", "-5"])
def test_resamples_in_a_sensible_range(table, capsys, wanted) -> None:
    assert rlvr_bench(["judge", str(table), "--bootstrap", wanted]) == 2
    assert "resamples" in capsys.readouterr().err
