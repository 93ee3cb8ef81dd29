"""Problems for an evaluation or a training. Golds are checked here, before anything trains on them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from rlvr_bench.backends import sources
from rlvr_bench.errors import RlvrBenchError, UsageError
from rlvr_bench.schema.plan import TrainInputs
from rlvr_bench.schema.problem import Problem
from rlvr_bench.schema.suite import ProblemSet
from rlvr_bench.scoring import check_golds
from rlvr_bench.scoring.overlap import Evaluated


def load_problems(wanted: ProblemSet, *, training: bool = False) -> list[Problem]:
    """Return the first `wanted.count` problems; fewer, for a training, where there are no more.

    Raises NotFoundError for an unknown source, UsageError for bad arguments, too few problems, a double id or (not
    for a training, which draws from them) a gold answer that the grader cannot decide; and what a source raises.
    """
    return list(_loaded(wanted.model_dump_json(), training))


@cache
def _loaded(written: str, training: bool) -> tuple[Problem, ...]:
    """Ask a source once in a process: an evaluation needs the same problems several times."""
    wanted = ProblemSet.model_validate_json(written)
    sources.check_source(wanted, training=training)
    try:
        found = sources.problems(wanted)[: wanted.count]
    except (TypeError, ValueError) as error:
        raise UsageError(f"problem source {wanted.source}: {error}") from error
    if len(found) < (2 if training else wanted.count):
        raise UsageError(f"problem source {wanted.source} has {len(found)} problems, {wanted.count} were asked for")
    if len({problem.id for problem in found}) != len(found):
        raise UsageError(f"problem source {wanted.source}: an id stands twice")
    if not training:
        check_golds([(problem.id, problem.answer) for problem in found])
    return tuple(found)


class LabelsError(RlvrBenchError):
    """A preparation left no problem to train on."""


@dataclass(frozen=True)
class Pool:
    """The problems that a training draws from. `left_out`: the training problem and the tested problem that it is."""

    problems: list[Problem]
    left_out: dict[str, str] = field(default_factory=dict)


def training_pool(inputs: TrainInputs, labels: Mapping[str, Mapping[str, Any]] | None = None) -> Pool:
    """Return the problems that a training draws from, each with the answer that its reward may see.

    Problems that match one of `inputs.tested` are left out (docs/data.md). `labels` are the rows of the preparation's
    file by problem id. Raises LabelsError where none is left, UsageError for an example that is not there.
    """
    example = inputs.example
    if example and example.problem is not None and example.answer is not None:
        check_golds([("example", example.answer)])
        return Pool([Problem(id="example", problem=example.problem, answer=example.answer)])
    whole = [problem for wanted in inputs.problems for problem in load_problems(wanted, training=True)]
    if example:
        if example.index >= len(whole):
            raise UsageError(f"example {example.index}: there are {len(whole)} training problems, counted from 0")
        return Pool([whole[example.index]])
    left_out = leaked(whole, inputs.tested)
    pool = [problem for problem in whole if problem.id not in left_out]
    if not pool:
        raise LabelsError(f"all {len(whole)} training problems are problems of the evaluation")
    if inputs.prepared is None:
        return Pool(pool, left_out)
    assert labels is not None
    rows = [(problem, labels[problem.id]) for problem in pool]
    if inputs.prepared.labels == "wrong":
        rows = [(problem, row) for problem, row in rows if row["right"] is False]
    found = [problem.model_copy(update={"answer": row["label"]}) for problem, row in rows if row["label"] is not None]
    if not found:
        what = "a wrong majority answer" if inputs.prepared.labels == "wrong" else "any answer"
        raise LabelsError(f"of {len(pool)} problems {inputs.card.name} has {what} to none")
    return Pool(found, left_out)


def leaked(problems: list[Problem], tested: tuple[ProblemSet, ...]) -> dict[str, str]:
    """Return which of some problems are tested: their id, and that of the tested problem."""
    if not tested:
        return {}
    known = Evaluated((p.id, p.problem) for wanted in tested for p in load_problems(wanted))
    return {p.id: match for p in problems if (match := known.match(p.problem)) is not None}


def drawn(
    order: Callable[[int], list[Problem]], count: int, *, fits: Callable[[Problem], bool], graded: bool
) -> tuple[list[Problem], set[str]]:
    """Return `count` problems in order, without those that cannot be used, and the ids of these.

    A problem cannot be used where its prompt does not fit, or where its gold answer is needed and cannot be graded.
    `order(n)` returns the first n of an endless order. Raises UsageError where nearly none can be used.
    """
    usable: dict[str, bool] = {}
    asked = count
    while True:
        kept: list[Problem] = []
        unusable: set[str] = set()
        for problem in order(asked):
            if problem.id not in usable:
                usable[problem.id] = fits(problem) and (not graded or is_gradable(problem))
            if not usable[problem.id]:
                unusable.add(problem.id)
                continue
            kept.append(problem)
            if len(kept) == count:
                return kept, unusable
        if asked > 20 * count:
            raise UsageError(
                f"{len(kept)} of {asked} training problems can be used: prompts too long, or golds that nothing grades",
                hint="a larger max_prompt_tokens in the suite, or other training problems",
            )
        asked += max(count - len(kept), count // 8) + 8


def is_gradable(problem: Problem) -> bool:
    """Return whether a problem's gold answer can be compared with."""
    try:
        check_golds([(problem.id, problem.answer)])
    except UsageError:
        return False
    return True
