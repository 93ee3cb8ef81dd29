"""Finding the final answer in a response. Responses are untrusted text: nothing in them is executed.

The same rules serve rewards, voting and evaluation, in this order: the last boxed answer; the last
`<answer>...</answer>`; the last "the answer is ..." or "answer: ..."; the last "#### ...". The last number in a text is
never taken for its answer: any text with a number in it would then have one. Where a `</think>` ends the thinking, what
follows it is looked at first.
"""

import re

MAX_ANSWER = 512
"""Longer contents of a box are not an answer: they are cut off before anything parses them."""
TAIL = 2_000
"""An answer that is stated, not boxed, stands within this many last characters."""

_BLANKS = re.compile(r"[^\S\n]+")
_LINE_ENDS = re.compile(r"\s*\n\s*")
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_BRACES = re.compile(r"\\[{}\\]|[{}]")
_BARE_BOX = re.compile(r"\\boxed\s*(-?\d+(?:\.\d+)?|(?<=\s)[A-Za-z](?![A-Za-z]))")
_JOINTS = re.compile(r"\\(?:text|mbox|quad|qquad|[,;()\[\] ])|and|or|[A-Za-z]\s*=|[\s$,;{}]")
_STATED = re.compile(
    r"(?:answer|solution)(?:\s+to[^.:\n]{0,60})?\s*(?:\*\*)?\s*(?:is|=|:)\s*(?:\*\*)?\s*:?\s*", re.IGNORECASE
)
_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
_MATH = re.compile(r"^(?:\$\$(.+?)\$\$|\$(.+?)\$|\\\((.+?)\\\)|\\\[(.+?)\\\])", re.DOTALL)
_MORE = re.compile(r"\s*(?:,|or\b|and\b)\s*\S")
_HASHES = re.compile(r"^####\s*(.+)$", re.MULTILINE)
_SENTENCE_END = re.compile(r"\.\s|\.$|\n|\*\*|,\s+(?:which|because|since|so)\b|I hope")


def _boxes(text: str) -> list[tuple[int, int, str]]:
    """Return start, end and content of closed, non-empty boxes from the right, up to the joined ones.

    Linear in the length of the text: an unclosed box ends the search space of the boxes before it.
    """
    found: list[tuple[int, int, str]] = []
    starts = [(m.start(), m.end()) for m in _BOX.finditer(text)]
    end = len(text)
    for start, inner in reversed(starts):
        depth = 1
        for match in _BRACES.finditer(text, inner, end):
            depth += {"{": 1, "}": -1}.get(match.group(), 0)
            if depth == 0:
                content = text[inner : match.start()].strip()
                if len(content) <= MAX_ANSWER and any(c.isalnum() or c in "\\∞∅" for c in content):
                    found.append((start, match.end(), content))
                break
        if len(found) >= 2 and not _joined(text, found):
            return found[:-1]
        if len(found) > 16:
            return found
        end = start
    return found


def _joined(text: str, found: list[tuple[int, int, str]]) -> bool:
    """Return whether the box found last is joined to the one after it: `\\boxed{1} or $x = \\boxed{2}$`."""
    between = text[found[-1][1] : found[-2][0]]
    if len(between) > 40 or "\n\n" in between:
        return False
    return re.search(r"(?<![A-Za-z])(?:and|or)(?![A-Za-z])|,", between) is not None and not _JOINTS.sub("", between)


def boxed_answer(text: str) -> str | None:
    """Return the content of the last closed, non-empty `\\boxed{...}`, or None.

    Braces nest; an unclosed box is not an answer. Boxes joined by a comma, "and" or "or" are one list.
    Linear in the length of the text.
    """
    contents = [content for _, _, content in reversed(_boxes(text))]
    if not contents:
        bare = _BARE_BOX.findall(text[-TAIL:])
        return bare[-1] if bare else None
    if len(set(contents)) == 1:
        return contents[0]
    joined = ", ".join(contents)
    return joined if len(joined) <= MAX_ANSWER else contents[-1]


def stated_answer(text: str) -> str | None:
    """Return an answer that the end of a text states without a box, or None."""
    tail = _LINE_ENDS.sub("\n", _BLANKS.sub(" ", text[-TAIL:]))
    for candidate in (*(m.group(1) for m in reversed(list(_TAGGED.finditer(tail)))), *_said(tail)):
        answer = candidate.strip().removeprefix("**").removesuffix("**").strip()
        if answer and len(answer) <= MAX_ANSWER and "\\boxed" not in answer and answer.count("{") == answer.count("}"):
            return answer
    return None


def _said(tail: str) -> list[str]:
    found = []
    matches = list(_STATED.finditer(tail))
    if matches:
        rest = tail[matches[-1].end() :]
        math = _MATH.match(rest)
        if math and not _MORE.match(rest, math.end()):
            found.append(next(g for g in math.groups() if g))
        else:
            said = _SENTENCE_END.split(rest, maxsplit=1)[0][:120]
            found.append(said.replace("$", "") if math else said)
    if hashes := _HASHES.findall(tail):
        found.append(hashes[-1])
    return found


def find_answer(text: str) -> str | None:
    """Return the final answer of a response by the rules of this module, or None."""
    _, thought, said = text.rpartition("</think>")
    if thought and (answer := find_answer(said)):
        return answer
    return boxed_answer(text) or stated_answer(text)
