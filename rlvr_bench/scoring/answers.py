"""Finding the final answer in a response. Responses are untrusted text: nothing in them is executed."""

OPENER = "\\boxed{"
MAX_ANSWER = 512
"""Longer contents of a box are not an answer: they are cut off before anything parses them."""


def boxed_answer(text: str) -> str | None:
    """Return the content of the last closed, non-empty `\\boxed{...}`, or None.

    Braces nest; an unclosed box is not an answer. Linear in the length of the text.
    """
    end = len(text)
    while (start := text.rfind(OPENER, 0, end)) >= 0:
        depth = 1
        for i in range(start + len(OPENER), end):
            if text[i] == "{":
                depth += 1
            elif text[i] == "}":
                depth -= 1
                if depth == 0:
                    content = text[start + len(OPENER) : i].strip()
                    if content and len(content) <= MAX_ANSWER:
                        return content
                    break
        end = start
    return None
