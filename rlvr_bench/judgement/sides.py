"""One verdict's bounds and decision: over the start alone, or over the start and the controls.

Owns which models enter which side and what the reference shows. Does not own the rule (stats).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rlvr_bench.judgement.evidence import Evidence
from rlvr_bench.schema.finding import VerdictWord
from rlvr_bench.schema.suite import Rule
from rlvr_bench.stats.bounds import Bounds, closed_form
from rlvr_bench.stats.verdict import Decision, decide


@dataclass(frozen=True)
class Question:
    """What is asked of the evidence: which arm, against which controls, with which reference, by which rule.

    `not_tested` are lineages all of whose models left the rule; `doubtful` says why single runs are not to be
    believed. `names` are the controls' names for people, where the arms are called otherwise. `lost` are lineages
    without any result.
    """

    method: str
    controls: tuple[str, ...]
    reference: str | None
    rule: Rule
    not_tested: tuple[str, ...] = ()
    doubtful: str = ""
    names: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


Bounder = Callable[[Evidence, str, str | None], Bounds]


@dataclass(frozen=True)
class Side:
    """One verdict's bounds: over the start alone, or over start and controls."""

    start: Bounds
    controls: tuple[Bounds, ...]
    decision: Decision


@dataclass(frozen=True)
class Reference:
    """What the ground-truth arm shows: where it gains, and where it gains more than the control."""

    bounds: Bounds | None = None
    trainable: dict[str, bool] = field(default_factory=dict)
    room: tuple[str, ...] = ()

    @property
    def untrainable(self) -> tuple[str, ...]:
        """Return the lineages on which the reference is not shown to gain."""
        return tuple(g for g, yes in self.trainable.items() if not yes)


def bounder(rule: Rule) -> Bounder:
    """Return the closed form's bounds of an arm over the start (None) or over another arm."""

    def bounds(evidence: Evidence, arm: str, against: str | None) -> Bounds:
        return closed_form(evidence.estimate(arm, against, rule), rule)

    return bounds


def reference_of(evidence: Evidence, question: Question, bounds: Bounder) -> Reference:
    """Return where the reference gains over the start, and where over every control."""
    name, margin = question.reference, question.rule.margin
    positive = evidence.having(name) if name else None
    if not name or positive is None or not positive.models:
        return Reference()
    found = bounds(positive, name, None)
    trainable = {g: bool(low > margin) for g, low in zip(found.estimates.groups, found.lower, strict=True)}
    both = positive.having(*question.controls)
    room: tuple[str, ...] = ()
    if question.controls and both.models:
        above = [bounds(both, name, control) for control in question.controls]
        lowest = np.min([b.lower for b in above], axis=0)
        room = tuple(g for g, low in zip(above[0].estimates.groups, lowest, strict=True) if low > margin)
    return Reference(found, trainable, room)


def side_of(evidence: Evidence, question: Question, reference: Reference, bounds: Bounder, over: bool) -> Side:
    """Return one verdict's bounds and decision; `over` says whether the controls count."""
    start = bounds(evidence, question.method, None)
    controls = tuple(bounds(evidence, question.method, c) for c in question.controls) if over else ()
    return Side(start, controls, decided(start, controls, question, reference))


def decided(start: Bounds, controls: Sequence[Bounds], question: Question, reference: Reference) -> Decision:
    """Return the rule's decision with all that a question and its reference add."""
    return decide(
        start,
        controls,
        room=reference.room,
        untested=question.not_tested,
        untrainable=reference.untrainable,
        doubtful=question.doubtful,
    )


def words(evidence: Evidence, question: Question, bounds: Bounder | None = None) -> tuple[Decision, Decision]:
    """Return the decisions behind the headline and over the start, whatever the bounds are made of."""
    bounds = bounds or bounder(question.rule)
    reference = reference_of(evidence, question, bounder(question.rule))
    plain = side_of(evidence, question, reference, bounds, over=False)
    compared = evidence.having(*question.controls)
    open_ = replace(plain.decision, word=VerdictWord.INCONCLUSIVE, named=())
    if question.lost:
        return open_, open_
    if not question.controls:
        return plain.decision, plain.decision
    if compared.lineages() != evidence.lineages():  # a lineage without control runs leaves the headline open
        return open_, plain.decision
    return side_of(compared, question, reference, bounds, over=True).decision, plain.decision
