"""One way of writing an answer: LaTeX, plain text and Unicode brought to one LaTeX subset.

Nothing here knows mathematics. The result is still LaTeX, so that our own reader and math-verify read
the same text. What is removed is what does not change a value: spacing, sizes, fonts, delimiters.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from rlvr_bench.scoring.answers import boxed_answer

_UNICODE = {
    "−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "‒": "-", "﹣": "-", "－": "-",
    "×": "\\cdot ", "·": "\\cdot ", "⋅": "\\cdot ", "∙": "\\cdot ", "•": "\\cdot ", "∗": "*", "÷": "/", "⁄": "/",
    "∕": "/",
    "π": "\\pi ", "∞": "\\infty ", "θ": "\\theta ", "α": "\\alpha ", "β": "\\beta ", "γ": "\\gamma ", "φ": "\\phi ",
    "ϕ": "\\phi ", "λ": "\\lambda ", "μ": "\\mu ", "σ": "\\sigma ", "ω": "\\omega ", "δ": "\\delta ", "Δ": "\\Delta ",
    "≤": "\\le ", "≥": "\\ge ", "⩽": "\\le ", "⩾": "\\ge ", "≠": "\\ne ", "≈": "\\approx ", "∈": "\\in ", "∪": "\\cup ",
    "∩": "\\cap ", "±": "\\pm ", "∓": "\\mp ", "∅": "\\emptyset ", "ℝ": "\\R ", "ℤ": "\\Z ", "∨": " or ", "∧": " and ",
    "½": "\\frac{1}{2}", "⅓": "\\frac{1}{3}", "⅔": "\\frac{2}{3}", "¼": "\\frac{1}{4}", "¾": "\\frac{3}{4}",
    "⅕": "\\frac{1}{5}", "⅙": "\\frac{1}{6}", "⅛": "\\frac{1}{8}", "º": "°", "˚": "°", "′": "'", "’": "'", "‘": "'",
    "“": '"', "”": '"', "％": "%", "…": "...", "⋯": "...", "∠": "\\angle ", "ⅇ": "e", "ⅈ": "i", "¢": "\\text{ cents}",
    "₀": "_0", "₁": "_1", "₂": "_2", "₃": "_3", "₄": "_4", "₅": "_5", "₆": "_6", "₇": "_7", "₈": "_8", "₉": "_9",
    "或": " or ", "和": " and ", "∶": ":", "⟨": "(", "⟩": ")", "，": ", ", "；": "; ", "：": ":", "、": ", ",
}  # fmt: skip
_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ", "0123456789-+n")
_SUPERSCRIPTS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ]+")
_UNICODE_ROOT = re.compile(r"([√∛∜])\s*(\d+(?:\.\d+)?|[A-Za-z]|\([^()]*\)|\\pi)?")
_ROOT = {"√": "\\sqrt", "∛": "\\sqrt[3]", "∜": "\\sqrt[4]"}

_COMMAND = re.compile(r"\\([A-Za-z]+)\*?\s*")
_DROPPED = set(
    "left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr displaystyle textstyle "
    "scriptstyle limits nolimits rm bf it sf cal hfill hspace noindent mathstrut strut nonumber boxed fbox "
    "ensuremath Large large small normalsize".split()
)
_SPACE = set("quad qquad space enspace thinspace medspace thickspace nobreakspace hskip kern".split())
_SAME = {
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "dbinom": "binom", "tbinom": "binom",
    "leq": "le", "leqslant": "le", "leqq": "le", "geq": "ge", "geqslant": "ge", "geqq": "ge", "neq": "ne",
    "times": "cdot", "ast": "cdot", "bullet": "cdot", "star": "cdot", "lt": "<", "gt": ">", "colon": ":", "div": "/",
    "ldots": "...", "dots": "...", "cdots": "...", "dotsc": "...", "dotsb": "...", "lbrace": "\\{", "rbrace": "\\}",
    "lbrack": "[", "rbrack": "]", "lparen": "(", "rparen": ")", "langle": "(", "rangle": ")", "lvert": "|",
    "rvert": "|", "vert": "|", "mid": "|", "degree": "°", "degrees": "°", "textdegree": "°", "varnothing": "emptyset",
    "reals": "R", "backslash": "setminus", "land": " and ", "lor": " or ", "wedge": " and ",
    "vee": " or ", "tg": "tan", "ctg": "cot", "cosec": "csc", "arctg": "arctan", "varphi": "phi",
    "varepsilon": "epsilon", "to": "rightarrow", "percent": "%", "textdollar": "\\$", "slash": "/", "bmod": "mod",
    "iff": "Leftrightarrow", "simeq": "approx", "doteq": "approx", "bigcup": "cup", "fallingdotseq": "approx",
    "infin": "infty", "prime": "'", "mathop": "operatorname",
}  # fmt: skip
_TEXT = set("text mbox hbox textbf textit textrm textsf textsc texttt textnormal textup emph underline".split())
_UPRIGHT = set("mathrm mathsf mathtt operatorname mathbf mathit boldsymbol bm mathcal mathfrak mathnormal".split())
_ACCENT = set("vec overrightarrow hat widehat therefore".split())
_FUNCTIONS = set("sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln log exp gcd lcm max min det".split())
_UNIT_LETTERS = set("msghLlNJWVA")
_BLACKBOARD = re.compile(r"\\mathbb\s*\{?\s*([A-Z])\s*\}?|\\mathbf\s*\{\s*([RZQN])\s*\}")

_WORDS = re.compile(
    r"(?<![\\A-Za-z{])(sqrt|cbrt|pi|infinity|infty|inf|arcsin|arccos|arctan|asin|acos|atan|sinh|cosh|tanh|"
    r"sin|cos|tan|cot|sec|csc|ln|log|exp|cup|theta)(?![A-Za-z])"
)
_WORD_OF = {"infinity": "infty", "inf": "infty", "asin": "arcsin", "acos": "arccos", "atan": "arctan"}
_LEADING = re.compile(
    r"^(?:(?:so|thus|hence|therefore|then)[,:]?\s+)?(?:the\s+)?(?:(?:final|correct|exact)\s+)?"
    r"(?:answer|result|solution|value)(?:\s+is)?\s*[:=]?\s+(?=\S)|^(?:approximately|approx\.?|about|exactly|equals?)\s+(?=\S)",
    re.IGNORECASE,
)
_ROW = "\x1e"
"""Stands for a row's end while other backslashes are read; control characters are gone by then."""
_THOUSANDS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?!\d|,\d)")
_SPACED = re.compile(r"(?<![\d.,^_/])[1-9]\d{0,2}(?: \d{3})+(?![\d,/])")
_POWERS = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_LARGE = re.compile(
    r"(?<=\d)\s*(?:\\text\{\s*)?(thousand|million|billion|trillion)s?(?![A-Za-z])(?:\s*\})?", re.IGNORECASE
)
_E_NOTATION = re.compile(r"(?<![\w.^/])(\d{1,40}(?:\.\d{1,40})?)[eE]([+-]?\d{1,4})(?![\w.^])")
_REPEATING = re.compile(
    r"(?<![\d.])(\d{0,30})\.(\d{0,30})(?:\\(?:overline|bar|dot|overbar)\{?(\d{1,30})\}?|\((\d{1,30})\)(?![\d(]))"
)
_ELLIPSIS = re.compile(r"(?<![\d.])(\d{0,30})\.(\d{1,60}) ?(?:\.\.\.)")
_WRAPPED = [("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`"), ('"', '"')]


def unwrap(text: str) -> str:
    """Return an answer without the delimiters, boxes and closing full stop around it."""
    while True:
        before = text
        text = text.strip().rstrip("。")
        if text.endswith((".", ",", ";", ":")) and not text.endswith("..."):
            text = text[:-1].rstrip()
        if text.endswith("\\"):
            text = text[:-1].rstrip()
        for start, end in _WRAPPED:
            inner = text[len(start) : -len(end)]
            whole = text.startswith(start) and text.endswith(end) and len(text) > len(start) + len(end)
            if whole and start not in inner and end not in inner:
                text = inner
                break
        if (
            text.startswith("{")
            and text.endswith("}")
            and "\\choose" not in text
            and "\\over" not in text
            and _one_group(text)
        ):
            text = text[1:-1]
        if text.startswith(("\\boxed", "\\fbox")) and (found := boxed_answer(text)) and text.endswith("}"):
            text = found
        if text == before:
            return text


def _one_group(text: str) -> bool:
    """Return whether the first brace closes at the very end."""
    depth = 0
    for i, c in enumerate(text):
        if c in "{}" and (i == 0 or text[i - 1] != "\\"):
            depth += 1 if c == "{" else -1
            if depth == 0:
                return i == len(text) - 1
    return False


def normalise(answer: str) -> str:
    """Return a bare answer in the one LaTeX subset that the readers know; never longer than a few times the input."""
    text = " ".join(answer.split())
    if not text.isprintable():
        text = "".join(c for c in text if unicodedata.category(c)[0] != "C")
    text = unwrap(text)
    if not text.isascii():
        text = _from_unicode(text)
    text = _from_markup(text)
    text = unwrap(text)
    text = _LEADING.sub("", text) if text[:1].isalpha() else text
    text = _numbers(text)
    return " ".join(text.split())


def _from_unicode(text: str) -> str:
    text = _SUPERSCRIPTS.sub(lambda m: "^{" + m.group().translate(_SUPERSCRIPT) + "}", text)
    text = _UNICODE_ROOT.sub(lambda m: _ROOT[m.group(1)] + "{" + (m.group(2) or "").strip("()") + "}", text)
    text = "".join(_UNICODE.get(c, c) for c in text)
    text = re.sub(r"(?<=[\d)}\]])\s*(?:\\text\{\s*)?[\u4e00-\u9fff]+\s*\}?$", "", text)  # counting words and units
    return unicodedata.normalize("NFKC", text)


def _from_markup(text: str) -> str:
    if "\\\\" in text:
        # a doubled backslash before a letter is a slip of escaping; elsewhere it ends a matrix row
        text = re.sub(r"\\\\(?=[A-Za-z])", r"\\", text) if "\\begin" not in text else text
        text = re.sub(r"\\\\\[-?[\d.]+\s*[a-z]+\]", _ROW, text)
        text = text.replace("\\\\", _ROW)
    text = _apply(_BEFORE_COMMANDS, text)
    if "\\" in text:
        text = re.sub(r"(\\[A-Za-z]+) +(?![A-Za-z])", r"\1", _COMMAND.sub(_command, text))
    text = _apply(_AFTER_COMMANDS, text)
    return text.replace("**", "^").replace(_ROW, "\\\\")


Rule = tuple[str, re.Pattern[str], Any]


def _apply(rules: Iterable[Rule], text: str) -> str:
    """Apply each rule whose characters are all in the text, in order: looking for them is cheaper than matching."""
    present = set(text)
    for characters, pattern, replacement in rules:
        if present.issuperset(characters):
            changed = pattern.sub(replacement, text)
            if changed != text:
                text = changed
                present = set(text)
    return text


def _cases(match: re.Match[str]) -> str:
    """Return a system of equations as a list."""
    return ", ".join(part.strip().rstrip(",").replace("&", "") for part in match.group(2).split(_ROW) if part.strip())


def _command(match: re.Match[str]) -> str:
    name = match.group(1)
    if name in _DROPPED:
        return ""
    if name in _SPACE:
        return " "
    if name in _TEXT:
        return "\\text"
    if name in _UPRIGHT:
        return "\\mathrm"
    if name in _ACCENT:
        return ""
    same = _SAME.get(name, name)
    return f"\\{same} " if same.isalpha() else same


def _upright(match: re.Match[str]) -> str:
    """Return upright or bold contents: a function, a letter or formula as it is, a unit or words as text."""
    content = (match.group(1) if match.group(1) is not None else match.group(2)).strip()
    if content in _FUNCTIONS:
        return f"\\{content} "
    if "\\" in content or not re.search("[A-Za-z]", content) or (len(content) == 1 and content not in _UNIT_LETTERS):
        return content
    return f"\\text{{{content}}}"


def _numbers(text: str) -> str:
    """Join thousands groups outside brackets, write mixed numbers with \\frac."""
    text = _apply(_NUMERALS, re.sub(r"  +", " ", text))
    if "," in text:
        depth = 0
        parts = re.split(r"(\\\{|\\\}|[()\[\]{}])", text)
        for i, part in enumerate(parts):
            if part in ("\\{", "(", "[", "{"):
                depth += 1
            elif part in ("\\}", ")", "]", "}"):
                depth -= 1
            elif depth == 0 or ", " in part:  # (1,000, 2,000): where spaces separate, a bare comma groups
                parts[i] = _THOUSANDS.sub(lambda m: m.group().replace(",", ""), part)
        text = "".join(parts)
    return _MIXED.sub(_mixed, text) if "/" in text else text


def _repeating(match: re.Match[str]) -> str:
    """Return a repeating decimal as a fraction: 0.1\\overline{6} = (16 - 1) / 90."""
    whole, start, block = match.group(1) or "0", match.group(2) or "", next(g for g in match.groups()[2:] if g)
    bottom = (10 ** len(block) - 1) * 10 ** len(start)
    top = int(whole + start + block) - int(whole + start)
    return f"\\frac{{{top}}}{{{bottom}}}"


def _continued(match: re.Match[str]) -> str:
    """Return a decimal with three dots: the repeating one where its last digits repeat, else the digits shown."""
    whole, decimals = match.group(1) or "0", match.group(2)
    repeated = re.search(r"(\d)\1{2,}$|(\d{2,6}?)\2+$", decimals)
    if repeated is None:
        return f"{whole}.{decimals}"
    block = repeated.group(1) or repeated.group(2)
    start = decimals[: repeated.start()]
    return _REPEATING.sub(_repeating, f"{whole}.{start}\\overline{{{block}}}")


def _mixed(match: re.Match[str]) -> str:
    whole, top, bottom = match.groups()
    if "-" in match.group() or int(top) >= int(bottom):
        return match.group()
    return f"{whole}\\frac{{{top}}}{{{bottom}}}"


_BEFORE_COMMANDS: list[Rule] = [
    ("\\", re.compile(r"\\[()\[\]]"), ""),
    (",{", re.compile(r"\{\s*,\s*\}"), "{,}"),
    ("\\!", re.compile(r"(?<=\d)\s*(?:,\s*\\!|\{,\}\s*\\!|\\!,?)\s*(?=\d{3})"), ""),
    ("", re.compile(r"(?<=\d)(?:\{,\}|\\,|\\;|\\ |~|'|’)(?=\d{3}(?!\d))"), ""),
    (",{", re.compile(r"(?<=\d)\{,\}(?=\d)"), "."),
    (",{", re.compile(r"\{,\}"), ","),
    ("\\!", re.compile(r"\\!"), ""),
    ("", re.compile(r"\\[,;:> ]|~"), " "),
    ("\\{", re.compile(r"\\(?:phantom|label|tag|hspace|vspace)\s*\{[^{}]*\}"), ""),
    ("\\math", _BLACKBOARD, lambda m: f"\\{m.group(1) or m.group(2)} "),
    ("\\.", re.compile(r"\\(?:left|right)\."), ""),
]
_AFTER_COMMANDS: list[Rule] = [
    ("\\cr", re.compile(r"\\cr(?![A-Za-z])"), _ROW),
    ("\\text{n", re.compile(r"\\text\{\s*(sin|tan|ln|arcsin|arctan)\s*\}"), r"\\\1 "),
    ("\\text{o", re.compile(r"\\text\{\s*(cos|cot|log|arccos)\s*\}"), r"\\\1 "),
    ("\\text{,", re.compile(r"\\text\{\s*,\s*\}"), ", "),
    ("infty", re.compile(r"\\text\{\s*infinity\s*\}"), r"\\infty "),
    ("oo", re.compile(r"(?<![A-Za-z\\])oo(?![A-Za-z])"), r"\\infty "),
    ("C(,", re.compile(r"(?<![A-Za-z\d])C\((\d+), ?(\d+)\)"), r"\\binom{\1}{\2}"),
    ("C_^", re.compile(r"(?<![A-Za-z\d])C_\{?(\d+)\}?\^\{?(\d+)\}?"), r"\\binom{\1}{\2}"),
    ("C_", re.compile(r"(?:\{\})?_\{?(\d+)\}? ?C_\{?(\d+)\}?"), r"\\binom{\1}{\2}"),
    ("x^", re.compile(r"(?<=\d) x (?=10 ?\^)"), r"\\cdot "),
    ("US", re.compile(r"(?<![A-Za-z])USD?\s*(?=\\?\$|\d)"), ""),
    ("to ", re.compile(r"(?<=\d) ?(?:\\text\{ ?to ?\}|to) ?(?=\d)"), ":"),
    ("\\mathr", re.compile(r"\\mathrm\s*(?:\{([^{}]*)\}|([A-Za-z]))"), _upright),
    ("\\over", re.compile(r"\{([^{}]*)\\over(?![A-Za-z])\s*([^{}]*)\}"), r"\\frac{\1}{\2}"),
    ("\\colr", re.compile(r"\\(?:text)?color\s*\{[A-Za-z]+\}"), ""),
    ("=", re.compile(r"!=|\\not\s*="), r"\\ne "),
    ("=<", re.compile(r"<="), r"\\le "),
    ("=>", re.compile(r">="), r"\\ge "),
    ("+/-", re.compile(r"\+/-"), r"\\pm "),
    ("U", re.compile(r"(?<=[)\]])\s*U\s*(?=[(\[])"), r"\\cup "),
    ("\\circ", re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\circ\b"), "°"),
    ("°", re.compile(r"\^\s*\{?\s*°\s*\}?|\\text\{\s*°\s*\}"), "°"),
    ("", re.compile(r"(?<=\d)(sqrt|pi|sin|cos|tan|ln|log)(?![A-Za-z])"), r" \1"),
    ("", _WORDS, lambda m: f"\\{_WORD_OF.get(m.group(1), m.group(1))} "),
    ("\\cbrt(", re.compile(r"\\cbrt\s*\(([^()]*)\)"), r"\\sqrt[3]{\1}"),
    ("\\sqrt(", re.compile(r"\\sqrt\s*\(([^()]*)\)"), r"\\sqrt{\1}"),
    ("\\choose", re.compile(r"\{([^{}\\]*)\\choose\s*([^{}\\]*)\}"), r"\\binom{\1}{\2}"),
    ("\\begincases", re.compile(r"\\begin\{(cases)\}(.*?)\\end\{cases\}"), _cases),
    (
        "\\{begin",
        re.compile(r"(?:\\\{\s*\\begin\{(?=a)|\\begin\{(?=aligned))(array|aligned)\}(?:\{[lcr| ]*\})?(.*?)\\end\{\1\}"),
        _cases,
    ),
    ("+\\infty", re.compile(r"(?<![\w)}\]])\+(?=\\infty)"), ""),
    ("_{", re.compile(r"_\{(\w)\}"), r"_\1"),
    ("\\text{", re.compile(r"\\text\{([ied])\}"), r" \1 "),
    ("\\text{", re.compile(r"\\text\{\s*([-\d.,/]+%?)\s*\}"), r"\1"),
    ("\\text{", re.compile(r"^\\text\{([^{}]*[\d=<>][^{}]*)\}$"), r"\1"),
    ("\\text{", re.compile(r"^\\text\{\s*(?:[Tt]he )?(?:[Ff]inal )?[Aa]nswer(?: is)?\s*:?\s*\}\s*(?=\S)"), ""),
    ("\\{r", re.compile(r"\\(?:overline|bar)\{([A-Za-z]{2,})\}"), r"\1"),
    ("\\{r", re.compile(r"\\(?:overline|bar)\{([A-Za-z])\}"), r"\1_{bar}"),
    ("'", re.compile(r"(?<![A-Za-z\\])([A-Za-z])'(?![('])"), r"\1_{prime}"),
    ("", re.compile(r"(?<=\d)(?:\^\{?\s*)?(?:\\text\{\s*)?(?:st|nd|rd|th)(?![A-Za-z])\}{0,2}"), ""),
    ("o", _LARGE, lambda m: f"\\cdot 10^{{{_POWERS[m.group(1).lower()]}}}"),
    ("i", _LARGE, lambda m: f"\\cdot 10^{{{_POWERS[m.group(1).lower()]}}}"),
    ("\\", re.compile(r"\\([$%&#])"), r"\1"),
    ("pc", re.compile(r"\\text\{\s*(?:percent|per cent|pct|percentage)\.?\s*\}|\s+(?:percent|per cent|pct)\b"), "%"),
    ("%", re.compile(r"\\text\{\s*%\s*\}|\s*%"), "%"),
]
_NUMERALS: list[Rule] = [
    ("e", _E_NOTATION, lambda m: f"{m.group(1)}\\cdot 10^{{{int(m.group(2))}}}"),
    ("E", _E_NOTATION, lambda m: f"{m.group(1)}\\cdot 10^{{{int(m.group(2))}}}"),
    (".", _REPEATING, _repeating),
    ("...", _ELLIPSIS, _continued),
    (" ", _SPACED, lambda m: m.group().replace(" ", "")),
]
_MIXED = re.compile(r"(?<![\d.,^_/{])(\d+)(?: |-| and )(\d+) ?/ ?(\d+)(?![\d.])")
