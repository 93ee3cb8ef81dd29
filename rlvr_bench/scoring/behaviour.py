"""How a response is written, as yes/no traits that are counted per problem."""

from rlvr_bench.scoring.answers import boxed_answer


def mentions_python(text: str) -> bool:
    """Return whether the response contains the string "python", in any case (Spurious Rewards, Shao et al. 2025)."""
    return "python" in text.lower()


def traits(text: str) -> dict[str, bool]:
    """Return every trait of a response: `code` (mentions python) and `boxed` (has a boxed answer)."""
    return {"code": mentions_python(text), "boxed": boxed_answer(text) is not None}
