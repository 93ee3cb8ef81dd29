"""The published record through `judge`: Spurious Rewards (Shao et al. 2025), first PDF, Figure 1, MATH-500."""

import json
from pathlib import Path

import pytest

from rlvr_bench.cli.app import run as rlvr_bench

BASE = {
    "Qwen2.5-Math-7B": ("qwen", 49.4),
    "Qwen2.5-7B": ("qwen", 41.6),
    "Llama-3.1-8B-Instruct": ("llama", 36.8),
    "OLMo-2-7B": ("olmo", 9.0),
}
GAINS = {
    "ground truth": (28.8, 33.3, 11.0, 13.9),
    "majority vote": (26.5, 31.4, 11.6, -7.4),
    "one-shot": (24.4, 17.6, -0.6, -3.6),
    "format": (16.4, 4.2, 6.1, 0.0),
    "incorrect": (24.6, 28.5, 1.3, -6.7),
    "random": (21.4, 7.7, -4.9, -8.5),
}
HEADER = "method,model,lineage,benchmark,problems,before,after"


def table(path: Path, *, split: bool = False, only_math: bool = False, arms: bool = False, scale: float = 1.0) -> Path:
    lines = [HEADER + (",arm" if arms else "")]
    for method, gains in GAINS.items():
        for (model, (lineage, base)), gain in zip(BASE.items(), gains, strict=True):
            if only_math and model == "Qwen2.5-7B":
                continue
            root = "qwen-math" if split and "Math" in model else lineage
            before, after = (round(v * scale / 100, 6) for v in (base, base + gain))
            row = f"{method},{model},{root},MATH-500,500,{before},{after}"
            lines += [row + ("," + ("control" if method == "random" else "") if arms else "")]
            if arms and method == "ground truth":
                lines.append(row + ",reference")
    path.write_text("\n".join(lines) + "\n")
    return path


def judged(path: Path, capsys, *options: str) -> dict[str, dict]:
    assert rlvr_bench(["judge", str(path), "--json", *options]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    document = json.loads(out)
    assert document["schema"] == "rlvr-bench/judge/1"
    return {v["method"]: v for v in document["verdicts"]}


def words(found: dict[str, dict]) -> dict[str, tuple[str, str | None]]:
    return {method: (v["verdict"], v["lineage"]) for method, v in found.items()}


ONE = ("ONE_FAMILY", "qwen")


def test_verdicts_of_the_published_table(tmp_path, capsys) -> None:
    found = judged(table(tmp_path / "v0.csv"), capsys)
    assert words(found) == {
        "ground truth": ("GENERALISES", None),
        "majority vote": ("MIXED", None),
        "one-shot": ONE,
        "format": ("INCONCLUSIVE", None),
        "incorrect": ONE,
        "random": ONE,
    }
    assert found["majority vote"]["harmed"] == ["olmo"]
    assert found["majority vote"]["named"] == ["qwen", "llama"]
    for verdict in found.values():
        names = {flag["name"] for flag in verdict["flags"]}
        assert names >= {"single-run", "no-control", "no-reference"}
        assert {f["lineage"] for f in verdict["families"]} == {"qwen", "llama", "olmo"}
        assert set(verdict["correlations"]) == {"0", "0.3", "0.5"}
    # the run-to-run SD at which each verdict changes, near the published analysis (it used a cruder variance)
    tips = {method: v["tipping_sd"] for method, v in found.items()}
    expected = {"ground truth": 0.0325, "majority vote": 0.035, "one-shot": 0.0475, "incorrect": 0.05, "random": 0.0475}
    assert tips["format"] is None
    for method, sd in expected.items():
        assert tips[method] == pytest.approx(sd, abs=0.0076), method
    assert found["ground truth"]["tips_to"] == "SEVERAL_SO_FAR"
    assert found["one-shot"]["tips_to"] == "LEANS_ONE_FAMILY"


def test_gains_and_intervals_of_the_published_table(tmp_path, capsys) -> None:
    found = judged(table(tmp_path / "v0.csv"), capsys)["one-shot"]
    by_lineage = {f["lineage"]: f["gain"] for f in found["families"]}
    assert by_lineage["qwen"]["estimate"] == pytest.approx(0.21)
    assert by_lineage["llama"]["estimate"] == pytest.approx(-0.006)
    # one model a lineage has the published interval: -0.6 [-7.2, 6.0] and -3.6 [-9.1, 1.9]
    assert (by_lineage["llama"]["lower"], by_lineage["llama"]["upper"]) == pytest.approx((-0.072, 0.060), abs=5e-4)
    assert (by_lineage["olmo"]["lower"], by_lineage["olmo"]["upper"]) == pytest.approx((-0.091, 0.019), abs=5e-4)


def test_two_qwen_lineages_hide_the_flag(tmp_path, capsys) -> None:
    found = words(judged(table(tmp_path / "two.csv", split=True), capsys))
    assert found["one-shot"] == found["incorrect"] == ("MIXED", None)
    assert found["random"] == found["format"] == ("LEANS_ONE_FAMILY", "qwen-math")
    # the cards know the models, and the flag says what their lineages give
    for verdict in judged(tmp_path / "two.csv", capsys).values():
        flags = {flag["name"]: flag["evidence"] for flag in verdict["flags"]}
        assert "Qwen2.5-Math-7B is given as qwen-math, its card says qwen" in flags["lineage-mismatch"]
        if verdict["method"] in ("one-shot", "incorrect", "random"):
            assert flags["lineage-mismatch"].endswith("the verdict is ONE FAMILY (qwen)")
    for verdict in judged(table(tmp_path / "one.csv"), capsys).values():
        assert "lineage-mismatch" not in {flag["name"] for flag in verdict["flags"]}


def test_one_qwen_model_alone(tmp_path, capsys) -> None:
    found = judged(table(tmp_path / "math.csv", only_math=True), capsys)
    assert words(found)["random"] == words(found)["one-shot"] == ONE
    assert words(found)["format"] == ("LEANS_ONE_FAMILY", "qwen")
    # the only row that an assumed correlation decides, and it says so
    assert len(set(found["format"]["correlations"].values())) == 2
    assert found["format"]["correlations"]["0"] == "INCONCLUSIVE"
    assert rlvr_bench(["judge", str(tmp_path / "math.csv")]) == 0
    assert "the verdict CHANGES with the assumed before/after correlation" in capsys.readouterr().out


def test_percent_gives_the_same(tmp_path, capsys) -> None:
    shares = judged(table(tmp_path / "a.csv"), capsys)
    percent = judged(table(tmp_path / "b.csv", scale=100.0), capsys, "--percent")
    assert words(shares) == words(percent)


def test_random_as_the_control_and_ground_truth_as_the_reference(tmp_path, capsys) -> None:
    found = judged(table(tmp_path / "arms.csv", arms=True), capsys)
    assert "random" not in found  # a control by its arm, not a method
    assert words(found)["ground truth"] == ("GENERALISES", None)
    assert words(found)["format"] == ("ELICITATION_ONLY", "qwen")
    assert words(found)["one-shot"] == ("INCONCLUSIVE", None)
    assert found["one-shot"]["over_start"] == "ONE_FAMILY"
    names = {flag["name"] for flag in found["format"]["flags"]}
    assert "control-explains" in names
    assert not names & {"no-control", "no-reference"}
    assert found["format"]["control"] == "random" and found["format"]["reference"] == "ground truth"
    assert "as the random reward" not in found["ground truth"]["sentence"]


def test_a_row_is_a_control_by_its_arm_whatever_its_name(tmp_path, capsys) -> None:
    path = tmp_path / "names.csv"
    rows = [HEADER + ",arm"]
    for model, lineage in (("a", "qwen"), ("b", "llama"), ("c", "olmo")):
        rows += [
            f"random,{model},{lineage},m,500,0.4,0.6,method",
            f"ours,{model},{lineage},m,500,0.4,0.6,",
            f"ours,{model},{lineage},m,500,0.4,0.4,control",
        ]
    path.write_text("\n".join(rows))
    found = judged(path, capsys)
    assert list(found) == ["random", "ours"]
    # control rows named as a method are that method's own
    assert found["ours"]["control"] == "ours" and found["random"]["control"] is None
    assert found["random"]["verdict"] == "GENERALISES"
