"""Whether an answer is right: one door for rewards, voting and evaluation.

This version knows exact text and whole numbers, which is all that the embedded problems ask for; a gold
answer of another kind is refused when problems are loaded (`check_gold`), never graded wrongly.
"""

import re

from rlvr_bench.errors import UsageError
from rlvr_bench.scoring.answers import boxed_answer

GRADER_VERSION = 1
_WHOLE = re.compile(r"[+-]?\d{1,100}\Z")


def canonical(answer: str) -> str:
    """Return the form under which equal answers are the same text: whole numbers without leading
    zeros or plus sign, anything else stripped of outer white space and dollar signs."""
    text = answer.strip().strip("$").strip()
    if _WHOLE.match(text):
        return str(int(text))
    return text


def answers_equal(gold: str, answer: str) -> bool:
    """Return whether a bare answer equals the bare gold answer."""
    return canonical(gold) == canonical(answer)


def grade_response(gold: str, text: str) -> bool:
    """Return whether a whole response gives the gold answer in its last box."""
    answer = boxed_answer(text)
    return answer is not None and answers_equal(gold, answer)


def check_gold(gold: str, *, problem: str) -> None:
    """Refuse a gold answer that this grader cannot decide, naming the problem."""
    if not _WHOLE.match(canonical(gold)):
        raise UsageError(
            f"gold answer {gold[:60]!r} of problem {problem} is not a whole number",
            where=problem,
            hint="this version grades whole numbers only",
        )
