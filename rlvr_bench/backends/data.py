"""Problems by the name of their source. Golds are checked here, before anything trains on them."""

from collections.abc import Callable
from functools import cache

from rlvr_bench.backends.micro.problems import problems as micro_arithmetic
from rlvr_bench.errors import NotFoundError, UsageError
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
