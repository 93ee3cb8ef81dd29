"""Problems by the name of their source. Golds are checked here, before anything trains on them."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from rlvr_bench.backends.micro.problems import problems as micro_arithmetic
from rlvr_bench.errors import NotFoundError, RlvrBenchError, UsageError
from rlvr_bench.schema.plan import TrainInputs
from rlvr_bench.schema.problem import Problem
from rlvr_bench.schema.suite import ProblemSet
from rlvr_bench.scoring import check_golds

SOURCES: dict[str, Callable[..., list[Problem]]] = {"micro-arithmetic": micro_arithmetic}


def check_source(wanted: ProblemSet) -> None:
    """Raise NotFoundError where a problem set names an unknown source."""
    if wanted.source not in SOURCES:
        raise NotFoundError(f"unknown problem source {wanted.source!r}", hint="known: " + ", ".join(SOURCES))


@cache
def _generated(source: str, count: int, arguments: tuple[tuple[str, str | int], ...]) -> list[Problem]:
    """Ask a source once in a process: an evaluation needs the same problems several times."""
    return SOURCES[source](count=count, **dict(arguments))


def load_problems(wanted: ProblemSet) -> list[Problem]:
    """Return exactly `wanted.count` problems.

    Raises NotFoundError for an unknown source, UsageError for bad arguments, too few problems, a double
    id or a gold answer that the grader cannot decide.
    """
    check_source(wanted)
    try:
        found = _generated(wanted.source, wanted.count, tuple(sorted(wanted.arguments.items())))
    except (TypeError, ValueError) as error:
        raise UsageError(f"problem source {wanted.source}: {error}") from error
    if len(found) != wanted.count:
        raise UsageError(f"problem source {wanted.source} has {len(found)} problems, {wanted.count} were asked for")
    if len({problem.id for problem in found}) != len(found):
        raise UsageError(f"problem source {wanted.source}: an id stands twice")
    check_golds([(problem.id, problem.answer) for problem in found])
    return found


class LabelsError(RlvrBenchError):
    """A preparation left no problem to train on."""


def training_problems(inputs: TrainInputs, labels: Mapping[str, Mapping[str, Any]] | None = None) -> list[Problem]:
    """Return the problems that a training draws from, each with the answer that its reward may see.

    `labels` are the rows of the preparation's file by problem id. Raises LabelsError where none is left, UsageError
    for an example that is not there.
    """
    example = inputs.example
    if example and example.problem is not None and example.answer is not None:
        check_golds([("example", example.answer)])
        return [Problem(id="example", problem=example.problem, answer=example.answer)]
    pool = [problem for wanted in inputs.problems for problem in load_problems(wanted)]
    if example:
        if example.index >= len(pool):
            raise UsageError(f"example {example.index}: there are {len(pool)} training problems, counted from 0")
        return [pool[example.index]]
    if inputs.prepared is None:
        return pool
    assert labels is not None
    rows = [(problem, labels[problem.id]) for problem in pool]
    if inputs.prepared.labels == "wrong":
        rows = [(problem, row) for problem, row in rows if row["right"] is False]
    found = [problem.model_copy(update={"answer": row["label"]}) for problem, row in rows if row["label"] is not None]
    if not found:
        what = "a wrong majority answer" if inputs.prepared.labels == "wrong" else "any answer"
        raise LabelsError(f"of {len(pool)} problems {inputs.card.name} has {what} to none")
    return found
