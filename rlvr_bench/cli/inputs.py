"""From the names that a user typed to a plan."""

import os
from collections.abc import Sequence
from importlib.util import find_spec

from rlvr_bench import catalog
from rlvr_bench.backends.data import check_source
from rlvr_bench.backends.models import check_weights
from rlvr_bench.backends.tasks import check_task
from rlvr_bench.backends.tracking import REPORT_TO, TRACKERS
from rlvr_bench.errors import EnvironmentFaultError, UsageError
from rlvr_bench.planning.planner import make_plan, restrict, settings_of
from rlvr_bench.plugins import did_you_mean
from rlvr_bench.rewards.rehearsal import rehearse
from rlvr_bench.runs.provenance import environment
from rlvr_bench.schema.plan import Plan


def plan_of(
    method: str, suite: str, *, models: Sequence[str] = (), seeds: int | None = None, limit: int | None = None
) -> Plan:
    """Load everything that is named, check that weights, problems and tasks are there, and return the plan.

    The method's rewards are called on made-up rollouts: a broken one is refused here, before anything is trained.
    """
    signal = catalog.load_method(method)
    whole = catalog.load_suite(suite)
    chosen, partial = restrict(whole, models=models, seeds=seeds, limit=limit)
    cards = [catalog.load_card(name) for name in chosen.models]
    for card in cards:
        check_weights(card)
    for wanted in (chosen.training_problems, *(task.problems for task in chosen.tasks)):
        check_source(wanted)
    for task in chosen.tasks:
        check_task(task.lm_eval_task)
    chosen = chosen.model_copy(update={"models": tuple(card.name for card in cards)})
    control = catalog.load_method(chosen.control) if chosen.control else None
    reference = catalog.load_method(chosen.reference) if chosen.reference else None
    unreplayable = rehearse(signal, settings_of(signal, chosen.training).group_size)
    leaves = [leaf for arm in (signal, control, reference) if arm for leaf in arm.leaves()]
    return make_plan(
        chosen,
        signal,
        cards,
        environment(leaf.name for leaf in leaves if leaf.name and leaf.code is None),
        control=control,
        reference=reference,
        prompts=[catalog.load_prompt(name) for name in chosen.prompts],
        partial=partial,
        unreplayable=unreplayable,
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
