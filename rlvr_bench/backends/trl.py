"""Training through TRL's GRPOTrainer, with several updates per rollout phase so that clipping acts.

With TRL's defaults there is one update per rollout batch, the ratio is 1, and clipping never acts; here
`updates_per_step` micro-batches are cut from each rollout batch, as in the paper.
"""

import json
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rlvr_bench import plugins
from rlvr_bench.backends.data import load_problems
from rlvr_bench.backends.models import load_model, load_tokenizer
from rlvr_bench.errors import RlvrBenchError
from rlvr_bench.rewards.conversation import texts
from rlvr_bench.runs import layout
from rlvr_bench.runs.store import file_digest
from rlvr_bench.schema.base import digest
from rlvr_bench.schema.plan import TrainInputs
from rlvr_bench.schema.problem import Problem
from rlvr_bench.schema.record import Grading, StepHealth, Training
from rlvr_bench.scoring import prepare, tallied


class RewardError(RlvrBenchError):
    """A reward raised, or returned something that is not one finite number per completion."""


class NonFiniteError(RlvrBenchError):
    """The loss or the gradient is no longer a number."""


def training_order(problems: Sequence[Problem], *, count: int, seed: int) -> list[Problem]:
    """Return `count` problems in a seeded order; a pool that is too small is shuffled and used again."""
    rng = random.Random(f"training-order/{seed}")
    order: list[Problem] = []
    while len(order) < count:
        order += rng.sample(problems, len(problems))
    return order[:count]


class Rollouts:
    """The reward that TRL sees: calls the method's rewards, checks them, keeps every rollout."""

    def __init__(self, inputs: TrainInputs) -> None:
        self.inputs = inputs
        self.parts: list[tuple[str, float, Callable[..., Any], dict[str, Any]]] = [
            (spec.name, spec.weight, plugins.load(plugins.REWARDS, spec.name), dict(spec.parameters))
            for spec in inputs.rewards
        ]
        self.rows: dict[str, list[Any]] = {
            name: [] for name in ("step", "problem_id", "completion", "tokens", "truncated", "reward")
        }
        self.step = 0
        self.end_token: int | None = None
        self.__name__ = "reward"

    def __call__(
        self, prompts: list[Any], completions: list[Any], completion_ids: list[list[int]], **columns: Any
    ) -> list[float]:
        """Score one rollout phase: `steps` calls in all, each with whole groups."""
        size = self.inputs.settings.group_size
        extra = {
            "problem_id": columns["problem_id"],
            "index_in_group": [i % size for i in range(len(completions))],
            "step": self.step,
            "seed": self.inputs.seed,
            "group_size": size,
        }
        if self.inputs.labels:
            extra["answer"] = columns["answer"]
        total = [0.0] * len(completions)
        for name, weight, reward, parameters in self.parts:
            values = self._call(name, reward, prompts, completions, completion_ids, {**extra, **parameters})
            total = [t + weight * v for t, v in zip(total, values, strict=True)]
        self.rows["step"] += [self.step] * len(completions)
        self.rows["problem_id"] += columns["problem_id"]
        self.rows["completion"] += texts(completions)
        self.rows["tokens"] += [len(ids) for ids in completion_ids]
        self.rows["truncated"] += [not ids or ids[-1] != self.end_token for ids in completion_ids]
        self.rows["reward"] += total
        self.step += 1
        return total

    def _call(
        self,
        name: str,
        reward: Callable[..., Any],
        prompts: list[Any],
        completions: list[Any],
        completion_ids: list[list[int]],
        keywords: dict[str, Any],
    ) -> list[float]:
        try:
            values = reward(prompts=prompts, completions=completions, completion_ids=completion_ids, **keywords)
        except Exception as error:
            raise RewardError(f"reward {name!r} raised {type(error).__name__}: {error}") from error
        if not isinstance(values, list) or len(values) != len(completions):
            got = f"{len(values)} values" if isinstance(values, list) else type(values).__name__
            raise RewardError(f"reward {name!r} returned {got} for {len(completions)} completions")
        for value in values:
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise RewardError(f"reward {name!r} returned {value!r}, not a finite number")
        return [float(value) for value in values]

    def save(self, path: Path) -> None:
        """Write every rollout as one parquet file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(self.rows), path, compression="zstd")

    def health(self, logs: Sequence[dict[str, float]]) -> tuple[StepHealth, ...]:
        """Return one row a step, from the rollouts and from TRL's logs (one per update)."""
        s = self.inputs.settings
        width = s.prompts_per_step * s.group_size
        found = []
        for step in range(self.step):
            rows = slice(step * width, (step + 1) * width)
            rewards = self.rows["reward"][rows]
            groups = [rewards[i : i + s.group_size] for i in range(0, len(rewards), s.group_size)]
            updates = logs[step * s.updates_per_step : (step + 1) * s.updates_per_step]
            found.append(
                StepHealth(
                    step=step,
                    reward=_mean(rewards) or 0.0,
                    groups_with_signal=_mean([float(max(g) > min(g)) for g in groups]) or 0.0,
                    completion_tokens=_mean(self.rows["tokens"][rows]) or 0.0,
                    truncated=_mean(self.rows["truncated"][rows]) or 0.0,
                    loss=_mean([log["loss"] for log in updates if "loss" in log]),
                    grad_norm=_mean([log["grad_norm"] for log in updates if "grad_norm" in log]),
                    entropy=_mean([log["entropy"] for log in updates if "entropy" in log]),
                    clipped=_mean(
                        [log["clip_ratio/region_mean"] for log in updates if "clip_ratio/region_mean" in log]
                    ),
                )
            )
        return tuple(found)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def train(inputs: TrainInputs, folder: Path) -> Training:
    """Train one cell and leave checkpoint, rollouts and metrics in `folder`.

    Raises RewardError, NonFiniteError, and what TRL raises. The same inputs give the same weights bit
    for bit on the same machine (one thread).
    """
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback, ProgressCallback, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    s = inputs.settings
    pool = [problem for wanted in inputs.problems for problem in load_problems(wanted)]
    prepare(problem.answer for problem in pool if inputs.labels)
    chosen = training_order(pool, count=s.steps * s.prompts_per_step, seed=inputs.seed)
    tokenizer = load_tokenizer(inputs.card)
    _check_prompts(chosen, tokenizer, s.max_prompt_tokens)
    torch.manual_seed(inputs.seed)
    model = load_model(inputs.card)
    rollouts = Rollouts(inputs)
    rollouts.end_token = tokenizer.eos_token_id
    rows = [
        {"prompt": [{"role": "user", "content": p.problem}], "problem_id": p.id}
        | ({"answer": p.answer} if inputs.labels else {})
        for p in chosen
    ]
    # one generation batch = prompts_per_step x group_size rollouts in one process, so no group is split
    config = GRPOConfig(
        output_dir=str(folder / "trainer"),
        report_to=[],
        save_strategy="no",
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        seed=inputs.seed,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        shuffle_dataset=False,
        learning_rate=s.learning_rate,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        adam_beta1=s.adam_beta1,
        adam_beta2=s.adam_beta2,
        max_grad_norm=s.max_grad_norm,
        per_device_train_batch_size=s.prompts_per_step * s.group_size // s.updates_per_step,
        steps_per_generation=s.updates_per_step,
        num_iterations=1,
        num_generations=s.group_size,
        max_completion_length=s.max_completion_tokens,
        max_steps=s.steps * s.updates_per_step,
        temperature=s.temperature,
        top_p=s.top_p,
        top_k=0,
        beta=s.kl,
        epsilon=s.clip,
        loss_type=s.loss,
        scale_rewards=s.advantage_scale,
    )
    updates: list[dict[str, float]] = []
    metrics = (folder / layout.METRICS).open("w", encoding="utf-8")

    class Recorder(TrainerCallback):  # type: ignore[misc]
        """Keeps each update's numbers, and stops at the first that is not one."""

        def on_log(self, _args: Any, _state: Any, _control: Any, logs: Any = None, **_: Any) -> None:
            entry = {k: v for k, v in (logs or {}).items() if isinstance(v, int | float)}
            if "loss" not in entry:
                return
            updates.append(entry)
            line = {"step": rollouts.step - 1, "update": len(updates), **entry}
            metrics.write(json.dumps(line) + "\n")
            metrics.flush()
            for key in ("loss", "grad_norm"):
                if not math.isfinite(entry.get(key, 0.0)):
                    raise NonFiniteError(f"{key} is {entry[key]} at update {len(updates)}")

    trainer = GRPOTrainer(
        model=model,
        reward_funcs=rollouts,
        args=config,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(rows),
        callbacks=[Recorder()],
    )
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    with metrics, tallied() as graded:
        trainer.train()
    if rollouts.step != s.steps:
        raise RlvrBenchError(f"TRL ran {rollouts.step} rollout phases where {s.steps} were asked for")
    checkpoint = folder / layout.CHECKPOINT
    model.save_pretrained(checkpoint)
    rollouts.save(folder / layout.ROLLOUTS)
    return Training(
        steps=rollouts.health(updates),
        rollouts=len(rollouts.rows["reward"]),
        problem_ids=tuple(sorted({p.id for p in chosen})),
        reward_definition=digest([spec.model_dump(mode="json") for spec in inputs.rewards]),
        checkpoint_sha256=file_digest(checkpoint / layout.WEIGHTS),
        grading=Grading(**{how.replace("-", "_"): count for how, count in graded.items()}),
    )


def _check_prompts(problems: Sequence[Problem], tokenizer: Any, limit: int) -> None:
    for problem in problems:
        ids = prompt_ids(tokenizer, problem.problem)
        if len(ids) > limit:
            raise RlvrBenchError(
                f"the prompt of problem {problem.id} has {len(ids)} tokens, max_prompt_tokens is {limit}"
            )


def prompt_ids(tokenizer: Any, problem: str) -> list[int]:
    """Return the token ids that TRL feeds for a problem: the chat template, with the generation prompt."""
    out = tokenizer.apply_chat_template(
        [{"role": "user", "content": problem}], add_generation_prompt=True, tokenize=True, return_dict=True
    )
    return list(out["input_ids"])
