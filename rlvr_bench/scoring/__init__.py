"""Text: is an answer right, and how was it written? Pure; the same for rewards and evaluation."""

from rlvr_bench.scoring.grader import GRADER_VERSION, answers_equal, check_gold, grade_response

__all__ = ["GRADER_VERSION", "answers_equal", "check_gold", "grade_response"]
