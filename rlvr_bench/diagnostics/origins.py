"""Where models and problems of a run are from, and which training problems were left out, in sentences."""

from collections.abc import Iterable, Mapping

from rlvr_bench.schema.card import HubWeights
from rlvr_bench.schema.plan import Plan
from rlvr_bench.schema.record import Record, Training

SHOWN = 3


def origins(plan: Plan, trainings: Iterable[Training]) -> tuple[str, ...]:
    """Return what a reader needs to get the same models and problems; nothing of what ships with the program."""
    found = []
    for card in plan.cards:
        if isinstance(card.weights, HubWeights):
            found.append(f"{card.name}: {card.weights.repository} at {card.weights.commit}")
    for problems in plan.suite.problem_sets:
        pin = problems.pin
        if pin is None:
            continue
        name = pin.data.name if pin.data else problems.source
        where = f"{pin.repository} at {pin.commit}" if pin.origin == "hub" else f"a {pin.origin}, sha256 {pin.sha256}"
        found.append(f"{name}: {where}")
    return (*found, *_left_out(trainings))


def _left_out(trainings: Iterable[Training]) -> list[str]:
    matches: dict[str, str] = {}
    unusable: dict[str, None] = {}
    for training in trainings:
        matches |= training.left_out
        unusable |= dict.fromkeys(training.unusable)
    lines = []
    if matches:
        some = ", ".join(f"{own} is {tested}" for own, tested in sorted(matches.items())[:SHOWN])
        more = f" and {len(matches) - SHOWN} more" if len(matches) > SHOWN else ""
        lines.append(f"{len(matches)} training problems are tested and were left out: {some}{more}")
    if unusable:
        lines.append(
            f"{len(unusable)} training problems could not be used: prompt too long, or gold answer not gradable"
        )
    return lines


def adapted(plan: Plan, records: Mapping[str, Record | None]) -> tuple[str, ...]:
    """Return which stages ran with smaller batches after they ran out of memory: the same effective batch, other last
    bits; of an evaluation, other draws."""
    found = []
    for stage in plan.stages:
        record = records[stage.id]
        if record is not None and record.adapted:
            said = ", ".join(f"{name} {value}" for name, value in record.adapted.items())
            found.append(f"{stage.id} ran out of memory and then with {said}")
    return tuple(found)
