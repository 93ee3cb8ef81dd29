"""What stands behind a verdict, as rows of words and numbers: the same in Markdown, CSV and HTML."""

from collections.abc import Sequence
from dataclasses import dataclass

from rlvr_bench.reporting import words
from rlvr_bench.schema.explanation import Curve, Shift, Strategy
from rlvr_bench.schema.finding import Report
from rlvr_bench.stats.sentences import p_value, points


@dataclass(frozen=True)
class Rows:
    """A table for people: what it shows, its head and its cells."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(report: Report) -> list[Rows]:
    """Return every table of an explanation that has rows."""
    found = [
        strategy_table(report),
        transition_table(
            [s for s in report.explanation.strategies if s.arm == report.method and s.behaviour == "code"]
        ),
        mechanism_table(report),
        likelihood_table(report),
        exposure_table(report),
        comparison_table(report),
        clean_table(report),
        paid_table(report),
        precision_table(report),
    ]
    return [table for table in found if table.rows]


def strategy_table(report: Report) -> Rows:
    """Return shares and accuracies by class of every behaviour that occurs, of the method alone."""
    rows = []
    for s in report.explanation.strategies:
        if s.arm != report.method or len(s.classes) < 2:
            continue
        for use in s.classes:
            r = "" if s.correlation is None or use is not s.classes[0] else f"{s.correlation:+.2f} ({s.checkpoints})"
            rows.append(
                (
                    s.model,
                    s.behaviour,
                    use.name,
                    words.change(use.share_before, use.share_after),
                    f"{words.percent(use.accuracy_before)} > {words.percent(use.accuracy_after)}",
                    r,
                )
            )
    head = ("model", "behaviour", "class", "share %", "right %", "r of share and accuracy (checkpoints)")
    return Rows("How answers are written, before and after", head, tuple(rows))


def lineage_rows(report: Report) -> Rows:
    """Return gains by lineage as the rule sees them."""
    rows = [
        (
            ln.lineage,
            str(len(ln.models)),
            words.interval(ln.gain).strip(),
            p_value(ln.p_holm),
            words.interval(ln.gain_over_control).strip(),
            words.interval(ln.net_gain).strip(),
            words.interval(ln.reference_gain).strip(),
            words.marks(ln),
        )
        for ln in report.lineages
    ]
    rows += [(name, "", "not tested", "", "", "", "", "") for name in report.not_tested]
    over = f"over {report.control or 'random'} reward [95 %]"
    head = ("lineage", "models", "gain [95 %]", "p (Holm)", over, "over best prompt [95 %]", "reference", "")
    return Rows("Gains by lineage, points", head, tuple(rows))


def model_rows(report: Report) -> Rows:
    """Return every model's accuracies, each seed, and how it answers."""
    rows = [
        (
            m.model,
            words.percent(m.before),
            words.runs(m.after),
            words.runs(m.control),
            words.runs(m.reference),
            words.change(m.before_greedy, sum(m.after_greedy) / len(m.after_greedy) if m.after_greedy else None),
            words.change(m.code_before, m.code_after),
            words.change(m.unparsed_before, m.unparsed_after),
            words.change(m.truncated_before, m.truncated_after),
            f"left out: {m.excluded}" if m.excluded else "",
        )
        for m in report.models
    ]
    head = ("model", "before", "after, each seed", "control", "reference", "greedy", "code", "unparsed", "cut off", "")
    return Rows("Models, %", head, tuple(rows))


def prompt_rows(report: Report) -> Rows:
    """Return the untouched models' accuracies under other prompts."""
    prompts = words.prompts(report)
    if not prompts:
        return Rows("", (), ())
    rows = [
        (
            m.model,
            words.percent(m.before),
            *(words.percent(m.prompts.get(name)) for name in prompts),
            ", ".join(dict.fromkeys(name or "own" for name in m.best_prompts)),
        )
        for m in report.models
    ]
    head = ("untrained", "own prompt", *prompts, "best, by each half")
    return Rows("Untrained models under other prompts, %", head, tuple(rows))


def transition_table(strategies: Sequence[Strategy], *, named: bool = False) -> Rows:
    """Return transitions between classes with each one's contribution to the gain, in points.

    `named` says which behaviour each is of, where there are several.
    """
    rows = [
        (
            s.model,
            s.behaviour if named else s.arm,
            t.before,
            t.after,
            *(words.percent(value) for value in (t.kept, t.lost, t.won, t.missed)),
            points(t.contribution),
            "-" if t.part is None else f"{round(100 * t.part)} %",
        )
        for s in strategies
        for t in s.transitions
    ]
    head = (
        "model",
        "behaviour" if named else "arm",
        "before",
        "after",
        "right, right",
        "right, wrong",
        "wrong, right",
        "wrong, wrong",
    )
    title = "Transitions, % of answers, and each one's contribution to the gain, points"
    return Rows(title, (*head, "contribution", "part of the gain"), tuple(rows))


def mechanism_table(report: Report) -> Rows:
    """Return the first and the last of every training's curve, means over its runs."""
    rows = []
    for model in dict.fromkeys(c.model for c in report.explanation.curves):
        for arm in dict.fromkeys(c.arm for c in report.explanation.curves):
            mine = [c for c in report.explanation.curves if c.model == model and c.arm == arm]
            if mine:
                rows.append((model, arm, *ends(mine)))
    return Rows("Training, first and last point of its curve", ("model", "arm", *ENDS), tuple(rows))


ENDS = ("reward", "groups with signal %", "entropy", "token probability", "clipped %", "tokens", "saturated at step")


def ends(curves: Sequence[Curve]) -> tuple[str, ...]:
    """Return what a table says of some runs' curves: each series at its first and last point, means over runs."""

    def said(name: str, factor: float = 1.0, digits: int = 3) -> str:
        both = [[v for c in curves if (v := getattr(c, name)[i]) is not None] for i in (0, -1)]
        if not all(both):
            return "-"
        return " > ".join(f"{factor * sum(values) / len(values):.{digits}f}" for values in both)

    steps = [str(c.saturated) if c.saturated is not None else "-" for c in curves]
    return (
        said("reward", digits=2),
        said("groups_with_signal", 100, 0),
        said("entropy"),
        said("token_probability"),
        said("clipped", 100, 2),
        said("completion_tokens", digits=0),
        " ".join(steps),
    )


def likelihood_table(report: Report) -> Rows:
    """Return how the likelihoods of prompts and gold answers changed."""
    rows = [
        (one.model, one.arm, one.task, shift(one.prompt), shift(one.answer)) for one in report.explanation.likelihoods
    ]
    head = ("model", "arm", "task", "prompt: before, change [95 %]", "gold answer: before, change [95 %]")
    return Rows("Log-probability, nats a token", head, tuple(rows))


def shift(one: Shift) -> str:
    """Return `-1.20, +0.31 [+0.25, +0.37]`."""
    return f"{one.before:.2f}, {one.change:+.2f} [{one.lower:+.2f}, {one.upper:+.2f}]"


def exposure_table(report: Report) -> Rows:
    """Return what untouched models complete of problems."""
    rows = [
        (
            c.model,
            c.task,
            f"{100 * c.shown:.0f} %",
            str(c.problems),
            words.percent(c.exact),
            f"{c.rouge_l:.3f}",
            words.percent(c.right),
        )
        for c in report.explanation.completions
    ]
    head = ("model", "task", "shown", "problems", "word for word %", "ROUGE-L", "right answer %")
    return Rows("Problems completed by untouched models from their first part", head, tuple(rows))


def comparison_table(report: Report) -> Rows:
    """Return completion of benchmarks against problems that a model cannot have seen."""
    rows = [
        (
            c.model,
            c.task,
            words.percent(c.exact),
            f"{words.percent(c.fresh)} ({', '.join(c.against)})",
            p_value(c.p_value) if c.published else f"({p_value(c.p_value)}) generated: decides nothing",
        )
        for c in report.explanation.comparisons
    ]
    head = ("model", "task", "word for word %", "of problems it cannot have seen %", "p (Fisher, Bonferroni)")
    return Rows("Known benchmarks", head, tuple(rows))


def clean_table(report: Report) -> Rows:
    """Return how much more lineages gain on the deciding problems than on clean ones."""
    rows = [
        (
            c.lineage,
            c.task,
            f"{points(c.difference)} [{points(c.lower)}, {points(c.upper)}]",
            words.percent(c.start),
            "yes" if c.counts else "no: the start leaves no room",
        )
        for c in report.explanation.clean_arms
    ]
    head = ("lineage", "clean task", "gain there less than on the deciding problems by", "start %", "counts")
    return Rows("Clean arms", head, tuple(rows))


def precision_table(report: Report) -> Rows:
    """Return how finely gains are known, and what would help."""
    rows = []
    for p in report.explanation.precision:
        parts = {"more problems": p.problems, "more samples": p.answers, "more seeds": p.runs}
        most = max(parts, key=lambda name: parts[name])
        rows.append(
            (
                p.lineage,
                f"± {100 * p.half_width:.1f}",
                f"{100 * p.visible:.1f}",
                *(f"{100 * share:.0f}" for share in parts.values()),
                f"{most} ({100 * parts[most]:.0f} % of the variance)",
            )
        )
    head = ("lineage", "95 % interval, points", "smallest visible gain, points", "problems %", "answers %", "runs %")
    return Rows("Precision: what the variance of each gain is made of", (*head, "what helps most"), tuple(rows))


def paid_table(report: Report) -> Rows:
    """Return what rewards pay for answers that deserve nothing."""
    found = report.explanation.paid
    kinds = list(dict.fromkeys(kind for one in found for kind in (*one.by_kind, *one.failed)))
    rows = [
        (
            one.arm,
            f"{one.first:.3g}",
            *(f"{one.by_kind[k]:.3g}" if k in one.by_kind else "fails" for k in kinds),
        )
        for one in found
    ]
    return Rows("What the reward pays for", ("arm", "untouched models' answers", *kinds), tuple(rows))
