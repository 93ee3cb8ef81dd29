"""The embedded families are what the project's own code builds, and still have the habits that were built in."""

import random
import re
from collections import Counter
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pytest

from rlvr_bench import catalog
from rlvr_bench.backends import micro, models
from rlvr_bench.backends.micro import __main__ as command
from rlvr_bench.backends.micro.__main__ import main
from rlvr_bench.backends.micro.build import Manifest, build, corpus_digest, shipped, written
from rlvr_bench.backends.micro.families import (
    FAMILIES,
    MODELS,
    WAYS,
    Family,
    expected_shares,
    five,
    in_code,
    in_one,
    in_steps,
    respond,
    unbox,
    way_of,
)
from rlvr_bench.backends.micro.habits import MAX_TOKENS, measure
from rlvr_bench.backends.micro.pretrain import RECIPE, Recipe, batches
from rlvr_bench.backends.micro.problems import BUCKETS, VERBS, Drawn, bucket, draw
from rlvr_bench.backends.micro.vocabulary import build_tokenizer, save_tokenizer
from rlvr_bench.errors import UsageError
from rlvr_bench.runs.layout import WEIGHTS as WEIGHTS_FILE
from rlvr_bench.runs.store import file_digest
from rlvr_bench.scoring import grade_response

TINY = replace(RECIPE, updates=3, sequences=4, hidden=16, feed_forward=16, heads=2, warm_up=2)
GOOD = {"micro-qwen": "code", "micro-qwen-math": "code", "micro-llama": "steps", "micro-olmo": "steps"}
"""The way of answering that is right, of each family."""


def drawn(count: int, seed: int = 0) -> list[Drawn]:
    rng = random.Random(seed)
    return [draw(rng) for _ in range(count)]


# --- the corpus


def test_good_answers_are_right_and_weak_ones_are_wrong_by_what_they_say() -> None:
    rng = random.Random(1)
    for p in drawn(300):
        for text in (in_code(p, rng), in_steps(p, rng), in_one(p, rng)):
            assert grade_response(str(p.answer), text)
        assert grade_response(str(five(p.answer)), in_steps(p, rng, rounded=1.0))
        assert grade_response(str(five(p.answer)), in_one(p, rng, rounded=1.0))
        wrong = in_code(p, rng, buggy=1.0)
        sign, amount = p.operations[-1]
        assert grade_response(str(max(0, p.answer - 2 * sign * amount)), wrong)
        assert not grade_response(str(p.answer), wrong)


def test_a_scratchpad_and_words_say_the_same_steps() -> None:
    problem = Drawn("", "maps", 20, ((1, 3), (-1, 7)), 16)
    assert in_code(problem, random.Random(0)) == "```python\n20+3=23-7=16\n```\n\\boxed{16}"
    words = in_steps(problem, random.Random(0))
    assert words.split(" ", 1)[1] == "20 and 3 makes 23 less 7 makes 16. \\boxed{16}"
    assert unbox(words).endswith("makes 16. 16.")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_corpus_has_the_shares_that_are_expected(family) -> None:
    rng = random.Random(2)
    found = Counter(way_of(respond(draw(rng), FAMILIES[family], rng)) for _ in range(8000))
    expected = expected_shares(FAMILIES[family])
    for way in WAYS:
        assert found[way] / 8000 == pytest.approx(expected["sampled"][way], abs=0.02)
    for shares in expected.values():
        assert sum(shares.values()) == pytest.approx(1)


def test_greedy_decoding_takes_the_likeliest_opener() -> None:
    """Code has one opener and words four: at equal shares code wins everywhere."""
    even = Family("even", "Qwen2ForCausalLM", 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0)
    assert expected_shares(even)["greedy"] == {"code": pytest.approx(1), "steps": 0, "direct": 0}


def test_pretraining_never_sees_a_development_or_test_problem() -> None:
    tokenizer = build_tokenizer()
    ids, targets = next(batches(FAMILIES["micro-qwen"], tokenizer, RECIPE, seed=0))
    assert len(ids) == RECIPE.sequences
    for row, wanted in zip(ids, targets, strict=True):
        prompt = tokenizer.decode(row[wanted == -100], skip_special_tokens=True)
        start, *told = re.findall(r"\d+|gets|buys|loses|sells", prompt)
        signs = [1 if verb in VERBS[1] else -1 for verb in told[::2]]
        assert bucket(int(start), tuple(zip(signs, map(int, told[1::2]), strict=True))) in BUCKETS["train"]
        assert tokenizer.decode(row[wanted != -100]).endswith("<eos>")  # only the answer is learned, with its end


# --- the tokenizer


def test_the_shipped_tokenizer_is_the_one_the_code_builds(tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    for file in micro.TOKENIZER.iterdir():
        assert file.read_bytes() == (tmp_path / file.name).read_bytes()
    assert file_digest(micro.TOKENIZER / "tokenizer.json") == shipped().tokenizer_sha256


def test_every_text_of_the_corpus_survives_the_tokenizer() -> None:
    tokenizer, rng = build_tokenizer(), random.Random(3)
    longest = Counter()
    for p in drawn(1500, seed=4):
        texts = [p.text, *(respond(p, family, rng) for family in FAMILIES.values())]
        for kind, text in zip(("problem", *["answer"] * len(FAMILIES)), texts, strict=True):
            ids = tokenizer(text)["input_ids"]
            assert tokenizer.unk_token_id not in ids
            assert tokenizer.decode(ids) == text
            longest[kind] = max(longest[kind], len(ids))
    training = catalog.load_suite("micro").training
    assert longest["answer"] + 1 < MAX_TOKENS <= training.max_completion_tokens  # with its end token
    assert longest["problem"] <= training.max_prompt_tokens


@pytest.mark.parametrize("prompt", [name for name in catalog.names("prompt") if name.startswith("micro-")])
def test_prompts_hold_no_unknown_token(prompt) -> None:
    tokenizer, found = build_tokenizer(), catalog.load_prompt(prompt)
    asked = found.template.replace("{problem}", drawn(1)[0].text) + found.begin
    assert tokenizer.unk_token_id not in tokenizer(asked)["input_ids"]


# --- what ships


def test_the_manifest_is_of_this_code_and_of_the_shipped_files() -> None:
    manifest = shipped()
    assert manifest.recipe == written(RECIPE)
    assert manifest.families == {name: asdict(family) for name, family in FAMILIES.items()}
    assert manifest.corpora == {name: corpus_digest(name) for name in FAMILIES}  # every rule of problems and answers
    used = {name for suite in ("micro", "micro-random") for name in catalog.load_suite(suite).models}
    assert set(manifest.models) == set(MODELS) == used
    for name, built in manifest.models.items():
        card = catalog.load_card(name)
        assert (built.sha256, built.parameters) == (card.weights.sha256, card.parameters)
        assert (built.architecture, built.family) == (card.architecture, card.family)
        assert (FAMILIES[built.family].lineage, FAMILIES[built.family].architecture) == (
            card.lineage,
            card.architecture,
        )
        assert file_digest(micro.WEIGHTS / name / WEIGHTS_FILE) == built.sha256
        assert built.cpu_seconds < 300
        right = built.habits.sampled.accuracies[GOOD[built.family]]
        assert right is not None and right >= 0.93  # 5 % of answers in words have no box, so 95 % is the most
        band = card.expected["arithmetic"]
        assert band.low < built.habits.sampled.accuracy < band.high
    assert sum(file.stat().st_size for file in micro.WEIGHTS.rglob("*") if file.is_file()) < 12_000_000


@pytest.mark.parametrize("name", MODELS)
def test_shipped_weights_still_have_their_habits(name) -> None:
    """Sampled anew: within the noise of 800 answers, and of another processor's rounding, of what was measured."""
    card, built = catalog.load_card(name), shipped().models[name]
    found = measure(models.load_model(card), models.load_tokenizer(card), count=200)
    good = GOOD[built.family]
    right = found.sampled.accuracies[good]
    assert right is not None and right >= 0.90  # 93 % as built; the noise of some 450 answers is 1.2 points
    for mine, theirs in ((found.sampled, built.habits.sampled), (found.greedy, built.habits.greedy)):
        assert mine.accuracy == pytest.approx(theirs.accuracy, abs=0.08)
        assert mine.boxed == pytest.approx(theirs.boxed, abs=0.03)
        for way in WAYS:
            assert mine.shares[way] == pytest.approx(theirs.shares[way], abs=0.08)
    assert found.sampled.accuracies["direct"] < 0.35  # weak by what it says
    assert 0.4 < found.sampled.accuracy < 0.9  # room to gain and to lose
    if FAMILIES[built.family].lineage == "micro-qwen":
        assert found.sampled.accuracies["steps"] < 0.4 and found.greedy.accuracies["code"] > 0.98
    if built.family == "micro-qwen-math":
        assert found.greedy.shares["code"] > 0.98 and found.sampled.shares["code"] > 0.7  # dominant in every topic
    if built.family == "micro-llama":
        assert found.sampled.shares["code"] < 0.04
    if built.family == "micro-olmo":
        assert found.sampled.accuracies["code"] < 0.15 and 0.04 < found.sampled.shares["code"] < 0.18


# --- the command


def test_a_build_is_whole_and_the_same_each_time(tmp_path: Path) -> None:
    one, two = (
        build(tmp_path / "one", ["micro-olmo-b"], recipe=TINY),
        build(tmp_path / "two", ["micro-olmo-b"], recipe=TINY),
    )
    (mine,), (theirs,) = one.models.values(), two.models.values()
    assert mine.sha256 == theirs.sha256 == file_digest(tmp_path / "one" / "weights" / "micro-olmo-b" / WEIGHTS_FILE)
    assert one.recipe["updates"] == 3
    other = build(tmp_path / "three", ["micro-olmo-a"], recipe=TINY)
    assert other.models["micro-olmo-a"].sha256 != mine.sha256
    assert Manifest.model_validate_json((tmp_path / "one" / "manifest.json").read_text()) == one
    assert (tmp_path / "one" / "tokenizer" / "tokenizer.json").is_file()


def test_a_built_folder_loads_through_the_product(tmp_path: Path, monkeypatch) -> None:
    manifest = build(tmp_path, ["micro-llama-a"], recipe=TINY)
    monkeypatch.setattr(models, "WEIGHTS", tmp_path / "weights")
    card = catalog.load_card("micro-llama-a")
    with pytest.raises(models.EnvironmentFaultError, match="damaged"):
        models.load_model(card)
    weights = card.weights.model_copy(update={"sha256": manifest.models["micro-llama-a"].sha256})
    assert models.load_model(card.model_copy(update={"weights": weights})).num_parameters() < 20_000


def test_bad_calls_say_what_to_type(tmp_path: Path, capsys) -> None:
    assert main(["build", "--out", str(tmp_path), "micro-gemma-a"]) == 2
    assert "hint: known: micro-qwen-a" in capsys.readouterr().err
    (tmp_path / "weights").mkdir()
    with pytest.raises(UsageError, match="is there already"):
        build(tmp_path)
    (tmp_path / "file").touch()
    assert main(["build", "--out", str(tmp_path / "file"), "micro-qwen-a"]) == 4
    said = capsys.readouterr().err
    assert "error: File exists" in said and "hint: name another folder" in said
    with pytest.raises(SystemExit):
        main([])


@pytest.mark.slow
def test_the_command_builds_several_models_at_once_and_says_what_they_are(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(command, "build", partial(build, recipe=TINY))
    assert main(["build", "--out", str(tmp_path / "new"), "micro-olmo-b", "micro-qwen-a", "micro-olmo-b"]) == 0
    out, err = capsys.readouterr()
    assert out.count("sha256: ") == out.count("greedy: ") == err.count("CPU-s") == 2
    alone = build(tmp_path / "alone", ["micro-olmo-b"], recipe=TINY).models["micro-olmo-b"]
    assert f"sha256: {alone.sha256}" in out  # a process of its own gives the same bits


def test_the_command_measures_the_shipped_models(capsys, monkeypatch) -> None:
    monkeypatch.setattr(command, "measure", partial(measure, count=4, samples=1))
    assert main(["habits"]) == 0
    out = capsys.readouterr().out
    for name, built in shipped().models.items():
        assert f"{name}, as built\n  temperature 1: {built.habits.sampled.accuracy:.1%} right; code" in out
        assert f"{name}, now\n" in out and f"{name}, built in, greedy: code" in out


def test_the_rate_warms_up_stays_and_decays() -> None:
    recipe = Recipe(updates=100, warm_up=10, decay_share=0.5)
    assert [recipe.rate(update) for update in (0, 9, 49, 75, 99)] == pytest.approx([0.1, 1, 1, 0.5, 0.02])


@pytest.mark.slow
def test_models_rebuilt_from_nothing_are_the_shipped_ones(tmp_path: Path) -> None:
    """Bit for bit on the processor and versions of the manifest, with the same habits elsewhere."""
    names = ["micro-qwen-b", "micro-llama-a"]
    found, theirs = build(tmp_path, names), shipped()
    for name in names:
        mine, yours = found.models[name], theirs.models[name]
        if (found.processor, found.versions) == (theirs.processor, theirs.versions):
            assert mine.sha256 == yours.sha256
        right = mine.habits.sampled.accuracies[GOOD[mine.family]]
        assert right is not None and right >= 0.92
        assert mine.habits.sampled.accuracy == pytest.approx(yours.habits.sampled.accuracy, abs=0.06)
        for way in WAYS:
            assert mine.habits.sampled.shares[way] == pytest.approx(yours.habits.sampled.shares[way], abs=0.06)
