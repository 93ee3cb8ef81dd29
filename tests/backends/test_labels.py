"""Labels of the untouched model: real samples of a tiny one, the vote, and the audit of the wrong ones."""

import json

import pytest

from rlvr_bench.backends import sampling
from rlvr_bench.backends.data import load_problems
from rlvr_bench.backends.labels import label_of, make_labels, purity_of, read_labels
from rlvr_bench.runs import layout
from rlvr_bench.runs.store import file_digest
from rlvr_bench.schema.plan import PrepareInputs
from rlvr_bench.schema.problem import Problem
from rlvr_bench.schema.suite import ProblemSet
from rlvr_bench.scoring import answers_equal
from tests.fakes import planned


def small() -> PrepareInputs:
    inputs = next(s.inputs for s in planned("incorrect").stages if s.kind == "prepare")
    assert isinstance(inputs, PrepareInputs)
    problems = ProblemSet(source="micro-arithmetic", count=12, arguments={"split": "dev", "seed": 1})
    return inputs.model_copy(update={"problems": (problems,), "samples": 8, "batch_size": 32})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    return folder, make_labels(small(), folder)


def test_labels_are_the_majority_of_real_samples(made) -> None:
    folder, found = made
    rows = read_labels(folder / layout.LABELS)
    problems = load_problems(small().problems[0])
    assert list(rows) == [p.id for p in problems]
    assert found.problems == 12 and found.samples == 8
    assert found.labels_sha256 == file_digest(folder / layout.LABELS)
    assert found.labelled == sum(row["label"] is not None for row in rows.values())
    assert found.right == sum(answers_equal(p.answer, rows[p.id]["label"]) for p in problems if rows[p.id]["label"])
    assert found.purity.wrong == found.labelled - found.right
    assert 0 < found.right < 12
    assert all(1 <= row["votes"] <= row["answered"] <= 8 for row in rows.values())
    assert found.generated_tokens > 96 * 3


def test_the_same_inputs_give_the_same_labels_and_finished_chunks_are_kept(made, tmp_path, monkeypatch) -> None:
    folder, first = made
    assert make_labels(small(), tmp_path) == first
    torn = (folder / layout.COMPLETIONS).read_bytes()
    (tmp_path / layout.COMPLETIONS).write_bytes(torn[:-100])
    asked = []
    generate = sampling.generate
    monkeypatch.setattr(sampling, "generate", lambda *a, **k: asked.append(k["seed"]) or generate(*a, **k))
    assert make_labels(small(), tmp_path) == first
    assert [seed[-1] for seed in asked] == [2]  # the torn chunk alone


def boxed(*answers):
    return ["no idea" if a is None else f"\\boxed{{{a}}}" for a in answers]


@pytest.mark.parametrize(
    ("answers", "label", "votes", "answered"),
    [
        (("1/2", "3", "0.5", "\\frac12"), "1/2", 3, 4),
        (("3", "4", "4", "3"), "3", 2, 4),  # a tie goes to the answer that came first
        ((None, "9", None), "9", 1, 1),
        ((None, None), None, 0, 0),
    ],
)
def test_the_vote(answers, label, votes, answered) -> None:
    found = label_of(Problem(id="p", problem="?", answer="1"), boxed(*answers))
    assert (found["label"], found["votes"], found["answered"]) == (label, votes, answered)


def test_the_audit_counts_what_text_calls_wrong_and_the_grader_right() -> None:
    golds = ("\\frac{1}{2}", "7", "12", "x+1", "5")
    given = ("0.5", "8", "12", "1+x", None)
    right = (True, False, True, True, None)
    problems = [Problem(id=str(i), problem="?", answer=gold) for i, gold in enumerate(golds)]
    rows = [{"label": label, "right": yes} for label, yes in zip(given, right, strict=True)]
    found = purity_of(problems, rows)
    assert (found.wrong, found.right_by_math_verify, found.undecided) == (1, 0, 0)
    assert (found.unlike_by_text, found.unlike_but_right) == (3, 2)
    # a label that our reader would wrongly call wrong is caught by the second grader
    assert purity_of(problems[:1], [{"label": "0.5", "right": False}]).right_by_math_verify == 1
    assert purity_of(problems[:1], [{"label": "0.5", "right": None}]).undecided == 1


def test_a_labels_file_is_plain_json_lines(made) -> None:
    folder, _ = made
    lines = (folder / layout.LABELS).read_text().splitlines()
    assert set(json.loads(lines[0])) == {"id", "label", "votes", "answered", "right"}
