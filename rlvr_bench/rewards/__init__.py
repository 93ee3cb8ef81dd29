"""Rewards in TRL's calling convention: `f(prompts, completions, completion_ids, **columns) -> list[float]`.

Beyond TRL's own keywords each call gets, per completion, `problem_id`, `index_in_group`, the gold `answer`
where the method asks for labels, and, once, `step` (rollout phase, from 0), `seed` and `group_size`.
"""
