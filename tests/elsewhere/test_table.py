"""What a table may hold, and what it says when it does not."""

import json

import pytest

from rlvr_bench import catalog
from rlvr_bench.cli.app import run as rlvr_bench
from rlvr_bench.elsewhere.from_table import collect
from rlvr_bench.elsewhere.table import read_table

HEADER = "method,model,lineage,benchmark,problems,before,after"
GOOD = ["m,a,qwen,x,500,0.4,0.6", "m,b,llama,x,500,0.4,0.4", "m,c,olmo,x,500,0.4,0.4"]


def written(path, *rows: str, header: str = HEADER):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.mark.parametrize(
    ("header", "rows", "words"),
    [
        (HEADER.replace(",problems", ""), ["m,a,q,x,0.4,0.6"], "missing column 'problems'"),
        (HEADER.replace(",", ";"), ["m;a;q;x;5;0;1"], "separated by commas"),
        (HEADER + ",sample", ["m,a,q,x,5,0,1,1"], "unknown column 'sample'"),
        (HEADER + ",after", ["m,a,q,x,5,0,1,1"], "column 'after' stands twice"),
        (HEADER, ["m,a,q,x,500,0.4,NaN"], "results.csv:2"),
        (HEADER, ["m,a,q,x,500,0.4,nan"], "after is nan: a missing measurement is not a number"),
        (HEADER, ["m,a,q,x,500,inf,0.5"], "before is inf"),
        (HEADER, ["m,a,q,x,500,0.4,"], "after is '', not a number"),
        (HEADER, ["m,a,q,x,500,49.4,71.0"], "add --percent"),
        (HEADER, ["m,a,q,x,500,-0.1,0.5"], "below 0"),
        (HEADER, ["m,a,q,x,0,0.4,0.5"], "problems is 0"),
        (HEADER, ["m,a,q,x,1,0.4,0.5"], "problems is 1"),
        (HEADER, [f"m,a,q,x,{10**25},0.4,0.5"], "problems is above"),
        (HEADER, ["m,a,q,x,5.5,0.4,0.5"], "problems is '5.5'"),
        (HEADER, ["m,a,q,x,500,0.4,0.5", "m,a,q,x,500,0.4,0.6"], "stands on line 2 already"),
        (HEADER, ["m,a,,x,500,0.4,0.5"], "no lineage for model 'a'"),
        (HEADER.replace("lineage,", ""), ["m,a,x,500,0.4,0.5"], "no lineage for model 'a'"),
        (HEADER, ["m,a,q,x,500,0.4,0.5", "m,a,p,y,500,0.4,0.5"], "has the lineage 'p' here and 'q' on line 2"),
        (HEADER, ["m,a,q,x,500,0.4,0.5", "m,b,p,x,400,0.4,0.5"], "400 problems here and 500 on line 2"),
        (HEADER, ["m,a,q,x,500,0.4,0.5", "m,b,p,y,500,0.4,0.5"], "no benchmark was measured on models of two lineages"),
        (HEADER, ["m,a,q,x,500,0.4"], "6 cells where the header has 7"),
        (HEADER, [",a,q,x,500,0.4,0.5"], "method is empty"),
        (HEADER, ["m\x1b[31m,a,q,x,500,0.4,0.5"], "control characters"),
        (HEADER + ",arm", ["m,a,q,x,500,0.4,0.5,placebo"], "arm is 'placebo'"),
        (HEADER + ",arm", ["m,a,q,x,500,0.4,0.5,control"], "no row has the arm 'method'"),
        (HEADER + ",samples", ["m,a,q,x,500,0.4,0.5,0"], "samples is 0"),
        (HEADER + ",step", ["m,a,q,x,500,0.4,0.5,10", "m,b,q,x,500,0.4,0.5,"], "no step here"),
        (HEADER, ['m,a,q,x,500,0.4,"0.5'], "not valid CSV"),
    ],
)
def test_bad_tables_are_2_and_say_where(tmp_path, capsys, header, rows, words) -> None:
    path = written(tmp_path / "results.csv", *rows, header=header)
    assert rlvr_bench(["judge", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err and "results.csv" in err and err.startswith("error: ")


@pytest.mark.parametrize(("text", "code"), [("", 5), (HEADER + "\n", 5), ("\n\n", 5), (" , \n", 5)])
def test_no_measurement_is_5(tmp_path, capsys, text, code) -> None:
    path = tmp_path / "empty.csv"
    path.write_text(text)
    assert rlvr_bench(["judge", str(path)]) == code
    assert "error: " in capsys.readouterr().err


def test_other_bad_calls(tmp_path, capsys) -> None:
    assert rlvr_bench(["judge", str(tmp_path / "none.csv")]) == 2
    assert rlvr_bench(["judge", str(tmp_path)]) == 2
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    assert rlvr_bench(["judge", str(tmp_path / "binary.csv")]) == 2
    path = written(tmp_path / "good.csv", *GOOD)
    assert rlvr_bench(["judge", str(path), "--percent"]) == 2
    assert "leave --percent out" in capsys.readouterr().err
    assert rlvr_bench(["judge", str(path), "--bootstrap", "1000"]) == 2
    assert "resamples problems" in capsys.readouterr().err


def test_one_lineage_only_is_not_tested(tmp_path, capsys) -> None:
    path = written(tmp_path / "one.csv", "m,a,qwen,x,500,0.4,0.6", "m,b,qwen,x,500,0.4,0.6")
    assert rlvr_bench(["judge", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdicts"][0]["verdict"] == "NOT_TESTED"


def test_cards_know_a_lineage_and_catch_a_split(tmp_path, capsys) -> None:
    rows = [
        f"m,{model},,x,500,0.4,{after}"
        for model, after in (
            ("micro-qwen-a", 0.6),
            ("Micro_Qwen_B", 0.6),
            ("micro-llama-a", 0.3),
            ("micro-olmo-a", 0.3),
        )
    ]
    path = written(tmp_path / "cards.csv", *rows)
    assert rlvr_bench(["judge", str(path), "--json"]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)["verdicts"]
    assert (verdict["verdict"], verdict["lineage"]) == ("ONE_FAMILY", "micro-qwen")
    split = [rows[0].replace(",,", ",another,"), *rows[1:]]
    assert rlvr_bench(["judge", str(written(tmp_path / "split.csv", *split)), "--json"]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)["verdicts"]
    assert verdict["verdict"] == "MIXED"
    (flag,) = [f for f in verdict["flags"] if f["name"] == "lineage-mismatch"]
    assert "its card says micro-qwen" in flag["evidence"]
    assert "with the cards' lineages the verdict is ONE FAMILY (micro-qwen)" in flag["evidence"]


def test_a_card_of_a_known_family_cannot_name_another_lineage(tmp_path) -> None:
    from rlvr_bench.errors import FileFormatError

    text = (catalog.folder("model") / "micro-qwen-a.yaml").read_text()
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("lineage: micro-qwen", "lineage: something-else"))
    with pytest.raises(FileFormatError, match="is of lineage 'micro-qwen'"):
        catalog.load_card(str(path))


def test_a_benchmark_that_a_model_lacks_is_left_out_and_named(tmp_path, capsys) -> None:
    path = written(tmp_path / "some.csv", *GOOD, "m,a,qwen,amc,83,0.3,0.5", "m,b,llama,amc,83,0.3,0.3")
    assert rlvr_bench(["judge", str(path), "--json"]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)["verdicts"]
    assert [(t["task"], t["deciding"], len(t["gains"])) for t in verdict["tasks"]] == [
        ("x", True, 3),
        ("amc", False, 2),
    ]
    (flag,) = [f for f in verdict["flags"] if f["name"] == "incomplete"]
    assert "amc does not decide: not measured on c" in flag["evidence"]


def test_a_model_gives_way_where_little_would_be_left_to_decide_on(tmp_path, capsys) -> None:
    """Forty problems on three lineages decide less than 540 on two: the third is not tested, and shown alone."""
    rows = [*GOOD[:2], *(f"m,{m},{ln},amc,40,0.3,0.3" for m, ln in (("a", "qwen"), ("b", "llama"), ("c", "olmo")))]
    assert rlvr_bench(["judge", str(written(tmp_path / "few.csv", *rows)), "--json"]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)["verdicts"]
    assert verdict["not_tested"] == ["olmo"] and verdict["verdict"] == "LEANS_ONE_FAMILY"
    assert [(t["task"], t["deciding"], len(t["gains"])) for t in verdict["tasks"]] == [("x", True, 2), ("amc", True, 3)]
    (flag,) = [f for f in verdict["flags"] if f["name"] == "incomplete"]
    assert "c is left out: not measured on x" in flag["evidence"]


def test_a_run_that_ends_early_counts_with_its_last_step(tmp_path, capsys) -> None:
    """A collapsed seed without the last step is neither lost nor silent."""
    rows = [
        f"m,{m},{ln},x,500,0.4,{0.7 if ln == 'qwen' and seed < 3 else 0.4},{seed},{step}"
        for m, ln in (("a", "qwen"), ("b", "llama"))
        for seed in (1, 2, 3)
        for step in (100, 200)
        if (m, seed, step) != ("a", 3, 200)
    ]
    path = written(tmp_path / "dead.csv", *rows, header=HEADER + ",seed,step")
    assert rlvr_bench(["judge", str(path), "--json"]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)["verdicts"]
    assert verdict["models"][0]["after"] == pytest.approx([0.7, 0.7, 0.4])
    flags = {f["name"]: f["evidence"] for f in verdict["flags"]}
    assert "a, seed 3, ends at step 100, others at 200: its last step counts" in flags["incomplete"]
    assert "unstable" in flags


def test_spelling_does_not_split_a_lineage(tmp_path, capsys) -> None:
    rows = ["m,a,qwen,x,500,0.4,0.6", "m,d,Qwen,x,500,0.4,0.6", *GOOD[1:]]
    assert rlvr_bench(["judge", str(written(tmp_path / "case.csv", *rows)), "--json"]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)["verdicts"]
    assert (verdict["verdict"], verdict["lineage"]) == ("ONE_FAMILY", "qwen")
    assert {f["lineage"] for f in verdict["families"]} == {"qwen", "llama", "olmo"}


def test_a_control_is_shared_though_it_is_also_judged_as_a_method(tmp_path, capsys) -> None:
    names = (("a", "qwen"), ("b", "llama"), ("c", "olmo"))
    rows = [f"{row}," for row in GOOD]
    rows += [f"random,{m},{ln},x,500,0.4,0.41," for m, ln in names]
    rows += [f"random,{m},{ln},x,500,0.4,0.41,control" for m, ln in names[:2]]
    path = written(tmp_path / "both.csv", *rows, header=HEADER + ",arm")
    assert rlvr_bench(["judge", str(path), "--json"]) == 0
    found = {v["method"]: v for v in json.loads(capsys.readouterr().out)["verdicts"]}
    assert found["m"]["control"] == "random" and found["random"]["control"] is None
    (flag,) = [f for f in found["m"]["flags"] if f["name"] == "incomplete"]
    assert "no whole run of the control random for c" in flag["evidence"]
    evidence = {f["name"]: f["evidence"] for f in found["random"]["flags"]}["no-control"]
    assert evidence.startswith("the method is the control")


def test_a_control_that_few_models_have_is_left_out(tmp_path, capsys) -> None:
    names = (("a", "qwen"), ("b", "llama"), ("c", "olmo"))
    rows = [f"{row}," for row in GOOD]
    rows += [f"random,{m},{ln},x,500,0.4,0.4,control" for m, ln in names]
    rows += ["format,a,qwen,x,500,0.4,0.5,control"]
    path = written(tmp_path / "two.csv", *rows, header=HEADER + ",arm")
    assert rlvr_bench(["judge", str(path), "--json"]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)["verdicts"]
    assert verdict["control"] == "random"
    assert "No whole control" not in verdict["sentence"]
    (flag,) = [f for f in verdict["flags"] if f["name"] == "incomplete"]
    assert "the control format is left out: 1 of 3 models have it" in flag["evidence"]


def test_a_control_that_ends_elsewhere_is_a_mismatch(tmp_path, capsys) -> None:
    rows = [f"{row},,300" for row in GOOD]
    rows += [f"random,{m},{ln},x,500,0.4,0.4,control,50" for m, ln in (("a", "qwen"), ("b", "llama"), ("c", "olmo"))]
    path = written(tmp_path / "steps.csv", *rows, header=HEADER + ",arm,step")
    assert rlvr_bench(["judge", str(path), "--json"]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)["verdicts"]
    (flag,) = [f for f in verdict["flags"] if f["name"] == "control-mismatch"]
    assert "control random ends at step 50, the method at step 300" in flag["evidence"]


def test_several_references_are_refused(tmp_path, capsys) -> None:
    rows = [*(f"{row}," for row in GOOD), "gt,a,qwen,x,500,0.4,0.6,reference", "oracle,a,qwen,x,500,0.4,0.6,reference"]
    assert rlvr_bench(["judge", str(written(tmp_path / "r.csv", *rows, header=HEADER + ",arm"))]) == 2
    assert "several references: gt, oracle" in capsys.readouterr().err


def test_seeds_are_runs(tmp_path, capsys) -> None:
    rows = [
        f"m,{model},{ln},x,500,0.4,{after + wobble},{seed}"
        for model, ln, after in (("a", "qwen", 0.6), ("b", "llama", 0.4), ("c", "olmo", 0.4))
        for seed, wobble in enumerate((-0.01, 0.0, 0.01))
    ]
    path = written(tmp_path / "seeds.csv", *rows, header=HEADER + ",seed")
    assert rlvr_bench(["judge", str(path), "--json"]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)["verdicts"]
    assert verdict["verdict"] == "ONE_FAMILY" and verdict["tipping_sd"] is None
    assert "single-run" not in {f["name"] for f in verdict["flags"]}
    assert "observed 1.0" in verdict["assumptions"][0]


def test_weights(tmp_path, capsys) -> None:
    rows = [
        f"m,{model},{ln},{b},{n},0.4,{0.4 + gain}"
        for model, ln in (("a", "qwen"), ("b", "llama"))
        for b, n, gain in (("big", 450, 0.1), ("small", 50, 0.3))
    ]
    path = written(tmp_path / "w.csv", *rows)

    def gain(*options):
        assert rlvr_bench(["judge", str(path), "--json", *options]) == 0
        (verdict,) = json.loads(capsys.readouterr().out)["verdicts"]
        return verdict["families"][0]["gain"]["estimate"]

    assert gain() == pytest.approx(0.9 * 0.1 + 0.1 * 0.3)
    assert gain("--weights", "benchmarks") == pytest.approx(0.2)


def test_a_model_at_the_ceiling_leaves_the_rule(tmp_path, capsys) -> None:
    path = written(tmp_path / "top.csv", *GOOD, "m,d,gemma,x,500,0.97,0.98")
    assert rlvr_bench(["judge", str(path), "--json"]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)["verdicts"]
    assert verdict["not_tested"] == ["gemma"]
    assert verdict["verdict"] == "LEANS_ONE_FAMILY"
    assert "saturated" in {f["name"] for f in verdict["flags"]}


def test_a_control_that_starts_elsewhere_is_a_mismatch(tmp_path, capsys) -> None:
    def names(start: float) -> set[str]:
        controls = [f"random,{m},{ln},x,500,{start},0.4,control" for m, ln in (("a", "qwen"), ("b", "llama"))]
        rows = [f"{row}," for row in GOOD[:2]]
        path = written(tmp_path / "c.csv", *rows, *controls, header=HEADER + ",arm")
        assert rlvr_bench(["judge", str(path), "--json"]) == 0
        (verdict,) = json.loads(capsys.readouterr().out)["verdicts"]
        return {f["name"] for f in verdict["flags"]}

    assert "control-mismatch" not in names(0.405)
    assert "control-mismatch" in names(0.406)


def test_a_lineage_without_control_leaves_the_headline_open(tmp_path, capsys) -> None:
    controls = ["random,a,qwen,x,500,0.4,0.4,control", "random,b,llama,x,500,0.4,0.4,control"]
    path = written(tmp_path / "c.csv", *[f"{row}," for row in GOOD], *controls, header=HEADER + ",arm")
    assert rlvr_bench(["judge", str(path), "--json"]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)["verdicts"]
    assert verdict["verdict"] == "INCONCLUSIVE" and "No whole control run for olmo" in verdict["sentence"]
    assert verdict["over_start"] == "ONE_FAMILY"


STEPS = HEADER + ",step"


def curve(tmp_path, capsys, qwen: dict[int, float], other: dict[int, float]) -> dict:
    rows = [
        f"m,{model},{ln},x,5000,0.4,{after},{step}"
        for model, ln, values in (("a", "qwen", qwen), ("b", "llama", other), ("c", "olmo", other))
        for step, after in values.items()
    ]
    path = written(tmp_path / "steps.csv", *rows, header=STEPS)
    assert rlvr_bench(["judge", str(path), "--json"]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)["verdicts"]
    return verdict


def test_the_last_step_decides_and_a_peak_is_transient(tmp_path, capsys) -> None:
    found = curve(tmp_path, capsys, {50: 0.45, 100: 0.70, 200: 0.40}, {50: 0.4, 100: 0.4, 200: 0.4})
    assert found["verdict"] == "ABSENT"
    flags = {f["name"]: f for f in found["flags"]}
    assert flags["transient"]["about"] == ["qwen"] and "step 100" in flags["transient"]["evidence"]
    assert "at step 100 ONE FAMILY (qwen)" in flags["step-dependent"]["evidence"]
    flat = curve(tmp_path, capsys, {100: 0.41, 200: 0.40}, {100: 0.4, 200: 0.4})
    assert not {"transient", "step-dependent"} & {f["name"] for f in flat["flags"]}


def test_a_step_in_the_first_half_is_not_compared(tmp_path, capsys) -> None:
    def names(step: int) -> set[str]:
        found = curve(tmp_path, capsys, {step: 0.4, 200: 0.7}, {step: 0.4, 200: 0.4})
        return {f["name"] for f in found["flags"]}

    assert "step-dependent" in names(100)
    assert "step-dependent" not in names(99)


def test_fifty_megabytes_are_read_in_one_pass(tmp_path) -> None:
    """The size of the file is the benchmark's business; here that every row arrives, and names are shared."""
    rows = [f"m,model-{i % 7},ln-{i % 3},x,500,0.4,0.5,{i}" for i in range(21_000)]
    found = read_table(written(tmp_path / "big.csv", *rows, header=HEADER + ",seed"))
    assert len(found) == 21_000
    assert found[0].model is found[7].model


def test_step_and_seed_keep_their_cells_apart(tmp_path) -> None:
    rows = [
        f"m,{m},{ln},x,500,0.4,0.5,{seed},{step}"
        for m, ln in (("a", "q"), ("b", "l"))
        for seed in (1, 2)
        for step in (10, 20)
    ]
    path = written(tmp_path / "t.csv", *rows, header=HEADER + ",seed,step")
    (found,) = collect(read_table(path), path)
    model = found.evidence.models[0]
    assert model.seeds("method") == 2 and list(model.steps) == [10] and found.final_step == 20


def incomplete(verdict: dict) -> str:
    return next((f["evidence"] for f in verdict["flags"] if f["name"] == "incomplete"), "")


def test_nothing_is_left_out_without_a_word(tmp_path, capsys) -> None:
    """Seeds of a control without a benchmark, a benchmark before the end only, a model without a whole seed."""

    def verdict(*rows: str, header: str = HEADER + ",seed,arm,step") -> dict:
        assert rlvr_bench(["judge", str(written(tmp_path / "t.csv", *rows, header=header)), "--json"]) == 0
        return json.loads(capsys.readouterr().out)["verdicts"][0]

    models = (("q1", "q"), ("l1", "l"))
    method = [f"m,{m},{ln},{b},400,0.3,0.6,{s},," for m, ln in models for b in "XY" for s in (1, 2)]
    control = [f"r,{m},{ln},X,400,0.3,{a},{s},control," for m, ln in models for s, a in ((1, 0.3), (2, 0.6))]
    control += [f"r,{m},{ln},Y,400,0.3,0.3,1,control," for m, ln in models]
    assert "q1, control r: 1 of 2 seeds lack a benchmark" in incomplete(verdict(*method, *control))
    assert "q1, control r: no result on Y" in incomplete(verdict(*method, *control[:4]))
    gone = verdict(*method, "m,o1,o,X,400,0.3,0.3,1,,", "m,o1,o,Y,400,0.3,0.3,2,,")
    assert (gone["verdict"], gone["not_tested"]) == ("SEVERAL_SO_FAR", ["o"])
    steps = [f"m,{m},{ln},X,400,0.3,0.6,,,{s}" for m, ln in models for s in (100, 200)]
    early = verdict(*steps, *(f"m,{m},{ln},Y,400,0.3,0.2,,,100" for m, ln in models))
    assert "q1: Y was measured before the end only" in incomplete(early)


def test_own_and_shared_controls_both_count(tmp_path, capsys) -> None:
    models = (("a", "qwen"), ("b", "llama"), ("c", "olmo"))
    rows = [f"m,{m},{ln},x,500,0.4,0.6," for m, ln in models]
    rows += [f"m,{m},{ln},x,500,0.4,0.4,control" for m, ln in models]
    rows += [f"random,{m},{ln},x,500,0.4,0.7,control" for m, ln in models]
    path = written(tmp_path / "both.csv", *rows, header=HEADER + ",arm")
    assert rlvr_bench(["judge", str(path), "--json"]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)["verdicts"]
    assert verdict["control"] == "m and random" and verdict["verdict"] == "ELICITATION_ONLY"
    assert "what the random reward gives" in verdict["sentence"]


def test_a_table_never_asks_for_samples(tmp_path, capsys) -> None:
    rows = [f"m,{m},{ln},x,500,0.4,0.46" for m, ln in (("a", "qwen"), ("b", "llama"), ("c", "olmo"))]
    assert rlvr_bench(["judge", str(written(tmp_path / "s.csv", *rows)), "--json"]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)["verdicts"]
    assert verdict["verdict"] == "INCONCLUSIVE"
    assert "To settle it" in verdict["sentence"] and "samples" not in verdict["sentence"]
