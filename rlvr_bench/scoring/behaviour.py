"""How a response is written, as yes/no traits that are counted per problem."""

import numpy as np

from rlvr_bench.scoring.answers import boxed_answer

MAX_SCANNED = 65_536
"""Characters of a response that are searched for repetition: the work is the length times the pattern lengths."""


def mentions_python(text: str) -> bool:
    """Return whether the response contains the string "python", in any case (Spurious Rewards, Shao et al. 2025)."""
    return "python" in text.lower()


def repeats(text: str, *, times: int = 10, shortest: int = 10, longest: int = 256) -> bool:
    """Return whether some stretch of `shortest` to `longest` characters stands `times` or more times in a row.

    The definition is that of the code released with Spurious Rewards (Shao et al. 2025): 10 to 256 characters, 10
    times. A text has the period L over a run of n characters where it equals itself shifted by L over n - L.
    """
    codes = np.frombuffer(text[:MAX_SCANNED].encode("utf-32-le", errors="surrogatepass"), dtype=np.uint32)
    for length in range(shortest, min(longest, len(codes) // times) + 1):
        need = (times - 1) * length
        breaks = np.flatnonzero(codes[:-length] != codes[length:])
        ends = np.concatenate(([-1], breaks, [len(codes) - length]))
        if int(np.diff(ends).max()) - 1 >= need:
            return True
    return False


def traits(text: str) -> dict[str, bool]:
    """Return every trait of a response: `code` (mentions python) and `boxed` (has a boxed answer)."""
    return {"code": mentions_python(text), "boxed": boxed_answer(text) is not None}
