"""Model cards by name or by path, their chat templates, and which built-in card knows a model."""

import functools
import json
from pathlib import Path
from typing import Any

from rlvr_bench.catalog.files import is_path, load_yaml, names, resolve
from rlvr_bench.errors import FileFormatError, NotFoundError
from rlvr_bench.plugins import did_you_mean
from rlvr_bench.schema.card import Card

TEMPLATES = Path(__file__).parents[1] / "templates"
COMPLETED_BY = {"begin": "bos_token", "default_system": "system", "instruction": "instruction", "opening": "opening"}
"""Variables of our templates, and the keys of a card that they stand for."""


def template_names() -> list[str]:
    """Return the names of the program's chat templates."""
    return sorted(path.stem for path in TEMPLATES.glob("*.jinja"))


def load_template(name: str) -> str:
    """Return the text of one of the program's chat templates. Raises NotFoundError."""
    if name not in template_names():
        raise NotFoundError(
            f"unknown template {name!r}{did_you_mean(name, template_names())}", hint="rlvr-bench list templates"
        )
    return (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")


def _compiles(text: Any, path: Path) -> None:
    """Raise FileFormatError where a chat template of one's own is no Jinja, or would not be the same tomorrow."""
    import jinja2

    if not isinstance(text, str):
        return
    if "strftime_now" in text:
        raise FileFormatError(
            "chat_template asks for today's date: the prompt would change every day", where=str(path), hint="write one"
        )
    try:
        jinja2.Environment(autoescape=False, extensions=["jinja2.ext.loopcontrols"]).parse(text)  # noqa: S701
    except jinja2.TemplateSyntaxError as error:
        raise FileFormatError(
            f"chat_template, line {error.lineno}: {error.message}",
            where=str(path),
            hint="rlvr-bench show card qwen2.5-0.5b shows one; `template: chatml` needs none",
        ) from error


def _with_template(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return a card's data with the chat template that it names written out, completed by the card's own words."""
    name = data.get("template")
    if name is None:
        _compiles(data.get("chat_template"), path)
        idle = [key for key in COMPLETED_BY.values() if data.get(key) and key != "bos_token"]
        if idle:
            raise FileFormatError(
                f"{idle[0]} completes a template of the program, and the card names none",
                where=str(path),
                hint="template: " + ", ".join(template_names()),
            )
        return data
    if name not in template_names():
        raise FileFormatError(
            f"unknown template {name!r}{did_you_mean(str(name), template_names())}",
            where=str(path),
            hint="templates: " + ", ".join(template_names()) + "; or chat_template: with a text of your own",
        )
    if "chat_template" in data:
        raise FileFormatError("template and chat_template exclude each other", where=str(path))
    words = {variable: data.get(key, "") for variable, key in COMPLETED_BY.items()}
    prelude = "".join(f"{{%- set {v} = {json.dumps(text, ensure_ascii=True)} -%}}" for v, text in words.items())
    return {**data, "chat_template": prelude + (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8").strip()}


def load_card(reference: str) -> Card:
    """Load a model card by name or path.

    A family belongs to one lineage: a card that puts a known family elsewhere would turn one lineage into two.
    """
    path = resolve("model", reference)
    card = load_yaml(path, Card, functools.partial(_with_template, path=path))
    if is_path(reference):
        for known in _known_cards().values():
            if known.family == card.family and known.lineage != card.lineage:
                raise FileFormatError(
                    f"family {card.family!r} is of lineage {known.lineage!r} (card {known.name}), not {card.lineage!r}",
                    where=str(path),
                    hint="one lineage entered as two turns 'one family' into 'two families'",
                )
    return card


@functools.cache
def _known_cards() -> dict[str, Card]:
    return {plain(name): load_card(name) for name in names("model")}


def plain(model: str) -> str:
    """Return a model's name as people write it, made comparable: no organisation, lower case, dashes."""
    return model.rsplit("/", 1)[-1].strip().lower().replace(" ", "-").replace("_", "-")


def card_of(model: str) -> Card | None:
    """Return the built-in card that knows a model, by its name in any spelling, or None."""
    return _known_cards().get(plain(model))
