"""Does a response hold program code? Read line by line, never run.

The paper's own measure is the word "python" anywhere (`behaviour.mentions_python`). That word stands in prose too, code
comes in other languages, and fences are left open when an answer is cut off; so this looks at fences, tags and lines.
"""

import re

MAX_SCANNED = 65_536
"""Characters of a response that are looked at."""

PROSE = frozenset(
    "text txt plaintext plain latex tex math markdown md output out result results stdout json html xml csv yaml note "
    "answer solution problem theorem proof".split()
)
"""What a fence or block says that holds no code, whatever its lines look like. Any other word names a language."""

_FENCE = re.compile(r"^\s*(?:>\s*)?(?:[-*+]\s+|\d+[.)]\s+)?(`{3,}|~{3,})\s*([^`]*)$")
_INLINE = re.compile(r"`{2,}\s*\{?(?:python3?|py|cpp|c\+\+|java|javascript|sympy|sage|r)\}?\s*$", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9+#_.-]*")
_TAG = re.compile(
    r"<\s*(?:llm-code|code|python|sympy_code)\s*>|<\|python_tag\|>|\\begin\{(?:minted|lstlisting|verbatim)\}",
    re.IGNORECASE,
)
_DISPLAY = re.compile(r"\[/?asy\]|\$\$|\\\[|\\\]|\\(?:begin|end)\{(?!minted|lstlisting|verbatim)[a-z*]+\}")
_STRONG = re.compile(
    r"""^\s*(?:>>>\s*)?(?:
      import\ +[a-z_][\w.]*(?:\ +as\ +\w+)?(?:\ *,\ *[a-z_][\w.]*(?:\ +as\ +\w+)?)*\ *;?$
    | from\ +[a-z_][\w.]*\ +import\ +(?:\*|\(|\(?[A-Za-z_]\w*(?:\ +as\ +\w+)?
      (?:\ *,\ *[A-Za-z_]\w*(?:\ +as\ +\w+)?)*\ *,?\)?)$
    | (?:async\ +)?def\ +\w+\ *\([^)]*\)\ *(?:->\ *[^:]+)?:
    | (?:function|fn|func)\ +\w+\ *\([^)]*\)\ *(?:->\ *\w+\ *)?\{
    | (?:public|private|static)\ +(?:static\ +)?(?:void|int|long|double|String|boolean|float|[A-Z]\w*<\w+>)
      \ +\w+\ *[({=;]
    | \#\ *include\ *[<"]
    | (?:int|void)\ +main\ *\(
    | using\ +namespace\ +\w+;
    | (?:print|println|printf|console\.log|System\.out\.println?|fmt\.Print\w*)\ *\(
    | puts\ +["']
    | (?:std::)?cout\ *<<
    | for\ +\w+(?:\ *,\ *\w+)*\ +in\ +(?:range|enumerate|zip|itertools\.\w+|combinations|permutations|product)
      \ *\(.*:$
    | for\ *\(\ *(?:int|let|var|size_t|auto)?\ *\w+\ *=.*;.*;
    | (?:let|const|var)\ +\w+\ *=.*;$
    )""",
    re.VERBOSE,
)
_WEAK = re.compile(
    r"""^\s*(?:>>>\s*)?(?:
      [A-Za-z_]\w*(?:\ *,\ *[A-Za-z_]\w*)*\ *(?:[-+*/]|//)?=\ *(?:[A-Za-z_]\w*\.)+\w+\(   # x = sp.solve(
    | [A-Za-z]{2}\w*_[A-Za-z]{2}\w*\ *(?:[-+*/]|//)?=\ *[^=\\$]*$                            # total_cost = 3 * n
    | [A-Za-z_]\w*\ *(?:[-+*/]|//)=\ *\w                                                   # n += 1
    | [A-Za-z_]\w*\ *=\ *(?:symbols|solve|simplify|Symbol|Eq|Rational|int|float|len|sum|range|sorted|list|set)\(
    | [A-Za-z_]\w*\ *=\ *\[[^\\$]*\]\ *(?:\#.*)?$                                            # values = [1, 2]
    | (?:if|elif|while)\b[^\\$,]*(?:==|<=|>=|!=|%|\ and\ |\ not\ )[^\\$,]*:$
    | for\ +\w+\ +in\ +[a-z_]\w*:$
    | (?:else|try|finally):$
    | \ {2,}return\ +\S
    | [a-z_][\w.]{2,}\([^\\$]*\);$
    )""",
    re.VERBOSE,
)
_COMMENT = re.compile(r"\s+(?:#|//)\s.*$")
ENOUGH = 2
"""Lines that look like code, and could be something else, that make code together."""


def holds_code(text: str) -> bool:
    """Return whether a response holds program code, in any language, fenced or not, whole or cut off.

    A fence or tag that names a language counts where something follows it, also where the fence before it was never
    closed; one that names a kind of text (`output`, `latex`) does not, whatever is in it. Other lines count by what
    they look like: one line that is nothing else (`def f(x):`, `import sympy`, `print(...)`), or two that might be.
    LaTeX displays, equations such as a_1 = 3, and Asymptote, in which problems draw their figures, are no code.
    Linear in the length of the text.
    """
    fence: str | None = None
    display = False
    weak = 0
    lines = text[:MAX_SCANNED].splitlines()
    for number, whole in enumerate(lines):
        line = whole[:500].rstrip()
        mark = _FENCE.match(line)
        if mark or _INLINE.search(line):
            name = mark.group(2).strip() if mark else "code"
            if name and _is_language(name) and _follows(lines, number):
                return True
            fence = name.lower() or "" if name or fence is None else None
            continue
        if fence is not None and fence and not _is_language(fence):
            continue
        tag = _TAG.search(line)
        if tag and (line[tag.end() :].strip() or _follows(lines, number)):
            return True
        marks = len(_DISPLAY.findall(line))
        inside, display = display or marks > 0, display ^ (marks % 2 == 1)
        if inside:
            continue
        bare = _COMMENT.sub("", line)
        if _STRONG.match(bare):
            return True
        weak += _WEAK.match(bare) is not None
        if weak >= ENOUGH:
            return True
    return False


def _is_language(name: str) -> bool:
    """Return whether a fence's first word names a language: any that does not name a kind of text."""
    word = _WORD.search(name)
    return word is not None and word.group().lower() not in PROSE | {"asy", "asymptote"}


def _follows(lines: list[str], number: int) -> bool:
    """Return whether anything stands after a line, before its fence ends."""
    for line in lines[number + 1 :]:
        if _FENCE.match(line[:500]):
            return False
        if line.strip():
            return True
    return False
