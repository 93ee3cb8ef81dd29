"""The clean arm: arithmetic made at run time, 1 to 20 operations. There is nothing to have memorised.

After the RandomCalculation set of *Reasoning or Memorization?* (Wu et al. 2025), with whole numbers only.
"""

import random

from rlvr_bench.schema.problem import Problem

MOST_STEPS = 20
LARGEST = 9_999
"""No value on the way is larger, so that the arithmetic, and not the size of numbers, is what is asked."""


def chain(*, count: int, seed: int, steps: int = MOST_STEPS) -> list[Problem]:
    """Return `count` problems with 1 to `steps` operations, as many of each length; every value is a whole number."""
    if not 1 <= steps <= MOST_STEPS:
        raise ValueError(f"steps must lie between 1 and {MOST_STEPS}")
    found: dict[str, Problem] = {}
    number = 0
    while len(found) < count:
        rng = random.Random(f"arithmetic-chain/{seed}/{number}")
        text, value = _expression(rng, 1 + number % steps)
        number += 1
        name = f"arithmetic-chain/{seed}/{number - 1}"
        asked = f"Compute ${text}$. Give the final value within \\boxed{{}}."
        found.setdefault(asked, Problem(id=name, problem=asked, answer=str(value)))
    return list(found.values())


def _expression(rng: random.Random, steps: int) -> tuple[str, int]:
    """Return an expression of `steps` operations, in LaTeX, and its value.

    Sides alternate, so that reading from left to right is not enough.
    """
    value = rng.randint(2, 99)
    text, bare = str(value), True
    for _ in range(steps):
        sign, operand, result = _operation(rng, value)
        if sign == "/":
            text, bare = rf"\frac{{{text}}}{{{operand}}}", True
        elif sign == "*":
            inner = text if bare else f"({text})"
            text = rf"{operand} \times {inner}" if rng.random() < 0.5 else rf"{inner} \times {operand}"
            bare = False
        elif sign == "r":  # operand - value
            text, bare = f"{operand} - {text if bare else f'({text})'}", False
        else:
            text, bare = f"{text} {sign} {operand}", False
        value = result
    return text, value


def _operation(rng: random.Random, value: int) -> tuple[str, int, int]:
    """Return (sign, operand, result) of an operation whose result is whole and small enough."""
    while True:
        sign = rng.choice("+-*/r")
        if sign == "+":
            operand = rng.randint(2, 99)
            result = value + operand
        elif sign == "-":
            operand = rng.randint(2, 99)
            result = value - operand
        elif sign == "r":
            operand = rng.randint(2, 999)
            result = operand - value
        elif sign == "*":
            operand = rng.randint(2, 12)
            result = value * operand
        else:
            whole = [d for d in range(2, 13) if value % d == 0 and value != 0]
            if not whole:
                continue
            operand = rng.choice(whole)
            result = value // operand
        if abs(result) <= LARGEST:
            return sign, operand, result
