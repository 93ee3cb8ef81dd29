"""How numbers and findings are written, the same in the terminal and in Markdown."""

from rlvr_bench.schema.finding import Flag, Gain, LineageFinding, Report, StepFinding, Verdict, VerdictWord
from rlvr_bench.stats.sentences import points

REHEARSAL = (
    "a rehearsal on tiny embedded models whose habits were built in: it validates the instrument, not any "
    "paper, and says nothing about real models"
)


def percent(value: float | None) -> str:
    """Return a share in percent with one decimal, `-` where it is unknown."""
    return "-" if value is None else f"{100 * value:.1f}"


def change(before: float | None, after: float | None) -> str:
    """Return `before > after` in percent, `-` where unknown."""
    return "-" if before is None or after is None else f"{percent(before)} > {percent(after)}"


def interval(gain: Gain | None) -> str:
    """Return `+14.2  [+11.0, +17.4]`, or `-` where there is none."""
    if gain is None:
        return "-"
    return f"{points(gain.estimate):>5}  [{points(gain.lower)}, {points(gain.upper)}]"


def word(verdict: Verdict | StepFinding) -> str:
    """Return the verdict's word with spaces and the lineages that it names."""
    return named(verdict.word, verdict.lineages)


def named(verdict: VerdictWord, lineages: tuple[str, ...]) -> str:
    """Return `ONE FAMILY (qwen)`."""
    return verdict.replace("_", " ") + (f" ({', '.join(lineages)})" if lineages and len(lineages) < 3 else "")


def basis(report: Report) -> str:
    """Return what the verdict rests on, in a few words."""
    seeds = f"{report.seeds} {'seed' if report.seeds == 1 else 'seeds'}"
    control = "" if report.control else "; no random-reward control: elicitation is not ruled out"
    samples = f" x {report.samples_after} samples" if report.samples_after else ""
    return f"rule 1, 95% intervals, {seeds}, {report.problems} problems{samples}{control}"


def marks(finding: LineageFinding, alpha: float = 0.025) -> str:
    """Return a lineage's states: gains (over the start), credited (over the control too), as the control, harmed.

    The list of gains goes by Holm over lineages; a gain that the rule takes and the list does not is marked so.
    """
    gains = "gains" if finding.p_holm < alpha else "gains, not by Holm" if finding.p_value < alpha else ""
    states = (
        (gains, bool(gains)),
        ("credited", bool(finding.credited)),
        ("as the control", finding.elicited),
        ("harmed", finding.harmed),
    )
    return ", ".join(name for name, yes in states if yes)


def title(report: Report) -> str:
    """Return what was judged and where it comes from."""
    if report.suite is None:
        return f"{report.method}, from {report.source}"
    return f"{report.method} on suite {report.suite}, version {report.suite_version}"


def sensitivity(report: Report) -> list[str]:
    """Return what the verdict would be under other correlations, and what resampling says."""
    found = []
    if report.correlations:
        if len(set(report.correlations.values())) == 1:
            values = ", ".join(report.correlations)
            found.append(f"the verdict is the same at assumed before/after correlations of {values}")
        else:
            said = ", ".join(f"{word} at {r}" for r, word in report.correlations.items())
            found.append(f"the verdict CHANGES with the assumed before/after correlation: {said}")
    check = report.cross_check
    if check:
        named = f" ({', '.join(check.lineages)})" if len(check.lineages) in (1, 2) else ""
        agrees = "agrees" if check.word is report.verdict.word else "DISAGREES, the closed form decides"
        spans = "; ".join(f"{g} [{points(low)}, {points(high)}]" for g, (low, high) in check.intervals.items())
        found.append(
            f"bootstrap of {check.resamples:,} resamples {agrees}: {check.word.replace('_', ' ')}{named}, over the "
            f"start {check.over_start.replace('_', ' ')}; 95% intervals over the start {spans}"
        )
    return found


def prompts(report: Report) -> list[str]:
    """Return the names of all prompts under which untrained models were evaluated."""
    return list(dict.fromkeys(name for m in report.models for name in m.prompts))


def steps(report: Report) -> list[tuple[str, str, list[str]]]:
    """Return each evaluated step, the end last: its name, its word over the start, and each lineage's gain."""
    names = [ln.lineage for ln in report.lineages]
    rows = [(str(s.step), word(s), [interval(s.gains.get(name)) for name in names]) for s in report.steps]
    return [*rows, ("end", word(report.over_start), [interval(ln.gain) for ln in report.lineages])]


def labels(report: Report) -> list[str]:
    """Return how right the untouched models' own labels are, and how wrong the wrong ones, a line a model."""
    return [
        f"{m.model}: {found.labelled} of {found.problems} problems labelled by {found.samples} samples each, "
        f"{found.right} right, {found.purity.wrong} wrong, of which math-verify alone finds "
        f"{found.purity.right_by_math_verify} right"
        + (f", {found.purity.undecided} not graded in time" if found.purity.undecided else "")
        for m in report.models
        for found in m.labelling
    ]


def flag_line(flag: Flag) -> str:
    """Return a flag with what it is about and its evidence."""
    about = f" ({', '.join(flag.about)})" if flag.about else ""
    return f"{flag.name}{about}: {flag.evidence}"


SHOWN_RUNS = 8
"""More runs than this are shown as their mean."""


def runs(values: tuple[float, ...]) -> str:
    """Return the accuracies of all seeds, in percent."""
    if len(values) > SHOWN_RUNS:
        return f"{percent(sum(values) / len(values))} (mean of {len(values)})"
    return " ".join(percent(v) for v in values) or "-"


def row(*cells: str) -> str:
    """Return a row of a Markdown table."""
    return "| " + " | ".join(cell.strip().replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
