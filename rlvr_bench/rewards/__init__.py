"""Rewards in TRL's calling convention: `f(prompts, completions, completion_ids, **columns) -> list[float | None]`.

Beyond TRL's own keywords each call gets, per completion, `problem_id`, `index_in_group`, `repeat` (how many groups of
this problem came before in this step), `answer` where the method asks for labels, and, once, `step` (rollout phase,
from 0), `seed` and `group_size`. A reward that names `self_certainty` or `mean_entropy` gets these numbers of the
policy's distribution, per completion. None means: this reward says nothing of this completion.
"""

from rlvr_bench.rewards.conversation import texts

__all__ = ["texts"]
