"""Can a model show a gain here, and did its training do anything?"""

from collections.abc import Sequence

from rlvr_bench.schema.record import Evaluation, Outcome, StepHealth, Training
from rlvr_bench.schema.suite import Rule
from rlvr_bench.scoring.behaviour import BEHAVIOURS, counted


def share(outcomes: Sequence[Outcome], field: str) -> float:
    """Return the share of all attempts counted under `correct`, `unparsed`, `truncated`, or that show a behaviour.

    Every problem weighs the same.
    """
    total = 0.0
    for o in outcomes:
        count = counted(o.patterns, field) if field in BEHAVIOURS else getattr(o, field)
        total += count / o.attempts
    return total / len(outcomes)


def dead_reward(runs: Sequence[Training]) -> bool:
    """Return whether the reward never varied inside a group, in any run: nothing could be learned."""
    steps = [step for run in runs for step in run.steps]
    return bool(steps) and all(step.groups_with_signal == 0 for step in steps)


UNPARSED_RISE = 0.20
LENGTH_COLLAPSE = 0.2
TRUNCATED = 0.5
ENTROPY_RISE = 4.0
WARN_STEPS = 2
"""An early warning needs this many steps in a row."""
REPETITIVE = 0.5


def why_unhealthy(training: Training, before: Evaluation, after: Evaluation) -> str | None:
    """Return what looks collapsed about one run, or None.

    A collapsed run cannot be told from a family that does not respond; verdicts from single runs
    ask this first (docs/statistics.md, section 4.2). Loss and gradients are finite in any finished run.
    """
    rise = share(after.sampled, "unparsed") - share(before.sampled, "unparsed")
    if rise > UNPARSED_RISE:
        return f"unparsed answers rose by {100 * rise:.0f} points"
    if not training.steps:
        return "it was trained elsewhere, and nothing is known of its steps"
    first, last = training.steps[0], training.steps[-1]
    if last.truncated > TRUNCATED:
        return f"{100 * last.truncated:.0f} % of the last completions are cut off"
    if last.completion_tokens < LENGTH_COLLAPSE * first.completion_tokens:
        return f"completions shrank from {first.completion_tokens:.0f} to {last.completion_tokens:.0f} tokens"
    if first.entropy and last.entropy and last.entropy > ENTROPY_RISE * first.entropy:
        return f"entropy rose from {first.entropy:.2f} to {last.entropy:.2f}"
    return None


def early_warnings(steps: Sequence[StepHealth]) -> dict[str, str]:
    """Return what looks wrong in the newest steps of a training, by kind; empty before there are enough of them."""
    if len(steps) < WARN_STEPS:
        return {}
    first, newest = steps[0], steps[-WARN_STEPS:]
    last = newest[-1]
    found = {}
    if all(s.groups_with_signal == 0 for s in newest):
        constant = f", {last.reward:g} throughout" if len({s.reward for s in newest}) == 1 else ""
        found["signal"] = (
            f"no group had a reward that varied in steps {newest[0].step + 1} to {last.step + 1}{constant}: "
            "nothing is learned from them"
        )
    if all(s.truncated == 1 for s in newest):
        found["truncated"] = "every completion is cut off at max_completion_tokens"
    if all(s.completion_tokens < LENGTH_COLLAPSE * first.completion_tokens for s in newest):
        found["length"] = (
            f"completions collapsed from {first.completion_tokens:.0f} to {last.completion_tokens:.0f} tokens"
        )
    if all(s.repetitive > REPETITIVE for s in newest):
        found["repetition"] = f"{100 * last.repetitive:.0f} % of the completions repeat themselves over and over"
    if first.entropy and all(s.entropy is not None and s.entropy > ENTROPY_RISE * first.entropy for s in newest):
        found["entropy"] = f"entropy rose from {first.entropy:.2f} to {last.entropy:.2f}"
    return found


def why_excluded(before: Sequence[Outcome], runs: Sequence[Training], rule: Rule) -> str | None:
    """Return why a model leaves the rule (`dead-reward`, `saturated`, `floor`), or None."""
    if dead_reward(runs):
        return "dead-reward"
    accuracy = share(before, "correct")
    if accuracy > rule.ceiling:
        return "saturated"
    if accuracy < rule.floor and share(before, "unparsed") > rule.floor_unparsed:
        return "floor"
    return None
