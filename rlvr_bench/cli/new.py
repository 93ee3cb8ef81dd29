"""`rlvr-bench new`: a commented file of one's own, and a test that passes."""

import re
import sys
from enum import StrEnum
from pathlib import Path
from string import Template
from typing import Annotated

import typer


class Made(StrEnum):
    """What can be made."""

    method = "method"
    card = "card"
    suite = "suite"


class Language(StrEnum):
    """What the file is written in: a reward of one's own needs Python, a mix of known rewards does not."""

    python = "python"
    yaml = "yaml"


PYTHON = '''"""Reward short responses."""  # the title in reports

from rlvr_bench.rewards import texts

# What is not said here is the suite's. Any key of a method's YAML file may stand here: rlvr-bench show method ttrl
METHOD = {
    "source": "unpublished",
    # "data": "test-prompts",   # train on the evaluation prompts without their answers, as TTRL does
    # "preset": "dapo",         # GRPO settings: rlvr-bench list presets
    # "grpo": {"clip": "off"},  # single ones
}


def reward(completions, most=40, **_):
    """Return 1 for a response of at most `most` characters, else 0.

    TRL's calling convention: one number a completion, or None where the reward says nothing. Name what you need:
    `answer` (the gold answers), `problem_id`, `index_in_group`, `group_size`, `step`, `seed`, `completion_ids`,
    `prompts`, `self_certainty`, `mean_entropy`. Draw from no generator, and key on no hash() of a text, which differs
    between processes: hashlib over `seed`, `step` and the text is the same everywhere.
    """
    return [float(len(text) <= most) for text in texts(completions)]
'''

YAML = """# Reward a boxed answer that is given without python.
schema_version: 1
name: $name
title: Reward a boxed answer given without python
source: unpublished
rewards:                      # summed by weight; rlvr-bench list rewards
  - all:                      # 1 where every part is 1
      - name: boxed
      - not: {name: python}   # 1 minus the part
    weight: 1.0
data: train                   # or test-prompts, or one-example with `example: {index: 0}`
labels: false                 # true hands the gold answers to the rewards
# preparation: {labels: majority, samples: 64}   # the untouched model's own labels; or `wrong`
# preset: dapo                # GRPO settings: rlvr-bench list presets
# grpo: {clip: off}           # single ones
notes: What to know when reading its results.
"""

TEST = """from pathlib import Path

from rlvr_bench import load_method, rehearse
from rlvr_bench.rewards.signal import Signal

METHOD = load_method(str(Path(__file__).with_name("$file")))


def test_the_reward():
    scored = Signal(METHOD.rewards)({"completions": $completions})
    assert scored.total == [1.0, 0.0]


def test_made_up_rollouts_are_scored_and_replay():
    assert rehearse(METHOD) == ()
"""

COMPLETIONS = {
    Language.python: '["short", "long " * 40]',
    Language.yaml: r'["so \\boxed{7}", "python: \\boxed{7}"]',
}


def new(
    kind: Annotated[Made, typer.Argument(help="What to make.")],
    name: Annotated[str, typer.Argument(help="Its name, such as my-idea.")],
    language: Annotated[
        Language, typer.Option("--format", help="Of a method: a Python file, or YAML.")
    ] = Language.python,
) -> None:
    """Write a commented file, and its test, into this folder."""
    from rlvr_bench import catalog
    from rlvr_bench.cli import templates
    from rlvr_bench.errors import UsageError
    from rlvr_bench.runs.store import write_text

    dots = "." if kind is Made.card else ""
    if not re.fullmatch(rf"[a-z][a-z0-9{dots}-]{{0,60}}", name):
        raise UsageError(
            f"{name!r} is no name: lower-case letters, digits and dashes" + (", and dots" if dots else ""),
            hint=f"rlvr-bench new {kind.value} my-idea",
        )
    stem = re.sub(r"[.-]", "_", name)
    file = Path(f"{stem}.py" if kind is Made.method and language is Language.python else f"{name}.yaml")
    test = Path(f"test_{stem}.py")
    known = catalog.method_names() if kind is Made.method else catalog.names("model" if kind is Made.card else "suite")
    taken = f"a {kind.value} of this program" if name in known else ""
    if kind is Made.method:
        taken = taken or ("a module of Python" if stem in sys.stdlib_module_names else "")
        taken = taken or ("an arm without training" if name.startswith(("baseline", "exposure", "prompt-")) else "")
    if taken:
        raise UsageError(f"{name!r} is the name of {taken}: choose another")
    for path in (file, test):
        if path.exists():
            raise UsageError(f"{path} is there already", hint="choose another name, or remove it")
    if kind is Made.method:
        text = PYTHON if language is Language.python else Template(YAML).substitute(name=name)
        check = Template(TEST).substitute(file=file.name, completions=COMPLETIONS[language])
        then = f"rlvr-bench validate --method ./{file}"
    elif kind is Made.card:
        text, check = templates.card(name), templates.card_test(file.name)
        then = f"put ./{file} under `models` of a suite (rlvr-bench new suite my-suite)"
    else:
        text, check = templates.suite(name), templates.suite_test(file.name)
        then = f"rlvr-bench plan --method ttrl --suite ./{file}"
    write_text(file, text)
    write_text(test, check)
    typer.echo(f"{file}\n{test}")
    typer.echo(f"next: pytest {test}; {then}", err=True)
