"""The JSON Schema of every file that others may read: a change of one is a change of a contract, and is seen here.

RLVR_BENCH_GOLDEN=1 pytest tests/test_schemas.py writes them anew.
"""

import json
import os
from pathlib import Path

import pytest
from pydantic import BaseModel

from rlvr_bench.schema.baseline import AcceptedRun, CheckReport
from rlvr_bench.schema.card import Card
from rlvr_bench.schema.comparison import Comparison
from rlvr_bench.schema.dataset import DataSet
from rlvr_bench.schema.finding import Report
from rlvr_bench.schema.method import Method
from rlvr_bench.schema.plan import Plan, Stage
from rlvr_bench.schema.record import Record
from rlvr_bench.schema.submission import Entry, Inputs, StageSummary, SubmittedProvenance
from rlvr_bench.schema.suite import Suite

FOLDER = Path(__file__).parents[1] / "docs" / "schemas"
FILES: dict[str, type[BaseModel]] = {
    "card": Card,
    "suite": Suite,
    "method": Method,
    "data-set": DataSet,
    "plan": Plan,
    "stage": Stage,
    "record": Record,
    "report": Report,
    "comparison": Comparison,
    "baseline": AcceptedRun,
    "check": CheckReport,
    "submission-entry": Entry,
    "submission-inputs": Inputs,
    "submission-stage": StageSummary,
    "submission-provenance": SubmittedProvenance,
}


@pytest.mark.parametrize("name", FILES)
def test_the_exported_schema_is_the_present_one(name) -> None:
    found = json.dumps(FILES[name].model_json_schema(mode="serialization"), indent=1, sort_keys=True) + "\n"
    path = FOLDER / f"{name}.json"
    if os.environ.get("RLVR_BENCH_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")


def test_no_schema_is_left_over() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(FILES)
