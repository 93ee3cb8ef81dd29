"""Two runs compared on the same problems. Proportions 0-1; differences are the second run less the first."""

from rlvr_bench.schema.base import Frozen
from rlvr_bench.schema.explanation import Curve
from rlvr_bench.schema.finding import Gain, VerdictWord


class Side(Frozen):
    """One of both runs."""

    run: str
    method: str
    verdict: VerdictWord
    lineages: tuple[str, ...]


class Difference(Frozen):
    """How gains differ in one lineage or model: each run's gain over its start, and their difference."""

    name: str
    lineage: str
    first: float
    second: float
    difference: Gain


class FlippedProblem(Frozen):
    """A problem that one run gets right more often than wrong and the other does not; shares right, means over runs."""

    model: str
    task: str
    problem: str
    first: float
    second: float


class Comparison(Frozen):
    """What differs between two runs. `setup` are the settings that differ, `notes` what else a reader must know, `owed`
    how many stages of each run have no result. `curves` are those of both methods, the first run's and the second's."""

    first: Side
    second: Side
    setup: tuple[str, ...]
    lineages: tuple[Difference, ...]
    models: tuple[Difference, ...]
    flipped: tuple[FlippedProblem, ...]
    curves: tuple[tuple[Curve, ...], tuple[Curve, ...]]
    notes: tuple[str, ...] = ()
    owed: tuple[int, int] = (0, 0)
