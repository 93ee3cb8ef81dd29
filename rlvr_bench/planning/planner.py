"""Making the plan: which cells, which stages, in which order, under which digests."""

from collections.abc import Sequence

from pydantic import ValidationError

from rlvr_bench.errors import UsageError
from rlvr_bench.planning.cost import estimate
from rlvr_bench.schema.base import digest, seed_from
from rlvr_bench.schema.card import Card
from rlvr_bench.schema.method import Method
from rlvr_bench.schema.plan import (
    BASELINE,
    EXPOSURE,
    PROMPT,
    AdoptInputs,
    AnyInputs,
    Cell,
    Environment,
    EvaluateInputs,
    ExposureInputs,
    Kind,
    Plan,
    Prepared,
    PrepareInputs,
    Stage,
    TrainInputs,
)
from rlvr_bench.schema.prompt import Prompt
from rlvr_bench.schema.suite import ProblemSet, Suite, TaskSpec, TrainingSettings


def make_plan(
    suite: Suite,
    method: Method,
    cards: Sequence[Card],
    environment: Environment,
    *,
    control: Method | None,
    reference: Method | None,
    prompts: Sequence[Prompt] = (),
    partial: tuple[str, ...] = (),
    unreplayable: tuple[str, ...] = (),
) -> Plan:
    """Return the plan of validating `method` on `suite`.

    Arms besides the method: the control (the method's own setup with only the reward replaced) unless
    the method is itself the control, and the reference (on suite defaults) unless the method is it. The untouched
    models are evaluated under each of `prompts` too. `unreplayable` are rewards that gave other values when tried
    twice. Raises UsageError for a combination that must not or cannot run.
    """
    _check(suite, method, cards)
    if method.imported:
        control, reference = _listed_control(method), None
    elif control is not None:
        control = _control_of(method, control)
        control = None if _same_signal(method, control) else control
    arms: list[tuple[str, Method]] = [(method.name, method)]
    if control is not None:
        arms.append((control.name, control))
    if reference is not None and not _same_signal(method, reference):
        if reference.name == method.name:
            reference = reference.model_copy(update={"name": f"reference-{reference.name}"})
        arms.append((reference.name, reference))
    for what, named in (("arm", [name for name, _ in arms]), ("prompt", [prompt.name for prompt in prompts])):
        twice = [name for name in named if named.count(name) > 1]
        if twice:
            raise UsageError(f"two {what}s are called {twice[0]}", hint="give each a name of its own")
    stages: list[Stage] = []
    for card in cards:
        stages += [_baseline(suite, card, task, environment) for task in suite.tasks]
        stages += [_probe(suite, card, task, prompt, environment) for prompt in prompts for task in suite.tasks]
        stages += [_exposure(suite, card, task, environment) for task in suite.tasks if suite.exposure]
        prepared = [_labels(suite, arm, card, environment) for _, arm in arms if arm.preparation]
        stages += {stage.id: stage for stage in prepared}.values()  # method and control share theirs
    for name, arm in arms if method.imported else ():
        for card in cards:
            stages += _adopted(suite, card, name, arm, environment)
    for seed in () if method.imported else suite.seeds:
        for name, arm in arms:
            for card in cards:
                own = name == method.name
                replay = not (own and unreplayable)
                stages += _cell(suite, card, name, arm, seed, environment, curve=own, replay=replay)
    ids = [stage.id for stage in stages]
    assert len(set(ids)) == len(ids), "two stages share an id"
    return Plan(
        suite=suite,
        method=_elsewhere(method),
        control=control and _elsewhere(control),
        reference=reference,
        cards=tuple(cards),
        prompts=tuple(prompts),
        partial=partial,
        unreplayable=unreplayable,
        environment=environment,
        stages=tuple(stages),
        estimate=estimate(suite, cards, stages, has_control=control is not None),
    )


def _listed_control(method: Method) -> Method | None:
    """Return the arm of controls that were trained elsewhere, None where none are listed."""
    if not method.controls:
        return None
    title = f"The controls that are listed beside {method.name}, trained elsewhere"
    return Method(
        schema_version=1,
        name=f"control-of-{method.name}",
        title=title,
        source=method.source,
        rewards=(),
        checkpoints=method.controls,
    )


def _elsewhere(method: Method) -> Method:
    """Return a method without the folders of its checkpoints: where they lie is no part of a plan."""
    bare = [
        tuple(one.model_copy(update={"path": one.path and f"{one.model}/seed-{one.seed}"}) for one in listed)
        for listed in (method.checkpoints, method.controls)
    ]
    return method.model_copy(update={"checkpoints": bare[0], "controls": bare[1]})


def _adopted(suite: Suite, card: Card, arm: str, method: Method, environment: Environment) -> list[Stage]:
    """Return the stages of a card's cells that were trained elsewhere: taking the weights over, and evaluating them."""
    stages = []
    for checkpoint in method.checkpoints:
        if checkpoint.model != card.name:
            continue
        cell = Cell(model=card.name, arm=arm, seed=checkpoint.seed)
        inputs = AdoptInputs(card=card, device=suite.device, checkpoint=checkpoint)
        taken = _stage("train", cell, "train", inputs, environment)
        stages.append(taken)
        stages += _evaluations(suite, card, taken, digest(inputs.computed()), environment)
    return stages


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
    settings = settings_of(method, suite.training)
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
        if card.stop and settings.mask_truncated:
            raise UsageError(
                f"{method.name} masks truncated completions, and TRL takes those of {card.name} that end at its stop "
                f"strings for truncated",
                hint="leave the model out of the suite, or mask_truncated out of the method",
            )


def settings_of(method: Method, suite: TrainingSettings) -> TrainingSettings:
    """Return the training settings of a method on a suite. Raises UsageError where they do not fit together."""
    try:
        return method.settings(suite)
    except ValueError as error:
        said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise UsageError(
            f"the settings of {method.name} do not fit this suite: {said.removeprefix('Value error, ')}",
            hint=f"rlvr-bench show method {method.name}",
        ) from error


def _same_signal(one: Method, other: Method) -> bool:
    parts = {"rewards", "data", "example", "preparation", "labels", "grpo"}
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
    if method.data == "test-prompts":
        return tuple(task.problems for task in suite.tasks if task.deciding)
    pool = suite.training_problems
    if method.preparation and suite.label_problems:
        pool = pool.model_copy(update={"count": min(pool.count, suite.label_problems)})
    return (pool,)


def _stage(
    kind: Kind,
    cell: Cell,
    name: str,
    inputs: AnyInputs,
    environment: Environment,
    needs: tuple[str, ...] = (),
) -> Stage:
    return Stage(
        id=f"{cell.id}/{name}",
        kind=kind,
        cell=cell,
        needs=needs,
        inputs=inputs,
        digest=Stage.digest_of(inputs, environment),
    )


def _baseline(suite: Suite, card: Card, task: TaskSpec, environment: Environment) -> Stage:
    inputs = EvaluateInputs(
        card=card,
        device=suite.device,
        task=task,
        samples=task.sampling.samples_before,
        checkpoint=None,
        sampling_seed=seed_from("evaluate", card.name, task.name, BASELINE),
    )
    return _stage("baseline", Cell(model=card.name, arm=BASELINE), task.name, inputs, environment)


def _probe(suite: Suite, card: Card, task: TaskSpec, prompt: Prompt, environment: Environment) -> Stage:
    """Return the evaluation of an untouched model under another prompt."""
    inputs = EvaluateInputs(
        card=card,
        device=suite.device,
        task=task,
        samples=suite.prompt_samples,
        checkpoint=None,
        sampling_seed=seed_from("evaluate", card.name, task.name, PROMPT, digest(prompt)),
        prompt=prompt,
    )
    return _stage("probe", Cell(model=card.name, arm=f"{PROMPT}{prompt.name}"), task.name, inputs, environment)


def _exposure(suite: Suite, card: Card, task: TaskSpec, environment: Environment) -> Stage:
    """Return the completion of a task's problems by an untouched model."""
    probe = suite.exposure
    assert probe is not None
    inputs = ExposureInputs(
        card=card,
        device=suite.device,
        task=task.name,
        problems=task.problems.model_copy(update={"count": min(probe.problems, task.problems.count)}),
        shown=probe.shown,
        max_tokens=probe.max_tokens,
        batch_size=probe.batch_size,
    )
    return _stage("probe", Cell(model=card.name, arm=EXPOSURE), task.name, inputs, environment)


def _labels(suite: Suite, method: Method, card: Card, environment: Environment) -> Stage:
    """Return the preparation of a method: the untouched model's labels, equal for all arms and seeds."""
    assert method.preparation is not None
    samples = method.preparation.samples
    inputs = PrepareInputs(
        card=card,
        device=suite.device,
        problems=_problems(suite, method),
        samples=samples,
        max_tokens=suite.training.max_completion_tokens,
        sampling_seed=seed_from("labels", card.name, samples),
    )
    return _stage("prepare", Cell(model=card.name, arm=BASELINE), f"labels-{samples}", inputs, environment)


def _cell(
    suite: Suite,
    card: Card,
    arm: str,
    method: Method,
    seed: int,
    environment: Environment,
    *,
    curve: bool,
    replay: bool,
) -> list[Stage]:
    """Return the stages of a cell; `curve` says whether its weights at earlier steps are evaluated too.

    They are kept in any case: an arm that is a method elsewhere is then not trained again.
    """
    cell = Cell(model=card.name, arm=arm, seed=seed)
    labels = _labels(suite, method, card, environment) if method.preparation else None
    inputs = TrainInputs(
        card=card,
        device=suite.device,
        rewards=method.rewards,
        labels=method.labels,
        problems=_problems(suite, method),
        settings=settings_of(method, suite.training),
        seed=seed,
        prepared=Prepared(digest=labels.digest, labels=method.preparation.labels)
        if labels and method.preparation
        else None,
        example=method.example,
        save_at=suite.evaluate_at,
        replay=replay,
        tested=() if method.data == "test-prompts" or method.example else tuple(t.problems for t in suite.tasks),
    )
    train = _stage("train", cell, "train", inputs, environment, needs=(labels.id,) if labels else ())
    drawn_from = digest(inputs.trajectory())
    stages = [train]
    for step in (None, *(suite.evaluate_at if curve else ())):
        stages += _evaluations(suite, card, train, drawn_from, environment, step)
    return stages


def _evaluations(
    suite: Suite, card: Card, trained: Stage, drawn_from: str, environment: Environment, step: int | None = None
) -> list[Stage]:
    """Return the evaluations of a training's weights, at its end or after a step; `drawn_from` seeds the draws."""
    at = () if step is None else (step,)
    stages = []
    for task in suite.tasks:
        after = EvaluateInputs(
            card=card,
            device=suite.device,
            task=task,
            samples=task.sampling.samples_after,
            checkpoint=trained.digest,
            sampling_seed=seed_from("evaluate", card.name, task.name, drawn_from, *at),
            step=step,
        )
        name = task.name if step is None else f"step-{step}/{task.name}"
        stages.append(_stage("evaluate", trained.cell, name, after, environment, needs=(trained.id,)))
    return stages
