"""The functions that our lm-eval task files name: problems in, the one grader out."""

from typing import Any

from rlvr_bench.backends.data import load_problems
from rlvr_bench.schema.suite import ProblemSet
from rlvr_bench.scoring import grade_responses, majority_right


def problems(
    *,
    source: str,
    count: int,
    arguments: dict[str, str | int] | None = None,
    pin: dict[str, Any] | None = None,
    template: str = "{problem}",
    begin: str = "",
    **_: Any,
) -> Any:
    """Return a DatasetDict with the split `test` of id, problem, answer, and the problem as `template` asks it.

    Without a pin, as in plain lm-eval: the data set as it is today.
    """
    from datasets import Dataset, DatasetDict

    wanted = {"source": source, "count": count, "arguments": arguments or {}, "pin": pin}
    found = load_problems(ProblemSet.model_validate(wanted))
    rows = [{**p.model_dump(), "asked": template.replace("{problem}", p.problem), "begin": begin} for p in found]
    return DatasetDict({"test": Dataset.from_list(rows)})


def process_results(doc: dict[str, Any], results: list[Any]) -> dict[str, float]:
    """Return avg@k, pass@k and maj@k of a problem's k samples, every one scored.

    `results` is one list of k responses; with a single sample lm-eval may hand over the bare text.
    """
    samples = [results[0]] if isinstance(results[0], str) else list(results[0])
    right = [grade.equal for grade in grade_responses([doc["answer"]] * len(samples), samples)]
    return {
        "avg_at_k": sum(right) / len(right),
        "pass_at_k": float(any(right)),
        "maj_at_k": majority_right(samples, right),
    }
