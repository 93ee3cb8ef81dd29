"""A comparison of two runs, in words and tables."""

from collections.abc import Sequence

from rlvr_bench.reporting import words
from rlvr_bench.reporting.explained import ENDS, Rows, ends
from rlvr_bench.schema.comparison import Comparison, Difference, Side
from rlvr_bench.stats.sentences import points


def lines(found: Comparison) -> list[str]:
    """Return what is compared, and what differs in how both were trained."""
    said = [
        f"first:  {found.first.run}: {found.first.method}, {_word(found.first)}",
        f"second: {found.second.run}: {found.second.method}, {_word(found.second)}",
    ]
    said += [f"differs: {line}" for line in found.setup]
    said += [f"note:    {line}" for line in found.notes]
    return said


def _word(side: Side) -> str:
    return words.named(side.verdict, side.lineages)


def tables(found: Comparison, flips: int) -> list[Rows]:
    """Return the tables of a comparison; `flips` problems of each model and direction are listed."""
    made = [
        _differences("Gains of lineages, points", found.lineages),
        _differences("Gains of models, points", found.models),
        mechanism(found),
        flip_counts(found),
        flip_list(found, flips),
    ]
    return [rows for rows in made if rows.rows]


def _differences(title: str, found: Sequence[Difference]) -> Rows:
    rows = []
    for d in found:
        shown = "higher" if d.difference.lower > 0 else "lower" if d.difference.upper < 0 else "not told apart"
        rows.append((d.name, points(d.first), points(d.second), words.interval(d.difference).strip(), shown))
    return Rows(title, ("", "first", "second", "second less first [95 %]", "the second is"), tuple(rows))


def mechanism(found: Comparison) -> Rows:
    """Return both trainings side by side, first and last step, a row a model and run."""
    rows = []
    for model in dict.fromkeys(c.model for c in found.curves[0]):
        for side, curves in zip(("first", "second"), found.curves, strict=True):
            rows.append((model, side, *ends([c for c in curves if c.model == model])))
    return Rows("Training, first and last point of its curve, means over seeds", ("model", "", *ENDS), tuple(rows))


def flip_counts(found: Comparison) -> Rows:
    """Return how many problems flipped, by model."""
    rows = []
    for model in dict.fromkeys(d.name for d in found.models):
        mine = [f for f in found.flipped if f.model == model]
        won = sum(f.second > f.first for f in mine)
        rows.append((model, str(won), str(len(mine) - won)))
    head = ("model", "right by the second only", "right by the first only")
    return Rows("Problems that flipped", head, tuple(rows))


def flip_list(found: Comparison, most: int) -> Rows:
    """Return the problems of each model and direction that changed most."""
    rows, counts = [], dict[tuple[str, bool], int]()
    for f in found.flipped:
        key = (f.model, f.second > f.first)
        counts[key] = counts.get(key, 0) + 1
        if counts[key] <= most:
            rows.append((f.model, f.task, f.problem, words.percent(f.first), words.percent(f.second)))
    return Rows(
        "Those that changed most, share right in %", ("model", "task", "problem", "first", "second"), tuple(rows)
    )


def as_markdown(found: Comparison, flips: int) -> str:
    """Return the comparison as Markdown."""
    out = [f"# {found.second.method} against {found.first.method}", "", *(f"- {line}" for line in lines(found))]
    for rows in tables(found, flips):
        out += ["", f"## {rows.title}", "", words.row(*rows.head), words.row(*["---"] * len(rows.head))]
        out += [words.row(*row) for row in rows.rows]
    return "\n".join(out) + "\n"
