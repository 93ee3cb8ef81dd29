"""Every rollout of a training: scored through the method's rewards, kept in one file, and scored again from it."""

import contextlib
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlvr_bench.backends.ranks import ALONE, Ranks
from rlvr_bench.backends.resuming import part
from rlvr_bench.errors import RewardError
from rlvr_bench.rewards.apart import in_fresh_interpreter, own_code
from rlvr_bench.rewards.conversation import texts
from rlvr_bench.rewards.signal import Scored, Signal, around
from rlvr_bench.runs.layout import PARTS
from rlvr_bench.schema.plan import TrainInputs
from rlvr_bench.schema.record import StepHealth
from rlvr_bench.scoring.behaviour import repeats

PART = "reward:"
"""Columns of single rewards are called `reward:NAME`; `reward` is their weighted sum."""
LOGS = ("log_metric", "log_extra")


class Rollouts:
    """The reward that TRL sees: calls the method's rewards and writes each rollout phase to the file.

    `order` are the ids of the problems as they are drawn, over all phases. Of several ranks each scores its own groups,
    which are whole; their rows come together in the order of the ranks, as one rank would have had them, and the first
    writes them.

    A phase is one row group of a parquet file: texts, tokens, labels, whatever a reward was given, and every reward; a
    file of its own until the training ends, so that a killed one keeps what it had.
    """

    def __init__(self, inputs: TrainInputs, path: Path, order: Sequence[str] = (), ranks: Ranks = ALONE) -> None:
        self.inputs = inputs
        self.order = order
        self.ranks = ranks
        self.signal = Signal(inputs.rewards)
        self.path = path
        self.step = 0
        self.count = 0
        self.end_tokens: frozenset[int] = frozenset()
        self.rows: dict[str, list[Any]] = {}
        self.__name__ = "reward"

    def __call__(
        self, prompts: list[Any], completions: list[Any], completion_ids: list[list[int]], **columns: Any
    ) -> list[float | None]:
        """Score one rollout phase: `steps` calls in all, each with whole groups. Raises RewardError."""
        s = self.inputs.settings
        size = s.group_size
        repeat = self._repeats(columns["problem_id"][::size])
        given = {
            "prompts": prompts,
            "completions": completions,
            "completion_ids": completion_ids,
            "problem_id": columns["problem_id"],
            "index_in_group": [i % size for i in range(len(completions))],
            "repeat": [number for number in repeat for _ in range(size)],
            **({"answer": columns["answer"]} if self.inputs.labels else {}),
            **{name: columns[name] for name in self.signal.confidence},
        }
        logs = {name: columns[name] for name in LOGS if name in columns}
        scored = self.signal({**given, **around(self.step, self.inputs.seed, size, s.updates), **logs})
        self._keep(given, scored)
        self.step += 1
        return scored.total

    def _repeats(self, groups: Sequence[str]) -> list[int]:
        """Return how often each group's problem came before in this phase, on any rank."""
        per_phase = self.inputs.settings.prompts_per_step
        phase = self.order[self.step * per_phase : (self.step + 1) * per_phase]
        first = self.ranks.rank * len(groups)
        if list(phase[first : first + len(groups)]) != list(groups):
            phase, first = groups, 0  # handed over by hand, without an order
        return [list(phase[: first + i]).count(problem) for i, problem in enumerate(groups)]

    def _keep(self, given: dict[str, Any], scored: Scored) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        ids = given["completion_ids"]
        self.rows = {
            "step": [self.step] * len(ids),
            "prompt": [prompt[-1]["content"] for prompt in given["prompts"]],
            "completion": texts(given["completions"]),
            "tokens": [len(one) for one in ids],
            "truncated": [
                not self._ended(one, text) for one, text in zip(ids, texts(given["completions"]), strict=True)
            ],
            **{name: values for name, values in given.items() if name not in ("prompts", "completions")},
            "reward": scored.total,
            **{f"{PART}{label}": values for label, values in scored.parts.items()},
        }
        self.rows = together(self.ranks.gathered(self.rows))
        self.count += len(self.rows["step"])
        if not self.ranks.first:
            return
        types = {"completion_ids": pa.list_(pa.int32()), "reward": pa.float64()}
        types |= {name: pa.float64() for name in self.rows if name.startswith(PART)}
        table = pa.table({name: pa.array(values, types.get(name)) for name, values in self.rows.items()})
        target = part(self.path.parent, self.step)
        target.parent.mkdir(exist_ok=True)
        pq.write_table(table, target.with_suffix(".tmp"), compression="zstd")
        target.with_suffix(".tmp").replace(target)

    def _ended(self, ids: list[int], text: str) -> bool:
        return bool(ids) and (ids[-1] in self.end_tokens or any(stop in text for stop in self.inputs.card.stop))

    def close(self) -> None:
        """Put the phases together into one file, a row group each."""
        if not self.ranks.first:
            return
        import pyarrow.parquet as pq

        writer: Any = None
        for step in range(self.step):
            table = pq.read_table(part(self.path.parent, step))
            writer = writer or pq.ParquetWriter(self.path, table.schema, compression="zstd")
            writer.write_table(table)
        if writer is not None:
            writer.close()
        shutil.rmtree(self.path.parent / PARTS, ignore_errors=True)

    def health(self, updates: Sequence[dict[str, float]]) -> StepHealth:
        """Return how the newest phase went, from its rollouts and from what its updates logged."""
        size = self.inputs.settings.group_size
        rewards = self.rows["reward"]
        groups = [[r for r in rewards[i : i + size] if r is not None] for i in range(0, len(rewards), size)]

        def of_updates(name: str) -> list[float]:
            return [log[name] for log in updates if name in log]

        low, high = of_updates("ratio/min"), of_updates("ratio/max")
        return StepHealth(
            step=self.step - 1,
            reward=_mean([r for r in rewards if r is not None]) or 0.0,
            groups_with_signal=_mean([float(bool(g) and max(g) > min(g)) for g in groups]) or 0.0,
            completion_tokens=_mean(self.rows["tokens"]) or 0.0,
            truncated=_mean(self.rows["truncated"]) or 0.0,
            repetitive=_mean([repeats(text) for text in self.rows["completion"]]) or 0.0,
            loss=_mean(of_updates("loss")),
            grad_norm=_mean(of_updates("grad_norm")),
            entropy=_mean(of_updates("entropy")),
            token_probability=_mean(of_updates("token_probability")),
            clipped=_mean(of_updates("clip_ratio/region_mean")),
            ratio_min=min(low) if low else None,
            ratio_mean=_mean(of_updates("ratio/mean")),
            ratio_max=max(high) if high else None,
        )


def together(parts: Sequence[dict[str, list[Any]]]) -> dict[str, list[Any]]:
    """Return the columns of several ranks as one's."""
    return {name: [value for part in parts for value in part[name]] for name in parts[0]}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def replayed_differently(path: Path, inputs: TrainInputs) -> int:
    """Return how many saved rollouts get another reward, in any part, when scored again from the file alone.

    Rewards that are not ours are also scored in an interpreter of their own, and the larger count is taken; all count
    where that fails.
    """
    import pyarrow.parquet as pq

    here = _different(path, inputs)
    if not own_code(inputs.rewards):
        return here
    given = json.dumps([str(path), inputs.model_dump(mode="json")])
    said = in_fresh_interpreter("rlvr_bench.backends.rollouts:replay_apart", given)
    return max(here, int(said) if said else int(pq.read_metadata(path).num_rows))


def replay_apart() -> None:
    """Replay what the standard input names and print the count: the work of the other interpreter."""
    path, inputs = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):
        found = _different(Path(path), TrainInputs.model_validate(inputs))
    sys.stdout.write(str(found))


def _different(path: Path, inputs: TrainInputs) -> int:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    signal = Signal(inputs.rewards)
    different = 0
    for step in range(file.num_row_groups):
        rows = file.read_row_group(step).to_pydict()
        given = {name: rows[name] for name in ("completion_ids", "problem_id", "index_in_group", "repeat")}
        given |= {name: rows[name] for name in ("answer", *signal.confidence) if name in rows}
        given["prompts"] = [[{"role": "user", "content": text}] for text in rows["prompt"]]
        given["completions"] = [[{"role": "assistant", "content": text}] for text in rows["completion"]]
        once = around(step, inputs.seed, inputs.settings.group_size, inputs.settings.updates)
        count = len(rows["step"])
        try:
            again = signal({**given, **once})
        except RewardError:
            different += count
            continue
        saved = [rows["reward"], *(rows[f"{PART}{label}"] for label in signal.labels)]
        found = [again.total, *(again.parts[label] for label in signal.labels)]
        different += sum(any(one[i] != other[i] for one, other in zip(saved, found, strict=True)) for i in range(count))
    return different
