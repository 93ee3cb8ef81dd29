"""A dry call of a method's rewards on made-up rollouts, before anything is trained: seconds in place of GPU hours."""

import contextlib
import json
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from rlvr_bench.rewards.apart import in_fresh_interpreter, own_code
from rlvr_bench.rewards.signal import Signal, Values, around
from rlvr_bench.schema.method import Method

ANSWERS = ("7", "-12", "\\frac{3}{4}")
"""Gold answers of the made-up problems."""

PATIENCE = 120
"""Seconds that the dry call may take: long enough for a reward that asks a judge over the network."""

_FENCE = "```"


def responses(answer: str) -> tuple[str, ...]:
    """Return made-up responses to a problem: right, wrong, odd, empty, cut off, in code, in a loop, not ASCII."""
    return (
        f"Adding up, we get \\boxed{{{answer}}}.",
        "So it must be \\boxed{1001}.",
        f"{_FENCE}python\nprint(3 + 4)\n{_FENCE}\noutput: \\boxed{{{answer}}}",
        f"The answer is {answer}",
        "",
        "Let me see. " * 40,
        "Ответ: \\boxed{½} ∎ 🙂",
        "First, \\boxed{",
        "\n\n",
        f"<think>hm</think><answer>{answer}</answer>",
        "I do not know.",
        "\\boxed{1}\\boxed{2}",
    )


def rollouts(group_size: int, *, step: int = 0, labels: bool = True, confidence: bool = True) -> dict[str, Any]:
    """Return one made-up rollout phase in the form that the trainer hands to rewards, with every kind of response."""
    kinds = len(responses(""))
    groups = max(len(ANSWERS), -(-kinds // group_size))  # small groups, more of them: every kind of response occurs
    golds = [ANSWERS[p % len(ANSWERS)] for p in range(groups)]
    texts = [responses(golds[p])[(p * group_size + i) % kinds] for p in range(groups) for i in range(group_size)]
    count = len(texts)
    columns: dict[str, Any] = {
        "prompts": [
            [{"role": "user", "content": f"Made-up problem {p}: what is it?"}]
            for p in range(groups)
            for _ in range(group_size)
        ],
        "completions": [[{"role": "assistant", "content": text}] for text in texts],
        "completion_ids": [[ord(c) % 97 for c in text[:20]] or [0] for text in texts],
        "problem_id": [f"made-up-{p}" for p in range(groups) for _ in range(group_size)],
        "index_in_group": [i % group_size for i in range(count)],
        "repeat": [0] * count,
        **around(step, 1, group_size, 4),
    }
    if labels:
        columns["answer"] = [gold for gold in golds for _ in range(group_size)]
    if confidence:
        columns["self_certainty"] = [1.0 + 0.1 * (i % 7) for i in range(count)]
        columns["mean_entropy"] = [0.2 + 0.1 * (i % 5) for i in range(count)]
    return columns


def rehearse(method: Method, group_size: int = 8) -> tuple[str, ...]:
    """Call a method's rewards on made-up rollouts; return the names of those that do not replay.

    Each phase is scored twice, the second time after another phase, and, where a reward is not one of ours, once more
    in an interpreter of its own: a reward that answers otherwise draws from a generator, keeps a state, reads a clock
    or keys on `hash`. Raises RewardError with the line at fault: an exception, a wrong length, NaN or an infinity, no
    answer in time.
    """
    rewards = Signal(method.rewards)
    with contextlib.redirect_stdout(sys.stderr), _patience():  # the answer of a command is not a reward's to print on
        first = _scored(rewards, method, group_size, (0, 1))
        again = _scored(rewards, method, group_size, (1, 0))
    tries = [again]
    if own_code(method.rewards):
        given = json.dumps([method.model_dump(mode="json"), group_size])
        apart = in_fresh_interpreter("rlvr_bench.rewards.rehearsal:score_apart", given, timeout=PATIENCE)
        tries.append(json.loads(apart) if apart else {})
    return tuple(label for label in rewards.labels if any(one.get(label) != first[label] for one in tries))


def _scored(rewards: Signal, method: Method, group_size: int, steps: tuple[int, ...]) -> dict[str, list[Values]]:
    """Return the values of each reward at steps 0 and 1, scored in the order of `steps`."""
    confidence = bool(rewards.confidence)
    at = {s: rewards(rollouts(group_size, step=s, labels=method.labels, confidence=confidence)) for s in steps}
    return {label: [at[s].parts[label] for s in sorted(steps)] for label in rewards.labels}


def score_apart() -> None:
    """Score a method from the standard input and print the values: the work of the other interpreter."""
    told, group_size = json.load(sys.stdin)
    method = Method.model_validate(told)
    with contextlib.redirect_stdout(sys.stderr):
        found = _scored(Signal(method.rewards), method, group_size, (0, 1))
    sys.stdout.write(json.dumps(found))


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Raise TimeoutError inside a reward that does not return, so that the error names its line."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def enough(*_: object) -> None:
        raise TimeoutError(f"no answer within {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, enough)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
