"""A problem: what is asked, and the answer that counts as right."""

from rlvr_bench.schema.base import Frozen


class Problem(Frozen):
    """One problem with its bare gold answer; `id` is stable across versions of the program."""

    id: str
    problem: str
    answer: str
