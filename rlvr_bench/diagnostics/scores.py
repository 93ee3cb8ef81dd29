"""avg@k, pass@k and maj@k of evaluations, from the counts of their outcomes."""

from collections.abc import Sequence

from rlvr_bench.schema.finding import TaskScore
from rlvr_bench.schema.record import Evaluation
from rlvr_bench.scoring import pass_at


def task_scores(model: str, task: str, arm: str, evaluations: Sequence[Evaluation]) -> TaskScore:
    """Return one model's scores on one task: means over its evaluations (seeds), each a mean over problems.

    k of pass@k are the powers of two up to the number of samples.
    """
    outcomes = [o for evaluation in evaluations for o in evaluation.sampled]
    samples = min(o.attempts for o in outcomes)
    ks = [k for k in (1, 2, 4, 8, 16, 32, 64) if k <= samples]
    common = set.intersection(*(set(o.majority) for o in outcomes))
    return TaskScore(
        model=model,
        task=task,
        arm=arm,
        samples=samples,
        average=sum(o.correct / o.attempts for o in outcomes) / len(outcomes),
        pass_at={k: sum(pass_at(k, o.attempts, o.correct) for o in outcomes) / len(outcomes) for k in ks},
        majority={k: sum(o.majority[k] for o in outcomes) / len(outcomes) for k in sorted(common)},
    )
