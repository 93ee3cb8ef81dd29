"""Model cards by name or by path, and which built-in card knows a model."""

import functools

from rlvr_bench.catalog.files import is_path, load_yaml, names, resolve
from rlvr_bench.errors import FileFormatError
from rlvr_bench.schema.card import Card


def load_card(reference: str) -> Card:
    """Load a model card by name or path.

    A family belongs to one lineage: a card that puts a known family elsewhere would turn one lineage into two.
    """
    path = resolve("model", reference)
    card = load_yaml(path, Card)
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
