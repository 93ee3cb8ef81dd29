"""The embedded families: problems that never move, weights that are whole, a tokenizer that is the right one."""

import hashlib
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlvr_bench import catalog
from rlvr_bench.backends import micro, models
from rlvr_bench.backends.data import load_problems
from rlvr_bench.backends.micro.families import MODELS
from rlvr_bench.backends.micro.problems import bucket, problems
from rlvr_bench.errors import EnvironmentFaultError, NotFoundError, UsageError
from rlvr_bench.schema.suite import ProblemSet
from rlvr_bench.scoring import grade_response

GOLDEN_TEXT = (
    "Q: Tom has 12 apples, then gets 3, then sells 4. How many?\nA:\n```python\n12+3=15-4=11\n```\n\\boxed{11}"
)
GOLDEN_IDS = [167, 61, 13, 42, 80, 44, 91, 55, 174, 61, 34, 64, 47, 60, 4, 60, 183]


@given(st.integers(0, 60), st.lists(st.tuples(st.sampled_from([-1, 1]), st.integers(2, 9)), min_size=2, max_size=4))
def test_buckets_are_those_of_the_shipped_weights(start, operations) -> None:
    """The shipped weights' training problems were chosen by CPython's own tuple hash."""
    assert bucket(start, tuple(operations)) == hash((start, tuple(operations))) % 10


@pytest.mark.parametrize(
    ("split", "digest"),
    [
        ("dev", "165b523a826726bf"),
        ("test", "d27c513b83ac825a"),
        ("train", "3e1f05bb1c629f31"),
    ],
)
def test_problems_never_move(split, digest) -> None:
    text = "".join(f"{p.id}|{p.problem}|{p.answer}\n" for p in problems(split=split, count=100, seed=20))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == digest


def test_a_longer_list_starts_alike_and_repeats_nothing() -> None:
    long = problems(split="test", count=500, seed=20)
    assert long[:50] == problems(split="test", count=50, seed=20)
    assert len({p.problem for p in long}) == len({p.id for p in long}) == 500
    assert long[0] != problems(split="test", count=1, seed=21)[0]


def test_answers_are_right() -> None:
    for p in problems(split="train", count=200, seed=1):
        told = p.problem.split(" has ")[1].split(". How")[0]
        value = int(told.split()[0])
        for part in told.split(", then ")[1:]:
            verb, amount = part.split()
            value += int(amount) if verb in ("gets", "buys") else -int(amount)
        assert str(value) == p.answer


def test_splits_share_no_numbers() -> None:
    def numbers(split: str) -> set[tuple[str, ...]]:
        found = set()
        for p in problems(split=split, count=800, seed=3):
            words = p.problem.replace(",", "").replace(".", "").split()
            signs = {"gets": "+", "buys": "+", "loses": "-", "sells": "-"}
            found.add(tuple(signs.get(w, w) for w in words if w.isdigit() or w in signs))
        return found

    assert not numbers("test") & numbers("dev")


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (ProblemSet(source="math", count=5), NotFoundError),
        (ProblemSet(source="micro-arithmetic", count=5, arguments={"split": "exam", "seed": 1}), UsageError),
        (ProblemSet(source="micro-arithmetic", count=5, arguments={"splitt": "test"}), UsageError),
    ],
)
def test_bad_problem_sources(wanted, error) -> None:
    with pytest.raises(error):
        load_problems(wanted)


@pytest.fixture
def copy(tmp_path: Path, monkeypatch) -> Path:
    shutil.copytree(micro.WEIGHTS, tmp_path / "weights")
    monkeypatch.setattr(models, "WEIGHTS", tmp_path / "weights")
    return tmp_path / "weights"


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_whole(name) -> None:
    assert models.check_weights(catalog.load_card(name)).is_dir()


def test_damaged_and_missing_weights(copy: Path) -> None:
    card = catalog.load_card("micro-qwen-a")
    file = copy / "micro-qwen-a" / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(EnvironmentFaultError, match="damaged") as caught:
        models.check_weights(card)
    assert caught.value.where == str(file)
    file.unlink()
    with pytest.raises(EnvironmentFaultError, match="missing"):
        models.check_weights(card)


@pytest.mark.parametrize("name", MODELS)
def test_token_ids(name) -> None:
    """Golden ids, round trip, no unknown token: the tokenizer trap (docs/micro.md) would break all three."""
    tokenizer = models.load_tokenizer(catalog.load_card(name))
    ids = tokenizer(GOLDEN_TEXT)["input_ids"]
    assert ids == GOLDEN_IDS
    assert tokenizer.decode(ids) == GOLDEN_TEXT
    for p in problems(split="test", count=50, seed=20):
        found = tokenizer(p.problem)["input_ids"]
        assert tokenizer.unk_token_id not in found
        assert tokenizer.decode(found) == p.problem
        assert len(found) <= catalog.load_suite("micro").training.max_prompt_tokens


@pytest.mark.parametrize(
    ("name", "trapped"),
    [("micro-qwen-a", True), ("micro-qwen-math-a", True), ("micro-llama-a", False), ("micro-olmo-a", False)],
)
def test_the_trap_is_real(tmp_path: Path, name, trapped) -> None:
    """AutoTokenizer beside a qwen2 config.json takes another pre-tokenizer; if this fails, docs/micro.md is old."""
    from transformers import AutoTokenizer

    for source in (micro.TOKENIZER, micro.WEIGHTS / name):
        for file in source.iterdir():
            shutil.copy(file, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert (tokenizer(GOLDEN_TEXT)["input_ids"] != GOLDEN_IDS) == trapped


def test_trl_and_lm_eval_see_the_same_prompt() -> None:
    from lm_eval.models.huggingface import HFLM

    from rlvr_bench.backends.trl import prompt_ids

    for name in ("micro-qwen-a", "micro-llama-a", "micro-olmo-a"):
        card = catalog.load_card(name)
        tokenizer = models.load_tokenizer(card)
        lm = HFLM(pretrained=models.load_model(card), tokenizer=tokenizer, device="cpu", batch_size=4, max_length=256)
        for p in problems(split="test", count=20, seed=20):
            rendered = lm.apply_chat_template([{"role": "user", "content": p.problem}])
            assert lm.tok_batch_encode([rendered])[0][0].tolist() == prompt_ids(tokenizer, p.problem)


def test_a_perfect_answer_is_right() -> None:
    for p in problems(split="test", count=20, seed=20):
        assert grade_response(p.answer, f"So \\boxed{{{p.answer}}}")
