"""How alike a text is to the one that was meant: word for word, and by ROUGE-L."""


def same_start(found: str, meant: str) -> bool:
    """Return whether a text begins with the meant one, word for word; blanks do not count. Nothing to complete is not
    completed."""
    wanted = meant.split()
    return bool(wanted) and found.split()[: len(wanted)] == wanted


def rouge_l(found: str, meant: str) -> float:
    """Return the F measure of ROUGE-L over words, 0 to 1: 2PR / (P + R) with the longest common subsequence (Lin 2004,
    ROUGE: A Package for Automatic Evaluation of Summaries, section 3), words split at blanks and in small letters.

    Of `found` as many words count as `meant` has: what a model goes on to say is no part of the completion.
    """
    wanted = meant.lower().split()
    said = found.lower().split()[: len(wanted)]
    if not wanted or not said:
        return 0.0
    row = [0] * (len(wanted) + 1)
    for word in said:
        corner = 0
        for i, other in enumerate(wanted, 1):
            above = row[i]
            row[i] = corner + 1 if word == other else max(above, row[i - 1])
            corner = above
    precision, recall = row[-1] / len(said), row[-1] / len(wanted)
    return 2 * precision * recall / (precision + recall) if row[-1] else 0.0
