"""How numbers and findings are written, the same in the terminal and in Markdown."""

from rlvr_bench.schema.finding import Flag, Gain, Report, Verdict
from rlvr_bench.stats.sentences import points

REHEARSAL = (
    "a rehearsal on tiny embedded models whose habits were built in: it shows what the instrument does, "
    "and says nothing about real models"
)


def percent(value: float) -> str:
    """Return a share in percent with one decimal."""
    return f"{100 * value:.1f}"


def interval(gain: Gain | None) -> str:
    """Return `+14.2  [+11.0, +17.4]`, or `-` where there is none."""
    if gain is None:
        return "-"
    return f"{points(gain.estimate):>5}  [{points(gain.lower)}, {points(gain.upper)}]"


def word(verdict: Verdict) -> str:
    """Return the verdict's word with spaces and the lineages that it names."""
    named = f" ({', '.join(verdict.lineages)})" if verdict.lineages and len(verdict.lineages) < 3 else ""
    return verdict.word.replace("_", " ") + named


def basis(report: Report) -> str:
    """Return what the verdict rests on, in a few words."""
    seeds = f"{report.seeds} {'seed' if report.seeds == 1 else 'seeds'}"
    control = "" if report.control else "; no random-reward control: elicitation is not ruled out"
    return f"rule 1, 95% intervals, {seeds}, {report.problems} problems x {report.samples_after} samples{control}"


def flag_line(flag: Flag) -> str:
    """Return a flag with what it is about and its evidence."""
    about = f" ({', '.join(flag.about)})" if flag.about else ""
    return f"{flag.name}{about}: {flag.evidence}"


def runs(values: tuple[float, ...]) -> str:
    """Return the accuracies of all seeds, in percent."""
    return " ".join(percent(v) for v in values) or "-"
