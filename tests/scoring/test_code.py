"""Code in responses as models really write them: fences left open, other languages, the word python in prose."""

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlvr_bench.scoring.behaviour import mentions_python
from rlvr_bench.scoring.code import holds_code

CODE = {
    "a whole fence": "To solve this, let's use Python.\n\n```python\nfrom sympy import symbols\nx = symbols('x')\n"
    "print(x + 2)\n```\n```output\nx + 2\n```\nThe answer is \\boxed{x + 2}.",
    "cut off inside the fence": "Let's compute it:\n```python\ndef f(n):\n    return n *",
    "cut off in the first line": "```python\nimport mat",
    "a fence that is never closed, prose after it": "```python\nprint(3)\nSo the answer is 3.",
    "closed, never opened": "from math import comb\nprint(comb(5, 2))\n```\nSo \\boxed{10}.",
    "two backticks by mistake": "``python\nfor i in range(10):\n    total_sum += i\n``",
    "a tag in capitals": "```Python\nx = 3\n```",
    "no tag at all": "```\nresult = 0\nfor i in range(1, 11):\n    result += i\nprint(result)\n```",
    "a fence in a quotation": "> ```python\n> 1+2\n> ```",
    "waves": "~~~py\n1+2\n~~~",
    "no fence at all": "large_spheres = 1\nsmall_spheres = 7\nrest = small_spheres - large_spheres\nprint(rest)",
    "a shell session": ">>> import math\n>>> math.sqrt(16)\n4.0",
    "another tag": "<llm-code>\nx = 3\n</llm-code>\n\\boxed{3}",
    "a tag on one line": "<code>3 + 4</code>",
    "C++": "#include <iostream>\nint main() {\n  std::cout << 3;\n}",
    "C, fenced": "```c\nint x = 3;\n```",
    "JavaScript": "function add(a, b) {\n  return a + b;\n}\nconsole.log(add(1, 2));",
    "JavaScript, a loop": "let s = 0;\nfor (let i = 0; i < 5; i++) s += i;",
    "Java": "public static int solve(int n) {\n  return n;\n}",
    "Rust": '```rust\nfn main() { println!("{}", 3); }\n```',
    "prose before the fence": "Here is the code: ```python\na = 3\nb = a + 4\n```",
    "Chinese before the fence": "代码如下：```python\na = 3\n```",
    "a fence in a list": "- ```python\n  a = 3\n  ```",
    "a fence in a numbered list": "1. ```python\n   a = 3\n   ```",
    "braces around the language": "```{python}\na = 3\n```",
    "after an output that was never closed": "```output\n5\n```python\na = 3\n```",
    "after a bare fence that was never closed": "```\n5\n\n```python\na = 3\n```",
    "an import with a comment": "import math  # for the root\nx = 3",
    "an import over lines": "from sympy import (\n    symbols,\n    solve,\n)",
    "minted": "\\begin{minted}{python}\na = 3\n\\end{minted}",
    "after many blank lines": "```python\n" + "\n" * 30 + "a = 3\n```",
    "a rare language": "```elixir\nx = 3\n```",
    "pseudo-code, fenced": "```pseudocode\ns <- 0\n```",
    "Sage": "```sage\nfactor(91)\n```",
    "pseudo-code in Chinese prose": "我们用代码计算：\n```python\nprint(2**10)\n```\n答案是 1024。",
    "an embedded model's program": "```python\n12+3=15-4=11\n```\n\\boxed{11}",
}
PROSE = {
    "subscripts on lines of their own": "a_1 = 3\na_2 = a_1 + 4\na_3 = a_2 + 4",
    "displays": "\\[\na_1 = 3\n\\]\nand then\n\\[\na_2 = a_1 + 4\n\\]",
    "dollars": "$$\nS_5 = 15\n$$\nso\n$$\nS_6 = 21\n$$",
    "an environment": "\\begin{align}\nx_{aa} = 1\nab_cd = 2\nef_gh = 3\n\\end{align}",
    "physics": "v_0 = 5 m/s\nv_f = 15 m/s\nt = 2 s",
    "conditions in words": "if n is even and n > 2, then:\nif n is odd and n > 3, then:",
    "let it be": "let n = 2k\nconst c = 3 by continuity\nlet m = 3",
    "a function of mathematics": "function f(x) is increasing\nfunction g(x) is not",
    "public transport": "public transport system of a city\nstatic friction coefficient 0.3",
    "probabilities": "P(A);\nP(B);",
    "trade": "We buy steel.\nfrom China import steel",
    "the problem's own figure": "[asy]\ndraw((0,0)--(1,1));\nlabel(\"$A$\", (0,0), SW);\n[/asy]\nSo the area is 3.",
    "a fenced answer": "```answer\n42\n```",
    "empty": "",
    "the word python": "A python is 3 m long and grows 2 m: python, Python, PYTHON! So 5 m.",
    "python is announced and does not come": "We could use Python here, but by hand it is quicker: 3 + 4 = 7.",
    "an empty fence": "```python\n```\nThe answer is \\boxed{7}.",
    "a fence that is only announced": "Let me write it:\n```python\n",
    "equations": "Let x = 3.\ny = 2x + 1\nz = x + y\nx = 3\nSo z = 10.",
    "functions of mathematics": "f(x) = x^2\ng(x) = sin(x)\nf(2) = 4",
    "LaTeX": "\\begin{align*}\nx_1 &= 3 \\\\\nx_{2} &= x_1 + 4\n\\end{align*}\n\\[\\sum_{i=1}^n i\\]",
    "a fence of LaTeX": "```latex\n\\frac{1}{2}\n```",
    "a fence of text": "```text\nfor i in range(3): this is a quotation\n```",
    "an output alone": "```output\n42\n```\nSo it is 42.",
    "import of goods": "import cars from Japan and export rice\nfrom here we import nothing at all",
    "for each student": "For each of the 5 students in the class: 3 books.\nfor x in the set of integers:",
    "print as a verb": "print the number 5\nWe print(ed) it twice.",
    "inline code": "The value of `x` is `3`.",
    "HTML": "<answer>3</answer> <think>hm</think>",
    "lists": "1. if a < b then stop\n2. else go on\n- while it rains, wait",
    "Chinese": "设 x = 3，则 y = 7。答案是 10。",
}  # fmt: skip


@pytest.mark.parametrize("text", CODE.values(), ids=CODE.keys())
def test_code(text) -> None:
    assert holds_code(text)


@pytest.mark.parametrize("text", PROSE.values(), ids=PROSE.keys())
def test_prose(text) -> None:
    assert not holds_code(text)


def test_the_papers_own_measure_is_another() -> None:
    assert mentions_python(PROSE["the word python"]) and not holds_code(PROSE["the word python"])
    assert holds_code(CODE["C++"]) and not mentions_python(CODE["C++"])


def test_no_problem_of_the_benchmarks_is_taken_for_code() -> None:
    folder = Path(os.environ.get("RLVR_BENCH_DATA", Path(__file__).parents[3] / "shared" / "data"))
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        pytest.skip("needs the problems in RLVR_BENCH_DATA")
    rows = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    texts = [row.get(key) or "" for row in rows for key in ("problem", "solution")]
    assert len(texts) > 1000
    assert [text for text in texts if holds_code(text)] == []


@given(st.text(max_size=200))
def test_any_text_has_an_answer(text) -> None:
    assert holds_code(text) in (True, False)


def test_hostile_texts_take_no_time() -> None:
    begun = time.monotonic()
    for text in (
        "a_" * 2**19,
        "import a, " * 2**17,
        "(" * 2**20,
        "x = " * 2**18,
        "`" * 2**20,
        "\n" * 2**20,
        "if < " * 2**18,
    ):
        holds_code(text)
    for line in ("def f(" + "a" * 400, "x, " * 160 + "=", "from a import " + "b, " * 160, "if " + "<" * 480):
        holds_code((line + "\n") * 130)
    assert time.monotonic() - begun < 5
