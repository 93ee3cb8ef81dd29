"""How the trainings of a plan fit on the GPUs of this machine: lines of `plan`, and what `validate` refuses by."""

import os

from rlvr_bench.backends.placing import wanted_ranks
from rlvr_bench.engine.elsewhere import of_cluster
from rlvr_bench.engine.gpus import fit_on
from rlvr_bench.errors import EnvironmentFaultError
from rlvr_bench.planning.fit import Gpu
from rlvr_bench.runs.machine import Device, smallest, visible
from rlvr_bench.schema.plan import Plan, TrainInputs


def here() -> tuple[Device, ...]:
    """Return the GPUs that this process may use."""
    return visible(os.environ.get("CUDA_VISIBLE_DEVICES"))


def fits(made: Plan) -> list[tuple[str, str]]:
    """Return how each model's training fits on this machine, as lines; none for suites of a CPU."""
    if made.suite.device != "cuda":
        return []
    found = here()
    if not found:
        kind, count = of_cluster()
        lines = [("GPU", f"none is seen here; by the settings gpu-memory and gpus-per-node, on up to {count}:")]
        try:
            return [*lines, *fits_on(made, kind, count)]
        except EnvironmentFaultError as fault:
            return [*lines, ("beware", f"{fault.message} ({fault.hint})")]
    kinds = {(device.name, device.memory) for device in found}
    lines = [("GPU", f"{len(found)} x {found[0].name}, driver {found[0].driver}")]
    if len(kinds) > 1:
        names = ", ".join(sorted({device.name for device in found}))
        lines.append(("beware", f"GPUs of several kinds ({names}): name those of one kind in CUDA_VISIBLE_DEVICES"))
    try:
        return [*lines, *fits_on(made, smallest(found), len(found))]
    except EnvironmentFaultError as fault:
        return [*lines, ("missing", f"{fault.message} ({fault.hint})")]


def fit_fault(made: Plan, executor: str) -> EnvironmentFaultError | None:
    """Return the error of a training that does not fit: on the GPUs of this machine, or on those that the settings say
    an executor elsewhere has; None where all do."""
    if made.suite.device != "cuda":
        return None
    found = here()
    kind, count = (smallest(found), len(found)) if executor == "local" and found else of_cluster()
    try:
        fits_on(made, kind, count)
    except EnvironmentFaultError as fault:
        return fault
    return None


def fits_on(made: Plan, gpu: Device, count: int) -> list[tuple[str, str]]:
    """Return how the trainings of each model fit on some GPUs, equal ones in one line, those of all arms.

    Raises EnvironmentFaultError for the first that does not.
    """
    lines: dict[str, dict[str, None]] = {}
    wanted = wanted_ranks()
    for card in made.cards:
        own = [
            s.inputs.settings for s in made.stages if isinstance(s.inputs, TrainInputs) and s.cell.model == card.name
        ]
        for settings in {one.model_dump_json(): one for one in own}.values():
            words = fit_on(card, settings, gpu, count, wanted).words(Gpu(gpu.name, gpu.memory))
            lines.setdefault(words, {})[card.name] = None
    return [("fit", f"{', '.join(names)}: {words}") for words, names in lines.items()]
