"""Word problems of the embedded families: a start, two to four additions or subtractions, one question.

Problems are cut into ten buckets by their numbers alone: bucket 0 is for development, bucket 1 for the
test, 2-9 for pretraining and RL; so no test problem shares its numbers with any training text.
"""

import random
from collections.abc import Iterator
from typing import NamedTuple

from rlvr_bench.schema.problem import Problem

ITEMS = (
    *("apples", "coins", "books", "cards", "shells", "stamps"),
    *("beads", "nuts", "pens", "cakes", "maps", "keys"),
)
NAMES = ("Tom", "Ana", "Sam", "Mia", "Leo", "Zoe", "Ben", "Eva")
VERBS = {1: ("gets", "buys"), -1: ("loses", "sells")}
LENGTHS = (2, 3, 4)
AMOUNTS = range(2, 10)
BUCKETS = {"dev": frozenset({0}), "test": frozenset({1}), "train": frozenset(range(2, 10))}

_PRIME_1, _PRIME_2, _PRIME_5 = 11400714785074694791, 14029467366897019727, 2870177450012600261
_MASK = 2**64 - 1

Operations = tuple[tuple[int, int], ...]


def _mix(lanes: tuple[int, ...]) -> int:
    """Return the 64-bit xxHash-style mix of integers; with -1 counted as -2, it is CPython's hash of a
    tuple, by which the shipped weights' training problems were chosen. Written out: it must not move."""
    total = _PRIME_5
    for lane in lanes:
        total = (total + (-2 if lane == -1 else lane) * _PRIME_2) & _MASK
        total = ((total << 31 | total >> 33) & _MASK) * _PRIME_1 & _MASK
    total = (total + (len(lanes) ^ _PRIME_5 ^ 3527539)) & _MASK
    return 1546275796 if total == _MASK else total


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def bucket(start: int, operations: Operations) -> int:
    """Return the bucket, 0 to 9, of a problem's numbers."""
    inner = _signed(_mix(tuple(_signed(_mix(pair)) for pair in operations)))
    return _signed(_mix((start, inner))) % 10


class Drawn(NamedTuple):
    """A problem with its parts; `operations` are (sign, amount)."""

    text: str
    item: str
    start: int
    operations: Operations
    answer: int


def draw(rng: random.Random) -> Drawn:
    """Draw one problem. The running value stays between about 3 and 54; the vocabulary has a token for each number."""
    value = start = rng.randint(10, 40)
    operations = []
    for _ in range(rng.choice(LENGTHS)):
        sign = 1 if value < 12 else -1 if value > 45 else rng.choice((1, -1))
        amount = rng.randint(AMOUNTS[0], AMOUNTS[-1])
        operations.append((sign, amount))
        value += sign * amount
    item, name = rng.choice(ITEMS), rng.choice(NAMES)
    told = "".join(f", then {rng.choice(VERBS[sign])} {amount}" for sign, amount in operations)
    return Drawn(f"Q: {name} has {start} {item}{told}. How many?\nA:\n", item, start, tuple(operations), value)


def _stream(split: str, seed: int) -> Iterator[Problem]:
    rng = random.Random(f"micro-arithmetic/{split}/{seed}")
    seen: set[str] = set()
    while True:
        drawn = draw(rng)
        if bucket(drawn.start, drawn.operations) in BUCKETS[split] and drawn.text not in seen:
            seen.add(drawn.text)
            yield Problem(id=f"{split}-{seed}-{len(seen) - 1:05d}", problem=drawn.text, answer=str(drawn.answer))


def problems(*, split: str, count: int, seed: int) -> list[Problem]:
    """Return `count` different problems of a split (`dev`, `test`, `train`); a longer list starts alike."""
    if split not in BUCKETS:
        raise ValueError(f"unknown split {split!r}: dev, test or train")
    stream = _stream(split, seed)
    return [next(stream) for _ in range(count)]
