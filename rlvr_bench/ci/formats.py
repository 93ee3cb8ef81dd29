"""A check as text, Markdown, GitHub annotations and JUnit. Names in it are data: every format escapes them."""

from xml.etree import ElementTree

from rlvr_bench.schema.baseline import AcceptedVerdict, CheckReport, Compared
from rlvr_bench.stats.sentences import points


def verdict(value: AcceptedVerdict) -> str:
    """Return a verdict's word with the lineages it names."""
    named = f" ({', '.join(value.lineages)})" if 0 < len(value.lineages) < 3 else ""
    return value.word.replace("_", " ") + named


def sentence(row: Compared) -> str:
    """Return what a lineage's comparison says, for a person."""
    span = f"{points(row.difference)} points, 99% interval [{points(row.lower)}, {points(row.upper)}]"
    gains = f"gain {points(row.accepted)} accepted, {points(row.now)} now"
    return f"{row.lineage}: {gains}; difference {span}" + (": FELL" if row.fallen else "")


def problems_of(found: CheckReport) -> list[str]:
    """Return what is wrong, a sentence each; nothing where the check passed."""
    lines = [
        f"{found.method} gains less on {row.lineage} than the accepted run: {points(row.now)} in place of "
        f"{points(row.accepted)} points (difference {points(row.difference)}, 99% interval [{points(row.lower)}, "
        f"{points(row.upper)}], more than {100 * found.minimum_drop:g} points)"
        for row in found.lineages
        if row.fallen
    ]
    lines += [f"not measured: {what}; a missing measurement is never a pass" for what in found.missing]
    if found.failed_on:
        lines.append(f"the verdict is {verdict(found.verdict)}, which this check does not take")
    return lines


def headline(found: CheckReport) -> str:
    """Return the outcome in one line."""
    if found.passed:
        return f"passed: {found.method} on {found.suite} is not worse than accepted"
    return f"FAILED: {'; '.join(problems_of(found))}"


def as_text(found: CheckReport) -> str:
    """Return the check for a terminal."""
    lines = [sentence(row) for row in found.lineages]
    lines.append(f"verdict: {verdict(found.verdict)} (accepted: {verdict(found.accepted)})")
    lines += [f"note: {note}" for note in found.notes]
    return "\n".join([*lines, headline(found)]) + "\n"


def as_markdown(found: CheckReport) -> str:
    """Return the check for a job summary or a comment."""

    def cell(text: str) -> str:
        plain = text.replace("&", "&amp;").replace("<", "&lt;")
        return plain.replace("|", "\\|").replace("\n", " ").replace("`", "'")

    lines = [
        f"## {'Passed' if found.passed else 'Failed'}: {cell(found.method)} on {cell(found.suite)}",
        "",
        "| lineage | accepted | now | difference [99 %] | p (Holm) | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in found.lineages:
        span = f"{points(row.difference)} [{points(row.lower)}, {points(row.upper)}]"
        p = "<0.001" if row.p_holm < 0.001 else f"{row.p_holm:.2g}"
        cells = [row.lineage, points(row.accepted), points(row.now), span, p, "**fell**" if row.fallen else ""]
        lines.append("| " + " | ".join(cell(c) for c in cells) + " |")
    lines += ["", f"Verdict: {cell(verdict(found.verdict))}; accepted: {cell(verdict(found.accepted))}."]
    for entry in (*problems_of(found), *found.notes):
        lines.append(f"- {cell(entry)}")
    return "\n".join(lines) + "\n"


def as_github(found: CheckReport) -> str:
    """Return workflow commands: an annotation for each thing that is wrong, else a notice."""
    if found.passed:
        return f"::notice title=rlvr-bench check::{_data(headline(found))}\n"
    return "".join(f"::error title=rlvr-bench check::{_data(line)}\n" for line in problems_of(found))


def _data(text: str) -> str:
    """Escape the data of a workflow command (GitHub Actions toolkit, command.ts)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def as_junit(found: CheckReport) -> str:
    """Return the check as JUnit XML: a test case for each lineage, each missing measurement, and the verdict."""
    cases: list[tuple[str, str | None, str]] = [
        (f"gain on {row.lineage}", sentence(row) if row.fallen else None, sentence(row)) for row in found.lineages
    ]
    cases += [(f"measured: {what}", f"not measured: {what}", what) for what in found.missing]
    said = f"verdict {verdict(found.verdict)}, accepted {verdict(found.accepted)}"
    cases.append(("verdict", said if found.failed_on else None, said))
    failures = sum(why is not None for _, why, _ in cases)
    root = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        {"name": f"rlvr-bench check: {_xml(found.method)}", "tests": str(len(cases)), "failures": str(failures)}
        | {"errors": "0", "skipped": "0"},
    )
    for name, why, told in cases:
        case = ElementTree.SubElement(suite, "testcase", {"classname": _xml(found.suite), "name": _xml(name)})
        if why is not None:
            failure = ElementTree.SubElement(case, "failure", {"type": "regression", "message": _xml(why)})
            failure.text = _xml(why)
        else:
            ElementTree.SubElement(case, "system-out").text = _xml(told)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _xml(text: str) -> str:
    """Return a text without the characters that XML 1.0 cannot hold."""
    return "".join(
        c for c in text if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c >= "\U00010000"
    )
