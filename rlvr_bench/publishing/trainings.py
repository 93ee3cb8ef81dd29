"""What a submission says of trainings and labels, held against the plan and against itself."""

from rlvr_bench.analysis import Records
from rlvr_bench.errors import RefusedError
from rlvr_bench.rewards.bait import KINDS
from rlvr_bench.schema.base import digest
from rlvr_bench.schema.plan import AnyInputs, EvaluateInputs, ExposureInputs, Plan, PrepareInputs, TrainInputs
from rlvr_bench.schema.record import Exposure, Labelling, StepHealth, Training
from rlvr_bench.schema.submission import StageSummary

SHARES = ("groups_with_signal", "truncated", "repetitive", "token_probability", "clipped")
MOST = 1e9


def check_training(name: str, inputs: TrainInputs, summary: StageSummary) -> None:
    """Refuse a training's summary that is not of its plan, or contradicts itself. Raises RefusedError."""
    training, s = summary.training, inputs.settings
    if training is None or summary.labelling is not None:
        raise RefusedError(f"stage {name} is a training and brings none")
    if [step.step for step in training.steps] != list(range(s.steps)):
        raise RefusedError(f"training {name} has {len(training.steps)} steps, the plan {s.steps}")
    if training.rollouts != s.steps * s.prompts_per_step * s.group_size:
        raise RefusedError(f"training {name} has {training.rollouts} rollouts, not the plan's")
    if set(training.kept) != set(inputs.save_at):
        raise RefusedError(f"training {name} kept other steps than the plan's")
    for step in training.steps:
        _possible(name, step, s.max_completion_tokens)
    if set(training.paid) != (set(KINDS) if inputs.replay else set()):
        raise RefusedError(f"training {name} does not say what its reward pays for each kind of bait")
    if any(value is not None and abs(value) > MOST for value in training.paid.values()):
        raise RefusedError(f"training {name}: what its reward pays for bait cannot be")
    counts = training.grading.model_dump().values()
    if sum(counts) > training.rollouts * max(1, len(inputs.rewards)) * 4:
        raise RefusedError(f"training {name} graded more answers than it has rollouts")
    if inputs.replay and training.replayed_differently is None:
        raise RefusedError(f"training {name} does not say whether its rollouts replay")
    if (training.replayed_differently or 0) > training.rollouts:
        raise RefusedError(f"training {name}: more rollouts differ than there are")
    _no_dead_reward_that_moves(name, training)
    _defined(name, inputs, training)


def _possible(name: str, step: StepHealth, most_tokens: int) -> None:
    values = step.model_dump()
    odd = [key for key in SHARES if values[key] is not None and not -1e-9 <= values[key] <= 1 + 1e-9]
    odd += [key for key, value in values.items() if value is not None and abs(value) > MOST]
    if step.completion_tokens > most_tokens or step.completion_tokens < 0:
        odd.append("completion_tokens")
    if odd:
        raise RefusedError(f"training {name}, step {step.step}: {odd[0]} is {values[odd[0]]:g}, which cannot be")


def _no_dead_reward_that_moves(name: str, training: Training) -> None:
    """A reward that never varied inside a group gives no gradient; one that is said to be dead and moved was not."""
    if any(step.groups_with_signal for step in training.steps):
        return
    moved = [step.step for step in training.steps if step.grad_norm is not None and step.grad_norm > 1e-6]
    if moved:
        raise RefusedError(f"training {name} says that its reward was dead, and had a gradient in step {moved[0]}")


def _defined(name: str, inputs: TrainInputs, training: Training) -> None:
    found = training.definition
    whole, own = inputs.model_dump(mode="json"), found.model_dump(mode="json")
    for key in ("rewards", "problems", "example", "settings"):
        if own[key] != whole[key]:
            raise RefusedError(f"training {name} was rewarded for something else than the plan says: {key}")
    labels = "none" if not inputs.labels else inputs.prepared.labels if inputs.prepared else "gold"
    if found.labels != labels:
        raise RefusedError(f"training {name} saw {found.labels} labels, the plan says {labels}")
    if digest({key: value for key, value in own.items() if key != "digest"}) != found.digest:
        raise RefusedError(f"training {name}: its definition has another digest than it says")


def check_labelling(name: str, inputs: PrepareInputs, found: Labelling) -> None:
    """Refuse counts of labels that cannot be. Raises RefusedError."""
    most = sum(problems.count for problems in inputs.problems)
    p = found.purity
    if found.samples != inputs.samples or not found.right <= found.labelled <= found.problems <= most:
        raise RefusedError(f"labels {name}: {found.right} right of {found.labelled} labelled of {found.problems}")
    if p.wrong + found.right + p.undecided != found.labelled or p.right_by_math_verify > p.wrong:
        raise RefusedError(f"labels {name}: right, wrong and undecided do not add up")
    if p.unlike_but_right > p.unlike_by_text or p.unlike_by_text > found.labelled:
        raise RefusedError(f"labels {name}: labels unlike the gold answer do not add up")


def check_exposure(name: str, inputs: ExposureInputs, found: Exposure) -> None:
    """Refuse completions that are not of the plan's task, shares and problems. Raises RefusedError."""
    rows = found.completed
    if found.task != inputs.task or set(rows) != set(inputs.shown) or len(found.ids) != inputs.problems.count:
        raise RefusedError(f"exposure {name}: not the plan's task, shares shown and problems")
    if len(set(found.ids)) != len(found.ids) or any(len(each) != len(found.ids) for each in rows.values()):
        raise RefusedError(f"exposure {name}: a problem stands twice, or not at every share")
    if any(row.exact and row.rouge_l < 1 - 1e-6 for each in rows.values() for row in each):
        raise RefusedError(f"exposure {name}: a problem that is completed word for word is not alike")


def check_besides(name: str, inputs: AnyInputs, summary: StageSummary) -> None:
    """Refuse likelihoods and completions where there are none to be, or that cannot be. Raises RefusedError."""
    if summary.exposure is not None and not isinstance(inputs, ExposureInputs):
        raise RefusedError(f"stage {name} brings completed problems, and is none that completes")
    found = summary.likelihoods
    due = inputs.task.problems.count if isinstance(inputs, EvaluateInputs) and inputs.prompt is None else 0
    if len(found) != due:
        raise RefusedError(f"stage {name} has the likelihoods of {len(found)} problems, the plan {due}")
    if any(not -MOST <= value <= 1e-6 for pair in found if pair is not None for value in pair):
        raise RefusedError(f"stage {name} has a log-probability that cannot be")


def check_apart(plan: Plan, records: Records) -> None:
    """Refuse two trainings with one set of weights, and two evaluations of different weights with the same answers."""
    weights: dict[str, str] = {}
    answers: dict[tuple[object, ...], str] = {}
    for stage in plan.stages:
        record = records[stage.id]
        assert record is not None
        if record.training is not None and any(step.groups_with_signal for step in record.training.steps):
            other = weights.setdefault(record.training.checkpoint_sha256, stage.digest)
            if other != stage.digest:
                raise RefusedError(f"training {stage.id} has the same weights as another one")
        if not isinstance(stage.inputs, EvaluateInputs) or record.evaluation is None:
            continue
        counts = tuple(o.correct for o in record.evaluation.sampled)
        if sum(counts) in (0, len(counts) * stage.inputs.samples) or len(set(counts)) == 1:
            continue
        other = answers.setdefault((stage.inputs.task.name, stage.inputs.samples, counts), stage.digest)
        if other != stage.digest:
            raise RefusedError(f"{stage.id}: problem for problem the same answers as another evaluation")
