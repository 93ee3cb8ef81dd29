"""What `rlvr-bench show` prints: YAML that loads again, unknown facts marked as such."""

import re
from typing import Any

from rlvr_bench.schema.card import Card
from rlvr_bench.schema.dataset import DataSet

PROBLEM = "What is 1 + 1?"
UNKNOWN = "null  # unknown"


def as_yaml(value: dict[str, Any]) -> str:
    """Return a value as YAML, in its own order."""
    import yaml

    return yaml.safe_dump(value, sort_keys=False, width=100, allow_unicode=True)


def card_as_yaml(card: Card) -> str:
    """Return a model card as YAML that loads again, and below it what the model is asked."""
    body = card.model_dump(mode="json")
    if card.template is not None:
        del body["chat_template"]  # the template's, completed by the card's own words
    else:
        for name in ("template", "system", "instruction", "opening"):
            del body[name]
    if card.weights.source == "hub" and card.weights.commit is None:
        for name in ("commit", "files"):
            del body["weights"][name]
    bands = body["expected"].values()
    for band in bands:
        if band["source"] is None:
            del band["source"]
    asked = prompt_of(card, PROBLEM)
    lines = [f"#   {line}" for line in asked.split("\n")]
    if card.weights.source == "hub" and card.weights.commit is None:
        lines.append("# The hub's commit is looked up when a plan is made, and frozen there.")
    return "\n".join([_marked(as_yaml(body)).rstrip(), "# What it is asked:", *lines]) + "\n"


def data_set_as_yaml(data: DataSet) -> str:
    """Return a data set as YAML, with what is unknown marked."""
    return _marked(as_yaml(data.model_dump(mode="json")))


def prompt_of(card: Card, problem: str) -> str:
    """Return the text that a model is given for a problem: its chat template, rendered in a sandbox."""
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    from rlvr_bench.errors import UsageError

    # as transformers renders it
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    words = {"messages": [{"role": "user", "content": problem}], "add_generation_prompt": True}
    try:
        return environment.from_string(card.chat_template).render(bos_token=card.bos_token, **words)
    except (TemplateError, TypeError, ArithmeticError, LookupError) as error:
        raise UsageError(
            f"the chat template of {card.name} cannot be rendered: {error}",
            hint=f"mend chat_template of card {card.name}",
        ) from error


def _marked(text: str) -> str:
    return re.sub(r"(?m)^(\s*[a-z_0-9]+:) null$", rf"\1 {UNKNOWN}", text)
