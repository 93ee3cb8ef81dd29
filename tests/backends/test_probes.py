"""Exposure and likelihood on real embedded models, against the plainest way to compute them."""

from pathlib import Path

import pytest
import torch

from rlvr_bench import catalog
from rlvr_bench.backends.data import load_problems
from rlvr_bench.backends.exposure import complete, cut_at, tokens_of
from rlvr_bench.backends.likelihood import boxed_ids, likelihoods
from rlvr_bench.backends.models import load_model, load_tokenizer, prompt_ids
from rlvr_bench.schema.plan import EvaluateInputs, ExposureInputs
from rlvr_bench.schema.problem import Problem
from tests.tiny_models import tokenizer as tiny_tokenizer

SUITE = catalog.load_suite("micro")
TASK = SUITE.tasks[0].model_copy(update={"problems": SUITE.tasks[0].problems.model_copy(update={"count": 20})})
CARD = catalog.load_card("micro-llama-a")
INPUTS = EvaluateInputs(card=CARD, task=TASK, samples=1, checkpoint=None, sampling_seed=1)


@pytest.fixture(scope="module")
def loaded():
    return load_model(CARD), load_tokenizer(CARD)


def test_likelihoods_are_those_of_one_plain_pass_a_problem(loaded, monkeypatch) -> None:
    model, tokenizer = loaded
    problems = load_problems(TASK.problems)
    found = likelihoods(model, tokenizer, INPUTS, problems)
    for problem, pair in zip(problems, found, strict=True):
        prompt = prompt_ids(tokenizer, problem.problem)
        ids, own = boxed_ids(tokenizer, problem.answer)
        assert tokenizer.decode([ids[i] for i in own]) == problem.answer and tokenizer.unk_token_id not in ids
        whole = torch.tensor([prompt + ids])
        with torch.inference_mode():
            logp = torch.log_softmax(model(whole).logits[0], -1)
        each = [float(logp[i, whole[0, i + 1]]) for i in range(whole.shape[1] - 1)]
        assert pair is not None
        assert pair[0] == pytest.approx(sum(each[: len(prompt) - 1]) / (len(prompt) - 1), abs=2e-5)
        assert pair[1] == pytest.approx(sum(each[len(prompt) - 1 + i] for i in own) / len(own), abs=2e-5)
    monkeypatch.setattr("rlvr_bench.backends.likelihood.MOST_LOGITS", 1)  # one at a time, where memory is short
    again = likelihoods(model, tokenizer, INPUTS, problems)
    assert [a for a, _ in again] == pytest.approx([a for a, _ in found], abs=2e-5)


def test_what_does_not_fit_the_context_has_no_likelihood(loaded) -> None:
    model, tokenizer = loaded
    long = Problem(id="long", problem=load_problems(TASK.problems)[0].problem * 100, answer="3")
    short = load_problems(TASK.problems)[0]
    assert [x is None for x in likelihoods(model, tokenizer, INPUTS, [long, short])] == [True, False]


@pytest.mark.parametrize("answer", ["7", "\\frac{3}{4}", "{1, 2}", "x = 3", "½"])
def test_the_answers_own_tokens_are_found(answer) -> None:
    tokenizer = tiny_tokenizer(None, "<eos>", [])
    ids, own = boxed_ids(tokenizer, answer)
    said = tokenizer.decode(ids)
    assert said == f"\\boxed{{{answer}}}" and answer in tokenizer.decode([ids[i] for i in own])
    assert own == list(range(own[0], own[-1] + 1)) and own[-1] < len(ids)


def test_completion_is_the_greedy_one_from_a_cut_between_tokens(loaded, tmp_path: Path) -> None:
    _, tokenizer = loaded
    inputs = ExposureInputs(
        card=CARD, task=TASK.name, problems=TASK.problems, shown=(0.4, 0.8), max_tokens=24, batch_size=8
    )
    found = complete(inputs, tmp_path)
    assert found.ids == tuple(p.id for p in load_problems(TASK.problems)) and set(found.completed) == {0.4, 0.8}
    again = complete(inputs, tmp_path)  # from the file
    assert again == found
    problem = load_problems(TASK.problems)[0]
    ids = tokens_of(tokenizer, problem.problem)
    assert (
        tokenizer.decode(ids[: cut_at(len(ids), 0.4)])
        == problem.problem[: len(tokenizer.decode(ids[: cut_at(len(ids), 0.4)]))]
    )


def test_a_model_that_knows_its_problems_is_seen(loaded, tmp_path, monkeypatch) -> None:
    """An embedded model trained on the very texts completes them word for word, and others not."""
    model, tokenizer = load_model(CARD), loaded[1]
    known = load_problems(TASK.problems)[:10]
    texts = [tokens_of(tokenizer, p.problem) for p in known]
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    batch = tokenizer.pad({"input_ids": texts}, padding_side="right", return_tensors="pt")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    torch.manual_seed(0)
    for _ in range(250):
        loss = model(**batch, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    monkeypatch.setattr("rlvr_bench.backends.engines.load_model", lambda *_, **__: model)
    inputs = ExposureInputs(card=CARD, task=TASK.name, problems=TASK.problems, shown=(0.6,), max_tokens=24)
    found = complete(inputs, tmp_path).completed[0.6]
    assert sum(row.exact for row in found[:10]) >= 9 and sum(row.exact for row in found[10:]) == 0
    assert all(row.rouge_l == 1 for row in found if row.exact)


@pytest.mark.parametrize(
    ("count", "shown", "cut"), [(10, 0.4, 4), (2, 0.8, 1), (1, 0.6, 1), (3, 0.1, 1), (100, 0.6, 60)]
)
def test_cuts(count, shown, cut) -> None:
    assert cut_at(count, shown) == cut
