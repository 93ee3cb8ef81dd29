"""What a plan will take, by the stages that were done here before."""

import json

import pytest

from rlvr_bench.engine import pace
from rlvr_bench.engine.runner import run_plan
from rlvr_bench.planning.cost import tokens_of
from rlvr_bench.runs import layout
from tests.fakes import FakeExecutor, folder_of, planned
from tests.judged import BARE

CUT = {"models": ["micro-qwen-a", "micro-olmo-a"], "seeds": 1, "limit": 20}


def noted(runs, plan, each):
    for stage in plan.stages:
        pace.note(runs, stage, plan.environment.device, each(stage))


def test_without_a_past_nothing_is_foretold(runs) -> None:
    assert pace.forecast(planned(suite=BARE, **CUT), runs, capacity=2) is None


def test_the_wall_time_of_workers_that_wait_for_each_other(runs) -> None:
    plan = planned("python", suite=BARE, **CUT)
    noted(runs, plan, lambda s: {"train": 30.0, "evaluate": 10.0}.get(s.kind, 5.0))
    found = pace.forecast(plan, runs, capacity=1)
    kinds = [s.kind for s in plan.stages]
    total = (
        30 * kinds.count("train")
        + 10 * kinds.count("evaluate")
        + 5 * (len(kinds) - kinds.count("train") - kinds.count("evaluate"))
    )
    assert found is not None and found.owed == len(plan.stages)
    assert found.low == pytest.approx(0.8 * (total + 4)) and found.high == pytest.approx(1.3 * (total + 4))
    two = pace.forecast(plan, runs, capacity=2)  # nobody idles while something is ready
    assert two is not None and two.low < 0.8 * (total / 2 + 40 + 4)
    many = pace.forecast(plan, runs, capacity=100)
    assert many is not None and many.low == pytest.approx(0.8 * (30 + 10 + 4))  # the longest chain


def test_what_is_done_or_shared_costs_nothing(runs) -> None:
    plan = planned("python", suite=BARE, **CUT)
    noted(runs, plan, lambda s: 10.0)
    run_plan(plan, folder_of(plan, runs), runs=runs, executor=FakeExecutor())
    again = pace.forecast(plan, runs, capacity=2, done=[s.id for s in plan.stages])
    assert again is not None and again.owed == 0 and again.high == 0
    other = planned("format", suite=BARE, **CUT)
    found = pace.forecast(other, runs, capacity=2)
    assert found is not None and found.owed == sum(s.cell.arm == "format" for s in other.stages)
    assert found.shared == len(other.stages) - found.owed


def test_the_newest_of_the_same_device_count_and_damage_does_not(runs) -> None:
    plan = planned("python", suite=BARE, **CUT)
    noted(runs, plan, lambda s: 1000.0)
    for _ in range(20):
        noted(runs, plan, lambda s: 10.0)
    path = layout.cache_of(runs, pace.FILE)
    with path.open("a") as file:
        file.write("not json\n" + json.dumps({"kind": "train"}) + "\n[1, 2]\n")
        line = {
            "kind": "train",
            "model": "micro-qwen-a",
            "parameters": 1,
            "device": "cuda: big",
            "tokens": 1,
            "seconds": 9e9,
        }
        file.write(json.dumps(line) + "\n" + '{"torn')
    found = pace.forecast(plan, runs, capacity=1)
    assert found is not None and found.high == pytest.approx(1.3 * (10 * len(plan.stages) + 4))


def test_another_model_of_the_size_stands_in(runs) -> None:
    plan = planned("python", suite=BARE, models=["micro-qwen-a"], seeds=1, limit=20)
    noted(runs, plan, lambda s: 10.0)
    other = pace.forecast(planned("python", suite=BARE, models=["micro-llama-a"], seeds=1, limit=20), runs, capacity=1)
    assert other is not None and other.owed == len(plan.stages)
    assert all(tokens_of(s) > 0 for s in plan.stages)
