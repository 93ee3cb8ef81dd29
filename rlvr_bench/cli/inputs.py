"""From the names that a user typed to a plan."""

from collections.abc import Sequence

from rlvr_bench import catalog
from rlvr_bench.backends.data import check_source
from rlvr_bench.backends.models import check_weights
from rlvr_bench.backends.tasks import check_task
from rlvr_bench.planning.planner import make_plan, restrict
from rlvr_bench.runs.provenance import environment
from rlvr_bench.schema.plan import Plan


def plan_of(
    method: str, suite: str, *, models: Sequence[str] = (), seeds: int | None = None, limit: int | None = None
) -> Plan:
    """Load everything that is named, check that weights, problems and tasks are there, and return the plan."""
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
    used = [spec.name for arm in (signal, control, reference) if arm for spec in arm.rewards]
    return make_plan(
        chosen,
        signal,
        cards,
        environment(used),
        control=control,
        reference=reference,
        partial=partial,
    )
