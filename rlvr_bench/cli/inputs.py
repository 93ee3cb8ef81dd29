"""From the names that a user typed to a plan."""

import os
from collections.abc import Sequence
from importlib.util import find_spec

from rlvr_bench import catalog, plugins
from rlvr_bench.backends.data import check_source, load_problems, training_problems
from rlvr_bench.backends.models import check_weights
from rlvr_bench.backends.tasks import check_task
from rlvr_bench.backends.tracking import REPORT_TO, TRACKERS
from rlvr_bench.errors import EnvironmentFaultError, UsageError
from rlvr_bench.planning.planner import make_plan, restrict, settings_of
from rlvr_bench.plugins import did_you_mean
from rlvr_bench.rewards.rehearsal import rehearse
from rlvr_bench.rewards.signal import module_of
from rlvr_bench.runs.provenance import environment
from rlvr_bench.schema.method import Method
from rlvr_bench.schema.plan import Environment, Plan, TrainInputs


def plan_of(
    method: str, suite: str, *, models: Sequence[str] = (), seeds: int | None = None, limit: int | None = None
) -> Plan:
    """Load everything that is named, check that weights, problems and tasks are there, and return the plan.

    The rewards of every arm are called on made-up rollouts: a broken one is refused here, before anything is trained.
    So is a training on gold answers to problems that are tested.
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
    chosen, partial = restrict(whole.model_copy(update=names), models=models, seeds=seeds, limit=limit)
    cards = [card for card in cards if card.name in chosen.models]
    for card in cards:
        check_weights(card)
    for wanted in (chosen.training_problems, *(task.problems for task in chosen.tasks)):
        check_source(wanted)
    for task in chosen.tasks:
        check_task(task.lm_eval_task)
    arms = [signal, *([control.model_copy(update={"labels": False})] if control else []), *filter(None, [reference])]
    group_size = settings_of(signal, chosen.training).group_size
    unreplayable, *_ = [rehearse(arm, group_size) for arm in arms]
    made = make_plan(
        chosen,
        signal,
        cards,
        _environment(arms),
        control=control,
        reference=reference,
        prompts=prompts,
        partial=partial,
        unreplayable=unreplayable,
    )
    _refuse_tested(made)
    return made


def _environment(arms: Sequence[Method]) -> Environment:
    """Return this machine's environment, with the code of rewards that are not ours and not in the plan."""
    leaves = [leaf for arm in arms for leaf in arm.leaves() if leaf.name]
    files = {
        str(leaf.name): code
        for leaf in leaves
        if leaf.code and (code := plugins.local_code_digest(module_of(leaf.code, str(leaf.name))))
    }
    found = environment(str(leaf.name) for leaf in leaves if leaf.code is None)
    return found.model_copy(update={"rewards": {**found.rewards, **files}})


def _refuse_tested(plan: Plan) -> None:
    """Raise UsageError where an arm would see the gold answers to problems that are tested."""

    def plain(text: str) -> str:
        return " ".join(text.lower().split())

    trainings = {s.cell.arm: s.inputs for s in plan.stages if isinstance(s.inputs, TrainInputs)}
    seeing = {arm: i for arm, i in trainings.items() if i.example or (i.labels and i.prepared is None)}
    if not seeing:
        return
    tested = {plain(p.problem): task.name for task in plan.suite.tasks for p in load_problems(task.problems)}
    for arm, inputs in seeing.items():
        pool = training_problems(inputs)  # an example that is not there is refused here too
        found = [(p.id, tested[plain(p.problem)]) for p in pool if plain(p.problem) in tested]
        if found and inputs.labels:
            raise UsageError(
                f"{arm} would train on the gold answers of evaluation problems: {len(found)} of its {len(pool)} "
                f"problems are of task {found[0][1]}, such as {found[0][0]}",
                hint="train on other problems, or without labels (data: test-prompts)",
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
