"""Does a response hold program code? Read line by line, never run.

The paper's own measure is the word "python" anywhere (`behaviour.mentions_python`). That word stands in prose too, code
comes in other languages, and fences are left open when an answer is cut off; so this looks at fences, tags and lines.
"""

import re

MAX_SCANNED = 65_536
"""Characters of a response that are looked at."""

LANGUAGES = frozenset(
    "python python3 py py3 ipython sympy sage sagemath c c++ cpp cc c# csharp cs java javascript js jsx typescript ts "
    "go golang rust rs ruby rb julia jl r matlab octave haskell hs lisp scheme clojure perl php swift kotlin scala sql "
    "bash sh shell zsh powershell lua fortran pascal asy asymptote maple mathematica wolfram gap magma lean coq "
    "tool_code code".split()
)
"""What a fence says that holds code."""

PROSE = frozenset("text txt plaintext plain latex tex math markdown md output result stdout json html xml".split())
"""What a fence says that holds none, whatever its lines look like."""

_FENCE = re.compile(r"^\s*(?:>\s*)?(?:`{3,}|~{3,})\s*([A-Za-z0-9+#_.-]*)")
_TAG = re.compile(r"<\s*(?:llm-code|code|python|sympy_code|asy)\s*>|\[asy\]|<\|python_tag\|>", re.IGNORECASE)
_STRONG = re.compile(
    r"""^\s*(?:>>>\s*)?(?:
      import\ +[A-Za-z_][\w.]*(?:\ +as\ +\w+)?(?:\ *,\ *[A-Za-z_][\w.]*(?:\ +as\ +\w+)?)*\ *;?$
    | from\ +[A-Za-z_][\w.]*\ +import\ +(?:\*|\(?[A-Za-z_]\w*(?:\ +as\ +\w+)?
      (?:\ *,\ *[A-Za-z_]\w*(?:\ +as\ +\w+)?)*\ *,?\)?)$
    | (?:async\ +)?def\ +\w+\ *\([^)]*\)\ *(?:->\ *[^:]+)?:
    | (?:function|fn|func)\ +\w+\ *\([^)]*\)
    | (?:public|private|static)\ +[\w<>\[\]]+\ +\w+
    | \#\ *include\ *[<"]
    | (?:int|void)\ +main\ *\(
    | using\ +namespace\ +\w+;
    | (?:print|println|printf|console\.log|System\.out\.println?|fmt\.Print\w*|puts|cout)\ *(?:\(|<<|\ ["'])
    | (?:std::)?cout\ *<<
    | for\ +\w+(?:\ *,\ *\w+)*\ +in\ +(?:range|enumerate|zip|itertools\.\w+|combinations|permutations|product)
      \ *\(.*:\ *(?:\#.*)?$
    | for\ *\(\ *(?:int|let|var|size_t|auto)?\ *\w+\ *=.*;.*;
    | (?:let|const|var)\ +\w+\ *=
    )""",
    re.VERBOSE,
)
_WEAK = re.compile(
    r"""^\s*(?:>>>\s*)?(?:
      [A-Za-z_]\w*(?:\ *,\ *[A-Za-z_]\w*)*\ *(?:[-+*/]|//)?=\ *(?:[A-Za-z_]\w*\.)+\w+\(   # x = sp.solve(
    | (?:[A-Za-z]\w*_\w*)\ *(?:[-+*/]|//)?=\ *[^=\\$]*$                                    # total_cost = 3 * n
    | [A-Za-z_]\w*\ *(?:[-+*/]|//)=\ *\w                                                   # n += 1
    | [A-Za-z_]\w*\ *=\ *(?:symbols|solve|simplify|Symbol|Eq|Rational|int|float|len|sum|range|sorted|list|set)\(
    | (?:if|elif|while|for)\b[^\\$]*(?:==|<=|>=|!=|<|>|%|\bin\b|\bnot\b)[^\\$]*:\ *(?:\#.*)?$
    | (?:else|try|finally):\ *$
    | \ {2,}return\ +\S
    | [A-Za-z_][\w.]*\([^\\$]*\);$
    )""",
    re.VERBOSE,
)
ENOUGH = 2
"""Lines that look like code, and could be something else, that make code together."""


def holds_code(text: str) -> bool:
    """Return whether a response holds program code, in any language, fenced or not, whole or cut off.

    A fence or tag that names a language counts where something follows it; one that names a kind of text (`output`,
    `latex`) does not, whatever is in it; other lines count by what they look like: one line that is nothing else
    (`def f(x):`, `import sympy`, `print(...)`), or two that might be. LaTeX and equations such as x = 3 are not code.
    Linear in the length of the text.
    """
    fence: str | None = None
    weak = 0
    lines = text[:MAX_SCANNED].splitlines()
    for number, line in enumerate(lines):
        mark = _FENCE.match(line)
        if mark:
            fence = None if fence is not None else mark.group(1).lower()
            if fence in LANGUAGES and _follows(lines, number):
                return True
            continue
        if fence in PROSE:
            continue
        short = line[:500]
        tag = _TAG.search(short)
        if tag and (short[tag.end() :].strip() or _follows(lines, number)):
            return True
        if _STRONG.match(short):
            return True
        weak += _WEAK.match(short) is not None
        if weak >= ENOUGH:
            return True
    return False


def _follows(lines: list[str], number: int) -> bool:
    """Return whether anything stands after a line, before its fence ends."""
    for line in lines[number + 1 : number + 20]:
        if _FENCE.match(line):
            return False
        if line.strip():
            return True
    return False
