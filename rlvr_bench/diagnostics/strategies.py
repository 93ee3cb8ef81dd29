"""Which way of answering carries a gain: shares, accuracies and transitions of behaviours.

Spurious Rewards (Shao et al. 2025, section 4): a problem's answer is in code or in words before training, and after it;
each of the four cases has its part of the gain. With several samples a problem is in each case by a share: as many of
its answers as can be stay in their class, the rest moves. With one sample it is the paper's count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from rlvr_bench.schema.explanation import ClassUse, Strategy, Transition
from rlvr_bench.schema.finding import LineageFinding
from rlvr_bench.schema.record import Outcome
from rlvr_bench.scoring.behaviour import BEHAVIOURS, ORDER
from rlvr_bench.stats.gains import Array
from rlvr_bench.stats.sentences import points

HARDLY = 0.005
"""Below half a point a gain has no parts: they would be quotients of noise."""
CARRIES = 0.5
"""A switch carries a gain from this part of it on."""
MENTIONED = 0.1
UNTOLD = ("code", "python", "length")
"""Behaviours without a sentence of this kind: code has its own, python is its twin, length follows from others."""


def partial_contributions(counts: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Return each subset's part of the gain, C_d = (after_d - before_d) / sum of those (Spurious Rewards, section 4.3).

    `counts` holds right answers before and after, by subset of the problems. Raises ZeroDivisionError without a gain.
    """
    total = sum(after - before for before, after in counts.values())
    return {name: (after - before) / total for name, (before, after) in counts.items()}


def identity_gap(shares: Sequence[float], accuracies: Sequence[float], accuracy: float) -> float:
    """Return |sum of share x accuracy - accuracy| over classes: 0, or the numbers are not of the same answers."""
    return abs(sum(s * a for s, a in zip(shares, accuracies, strict=True)) - accuracy)


@dataclass(frozen=True)
class Answers:
    """Outcomes of n problems as arrays: `right` (n,), the share right, and for each pattern (n, 2), its share wrong and
    right. Made once for all behaviours."""

    right: Array
    patterns: dict[str, Array]

    def by_class(self, behaviours: Sequence[str]) -> dict[tuple[str, ...], Array]:
        """Return the same for each class (one letter a behaviour): (n, 2)."""
        places = [ORDER.index(name) for name in behaviours]
        found: dict[tuple[str, ...], Array] = {}
        for text, shares in self.patterns.items():
            key = tuple(text[place] for place in places)
            found[key] = found[key] + shares if key in found else shares
        return found

    def share(self, behaviour: str) -> float:
        """Return the share of all answers that are of a behaviour's first class."""
        letter = next(iter(BEHAVIOURS[behaviour]))
        shares = self.by_class([behaviour]).get((letter,))
        return 0.0 if shares is None else float(shares.sum() / len(self.right))


def answers(outcomes: Sequence[Outcome]) -> Answers:
    """Return the outcomes of some problems as arrays."""
    patterns: dict[str, Array] = {}
    right = np.empty(len(outcomes))
    for i, o in enumerate(outcomes):
        right[i] = o.correct / o.attempts
        for text, (attempts, good) in o.patterns.items():
            row = patterns.get(text)
            if row is None:
                row = patterns[text] = np.zeros((len(outcomes), 2))
            row[i, 0] = (attempts - good) / o.attempts
            row[i, 1] = good / o.attempts
    return Answers(right, patterns)


def mean_by_class(runs: Sequence[Mapping[tuple[str, ...], Array]]) -> dict[tuple[str, ...], Array]:
    """Return the mean of several runs' shares."""
    keys = dict.fromkeys(key for run in runs for key in run)
    return {key: np.asarray(sum(run[key] for run in runs if key in run) / len(runs)) for key in keys}


def class_name(key: Sequence[str], behaviours: Sequence[str]) -> str:
    """Return how a class is called: `code`, or `code, boxed` for two behaviours."""
    return ", ".join(BEHAVIOURS[name][letter] for name, letter in zip(behaviours, key, strict=True))


def strategy(model: str, arm: str, behaviours: Sequence[str], before: Answers, runs: Sequence[Answers]) -> Strategy:
    """Return how a model's answers behave before and after training, by the classes of one behaviour or of two.

    `before` and each of `runs` are of the same problems in the same order.
    """
    start = before.by_class(behaviours)
    end = mean_by_class([run.by_class(behaviours) for run in runs])
    order = list(product(*(BEHAVIOURS[name] for name in behaviours)))
    used = [key for key in order if key in start or key in end]
    none = np.zeros((len(before.right), 2))
    p = np.stack([start.get(key, none) for key in used], axis=1)  # (n, classes, wrong/right)
    q = np.stack([end.get(key, none) for key in used], axis=1)
    kept, lost, won, missed = _coupled(p, q)
    first, last = float(before.right.mean()), float(np.mean([run.right.mean() for run in runs]))
    gain = last - first
    names = [class_name(key, behaviours) for key in used]
    transitions = []
    switch, within = 0.0, dict.fromkeys(names, 0.0)
    for b, a in product(range(len(used)), repeat=2):
        cell = [float(table[b, a]) for table in (kept, lost, won, missed)]
        if sum(cell) <= 1e-12:
            continue
        change = cell[2] - cell[1]
        if b == a:
            within[names[b]] += change
        else:
            switch += change
        transitions.append(
            Transition(
                before=names[b],
                after=names[a],
                kept=cell[0],
                lost=cell[1],
                won=cell[2],
                missed=cell[3],
                contribution=change,
                part=change / gain if abs(gain) >= HARDLY else None,
            )
        )
    classes = tuple(_use(name, p[:, i].mean(0), q[:, i].mean(0)) for i, name in enumerate(names))
    gap = max(
        identity_gap([u.share_before for u in classes], [u.accuracy_before or 0.0 for u in classes], first),
        identity_gap([u.share_after for u in classes], [u.accuracy_after or 0.0 for u in classes], last),
    )
    return Strategy(
        model=model,
        arm=arm,
        behaviour=" and ".join(behaviours),
        classes=classes,
        transitions=tuple(transitions),
        gain=gain,
        switch=switch,
        within=within,
        gap=gap if gap > 1e-9 else 0.0,
    )


def _use(name: str, before: Array, after: Array) -> ClassUse:
    (_, right), (_, good) = before, after
    share, now = float(before.sum()), float(after.sum())
    return ClassUse(
        name=name,
        share_before=share,
        share_after=now,
        accuracy_before=float(right) / share if share else None,
        accuracy_after=float(good) / now if now else None,
    )


def _coupled(p: Array, q: Array) -> tuple[Array, Array, Array, Array]:
    """Return (m, m) tables of shares of answers right before and after, before only, after only, and neither.

    `p` and `q` are (n, m, 2): each problem's share wrong and right in m classes. Of each problem as many answers stay
    in their class as can, min(p, q); the rest goes from classes that lost answers to those that won some, in
    proportion. A moving answer is right as often as its class is on that side. With one answer a problem this is the
    paper's count, and where nothing changes, nobody switches.
    """
    before, after = p.sum(2), q.sum(2)
    rates = [np.divide(x[:, :, 1], s, out=np.zeros_like(s), where=s > 0) for x, s in ((p, before), (q, after))]
    stay = np.minimum(before, after)
    less, more = before - stay, after - stay
    moving = less.sum(1)
    scale = np.divide(1.0, moving, out=np.zeros_like(moving), where=moving > 1e-12)
    mass = less[:, :, None] * more[:, None, :] * scale[:, None, None]
    at = np.arange(p.shape[1])
    mass[:, at, at] += stay
    r, s = rates[0][:, :, None], rates[1][:, None, :]
    n = len(p)
    tables = (mass * r * s, mass * r * (1 - s), mass * (1 - r) * s, mass * (1 - r) * (1 - s))
    kept, lost, won, missed = (table.sum(0) / n for table in tables)
    return kept, lost, won, missed


def correlation(shares: Sequence[float], accuracies: Sequence[float]) -> float | None:
    """Return Pearson's r, None with fewer than three points or where one of both does not vary."""
    if len(shares) < 3 or np.ptp(shares) < 1e-9 or np.ptp(accuracies) < 1e-9:
        return None
    return float(np.corrcoef(shares, accuracies)[0, 1])


def sentences(lineages: Sequence[LineageFinding], strategies: Sequence[Strategy], method: str) -> tuple[str, ...]:
    """Return what carries each lineage's gain or loss, in words: code against language, and whatever switch does.

    Means over the lineage's models. What a switch gives is that of all moves together, those back too.
    """
    found = []
    for ln in lineages:
        mine = [s for s in strategies if s.arm == method and s.model in ln.models]
        code = [s for s in mine if s.behaviour == "code"]
        if not code:
            continue
        gain = sum(s.gain for s in code) / len(code)
        if text := _of_code(ln, code, gain):
            found.append(f"{ln.lineage}: {text}")
        for behaviour in BEHAVIOURS:
            own = [s for s in mine if s.behaviour == behaviour]
            if own and behaviour not in UNTOLD and (text := _of_switch(ln, own, gain, len(code))):
                found.append(f"{ln.lineage}: {text}")
    return tuple(found)


def _shown(ln: LineageFinding) -> bool:
    return ln.gain.lower > 0 or ln.gain.upper < 0


def _of_switch(ln: LineageFinding, mine: Sequence[Strategy], gain: float, count: int) -> str:
    """Return a sentence where other shares of a behaviour's classes carry the gain; models without the behaviour, of
    `count` in all, have no switch."""
    switch = sum(s.switch for s in mine) / count
    if not _shown(ln) or switch * gain <= 0 or abs(switch) < CARRIES * abs(gain):
        return ""
    changes: dict[str, float] = {}
    for s in mine:
        for use in s.classes:
            changes[use.name] = changes.get(use.name, 0.0) + (use.share_after - use.share_before) / count
    down, up = min(changes, key=lambda name: changes[name]), max(changes, key=lambda name: changes[name])
    return f"{down} → {up} carries {points(switch)} of {points(gain)} points ({100 * changes[up]:.0f} % of the answers)"


def _of_code(ln: LineageFinding, mine: Sequence[Strategy], gain: float) -> str:
    count = len(mine)
    uses = _mean_uses(mine, count)
    if set(uses) <= {"language"}:
        return "no answer holds code, before or after" if _shown(ln) else ""
    share = [(uses["code"][i] if "code" in uses else None) or 0.0 for i in (0, 1)]
    about = f"code in {100 * share[0]:.0f} → {100 * share[1]:.0f} % of the answers"
    right = [f"{name} {_pct(u[2])} → {_pct(u[3])} % right" for name, u in uses.items()]
    if not _shown(ln):
        return f"no gain or loss is shown; {about}; {', '.join(right)}"
    parts = {"language → code" if share[1] >= share[0] else "code → language": sum(s.switch for s in mine) / count}
    for name in uses:
        parts[f"within {name}"] = sum(s.within.get(name, 0.0) for s in mine) / count
    ranked = sorted(parts, key=lambda name: -parts[name] * np.sign(gain))
    told = [f"{name} {points(parts[name])}" for name in ranked if abs(parts[name]) >= MENTIONED * abs(gain)]
    most = parts[ranked[0]] / gain
    head = f"{ranked[0]} carries the {'gain' if gain > 0 else 'loss'}: " if most > CARRIES else ""
    return f"{head}{', '.join(told)} of {points(gain)} points; {about}; {', '.join(right)}"


def _mean_uses(mine: Sequence[Strategy], count: int) -> dict[str, list[float | None]]:
    """Return by class its mean shares before and after, and its accuracies over all models' answers together."""
    found: dict[str, list[float | None]] = {}
    for name in dict.fromkeys(use.name for s in mine for use in s.classes):
        uses = [use for s in mine for use in s.classes if use.name == name]
        row: list[float | None] = []
        for share in ("share_before", "share_after"):
            row.append(sum(getattr(use, share) for use in uses) / count)
        for share, accuracy in (("share_before", "accuracy_before"), ("share_after", "accuracy_after")):
            weight = sum(getattr(use, share) for use in uses)
            row.append(
                sum(getattr(use, share) * (getattr(use, accuracy) or 0.0) for use in uses) / weight if weight else None
            )
        found[name] = row
    return found


def _pct(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f}"
