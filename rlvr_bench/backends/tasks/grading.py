"""The functions that our lm-eval task files name: problems in, the one grader out."""

from typing import Any

from rlvr_bench.backends.data import load_problems
from rlvr_bench.schema.suite import ProblemSet
from rlvr_bench.scoring import grade_responses


def problems(
    *, source: str, count: int, arguments: dict[str, str | int], template: str = "{problem}", begin: str = "", **_: Any
) -> Any:
    """Return a DatasetDict with the split `test` of id, problem, answer, and the problem as `template` asks it."""
    from datasets import Dataset, DatasetDict

    found = load_problems(ProblemSet(source=source, count=count, arguments=arguments))
    rows = [{**p.model_dump(), "asked": template.replace("{problem}", p.problem), "begin": begin} for p in found]
    return DatasetDict({"test": Dataset.from_list(rows)})


def process_results(doc: dict[str, Any], results: list[list[str]]) -> dict[str, float]:
    """Return avg@k: the share right of a problem's k samples; `results` is one list of k responses."""
    samples = results[0]
    grades = grade_responses([doc["answer"]] * len(samples), samples)
    return {"avg_at_k": sum(grade.equal for grade in grades) / len(samples)}
