"""Making the plan: which cells, which stages, in which order, under which digests."""

from collections.abc import Sequence

from rlvr_bench.errors import UsageError
from rlvr_bench.planning.cost import estimate
from rlvr_bench.schema.base import digest, seed_from
from rlvr_bench.schema.card import Card
from rlvr_bench.schema.method import Method
from rlvr_bench.schema.plan import BASELINE, Cell, Environment, EvaluateInputs, Plan, Stage, TrainInputs
from rlvr_bench.schema.suite import ProblemSet, Suite, TaskSpec


def make_plan(
    suite: Suite,
    method: Method,
    cards: Sequence[Card],
    environment: Environment,
    *,
    control: Method | None,
    reference: Method | None,
    partial: tuple[str, ...] = (),
) -> Plan:
    """Return the plan of validating `method` on `suite`.

    Arms besides the method: the control (the method's own setup with only the reward replaced) unless
    the method is itself the control, and the reference (on suite defaults) unless the method is it.
    Raises UsageError for a combination that must not or cannot run.
    """
    _check(suite, method, cards)
    if control is not None:
        control = _control_of(method, control)
        control = None if _same_signal(method, control) else control
    arms: list[tuple[str, Method]] = [(method.name, method)]
    if control is not None:
        arms.append((control.name, control))
    if reference is not None and not _same_signal(method, reference):
        if reference.name == method.name:
            reference = reference.model_copy(update={"name": f"reference-{reference.name}"})
        arms.append((reference.name, reference))
    stages: list[Stage] = []
    for card in cards:
        stages += [_baseline(card, task, environment) for task in suite.tasks]
    for seed in suite.seeds:
        for name, arm in arms:
            for card in cards:
                stages += _cell(suite, card, name, arm, seed, environment)
    ids = [stage.id for stage in stages]
    assert len(set(ids)) == len(ids), "two stages share an id"
    return Plan(
        suite=suite,
        method=method,
        control=control,
        reference=reference,
        cards=tuple(cards),
        partial=partial,
        environment=environment,
        stages=tuple(stages),
        estimate=estimate(suite, cards, stages, has_control=control is not None),
    )


def restrict(
    suite: Suite, *, models: Sequence[str] = (), seeds: int | None = None, limit: int | None = None
) -> tuple[Suite, tuple[str, ...]]:
    """Return the suite cut down to some models, the first `seeds` seeds, the first `limit` problems,
    and what was cut, for the report. A cut that changes nothing is not a cut."""
    changes: dict[str, object] = {}
    partial: list[str] = []
    if models:
        unknown = [name for name in models if name not in suite.models]
        if unknown:
            raise UsageError(
                f"model {unknown[0]!r} is not in suite {suite.name}",
                hint="models of this suite: " + ", ".join(suite.models),
            )
        kept = tuple(name for name in suite.models if name in models)
        if kept != suite.models:
            changes["models"] = kept
            partial.append(f"models: {', '.join(kept)}")
    if seeds is not None:
        if not 1 <= seeds <= len(suite.seeds):
            raise UsageError(f"--seeds {seeds}: suite {suite.name} has {len(suite.seeds)} seeds")
        if seeds < len(suite.seeds):
            changes["seeds"] = suite.seeds[:seeds]
            partial.append(f"seeds: {seeds} of {len(suite.seeds)}")
    if limit is not None:
        if limit < 2:
            raise UsageError("--limit must be at least 2 problems")
        tasks = tuple(_limited(task, limit) for task in suite.tasks)
        if tasks != suite.tasks:
            changes["tasks"] = tasks
            partial.append(f"problems: at most {limit} a task")
    return Suite.model_validate({**suite.model_dump(), **changes}), tuple(partial)


def _limited(task: TaskSpec, limit: int) -> TaskSpec:
    problems = task.problems.model_copy(update={"count": min(limit, task.problems.count)})
    return task.model_copy(update={"problems": problems})


def _check(suite: Suite, method: Method, cards: Sequence[Card]) -> None:
    if [card.name for card in cards] != list(suite.models):
        raise UsageError(
            f"suite {suite.name} names the models {', '.join(suite.models)}, "
            f"the cards are of {', '.join(card.name for card in cards)}"
        )
    if method.labels and method.data == "test-prompts":
        raise UsageError(
            f"method {method.name} would train on the gold answers of the evaluation problems",
            hint="set labels: false, or data: train",
        )
    settings = method.settings(suite.training)
    for card in cards:
        need = max(
            settings.max_prompt_tokens + settings.max_completion_tokens,
            *(settings.max_prompt_tokens + task.sampling.max_tokens for task in suite.tasks),
        )
        if need > card.context_tokens:
            raise UsageError(
                f"{need} tokens of prompt and completion do not fit the context of {card.name} "
                f"({card.context_tokens} tokens)",
                hint="shorten max_completion_tokens or max_prompt_tokens in the suite",
            )
        if card.stop:
            raise UsageError(
                f"card {card.name} has stop strings, which training through TRL's own sampling cannot honour",
                hint="leave the model out of the suite",
            )


def _same_signal(one: Method, other: Method) -> bool:
    parts = {"rewards", "data", "labels", "grpo"}
    return one.model_dump(include=parts) == other.model_dump(include=parts)


def _control_of(method: Method, control: Method) -> Method:
    """Return the method's own setup with only the reward replaced by the control's."""
    name = control.name if control.name != method.name else f"control-{control.name}"
    return method.model_copy(
        update={
            "name": name,
            "title": control.title,
            "source": control.source,
            "notes": f"{control.title}, in the training setup of {method.name}",
            "rewards": control.rewards,
            "labels": False,
        }
    )


def _problems(suite: Suite, method: Method) -> tuple[ProblemSet, ...]:
    if method.data == "train":
        return (suite.training_problems,)
    return tuple(task.problems for task in suite.tasks)


def _baseline(card: Card, task: TaskSpec, environment: Environment) -> Stage:
    inputs = EvaluateInputs(
        card=card,
        task=task,
        samples=task.sampling.samples_before,
        checkpoint=None,
        sampling_seed=seed_from("evaluate", card.name, task.name, BASELINE),
    )
    cell = Cell(model=card.name, arm=BASELINE)
    return Stage(
        id=f"{cell.id}/{task.name}",
        kind="baseline",
        cell=cell,
        inputs=inputs,
        digest=Stage.digest_of(inputs, environment),
    )


def _cell(suite: Suite, card: Card, arm: str, method: Method, seed: int, environment: Environment) -> list[Stage]:
    cell = Cell(model=card.name, arm=arm, seed=seed)
    inputs = TrainInputs(
        card=card,
        rewards=method.rewards,
        labels=method.labels,
        problems=_problems(suite, method),
        settings=method.settings(suite.training),
        seed=seed,
    )
    train = Stage(
        id=f"{cell.id}/train",
        kind="train",
        cell=cell,
        inputs=inputs,
        digest=Stage.digest_of(inputs, environment),
    )
    stages = [train]
    for task in suite.tasks:
        after = EvaluateInputs(
            card=card,
            task=task,
            samples=task.sampling.samples_after,
            checkpoint=train.digest,
            sampling_seed=seed_from("evaluate", card.name, task.name, digest(inputs.computed())),
        )
        stages.append(
            Stage(
                id=f"{cell.id}/{task.name}",
                kind="evaluate",
                cell=cell,
                needs=(train.id,),
                inputs=after,
                digest=Stage.digest_of(after, environment),
            )
        )
    return stages
