"""rlvr-bench: does a way to train language models with verifiable rewards work off Qwen too?

Owns the public names. They load on first use, so that `rlvr-bench --help` stays fast.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Card": "rlvr_bench.schema.card",
    "Method": "rlvr_bench.schema.method",
    "Plan": "rlvr_bench.schema.plan",
    "Record": "rlvr_bench.schema.record",
    "Report": "rlvr_bench.schema.finding",
    "RlvrBenchError": "rlvr_bench.errors",
    "Suite": "rlvr_bench.schema.suite",
    "analyse": "rlvr_bench.analysis",
    "answers_equal": "rlvr_bench.scoring",
    "load_method": "rlvr_bench.catalog",
    "rehearse": "rlvr_bench.rewards.rehearsal",
    "grade_response": "rlvr_bench.scoring",
    "make_plan": "rlvr_bench.planning.planner",
    "run_plan": "rlvr_bench.engine.runner",
}

__all__ = [*sorted(_HOME), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
