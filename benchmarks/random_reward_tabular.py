"""A random reward on a table instead of a model: when does clipping push a frequent opener up?

    python benchmarks/random_reward_tabular.py

Twelve topics, one opener of code and eight in words, logits linear in a shared feature and the topic's own; rewards by
coin flip, group-normalised, the clipped objective of PPO, updates by plain gradient steps or by Adam. Eight repeats a
row, about half a minute. It is what the setting of the suite micro-random was found with (docs/micro.md).
"""

from dataclasses import dataclass

import numpy as np

from rlvr_bench.backends.micro.families import DIRECT_OPENERS, STEPS_OPENERS
from rlvr_bench.backends.micro.families import TOPICS as SHIFTS

TOPICS = np.array(list(SHIFTS.values()))
OPENERS = len(STEPS_OPENERS) + len(DIRECT_OPENERS)
FEATURES, PHASES, GROUP, REPEATS = 32, 60, 16, 8


@dataclass(frozen=True)
class Setting:
    code: float = 1.3
    slope: float = 0.3
    optimizer: str = "sgd"
    rate: float = 2.0
    passes: int = 4
    rollouts: int = 1024
    updates: int = 8


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits)
    return raised / raised.sum(1, keepdims=True)


def trained(s: Setting, clip: float, seed: int) -> tuple[float, float, float]:
    """Share of code before and after, mean over topics, and the share of clipped samples."""
    rng = np.random.default_rng(seed)
    own = np.random.default_rng(99).normal(size=(12, FEATURES)) / np.sqrt(FEATURES)
    features = np.concatenate([np.ones((12, 1)), own], 1)
    code = 1 / (1 + np.exp(-(s.code + s.slope * TOPICS)))
    start = np.log(np.concatenate([code[:, None], np.repeat((1 - code)[:, None] / OPENERS, OPENERS, 1)], 1))
    weights = np.zeros((FEATURES + 1, OPENERS + 1))
    first, second, t = np.zeros_like(weights), np.zeros_like(weights), 0
    clipped = []
    for _ in range(PHASES):
        old = softmax(start + features @ weights)
        topic = np.repeat(rng.integers(0, 12, s.rollouts // GROUP), GROUP)
        opener = (old[topic].cumsum(1) < rng.random(s.rollouts)[:, None]).sum(1).clip(max=OPENERS)
        reward = (rng.random(s.rollouts) < 0.5).astype(float).reshape(-1, GROUP)
        spread = reward.std(1, ddof=1, keepdims=True) + 1e-4
        advantage = ((reward - reward.mean(1, keepdims=True)) / spread).ravel()
        order = rng.permutation(s.rollouts)
        for _ in range(s.passes):
            for batch in np.array_split(order, s.updates):
                policy = softmax(start + features @ weights)[topic[batch]]
                rows = np.arange(len(batch))
                ratio = policy[rows, opener[batch]] / old[topic[batch], opener[batch]]
                a = advantage[batch]
                dead = ((a > 0) & (ratio > 1 + clip)) | ((a < 0) & (ratio < 1 - clip))
                clipped.append(dead.mean())
                pull = np.where(dead, 0, a * ratio)
                by_logit = -policy * pull[:, None]
                by_logit[rows, opener[batch]] += pull
                gradient = features[topic[batch]].T @ by_logit / len(batch)
                if s.optimizer == "sgd":
                    weights = weights + s.rate * gradient
                    continue
                t += 1
                first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
                weights = weights + s.rate * (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
    after = softmax(start + features @ weights)[:, 0].mean()
    return float(code.mean()), float(after), float(np.mean(clipped))


def main() -> None:
    rows = [
        Setting(),
        Setting(code=2.2),
        Setting(rollouts=2048, updates=4),
        Setting(passes=1),
        Setting(code=-0.7, slope=1.7),
        Setting(optimizer="adam", rate=0.01),
        Setting(optimizer="adam", rate=0.01, code=2.2),
        Setting(optimizer="adam", rate=0.01, passes=1),
    ]
    print(
        "| optimizer, rate | passes | rollouts / updates | code before | after, clip (SE) | clipped | after, no clip |"
    )
    print("| " + " | ".join(["---"] * 7) + " |")
    for s in rows:
        with_clip, without = (np.array([trained(s, clip, seed) for seed in range(REPEATS)]) for clip in (0.2, 1e9))
        after, clipped = with_clip[:, 1], with_clip[:, 2].mean()
        print(
            f"| {s.optimizer}, {s.rate:g} | {s.passes} | {s.rollouts} / {s.updates} | {with_clip[0, 0]:.2f} "
            f"| {after.mean():.2f} ({after.std(ddof=1) / REPEATS**0.5:.2f}) | {clipped:.4f} "
            f"| {without[:, 1].mean():.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
