"""The tokenizer of the embedded families: a closed vocabulary of whole pieces, made from the corpus' own rules.

An operation is two tokens in a problem (", then gets ", "3") and two in an answer ("+3=", "15"), so that an operand
always lies at the same distance: what a model of two layers can learn (docs/micro.md, "How the families are built").
"""

import itertools
from pathlib import Path
from typing import Any

from rlvr_bench.backends.micro.families import DIRECT_OPENERS, STEPS_OPENERS
from rlvr_bench.backends.micro.problems import AMOUNTS, ITEMS, NAMES, VERBS

PIECES = (
    r"Q: [A-Z][a-z]+ has |, then [a-z]+ |\. How many\?\nA:\n"
    r"|```python\n|\n```\n\\boxed\{|[+-]\d="
    r"| (?:and|less) \d makes |(?:\. )?\\boxed\{|\. "
    r"|[A-Za-z]+ ?| [a-z]+|\d+|[^\sA-Za-z\d]|\s"
)
SPECIAL = ("<pad>", "<eos>", "<unk>")
LARGEST = 99
"""Whole numbers up to here are single tokens; the running values of all problems and programs stay below."""
CHAT_TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"


def texts() -> list[str]:
    """Return texts that hold every piece of every problem and answer."""
    verbs = [verb for pair in VERBS.values() for verb in pair]
    return [
        *(f"Q: {name} has 1" for name in NAMES),
        *(f"1 {item}" for item in ITEMS),
        *(f", then {verb} 1" for verb in verbs),
        *(f"1{sign}{amount}=1" for sign, amount in itertools.product("+-", AMOUNTS)),
        *(f"1 {word} {amount} makes 1" for word, amount in itertools.product(("and", "less"), AMOUNTS)),
        *(f"{opener} \\boxed{{1}}" for opener in (*STEPS_OPENERS, *DIRECT_OPENERS)),
        *map(str, range(LARGEST + 1)),
        "1. How many?\nA:\n```python\n1\n```\n\\boxed{1}",
        "1. \\boxed{1}",
        "1. 1.",
        "\n",
    ]


def build_tokenizer() -> Any:
    """Return the tokenizer, as a PreTrainedTokenizerFast. The same every time."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    split = pre_tokenizers.Split(Regex(PIECES), behavior="isolated")
    pieces = {piece for text in texts() for piece, _ in split.pre_tokenize_str(text)}
    vocabulary = {piece: number for number, piece in enumerate((*SPECIAL, *sorted(pieces)))}
    pad, end, unknown = SPECIAL
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=pad, eos_token=end, unk_token=unknown, padding_side="left"
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def save_tokenizer(folder: Path) -> None:
    """Write the tokenizer into a folder without a config.json (docs/micro.md, "The tokenizer trap")."""
    build_tokenizer().save_pretrained(str(folder))
