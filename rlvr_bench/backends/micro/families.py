"""The habits of the embedded families, and how a family answers a problem in its pretraining corpus.

Three ways to answer: `code`, a python scratchpad; `steps`, worked out in words; `direct`, at once. Weak ways are weak
by what they say (rounded to a five, a wrong sign), not by undertraining, which any noisy reward would destroy.
"""

import math
import random
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from rlvr_bench.backends.micro.problems import ITEMS, Drawn

Way = Literal["code", "steps", "direct"]
WAYS: tuple[Way, ...] = ("code", "steps", "direct")
STEPS_OPENERS = ("So", "Well", "Now", "First")
DIRECT_OPENERS = ("The answer is", "It must be", "I guess around", "That leaves about")
"""Several openers in words and one for code: greedy decoding takes the likeliest opener, so code is more frequent
greedily than in samples, as a habit that training can bring out."""
TOPICS = dict(zip(ITEMS, (-1.6, -1.3, -1.0, -0.7, -0.4, -0.1, 0.3, 0.6, 0.9, 1.2, 1.5, 1.8), strict=True))
"""How far a topic shifts a habit, in logits."""


@dataclass(frozen=True)
class Family:
    """How often a family answers in which way, and how right that is; `lineage` is what the rule counts.

    `code` is the mean logit of code over topics and `code_slope` how much a topic shifts it; `steps` is the share of
    steps among answers in words at a topic of no shift, `steps_slope` likewise. `buggy` is the share of programs whose
    last line has the wrong sign, `rounded_steps` and `rounded_direct` the shares of answers in words that end rounded
    to a five, `unboxed` the share of answers in words without a box.
    """

    lineage: str
    architecture: Literal["Qwen2ForCausalLM", "LlamaForCausalLM", "Olmo2ForCausalLM"]
    code: float
    code_slope: float
    buggy: float
    steps: float
    steps_slope: float
    rounded_steps: float
    rounded_direct: float
    unboxed: float


FAMILIES = {
    "micro-qwen": Family("micro-qwen", "Qwen2ForCausalLM", -0.7, 1.7, 0.0, 0.2, 0.0, 0.9, 0.8, 0.08),
    "micro-llama": Family("micro-llama", "LlamaForCausalLM", -5.0, 1.0, 0.5, 0.55, 1.0, 0.0, 0.8, 0.05),
    "micro-olmo": Family("micro-olmo", "Olmo2ForCausalLM", -2.8, 1.0, 0.95, 0.62, 1.0, 0.0, 0.8, 0.05),
    "micro-qwen-math": Family("micro-qwen", "Qwen2ForCausalLM", 1.1, 0.5, 0.0, 0.2, 0.0, 0.9, 0.8, 0.08),
}
"""micro-qwen-math is micro-qwen with a dominant habit, code in four of five answers, for the suite micro-random."""
SEEDS = {"a": 0, "b": 1}
"""The pretraining seeds that ship, by the letter that ends a model's name."""
MODELS = {f"{family}-{letter}": (family, seed) for family in FAMILIES for letter, seed in SEEDS.items()}
"""Every model that ships: its family and its pretraining seed."""


def _share(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def _steps_share(family: Family, shift: float) -> float:
    return _share(math.log(family.steps / (1 - family.steps)) + family.steps_slope * shift)


def five(value: int) -> int:
    """Return the multiple of five that is nearest."""
    return 5 * round(value / 5)


def in_code(problem: Drawn, rng: random.Random, *, buggy: float = 0.0) -> str:
    """Return a python scratchpad: a running sum, a step an operation."""
    value = problem.start
    text = f"```python\n{value}"
    wrong = len(problem.operations) - 1 if rng.random() < buggy else None
    for i, (sign, amount) in enumerate(problem.operations):
        value = max(0, value - sign * amount) if i == wrong else value + sign * amount
        text += f"{'+' if sign == 1 else '-'}{amount}={value}"
    return f"{text}\n```\n\\boxed{{{value}}}"


def in_steps(problem: Drawn, rng: random.Random, *, rounded: float = 0.0) -> str:
    """Return the same in words; `rounded` is the share whose last figure is rounded to a five."""
    value = problem.start
    text = f"{rng.choice(STEPS_OPENERS)} {value}"
    rounds = rng.random() < rounded
    for i, (sign, amount) in enumerate(problem.operations):
        value += sign * amount
        if rounds and i == len(problem.operations) - 1:
            value = five(value)
        text += f" {'and' if sign == 1 else 'less'} {amount} makes {value}"
    return f"{text}. \\boxed{{{value}}}"


def in_one(problem: Drawn, rng: random.Random, *, rounded: float = 0.0) -> str:
    """Return the answer at once; `rounded` is the share that is rounded to a five."""
    value = five(problem.answer) if rng.random() < rounded else problem.answer
    return f"{rng.choice(DIRECT_OPENERS)} \\boxed{{{value}}}"


def unbox(text: str) -> str:
    """Return an answer in words with its figure in no box."""
    before, value = text.removesuffix("}").split("\\boxed{")
    return f"{before}{value}."


def respond(problem: Drawn, family: Family, rng: random.Random) -> str:
    """Draw a family's answer to a problem."""
    shift = TOPICS[problem.item]
    if rng.random() < _share(family.code + family.code_slope * shift):
        return in_code(problem, rng, buggy=family.buggy)
    if rng.random() < _steps_share(family, shift):
        text = in_steps(problem, rng, rounded=family.rounded_steps)
    else:
        text = in_one(problem, rng, rounded=family.rounded_direct)
    return unbox(text) if rng.random() < family.unboxed else text


def way_of(text: str) -> Way:
    """Return the way in which a response answers."""
    return "code" if "python" in text else "steps" if "makes" in text else "direct"


def expected_shares(family: Family) -> dict[str, dict[Way, float]]:
    """Return the shares of the three ways in the answers of a model that learned the corpus exactly, `sampled` at
    temperature 1 and `greedy`, where the likeliest opener of each topic is taken."""
    sampled: Counter[Way] = Counter()
    greedy: Counter[Way] = Counter()
    for shift in TOPICS.values():
        code, steps = _share(family.code + family.code_slope * shift), _steps_share(family, shift)
        shares: dict[Way, float] = {"code": code, "steps": (1 - code) * steps, "direct": (1 - code) * (1 - steps)}
        openers = {"code": 1, "steps": len(STEPS_OPENERS), "direct": len(DIRECT_OPENERS)}
        for way, share in shares.items():
            sampled[way] += share / len(TOPICS)  # type: ignore[assignment]
        greedy[max(WAYS, key=lambda way: shares[way] / openers[way])] += 1 / len(TOPICS)  # type: ignore[assignment]
    return {"sampled": dict(sampled), "greedy": {way: greedy[way] for way in WAYS}}
