"""A method's rewards as one: compounds, weights, None, and errors with their line."""

import asyncio

import numpy as np
import pytest

from rlvr_bench import plugins
from rlvr_bench.errors import RewardError
from rlvr_bench.rewards.signal import Signal, module_of
from rlvr_bench.schema.method import RewardSpec

TEXTS = ["\\boxed{1}", "python \\boxed{1}", "python", ""]


def spec(**data) -> RewardSpec:
    return RewardSpec.model_validate(data)


def scored(*specs: RewardSpec, **columns):
    return Signal(specs)({"completions": TEXTS, **columns})


def coded(body: str, **data) -> RewardSpec:
    return spec(name="mine", code=f"def reward(completions, **_):\n    {body}\n", **data)


def test_compounds() -> None:
    boxed, python = {"name": "boxed"}, {"name": "python"}
    assert scored(spec(all=[boxed, {"not": python}])).total == [1, 0, 0, 0]
    assert scored(spec(**{"not": {"all": [boxed, python]}})).total == [1, 0, 1, 1]
    assert scored(spec(all=[{"all": [boxed, python]}, boxed], weight=3.0)).total == [0, 3, 0, 0]
    found = scored(spec(**boxed), spec(all=[boxed, python], weight=0.5))
    assert found.total == [1, 1.5, 0, 0]
    assert found.parts == {"boxed#1": [1, 1, 0, 0], "boxed#2": [1, 1, 0, 0], "python": [0, 1, 1, 0]}


def test_inverted_ground_truth_rewards_anything_but_the_right_answer() -> None:
    texts = ["\\boxed{7}", "\\boxed{8}", "none"]
    found = Signal((spec(**{"not": {"name": "ground-truth"}}),))({"completions": texts, "answer": ["7"] * 3})
    assert found.total == [0, 1, 1]


@pytest.mark.parametrize("inner", ["return [0.5] * 4", "return [None] * 4", "return [2, 1, 0, 1]"])
def test_compounds_take_zero_and_one_only(inner) -> None:
    with pytest.raises(RewardError, match="are 0 or 1"):
        scored(RewardSpec(all_=(coded(inner), spec(name="boxed"))))


def test_none_leaves_the_sum_to_the_others() -> None:
    some = coded("return [1.0, None, None, 0]")
    assert scored(some).total == [1, None, None, 0]
    assert scored(some, spec(name="boxed", weight=2.0)).total == [3, 2, 0, 0]


@pytest.mark.parametrize(
    "body",
    [
        "import numpy; return numpy.arange(4, dtype='float32')",
        "import numpy; return list(numpy.arange(4))",
        "return (0, 1, 2, 3)",
        "import torch; return torch.arange(4)",
        "return [False, True, 2.0, 3]",
    ],
)
def test_numbers_of_any_kind_are_numbers(body) -> None:
    assert np.allclose(scored(coded(body)).total, [0, 1, 2, 3])
    assert all(type(v) is float for v in scored(coded(body)).total)


def test_an_async_reward_is_awaited(monkeypatch) -> None:
    async def slow(completions, **_):
        await asyncio.sleep(0)
        return [1.0] * len(completions)

    monkeypatch.setattr(plugins, "load", lambda group, name: slow)
    assert scored(spec(name="slow")).total == [1.0] * 4


@pytest.mark.parametrize(
    ("body", "words", "line"),
    [
        ("return [1.0]", "returned 1 values for 4", 1),
        ("return None", "returned NoneType for 4", 1),
        ("return 'abcd'", "returned str for 4", 1),
        ("return {1: 2, 3: 4, 5: 6, 7: 8}", "returned dict for 4", 1),
        ("return [float('nan')] * 4", "not a finite number", 1),
        ("return [float('inf')] * 4", "not a finite number", 1),
        ("return ['1'] * 4", "not a finite number", 1),
        ("import numpy; return numpy.zeros((4, 2))", "not a finite number", 1),
        ("import torch; return torch.zeros((4, 2))", "not a finite number", 1),
        ("return [10 ** 400] * 4", "not a finite number", 1),
        ("import sys; sys.exit()", "raised SystemExit", 2),
        ("raise type('E', (Exception,), {'__str__': lambda self: 1 / 0})()", "raised E: E", 2),
        ("x = 1; return [x / 0 for _ in completions]", "ZeroDivisionError", 2),
    ],
)
def test_what_is_wrong_is_named_with_its_line(body, words, line) -> None:
    with pytest.raises(RewardError, match=words) as caught:
        scored(coded(body))
    assert "'mine'" in caught.value.message
    assert caught.value.where == f"mine.py:{line}"


def test_the_line_is_the_rewards_own_where_a_library_raises() -> None:
    with pytest.raises(RewardError) as caught:
        scored(coded("import json\n    text = '{'\n    return json.loads(text)"))
    assert caught.value.where == "mine.py:4"


def test_a_module_is_executed_once_and_a_broken_one_not_kept() -> None:
    code = "import itertools\nSEEN = []\nSEEN.append(1)\ndef reward(completions, **_):\n    return [len(SEEN)] * 4\n"
    one = spec(name="once", code=code)
    assert scored(one).total == scored(one).total == [1] * 4
    for _ in range(2):
        with pytest.raises(RewardError, match="not valid Python"):
            module_of("def reward(", "broken")


def test_sources_change_with_the_code_and_with_nothing_else() -> None:
    one, two = coded("return [1] * 4"), coded("return [2] * 4")
    assert Signal((one,)).sources() == Signal((one,)).sources() != Signal((two,)).sources()
    assert set(Signal((one, one)).sources()) == {"mine#1", "mine#2"}


def test_confidence_is_asked_for_by_name() -> None:
    assert Signal((spec(name="self-certainty"),)).confidence == ("self_certainty",)
    assert Signal((spec(name="negative-entropy"), spec(name="boxed"))).confidence == ("mean_entropy",)
    assert Signal((spec(name="boxed"),)).confidence == ()
    assert scored(spec(name="negative-entropy"), mean_entropy=[0.1, 0.2, 0.3, 0.0]).total == [-0.1, -0.2, -0.3, 0]


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"name": "boxed", "not": {"name": "python"}},
        {"all": [{"name": "boxed", "weight": 2}]},
        {"not": {"name": "boxed"}, "parameters": {"x": 1}},
    ],
)
def test_a_reward_has_one_form(data) -> None:
    with pytest.raises(ValueError, match=r"a reward is one of|weight inside|parameters belong"):
        spec(**data)


def test_a_spec_is_written_as_it_is_read() -> None:
    one = spec(all=[{"name": "boxed"}, {"not": {"name": "python"}}], weight=2)
    assert RewardSpec.model_validate(one.model_dump(mode="json")) == one
    assert RewardSpec.model_validate_json(one.model_dump_json()) == one
    assert spec(name="boxed").model_dump() == {"name": "boxed", "weight": 1.0, "parameters": {}}


def test_a_reward_that_changes_what_it_gets_changes_nothing_else() -> None:
    code = "for c in completions:\n        c[-1]['content'] = ''\n    completions.clear()\n    return [1.0] * 2"
    given = [[{"role": "assistant", "content": "\\boxed{1}"}], [{"role": "assistant", "content": "no"}]]
    found = Signal((coded(code), spec(name="boxed")))({"completions": given})
    assert found.parts == {"mine": [1, 1], "boxed": [1, 0]}
    assert [c[-1]["content"] for c in given] == ["\\boxed{1}", "no"]


def test_a_callable_object_is_a_reward_and_its_faults_have_a_line(monkeypatch) -> None:
    class Judge:
        def __call__(self, completions, **_):
            return [1.0]

    monkeypatch.setattr(plugins, "load", lambda group, name: Judge())
    with pytest.raises(RewardError, match="returned 1 values") as caught:
        scored(spec(name="judge"))
    assert caught.value.where is not None and caught.value.where.startswith(__file__)


def test_a_file_may_print_and_exit_without_harm(capsys) -> None:
    module_of("print('loading')\ndef reward(completions, **_):\n    return []\n", "noisy")
    assert capsys.readouterr().out == ""
    with pytest.raises(RewardError, match="cannot be executed: SystemExit"):
        module_of("import sys\nsys.exit(0)\n", "leaver")
