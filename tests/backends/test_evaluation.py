"""Real lm-eval on a real (tiny) model: every sample scored, chunks replayed, truncation counted."""

import gzip
import json
from pathlib import Path

import pytest

from rlvr_bench import catalog
from rlvr_bench.backends import lm_eval as ours
from rlvr_bench.backends.data import load_problems
from rlvr_bench.backends.lm_eval import Completions, evaluate
from rlvr_bench.runs import layout
from rlvr_bench.schema.plan import EvaluateInputs
from rlvr_bench.schema.problem import Problem
from rlvr_bench.schema.prompt import Prompt
from rlvr_bench.schema.suite import ProblemSet
from tests.fakes import planned

COUNT, SAMPLES = 40, 3


def small(**sampling) -> EvaluateInputs:
    stage = next(s for s in planned("ttrl").stages if s.kind == "baseline")
    assert isinstance(stage.inputs, EvaluateInputs)
    task = stage.inputs.task
    problems = ProblemSet(source="micro-arithmetic", count=COUNT, arguments={"split": "dev", "seed": 1})
    changed = {"batch_size": 32, **sampling}
    task = task.model_copy(update={"problems": problems, "sampling": task.sampling.model_copy(update=changed)})
    return stage.inputs.model_copy(update={"task": task, "samples": SAMPLES})


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    return folder, evaluate(small(), folder, None)


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in gzip.decompress((folder / layout.COMPLETIONS).read_bytes()).splitlines()]


def test_every_sample_is_scored(done) -> None:
    _, found = done
    assert len(found.sampled) == len(found.greedy) == COUNT
    assert {o.attempts for o in found.sampled} == {SAMPLES}
    assert {o.attempts for o in found.greedy} == {1}
    right = sum(o.correct for o in found.sampled) / (COUNT * SAMPLES)
    assert 0.3 < right < 0.8  # micro-qwen-a at temperature 1: about 0.53
    greedy = sum(o.correct for o in found.greedy) / COUNT
    assert greedy > right


def test_completions_are_whole_and_regrade_to_the_same_counts(done) -> None:
    folder, found = done
    texts = [row for chunk in rows(folder) for row in chunk["rows"]]
    assert len(texts) == COUNT * (SAMPLES + 1)
    assert found.generated_tokens == sum(row["tokens"] for row in texts)
    problems = load_problems(small().task.problems)
    for i, problem in enumerate(problems):
        mine = texts[i * SAMPLES : (i + 1) * SAMPLES]
        again = ours.outcome(problem, [r["text"] for r in mine], mine, 16)
        assert again == found.sampled[i]


def test_the_same_inputs_give_the_same_bytes(done, tmp_path: Path) -> None:
    folder, found = done
    assert evaluate(small(), tmp_path, None) == found
    assert (tmp_path / layout.COMPLETIONS).read_bytes() == (folder / layout.COMPLETIONS).read_bytes()


def test_another_seed_gives_other_samples_and_the_same_greedy_answers(done, tmp_path: Path) -> None:
    _, found = done
    other = evaluate(small().model_copy(update={"sampling_seed": 5}), tmp_path, None)
    assert other.sampled != found.sampled
    assert other.greedy == found.greedy


@pytest.mark.parametrize("torn", [pytest.param(0, marks=pytest.mark.slow), 7, pytest.param(-9, marks=pytest.mark.slow)])
def test_a_torn_file_redoes_only_what_is_lost(done, tmp_path: Path, monkeypatch, torn) -> None:
    folder, found = done
    data = (folder / layout.COMPLETIONS).read_bytes()
    (tmp_path / layout.COMPLETIONS).write_bytes(data[: len(data) // 2 + torn])
    kept = len(Completions(tmp_path / layout.COMPLETIONS).chunks)
    added: list[str] = []
    real = Completions.add
    monkeypatch.setattr(Completions, "add", lambda self, key, rows: (added.append(key), real(self, key, rows)))
    assert evaluate(small(), tmp_path, None) == found
    total = -(-COUNT * SAMPLES // 32) + -(-COUNT // 32)
    assert 0 < kept < total
    assert len(added) == total - kept
    assert (tmp_path / layout.COMPLETIONS).read_bytes() == data


def test_chunks_of_other_inputs_are_not_taken(done, tmp_path: Path) -> None:
    folder, found = done
    (tmp_path / layout.COMPLETIONS).write_bytes((folder / layout.COMPLETIONS).read_bytes())
    other = evaluate(small(temperature=0.5), tmp_path, None)
    assert other.sampled != found.sampled


def test_truncation_is_counted(tmp_path: Path) -> None:
    found = evaluate(small(max_tokens=5), tmp_path, None)
    assert sum(o.truncated for o in found.greedy) > COUNT / 2
    assert all(o.truncated <= o.attempts for o in found.sampled)


def test_how_answers_were_graded_is_counted() -> None:
    problem = Problem(id="p", problem="?", answer="\\frac{1}{2}")
    responses = [
        "\\boxed{0.5}",
        "\\boxed{7}",
        "no idea",
        "\\boxed{\\sum_{k=1}^{10^9} \\sin(k)}",
        "\\boxed{\\int_0^1 x dx}",
    ]
    found = ours.outcome(problem, responses, [{"tokens": 5, "truncated": False}] * 5, 16)
    assert (found.attempts, found.correct, found.unparsed, found.timed_out, found.math_verify) == (5, 2, 1, 1, 1)


def test_plain_lm_eval_runs_the_same_task_file(done) -> None:
    """The task file of a stage, through lm-eval's own HFLM and greedy decoding: the same score."""
    import lm_eval.evaluator
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    from rlvr_bench.backends.models import load_model, load_tokenizer

    folder, found = done
    card = small().card
    lm = HFLM(pretrained=load_model(card), tokenizer=load_tokenizer(card), device="cpu", batch_size=32, max_length=256)
    results = lm_eval.evaluator.simple_evaluate(
        model=lm,
        tasks=[str(folder / "task-greedy.yaml")],
        task_manager=TaskManager(include_defaults=False),
        apply_chat_template=True,
        bootstrap_iters=0,
    )
    score = results["results"]["rlvr_micro_arithmetic"]["avg_at_k,all"]
    assert score == pytest.approx(sum(o.correct for o in found.greedy) / COUNT)


ROLES = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% if not loop.last or m['role'] != 'assistant' %}"
    "</{{ m['role'] }}>{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture
def contexts(monkeypatch) -> list[str]:
    """What the model is asked, letter by letter."""
    from lm_eval.models.huggingface import HFLM

    seen: list[str] = []
    encode = HFLM.tok_batch_encode
    monkeypatch.setattr(
        HFLM, "tok_batch_encode", lambda self, texts, *a, **k: seen.extend(texts) or encode(self, texts, *a, **k)
    )
    return seen


@pytest.mark.parametrize(
    ("prompt", "plain", "with_roles"),
    [
        ({}, "{p}", "<user>{p}</user><assistant>"),
        ({"begin": "```python\n"}, "{p}```python\n", "<user>{p}</user><assistant>```python\n"),
        pytest.param({"begin": " {{7}} "}, "{p} {{7}} ", "<user>{p}</user><assistant> {{7}} ", marks=pytest.mark.slow),
        ({"template": "Well.\n{problem} So?"}, "Well.\n{p} So?", "<user>Well.\n{p} So?</user><assistant>"),
        pytest.param(
            {"system": "Be brief."},
            None,
            "<system>Be brief.</system><user>{p}</user><assistant>",
            marks=pytest.mark.slow,
        ),
        pytest.param({"chat": False}, "{p}", "{p}", marks=pytest.mark.slow),
    ],
)
def test_a_prompt_is_asked_as_it_says(contexts, tmp_path: Path, prompt, plain, with_roles) -> None:
    inputs = small()
    (problem, *_) = load_problems(inputs.task.problems)
    made = Prompt(schema_version=1, name="p", title="t", source="s", **prompt)
    for template, wanted in ((inputs.card.chat_template, plain), (ROLES, with_roles)):
        if wanted is None:
            continue
        card = inputs.card.model_copy(update={"chat_template": template})
        folder = tmp_path / str(len(contexts))
        folder.mkdir()
        contexts.clear()
        evaluate(inputs.model_copy(update={"card": card, "prompt": made, "samples": 1}), folder, None)
        assert contexts[0] == wanted.replace("{p}", problem.problem)


def test_an_answer_is_graded_with_the_start_that_was_forced_on_it(tmp_path: Path, done) -> None:
    _, own = done
    made = Prompt(schema_version=1, name="p", title="t", source="s", begin="```python\n")
    found = evaluate(small().model_copy(update={"prompt": made}), tmp_path, None)
    assert all(set(o.patterns) <= {"cpb-ll"} for o in found.sampled)

    def right(evaluation):
        return sum(o.correct for o in evaluation.sampled) / (COUNT * SAMPLES)

    assert right(found) > 0.95 > right(own) + 0.2  # micro-qwen's scratchpads are right: nothing was trained
    texts = [row["text"] for chunk in rows(tmp_path) for row in chunk["rows"]]
    assert not any(text.startswith("```python") for text in texts)  # the file holds what the model wrote


def test_the_prompts_of_the_package_load_and_name_their_source() -> None:
    for name in catalog.names("prompt"):
        prompt = catalog.load_prompt(name)
        assert prompt.name == name and prompt.source and prompt.asked("2+2").count("2+2") == 1
    for broken in ({"template": "no problem"}, {"template": "{problem}{problem}"}, {"chat": False, "system": "x"}):
        with pytest.raises(ValueError, match=r"exactly once|chat must be true"):
            Prompt(schema_version=1, name="p", title="t", source="s", **broken)
