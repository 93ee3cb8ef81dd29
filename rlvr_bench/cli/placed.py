"""How the trainings of a plan fit on the GPUs of this machine: lines of `plan`, and what `validate` refuses by."""

import os

from rlvr_bench.errors import EnvironmentFaultError
from rlvr_bench.planning.fit import Gpu, fit
from rlvr_bench.runs.machine import Device, visible
from rlvr_bench.runs.provenance import generator
from rlvr_bench.schema.plan import Plan, TrainInputs

ASSUMED = Gpu("GPU of 80 GB", 80e9)


def here() -> tuple[Device, ...]:
    """Return the GPUs that this process may use."""
    return visible(os.environ.get("CUDA_VISIBLE_DEVICES"))


def fits(made: Plan) -> list[tuple[str, str]]:
    """Return how each model's training fits on this machine, as lines; none for suites of a CPU."""
    if made.suite.device != "cuda":
        return []
    found = here()
    if not found:
        lines = [("GPU", f"none is seen here; on {ASSUMED.memory / 1e9:.0f} GB, up to 8 of them:")]
        try:
            return [*lines, *fits_on(made, ASSUMED, 8)]
        except EnvironmentFaultError as fault:
            return [*lines, ("beware", f"{fault.message} ({fault.hint})")]
    kinds = {(device.name, device.memory) for device in found}
    lines = [("GPU", f"{len(found)} x {found[0].name}, driver {found[0].driver}")]
    if len(kinds) > 1:
        names = ", ".join(sorted({device.name for device in found}))
        lines.append(("beware", f"GPUs of several kinds ({names}): name those of one kind in CUDA_VISIBLE_DEVICES"))
    try:
        return [*lines, *fits_on(made, _smallest(found), len(found))]
    except EnvironmentFaultError as fault:
        return [*lines, ("missing", f"{fault.message} ({fault.hint})")]


def fit_fault(made: Plan) -> EnvironmentFaultError | None:
    """Return the error of a training that does not fit on the GPUs of this machine; None where all do, or none is seen:
    then the stages may run elsewhere."""
    found = here()
    if made.suite.device != "cuda" or not found:
        return None
    try:
        fits_on(made, _smallest(found), len(found))
    except EnvironmentFaultError as fault:
        return fault
    return None


def _smallest(found: tuple[Device, ...]) -> Gpu:
    least = min(found, key=lambda device: device.memory)
    return Gpu(least.name, least.memory)


def fits_on(made: Plan, gpu: Gpu, count: int) -> list[tuple[str, str]]:
    """Return how the trainings of each model fit on some GPUs, equal ones in one line.

    Raises EnvironmentFaultError for the first that does not.
    """
    lines: dict[str, list[str]] = {}
    for card in made.cards:
        own = [s.inputs for s in made.stages if isinstance(s.inputs, TrainInputs) and s.cell.model == card.name]
        if own:
            found = fit(card, own[0].settings, gpu, count, generation=generator("cuda"))
            lines.setdefault(found.words(gpu), []).append(card.name)
    return [("fit", f"{', '.join(names)}: {words}") for words, names in lines.items()]
