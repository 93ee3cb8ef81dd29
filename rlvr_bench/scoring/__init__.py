"""Text: is an answer right, and how was it written? The same for rewards, voting, evaluation and rescoring."""

from rlvr_bench.scoring.grader import (
    EXACT,
    GRADER_VERSION,
    MATH_VERIFY,
    TIMED_OUT,
    UNPARSED,
    Grade,
    answer_classes,
    answers_equal,
    check_gold,
    check_golds,
    compare_answers,
    grade_response,
    grade_responses,
    keep_verdicts,
    prepare,
    tallied,
)

__all__ = [
    "EXACT",
    "GRADER_VERSION",
    "MATH_VERIFY",
    "TIMED_OUT",
    "UNPARSED",
    "Grade",
    "answer_classes",
    "answers_equal",
    "check_gold",
    "check_golds",
    "compare_answers",
    "grade_response",
    "grade_responses",
    "keep_verdicts",
    "prepare",
    "tallied",
]
