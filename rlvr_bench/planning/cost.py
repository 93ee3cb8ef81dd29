"""What a plan costs, as ranges, and the smallest gain it can see."""

from collections import Counter
from collections.abc import Sequence

from rlvr_bench.schema.card import Card
from rlvr_bench.schema.plan import Estimate, PrepareInputs, Range, Stage, TrainInputs
from rlvr_bench.schema.suite import Suite
from rlvr_bench.stats.power import visible_gain

CPU_SECONDS_PER_TOKEN = 3.4e-5
"""CPU-seconds of one core per sampled token (at its most) of models below `CPU_PARAMETERS`, measured
(docs/benchmarks.md). At this size much of the work is in calls: it grows with tokens, hardly with parameters."""

CPU_PARAMETERS = 1_000_000
SAMPLING_FACTOR, PASS_FACTOR = 1.8, 2.1
"""Training on a sampled token over evaluating one: once for sampling and old log-probabilities, and for each pass of
updates in small batches."""

STAGE_SECONDS = 0.4
SPREAD = (0.8, 1.6)
BYTES_PER_PARAMETER = 4
BYTES_PER_COMPLETION = 60


def _tokens(stage: Stage) -> tuple[float, float]:
    """Return (sampled tokens at most, weight of one) of a stage."""
    inputs = stage.inputs
    if isinstance(inputs, TrainInputs):
        s = inputs.settings
        weight = SAMPLING_FACTOR + s.passes * PASS_FACTOR
        return s.steps * s.prompts_per_step * s.group_size * float(s.max_completion_tokens), weight
    if isinstance(inputs, PrepareInputs):
        return _completions(stage) * float(inputs.max_tokens), 1.0
    task = inputs.task
    return _completions(stage) * float(task.sampling.max_tokens), 1.0


def _completions(stage: Stage) -> int:
    """Return how many completions a stage keeps."""
    inputs = stage.inputs
    if isinstance(inputs, TrainInputs):
        s = inputs.settings
        return s.steps * s.prompts_per_step * s.group_size
    if isinstance(inputs, PrepareInputs):
        return sum(wanted.count for wanted in inputs.problems) * inputs.samples
    return inputs.task.problems.count * (inputs.samples + 1)


def _disk(stage: Stage) -> float:
    inputs = stage.inputs
    weights = 1 + len(inputs.save_at) if isinstance(inputs, TrainInputs) else 0
    return weights * inputs.card.parameters * BYTES_PER_PARAMETER + _completions(stage) * BYTES_PER_COMPLETION


def estimate(suite: Suite, cards: Sequence[Card], stages: Sequence[Stage], *, has_control: bool) -> Estimate:
    """Return the estimate of a plan. Unknown costs are None; equal digests are paid once."""
    once = {stage.digest: stage for stage in stages}.values()
    cpu: Range | None = None
    basis = "no throughput is known for these models on this device"
    if all(card.parameters <= CPU_PARAMETERS for card in cards):
        middle = sum(STAGE_SECONDS + tokens * weight * CPU_SECONDS_PER_TOKEN for tokens, weight in map(_tokens, once))
        cpu = Range(low=middle * SPREAD[0], high=middle * SPREAD[1])
        basis = "measured on one core of a server CPU (docs/benchmarks.md)"
    disk = sum(map(_disk, once))
    deciding = [task for task in suite.tasks if task.deciding]
    lineages = Counter(card.lineage for card in cards)

    def visible(over_control: bool) -> float:
        return visible_gain(
            problems=sum(task.problems.count for task in deciding),
            models=min(lineages.values()),
            lineages=len(lineages),
            seeds=len(suite.seeds),
            samples_before=min(task.sampling.samples_before for task in deciding),
            samples_after=min(task.sampling.samples_after for task in deciding),
            rule=suite.rule,
            over_control=over_control,
        )

    return Estimate(
        stages=len(stages),
        cpu_seconds=cpu,
        disk_bytes=Range(low=disk, high=1.5 * disk),
        visible_gain=visible(over_control=False),
        visible_gain_over_control=visible(over_control=True) if has_control else None,
        basis=basis,
    )
