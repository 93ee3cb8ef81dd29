"""What a plan costs, as ranges, and the smallest gain it can see."""

from collections import Counter
from collections.abc import Sequence

from rlvr_bench.planning.fit import shape_of, trained_by_lora
from rlvr_bench.schema.card import Card, HubWeights
from rlvr_bench.schema.plan import AdoptInputs, Estimate, ExposureInputs, PrepareInputs, Range, Stage, TrainInputs
from rlvr_bench.schema.suite import Suite
from rlvr_bench.stats.power import visible_gain

CPU_SECONDS_PER_TOKEN = 3.4e-5
"""CPU-seconds of one core per sampled token (at its most) of models below `CPU_PARAMETERS`, measured
(docs/benchmarks.md). At this size much of the work is in calls: it grows with tokens, hardly with parameters."""

CPU_PARAMETERS = 1_000_000
SAMPLING_FACTOR, PASS_FACTOR = 1.8, 2.1
"""Training on a sampled token over evaluating one: once for sampling and old log-probabilities, and for each pass of
updates in small batches."""

GPU_SECONDS_TRAINING = 9.6e-5
"""GPU-seconds of an A100 per rollout, token of its limit and billion parameters: Spurious Rewards (Appendix A.3)
trained 7.6 billion parameters for 300 steps of 1,024 rollouts of at most 3,072 tokens on 8 A100 in about 24 hours."""

GPU_SECONDS_SAMPLING = 1.5e-5
"""The same for sampling alone: a third of the limit at 3,000 tokens a second for 7.6 billion parameters, assumed."""

GPU_SPREAD = (0.5, 2.0)
STAGE_SECONDS = 0.4
SPREAD = (0.8, 1.6)
BYTES_PER_PARAMETER = {"cpu": 4, "cuda": 2}
"""Of saved weights: float32, and bfloat16 from a GPU."""

BYTES_TRAINING = 16
"""Bytes a parameter of a whole training on one device: weights, gradients and both moments of Adam in float32."""

BYTES_PER_COMPLETION = 60


def _tokens(stage: Stage) -> tuple[float, float]:
    """Return (sampled tokens at most, weight of one) of a stage."""
    inputs = stage.inputs
    if isinstance(inputs, AdoptInputs):
        return 0.0, 1.0
    if isinstance(inputs, TrainInputs):
        s = inputs.settings
        weight = SAMPLING_FACTOR + s.passes * PASS_FACTOR
        return s.steps * s.prompts_per_step * s.group_size * float(s.max_completion_tokens), weight
    if isinstance(inputs, PrepareInputs | ExposureInputs):
        return _completions(stage) * float(inputs.max_tokens), 1.0
    task = inputs.task
    return _completions(stage) * float(task.sampling.max_tokens), 1.0


def tokens_of(stage: Stage) -> float:
    """Return the tokens that a stage samples at most, a training's with the weight of its updates: what its time grows
    with."""
    tokens, weight = _tokens(stage)
    return tokens * weight


def _completions(stage: Stage) -> int:
    """Return how many completions a stage keeps."""
    inputs = stage.inputs
    if isinstance(inputs, TrainInputs):
        s = inputs.settings
        return s.steps * s.prompts_per_step * s.group_size
    if isinstance(inputs, AdoptInputs):
        return 0
    if isinstance(inputs, PrepareInputs):
        return sum(wanted.count for wanted in inputs.problems) * inputs.samples
    if isinstance(inputs, ExposureInputs):
        return inputs.problems.count * len(inputs.shown)
    return inputs.task.problems.count * (inputs.samples + 1)


def _disk(stage: Stage) -> float:
    inputs = stage.inputs
    weights = 1 + len(inputs.save_at) if isinstance(inputs, TrainInputs) else int(isinstance(inputs, AdoptInputs))
    return (
        weights * inputs.card.parameters * BYTES_PER_PARAMETER[inputs.device]
        + _completions(stage) * BYTES_PER_COMPLETION
    )


def scratch_bytes(stage: Stage) -> float:
    """Return what a training keeps beside its results while it runs: two checkpoints to go on from, each the float32
    weights and the optimizer's state (Adam: two moments). 0 for other stages."""
    inputs = stage.inputs
    if not isinstance(inputs, TrainInputs):
        return 0.0
    moments = 0 if inputs.settings.optimizer == "sgd" else 8
    trained = float(inputs.card.parameters)
    if inputs.settings.lora is not None:  # the factors alone
        trained = trained_by_lora(shape_of(inputs.card), inputs.settings.lora)
    return 2.0 * (4 + moments) * trained


def disk_bytes(stages: Sequence[Stage], at_once: int = 1) -> float:
    """Return the bytes that stages need on the disk of the run: their results, equal ones once, and what the largest
    `at_once` of them keep while they run."""
    once = list({stage.digest: stage for stage in stages}.values())
    return sum(map(_disk, once)) + sum(sorted(map(scratch_bytes, once))[-at_once:])


def gpu_seconds(stage: Stage) -> float:
    """Return A100-seconds of a stage, in the middle of what is expected."""
    inputs = stage.inputs
    billions = inputs.card.parameters / 1e9
    if isinstance(inputs, TrainInputs):
        s = inputs.settings
        weight = GPU_SECONDS_SAMPLING + s.passes * (GPU_SECONDS_TRAINING - GPU_SECONDS_SAMPLING)
        return _completions(stage) * s.max_completion_tokens * billions * weight
    return _tokens(stage)[0] * billions * GPU_SECONDS_SAMPLING


def _download(cards: Sequence[Card]) -> float:
    """Return bytes of weights to bring here, where nothing is cached: by the hub's sizes, else 2 bytes a parameter."""
    found = 0.0
    for card in cards:
        if isinstance(card.weights, HubWeights):
            files = card.weights.files
            found += sum(file.size for file in files.values()) if files else 2.0 * card.parameters
    return found


def estimate(suite: Suite, cards: Sequence[Card], stages: Sequence[Stage], *, has_control: bool) -> Estimate:
    """Return the estimate of a plan. Unknown costs are None; equal digests are paid once."""
    once = {stage.digest: stage for stage in stages}.values()
    cpu: Range | None = None
    basis = "no throughput is known for these models on this device"
    if suite.device == "cpu" and all(card.parameters <= CPU_PARAMETERS for card in cards):
        middle = sum(STAGE_SECONDS + tokens * weight * CPU_SECONDS_PER_TOKEN for tokens, weight in map(_tokens, once))
        cpu = Range(low=middle * SPREAD[0], high=middle * SPREAD[1])
        basis = "measured on one core of a server CPU (docs/benchmarks.md)"
    gpu: Range | None = None
    if suite.device == "cuda":
        hours = sum(map(gpu_seconds, once)) / 3600
        gpu = Range(low=hours * GPU_SPREAD[0], high=hours * GPU_SPREAD[1])
        basis = "scaled from the runs of Spurious Rewards on A100s, with vLLM; not measured here"
    download = _download(cards)
    disk = sum(map(_disk, once)) + download
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
        gpu_hours=gpu,
        download_bytes=download,
        disk_bytes=Range(low=disk, high=1.5 * disk),
        visible_gain=visible(over_control=False),
        visible_gain_over_control=visible(over_control=True) if has_control else None,
        basis=basis,
    )
