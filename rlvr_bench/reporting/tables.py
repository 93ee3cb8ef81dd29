"""A report as JSON and as Markdown, written into the run folder."""

from typing import Any

from rlvr_bench.reporting import explained, words
from rlvr_bench.reporting.words import row
from rlvr_bench.schema.finding import Report
from rlvr_bench.stats.sentences import p_value


def as_json(report: Report) -> str:
    """Return the report as one JSON document; equal runs give equal bytes."""
    return report.model_dump_json(indent=1) + "\n"


def as_verdict(report: Report) -> dict[str, Any]:
    """Return one method's verdict as `judge --json` prints it; proportions, not points."""
    body = report.model_dump(mode="json")
    named = report.verdict.lineages
    head = {
        "method": report.method,
        "verdict": report.verdict.word.value,
        "lineage": named[0] if len(named) == 1 else None,
        "named": list(named),
        "sentence": report.verdict.sentence,
        "harmed": list(report.verdict.harmed),
        "over_start": report.over_start.word.value,
        "tipping_sd": report.verdict.tipping_sd,
        "tips_to": report.verdict.tips_to,
        "families": body["lineages"],
        "flags": body["flags"],
    }
    kept = ("control", "reference", "models", "tasks", "steps", "not_tested", "assumptions", "correlations")
    return {**head, **{key: body[key] for key in kept}, "cross_check": body["cross_check"]}


def as_markdown(report: Report) -> str:
    """Return the report as Markdown, for a pull request."""
    lines = [
        f"# {report.method}: {words.word(report.verdict)}",
        "",
        report.verdict.sentence,
        "",
        f"{words.title(report)}; {words.basis(report)}. "
        f"Over the starting model alone: {words.word(report.over_start)}.",
    ]
    if report.rehearsal:
        lines += ["", f"This is {words.REHEARSAL}."]
    if report.verdict.harmed:
        lines += ["", f"Harmed: {', '.join(report.verdict.harmed)}."]
    if report.explanation.sentences:
        lines += ["", *(f"- {sentence}" for sentence in report.explanation.sentences)]
    lines += [
        "",
        row(
            "lineage",
            "models",
            "gain [95 %]",
            "p (Holm)",
            f"over {report.control or 'random'} reward [95 %]",
            "over best prompt [95 %]",
            "reference",
            "",
        ),
        row(*["---"] * 8),
    ]
    for ln in report.lineages:
        lines.append(
            row(
                ln.lineage,
                ", ".join(ln.models),
                words.interval(ln.gain),
                p_value(ln.p_holm),
                words.interval(ln.gain_over_control),
                words.interval(ln.net_gain),
                words.interval(ln.reference_gain),
                words.marks(ln),
            )
        )
    lines += [row(name, "", "not tested", "", "", "", "", "") for name in report.not_tested]
    detail = any(m.code_before is not None for m in report.models)
    columns = [
        "model",
        "before",
        "after, each seed",
        "control",
        "reference",
        *(["code", "unparsed"] * detail),
        "left out",
    ]
    lines += ["", row(*columns), row(*["---"] * len(columns))]
    for m in report.models:
        habits = [
            words.change(m.code_before, m.code_after),
            words.change(m.unparsed_before, m.unparsed_after),
        ]
        lines.append(
            row(
                m.model,
                words.percent(m.before),
                words.runs(m.after),
                words.runs(m.control),
                words.runs(m.reference),
                *(habits * detail),
                m.excluded or "",
            )
        )
    lines += _prompts(report) + _curves(report)
    if len(report.tasks) > 1:
        lineages = [ln.lineage for ln in report.lineages]
        lines += [
            "",
            row("task", "problems", "decides", *lineages),
            row("---", "---", "---", *["---"] * len(lineages)),
        ]
        for task in report.tasks:
            gains = [words.interval(task.gains.get(lineage)) for lineage in lineages]
            lines.append(row(task.task, str(task.problems), "yes" if task.deciding else "no", *gains))
    lines += _scores(report)
    if report.steps:
        lineages = [ln.lineage for ln in report.lineages]
        lines += ["", row("step", "over the start", *lineages), row(*["---"] * (2 + len(lineages)))]
        lines += [row(name, word, *gains) for name, word, gains in words.steps(report)]
    for title, entries in (
        ("Flags", [words.flag_line(flag) for flag in report.flags]),
        ("Checked", words.sensitivity(report)),
        ("Labels", words.labels(report)),
        ("Models and problems", list(report.data)),
        ("Partial", list(report.partial)),
        ("Stages without a result", [f"{f.stage}: {f.kind}: {f.message}" for f in report.failures]),
        ("Assumed", list(report.assumptions)),
    ):
        if entries:
            lines += ["", f"## {title}", "", *(f"- {entry}" for entry in entries)]
    for table in explained.tables(report):
        lines += ["", f"<details><summary>{table.title}</summary>", "", row(*table.head)]
        lines += [row(*["---"] * len(table.head)), *(row(*cells) for cells in table.rows), "", "</details>"]
    return "\n".join(lines) + "\n"


def _scores(report: Report) -> list[str]:
    """Return avg@k, pass@k and maj@k before and after, at the largest k that both have."""
    before = {(s.model, s.task): s for s in report.scores if s.arm != report.method}
    after = {(s.model, s.task): s for s in report.scores if s.arm == report.method}
    if not after:
        return []
    head = ["model", "task", "avg@k", "pass@k", "maj@k", "samples before, after"]
    lines = ["", row(*head), row(*["---"] * len(head))]
    for (model, task), start in before.items():
        end = after.get((model, task))
        if end is None:
            continue
        cells = [words.change(start.average, end.average)]
        for one, other in ((start.pass_at, end.pass_at), (start.majority, end.majority)):
            k = max(set(one) & set(other), default=None)
            cells.append("-" if k is None else f"{words.change(one[k], other[k])} (k = {k})")
        lines.append(row(model, task, *cells, f"{start.samples}, {end.samples}"))
    return lines


def _prompts(report: Report) -> list[str]:
    """Return the untrained models' accuracies under other prompts, where there are some."""
    prompts = words.prompts(report)
    if not prompts:
        return []
    lines = ["", row("untrained", "own prompt", *prompts), row(*["---"] * (2 + len(prompts)))]
    for m in report.models:
        lines.append(row(m.model, words.percent(m.before), *(words.percent(m.prompts.get(p)) for p in prompts)))
    return lines


def _curves(report: Report) -> list[str]:
    """Return each model's accuracies at the steps that were evaluated, each seed."""
    steps = sorted({step for m in report.models for step in m.curve})
    if not steps:
        return []
    head = ["learning curve", "start", *(f"step {step}" for step in steps), "end"]
    lines = ["", row(*head), row(*["---"] * len(head))]
    for m in report.models:
        at = [words.runs(m.curve.get(step, ())) for step in steps]
        lines.append(row(m.model, words.percent(m.before), *at, words.runs(m.after)))
    return lines
