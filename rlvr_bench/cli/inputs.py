"""From the names that a user typed to a plan."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from rlvr_bench import catalog, plugins
from rlvr_bench.backends import pins, sources
from rlvr_bench.backends.data import leaked, load_problems, training_pool
from rlvr_bench.backends.models import Device, check_weights
from rlvr_bench.backends.sources import check_source
from rlvr_bench.backends.tasks import check_task
from rlvr_bench.backends.tracking import REPORT_TO, TRACKERS
from rlvr_bench.errors import EnvironmentFaultError, RlvrBenchError, UsageError
from rlvr_bench.planning.planner import make_plan, restrict, settings_of
from rlvr_bench.plugins import did_you_mean
from rlvr_bench.rewards.rehearsal import rehearse
from rlvr_bench.rewards.signal import module_of
from rlvr_bench.runs.provenance import environment
from rlvr_bench.schema.card import EmbeddedWeights
from rlvr_bench.schema.method import Method
from rlvr_bench.schema.plan import Environment, Plan, TrainInputs
from rlvr_bench.schema.suite import Suite


@dataclass(frozen=True)
class Planned:
    """A plan, what a reader of it should know, and why it cannot be run as it is: models or data not found."""

    plan: Plan
    book: pins.Book
    notes: tuple[str, ...] = ()
    faults: tuple[RlvrBenchError, ...] = ()


def plan_of(
    method: str,
    suite: str,
    *,
    runs: Path | None = None,
    models: Sequence[str] = (),
    seeds: int | None = None,
    limit: int | None = None,
) -> Planned:
    """Load everything that is named, check that weights, problems and tasks are there, and return the plan.

    Commits of the hub are those that the folder `runs` keeps, or today's. The rewards of every arm are called on
    made-up rollouts: a broken one is refused here, before anything is trained. So is an example whose gold answer is
    one of the evaluation's.
    """
    signal = catalog.load_method(method)
    whole = catalog.load_suite(suite)
    cards = [catalog.load_card(name) for name in whole.models]
    prompts = [catalog.load_prompt(name) for name in whole.prompts]
    control = catalog.load_method(whole.control) if whole.control else None
    reference = catalog.load_method(whole.reference) if whole.reference else None
    # names in place of paths: where a file lies is no part of what is computed
    names = {
        "models": tuple(card.name for card in cards),
        "prompts": tuple(prompt.name for prompt in prompts),
        "control": control and control.name,
        "reference": reference and reference.name,
    }
    whole = whole.model_copy(update=names)
    if signal.imported:
        whole, models = _listed(whole, signal, models)
    chosen, partial = restrict(whole, models=models, seeds=seeds, limit=limit)
    cards = [card for card in cards if card.name in chosen.models]
    for card in cards:
        if isinstance(card.weights, EmbeddedWeights):
            check_weights(card)
    check_source(chosen.training_problems, training=True)
    for task in chosen.tasks:
        check_source(task.problems)
    for task in chosen.tasks:
        check_task(task.lm_eval_task)
    book = pins.Book(runs or Path("runs"))
    frozen = pins.freeze(chosen, cards, book)
    faults = [*frozen.faults, *pins.gates(frozen.cards)]
    if signal.imported:
        kept = [card.name for card in cards]
        signal, odd = pins.checkpoints(_of_models(signal, kept, chosen.seeds), book)
        faults += odd
        control = reference = None
    arms = [signal, *([control.model_copy(update={"labels": False})] if control else []), *filter(None, [reference])]
    group_size = settings_of(signal, chosen.training).group_size
    unreplayable, *_ = [rehearse(arm, group_size) if arm.rewards else () for arm in arms]
    made = make_plan(
        frozen.suite,
        signal,
        frozen.cards,
        _environment(arms, chosen.device, lora=chosen.training.lora is not None),
        control=control,
        reference=reference,
        prompts=prompts,
        partial=partial,
        unreplayable=unreplayable,
    )
    if not faults:
        _refuse_tested(made)
    return Planned(made, book, tuple(frozen.notes), tuple(faults))


def _listed(suite: Suite, method: Method, models: Sequence[str]) -> tuple[Suite, Sequence[str]]:
    """Return a suite with the seeds of checkpoints trained elsewhere, and those of its models that have one.

    Raises UsageError where one is of a model that the suite does not have.
    """
    named = list(dict.fromkeys(one.model for one in (*method.checkpoints, *method.controls)))
    for name in named:
        if name not in suite.models:
            raise UsageError(
                f"{method.name} lists a checkpoint of {name}, which is not in suite {suite.name}",
                hint=f"models of this suite: {', '.join(suite.models)}; rlvr-bench new suite makes one of your own",
            )
    have = [name for name in suite.models if any(one.model == name for one in method.checkpoints)]
    seeds = tuple(dict.fromkeys(one.seed for one in method.checkpoints))
    return suite.model_copy(update={"seeds": seeds}), [name for name in (models or have) if name in have] or have


def _of_models(method: Method, models: Sequence[str], seeds: Sequence[int]) -> Method:
    """Return a method with the checkpoints of some models and seeds."""
    listed = (
        tuple(one for one in some if one.model in models and one.seed in seeds)
        for some in (method.checkpoints, method.controls)
    )
    checkpoints, controls = listed
    return method.model_copy(update={"checkpoints": checkpoints, "controls": controls})


def bring(planned: Planned, runs: Path, tell: Callable[[str], None]) -> None:
    """Bring problems and models to this machine, and keep the commits for later plans, before anything is trained.

    Problems come first and every one is read, so that a changed data set is known before gigabytes are fetched.
    """
    plan = planned.plan
    pins.fetch_problems(plan.suite)
    for task in plan.suite.tasks:
        load_problems(task.problems)
    pool = load_problems(plan.suite.training_problems, training=True)
    tested = leaked(pool, tuple(task.problems for task in plan.suite.tasks))
    for line in sources.told(plan.suite.training_problems):
        tell(line)
    if len(tested) == len(pool):
        raise UsageError(
            f"all {len(pool)} training problems are problems of the evaluation", hint="train on other problems"
        )
    if tested:
        tell(f"{len(tested)} of {len(pool)} training problems are left out: they are problems of the evaluation")
    pins.fetch_models(plan.cards, runs, tell)
    planned.book.save()


def _environment(arms: Sequence[Method], device: Device, *, lora: bool = False) -> Environment:
    """Return this machine's environment, with the code of rewards that are not ours and not in the plan, and the
    version of peft where `lora` is trained. Raises EnvironmentFaultError where that is not installed."""
    leaves = [leaf for arm in arms for leaf in arm.leaves() if leaf.name]
    files = {
        str(leaf.name): code
        for leaf in leaves
        if leaf.code and (code := plugins.local_code_digest(module_of(leaf.code, str(leaf.name))))
    }
    found = environment((str(leaf.name) for leaf in leaves if leaf.code is None), device)
    versions = dict(found.versions)
    if lora:
        try:
            versions["peft"] = version("peft")
        except PackageNotFoundError as error:
            hint = "pip install 'rlvr-bench[lora]'"
            raise EnvironmentFaultError("the suite trains with lora, and peft is not installed", hint=hint) from error
    return found.model_copy(update={"rewards": {**found.rewards, **files}, "versions": versions})


def _refuse_tested(plan: Plan) -> None:
    """Raise UsageError where an arm's example is tested and its gold answer is seen.

    Trainings on many problems leave those out that are tested; an example is all that there is.
    """
    trainings = {s.cell.arm: s.inputs for s in plan.stages if isinstance(s.inputs, TrainInputs)}
    for arm, inputs in trainings.items():
        if inputs.example is None:
            continue
        pool = training_pool(inputs).problems  # an example that is not there is refused here too
        found = leaked(pool, tuple(task.problems for task in plan.suite.tasks))
        if found and inputs.labels:
            ((own, tested),) = found.items()
            raise UsageError(
                f"{arm} would train on the gold answer of an evaluation problem: its example {own} is {tested}",
                hint="choose another example, or train without labels",
            )


def report_trainings_to(trackers: str) -> None:
    """Pass experiment trackers on to the trainings, which inherit this process's environment.

    Raises UsageError for an unknown name, EnvironmentFaultError where the package is not installed.
    """
    names = [name.strip() for name in trackers.split(",") if name.strip()]
    for name in names:
        if name not in TRACKERS:
            raise UsageError(
                f"--report-to {name}: unknown tracker{did_you_mean(name, list(TRACKERS))}",
                hint="known: " + ", ".join(TRACKERS),
            )
        if not any(find_spec(package) for package in TRACKERS[name]):
            raise EnvironmentFaultError(
                f"--report-to {name}: the package is not installed", hint=f"pip install {TRACKERS[name][0]}"
            )
    os.environ[REPORT_TO] = ",".join(names)
