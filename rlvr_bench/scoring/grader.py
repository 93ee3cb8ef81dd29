"""Whether an answer is right: one door for rewards, voting, evaluation and rescoring.

An answer is brought to one spelling (`normal`), its shape is read (`forms`), shapes are compared (`compare`) with
scalars by our own reader (`values`); what that cannot decide, math-verify does, in a process that can be killed
(`pool`). docs/grading.md lists the conventions.
"""

import os
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rlvr_bench.errors import UsageError
from rlvr_bench.scoring.answers import MAX_ANSWER, find_answer
from rlvr_bench.scoring.checker import TIME_LIMIT
from rlvr_bench.scoring.compare import Comparison
from rlvr_bench.scoring.forms import form_of
from rlvr_bench.scoring.pool import pool
from rlvr_bench.scoring.shapes import Form, Leaf, Unknown, askable, latex_of, parts_of
from rlvr_bench.scoring.values import scalar_of
from rlvr_bench.scoring.verdicts import Verdicts, versions

GRADER_VERSION = 2
UNPARSED, EXACT, MATH_VERIFY, TIMED_OUT = "unparsed", "exact", "math-verify", "timed-out"
MAX_QUESTIONS = 6
"""An answer with more open scalars than this is put to math-verify as a whole, once."""
MAX_DEPTH = 40
"""An answer with more nested brackets is none; parsers take seconds for it."""
_MOST_GRADES = 100_000
_WHOLE = re.compile(r"[+-]?\d{1,100}\Z", re.ASCII)


class Grade(NamedTuple):
    """A verdict, and how it came: unparsed (no answer), exact (our own reader), math-verify, timed-out (wrong)."""

    equal: bool
    how: str


_grades: dict[tuple[str, str], Grade] = {}
_verdicts = Verdicts()
_tally: Counter[str] = Counter()
_tally_lock = threading.Lock()


def _after_fork() -> None:
    global _tally_lock
    _tally_lock = threading.Lock()  # a thread of the parent may have held it


os.register_at_fork(after_in_child=_after_fork)


def answers_equal(gold: str, answer: str) -> bool:
    """Return whether a bare answer equals the bare gold answer. Not symmetric: the gold says what is asked for.

    Raises EnvironmentFaultError where math-verify is needed and cannot be started.
    """
    return compare_answers([(gold, answer)])[0].equal


def grade_response(gold: str, text: str) -> bool:
    """Return whether a whole response gives the gold answer, found by the rules of `answers`."""
    return grade_responses([gold], [text])[0].equal


def grade_responses(golds: Sequence[str], texts: Sequence[str]) -> list[Grade]:
    """Return the grade of each response against its gold answer; one call for many is the fast way.

    Raises ValueError where the two differ in length.
    """
    return compare_answers([(gold, find_answer(text)) for gold, text in zip(golds, texts, strict=True)])


def compare_answers(pairs: Iterable[tuple[str, str | None]]) -> list[Grade]:
    """Return the grade of each (gold, bare answer); None, or nothing but space, is no answer."""
    grades = _compare(list(pairs))
    with _tally_lock:
        _tally.update(grade.how for grade in grades)
    return grades


def _compare(pairs: Sequence[tuple[str, str | None]]) -> list[Grade]:
    open_pairs: dict[tuple[str, str], None] = {}
    found: list[Grade | None] = []
    for gold, answer in pairs:
        grade = _at_once(gold, answer)
        if grade is None:
            assert answer is not None
            open_pairs[gold, answer] = None
        found.append(grade)
    decided = _decide(list(open_pairs)) if open_pairs else {}
    return [grade or decided[gold, answer or ""] for grade, (gold, answer) in zip(found, pairs, strict=True)]


def _at_once(gold: str, answer: str | None) -> Grade | None:
    """Return the grade of a pair that needs no reading, or that was graded before."""
    if answer is None or not answer.strip():
        return Grade(False, UNPARSED)
    if _WHOLE.match(answer) and _WHOLE.match(gold):
        return Grade(int(answer) == int(gold), EXACT)
    if gold == answer:
        return Grade(True, EXACT)
    if len(answer) > MAX_ANSWER or len(gold) > MAX_ANSWER or (len(answer) > MAX_DEPTH and _depth(answer) > MAX_DEPTH):
        return Grade(False, UNPARSED)
    return _grades.get((gold, answer))


def _depth(text: str) -> int:
    """Return how deep brackets nest."""
    depth = deepest = 0
    for c in text:
        if c in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif c in ")]}":
            depth -= 1
    return deepest


class _Asking:
    """What `Comparison` asks: answered from the verdicts at hand, else noted. `blind`: nothing is answered."""

    def __init__(self, *, blind: bool = False) -> None:
        self.open: dict[tuple[str, str], None] = {}
        self.blind = blind

    def __call__(self, gold: str, answer: str) -> bool | None:
        question = gold, answer
        if self.blind or question not in _verdicts.known:
            self.open[question] = None
            return None
        return _verdicts.known[question]


Pair = tuple[str, str]


def _decide(pairs: Sequence[Pair]) -> dict[Pair, Grade]:
    """Grade pairs by their forms, and what stays open by one round of math-verify."""
    _verdicts.trim()
    decided: dict[Pair, Grade] = {}
    waiting: dict[Pair, tuple[Pair, ...]] = {}
    for pair in pairs:
        verdict, asking = _compared(pair, blind=True)
        if verdict is not None:  # whatever the open questions: so `how` depends on no cache
            decided[pair] = Grade(verdict, EXACT)
            continue
        questions = tuple(asking.open)
        if len(questions) > MAX_QUESTIONS:
            questions = (_whole_question(pair),)
            if not all(map(askable, questions[0])):
                decided[pair] = Grade(False, EXACT)
                continue
        waiting[pair] = questions
    _ask(list(dict.fromkeys(waiting.values())))
    for pair, questions in waiting.items():
        if questions == (_whole_question(pair),):
            verdict = _verdicts.known.get(questions[0])
        else:
            verdict, _ = _compared(pair)
        decided[pair] = Grade(False, TIMED_OUT) if verdict is None else Grade(verdict, MATH_VERIFY)
    if len(_grades) > _MOST_GRADES:
        _grades.clear()
    _grades.update(decided)
    return decided


def _compared(pair: Pair, *, blind: bool = False) -> tuple[bool | None, _Asking]:
    asking = _Asking(blind=blind)
    try:
        return Comparison(asking).equal(form_of(pair[0]), form_of(pair[1])), asking
    except Exception:
        return False, asking  # a training must not end because of one odd answer


def _whole_question(pair: Pair) -> Pair:
    return latex_of(form_of(pair[0])), latex_of(form_of(pair[1]))


def _ask(jobs: Sequence[tuple[Pair, ...]]) -> None:
    if not jobs:
        return
    _verdicts.refresh()
    unknown = (tuple(question for question in job if question not in _verdicts.known) for job in jobs)
    jobs = [job for job in dict.fromkeys(unknown) if job]
    for questions, verdicts in zip(jobs, pool().run(jobs), strict=True):
        _verdicts.add(questions, verdicts)


STRIKES = 2
"""An answer that hangs the comparison with this many others has no vote."""


def answer_classes(answers: Sequence[str | None]) -> list[int | None]:
    """Return for each answer the index of the first answer that it equals; None where there is none.

    An answer is compared with the first of each class so far, in order: what majority voting counts. One that
    takes too long beside STRIKES others has no vote, or a group of such would cost a deadline a pair.
    """
    how: dict[str, str] = {}
    classes: dict[str, int] = {}
    strikes = Counter[str]()
    for index, answer in enumerate(answers):
        if answer is None or answer in how:
            continue
        at_once = _at_once("", answer)
        how[answer] = at_once.how if at_once else EXACT
        if how[answer] == UNPARSED:
            continue
        for first in dict.fromkeys(classes.values()):
            other = answers[first] or ""
            if strikes[other] >= STRIKES:
                continue
            grade = _compare([(other, answer)])[0]
            if grade.how == TIMED_OUT:
                strikes.update((other, answer))
                if strikes[answer] >= STRIKES:
                    break
                continue
            if grade.how == MATH_VERIFY:
                how[answer] = MATH_VERIFY
            if grade.equal:
                classes[answer] = first
                break
        classes.setdefault(answer, index)
    for answer in how:
        if strikes[answer] >= STRIKES:
            how[answer] = TIMED_OUT
    with _tally_lock:
        _tally.update(UNPARSED if answer is None else how[answer] for answer in answers)
    silent = (UNPARSED, TIMED_OUT)
    return [None if answer is None or how[answer] in silent else classes[answer] for answer in answers]


@contextmanager
def tallied() -> Iterator[Counter[str]]:
    """Count how answers are graded while the context is open, in this process: how -> grades."""
    with _tally_lock:
        before = Counter(_tally)
    counts: Counter[str] = Counter()
    yield counts
    with _tally_lock:
        counts.update(_tally - before)


def tally() -> Counter[str]:
    """Return how many answers were graded how in this process so far."""
    with _tally_lock:
        return Counter(_tally)


def keep_verdicts(folder: Path | None) -> None:
    """Share what math-verify says with the other stages of a run, through files in a folder."""
    _verdicts.keep_in(folder, versions(f"grader-{GRADER_VERSION}", TIME_LIMIT))


def prepare(golds: Iterable[str]) -> None:
    """Start math-verify's process in the background where a gold answer is more than a whole number."""
    if not all(map(_WHOLE.match, golds)):
        pool().prepare()


def check_golds(golds: Sequence[tuple[str, str]]) -> None:
    """Refuse the first gold answer that cannot be graded; `golds` are (problem, gold answer).

    Raises UsageError naming the problem.
    """
    doubtful = []
    for problem, gold in golds:
        if _WHOLE.match(gold):
            continue
        if not gold.strip():
            _refuse(problem, gold, "is empty")
        if len(gold) > MAX_ANSWER:
            _refuse(problem, gold, f"has {len(gold):,} characters, more than {MAX_ANSWER}")
        form = form_of(gold)
        if not readable(form):
            if not _balanced(gold):
                _refuse(problem, gold, "has brackets that do not close")
            doubtful.append((problem, gold, (latex_of(form), latex_of(form))))
    _ask([(question,) for *_, question in doubtful if question not in _verdicts.known])
    for problem, gold, question in doubtful:
        verdict = _verdicts.known.get(question)
        if not verdict:
            _refuse(problem, gold, "takes too long to parse" if verdict is None else "cannot be parsed")


def check_gold(gold: str, *, problem: str) -> None:
    """Refuse one gold answer that cannot be graded, naming the problem."""
    check_golds([(problem, gold)])


def _refuse(problem: str, gold: str, why: str) -> None:
    raise UsageError(
        f"gold answer {gold[:60]!r} of problem {problem} {why}",
        where=problem,
        hint="mend the gold answer, or leave the problem out",
    )


def _balanced(text: str) -> bool:
    depth = 0
    for part in re.findall(r"\\.|[{}]", text):
        depth += (part == "{") - (part == "}")
        if depth < 0:
            return False
    return depth == 0


def readable(form: Form) -> bool:
    """Return whether our own reader knows every part of a form."""
    if isinstance(form, Leaf):
        return form.base is not None or "\\infty" in form.latex or scalar_of(form.latex) is not None
    return not isinstance(form, Unknown) and all(map(readable, parts_of(form)))


def by_math_verify_alone(pairs: Sequence[tuple[str, str]]) -> list[bool | None]:
    """Return whether math-verify by itself finds each (gold, bare answer) equal, in either order; None: too slow.

    A second opinion on what our own reader decides; not kept and not counted.
    """
    jobs = [[(gold, answer), (answer, gold)] for gold, answer in pairs]
    return [None if None in found else any(found) for found in pool().run(jobs)]
