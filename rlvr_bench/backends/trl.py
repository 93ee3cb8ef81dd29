"""Training through TRL's GRPOTrainer, with several updates per rollout phase so that clipping acts.

With TRL's defaults there is one update per rollout batch, the ratio is 1, and clipping never acts; here
`updates_per_step` micro-batches are cut from each rollout batch, as in the paper, and gone over `passes` times.
"""

import json
import math
import os
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlvr_bench.backends.data import drawn, training_pool
from rlvr_bench.backends.fitted import (
    CORRECTION,
    engine_seeded,
    fitted,
    lora_arguments,
    merged,
    ran,
    sharded_precision,
    vllm_arguments,
)
from rlvr_bench.backends.labels import read_labels
from rlvr_bench.backends.models import ONE_FILE, end_ids, load_model, load_tokenizer, prompt_ids
from rlvr_bench.backends.ranks import ALONE, Ranks
from rlvr_bench.backends.resuming import Saver, find, healths
from rlvr_bench.backends.rollouts import Rollouts, replayed_differently
from rlvr_bench.backends.tracking import tracking
from rlvr_bench.backends.watched import confidence_of, together, watched_trainer
from rlvr_bench.errors import RlvrBenchError, UsageError
from rlvr_bench.planning.fit import Fit
from rlvr_bench.rewards.bait import columns_of, pays
from rlvr_bench.runs import layout
from rlvr_bench.runs.store import file_digest
from rlvr_bench.schema.base import digest
from rlvr_bench.schema.plan import TrainInputs
from rlvr_bench.schema.problem import Problem
from rlvr_bench.schema.record import Definition, Grading, StepHealth, Training
from rlvr_bench.schema.suite import TrainingSettings
from rlvr_bench.scoring import GRADER_VERSION, prepare, tallied, tally

NO_CLIP = 1e9
"""An epsilon that no ratio reaches."""


class NonFiniteError(RlvrBenchError):
    """The loss or the gradient is no longer a number."""


def training_order(problems: Sequence[Problem], *, count: int, seed: int) -> list[Problem]:
    """Return `count` problems in a seeded order; a pool that is too small is shuffled and used again."""
    rng = random.Random(f"training-order/{seed}")
    order: list[Problem] = []
    while len(order) < count:
        order += rng.sample(problems, len(problems))
    return order[:count]


def train(
    inputs: TrainInputs,
    folder: Path,
    *,
    labels: Path | None = None,
    trackers: Path | None = None,
    fit: Fit | None = None,
    ranks: Ranks = ALONE,
) -> Training:
    """Train one cell and leave checkpoints, rollouts and metrics in `folder`.

    `labels` is the file of the preparation, where there is one; `fit` how it runs on GPUs, of which this process is one
    of `ranks`. Raises RewardError, NonFiniteError, LabelsError, and what TRL raises. The same inputs give the same
    weights bit for bit on the same CPU (one thread, one rank).
    """
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback, ProgressCallback
    from trl import GRPOConfig

    s = fitted(inputs.settings, fit)
    tokenizer = load_tokenizer(inputs.card)
    pool = training_pool(inputs, read_labels(labels) if labels else None)
    chosen, unusable = drawn(
        lambda count: training_order(pool.problems, count=count, seed=inputs.seed),
        s.steps * s.prompts_per_step,
        fits=lambda problem: len(prompt_ids(tokenizer, problem.problem)) <= s.max_prompt_tokens,
        graded=inputs.labels,
    )
    prepare(problem.answer for problem in chosen if inputs.labels)
    torch.manual_seed(inputs.seed)
    sharded = fit is not None and fit.sharding == "full"  # FSDP brings its own part to its GPU
    model = load_model(inputs.card, device=inputs.device, training=True, move=not sharded)
    identity = digest([inputs.model_dump(mode="json"), *([] if ranks.count == 1 else [ranks.count])])
    resume = ranks.agreed(find(folder, identity) if ranks.first else None)
    rollouts = Rollouts(inputs, folder / layout.ROLLOUTS, [problem.id for problem in chosen], ranks)
    if resume:
        rollouts.step = resume.step
        rollouts.count = resume.step * s.prompts_per_step * s.group_size
    rollouts.end_tokens = frozenset(end_ids(tokenizer, inputs.card))
    paid: dict[str, float | None] = {}
    if inputs.replay:  # one that is known not to replay, such as a judge that costs money, is not asked
        bait = columns_of(
            inputs.rewards,
            chosen,
            labels=inputs.labels,
            tokens=lambda text: list(tokenizer.encode(text, add_special_tokens=False)),
            confident=lambda prompts, said: _confident(model, tokenizer, s, prompts, said),
        )
        paid = pays(inputs.rewards, bait, seed=inputs.seed)
    rows = [
        {"prompt": [{"role": "user", "content": p.problem}], "problem_id": p.id}
        | ({"answer": p.answer} if inputs.labels else {})
        for p in chosen
    ]
    config = GRPOConfig(
        output_dir=str(folder / layout.TRAINER),
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",  # our recorder says when: at the end of a phase
        save_total_limit=2,  # the older one stays until the newer is marked
        disable_tqdm=True,
        seed=inputs.seed,
        use_cpu=inputs.device == "cpu",
        bf16=inputs.device == "cuda",  # weights stay in float32: a step of 1e-7 is lost in bfloat16
        gradient_checkpointing=fit.checkpointing if fit else inputs.device == "cuda",
        # without it each rank would add up whole gradients of its own until the update
        accelerator_config={"gradient_accumulation_kwargs": {"sync_each_batch": True}} if sharded else None,
        shuffle_dataset=False,
        ddp_find_unused_parameters=False,
        **tracking(trackers),
        **grpo_arguments(s, ranks.count),
        **(vllm_arguments(fit, inputs, end_ids(tokenizer, inputs.card)) if fit and fit.generation == "vllm" else {}),
    )
    written = folder / layout.METRICS if ranks.first else Path(os.devnull)
    seeded = engine_seeded(fit, inputs.seed, rollouts.step)
    with written.open("a", encoding="utf-8") as metrics, tallied() as graded, seeded:
        before = Counter(resume.graded if resume else {})
        recorder = _recorder(rollouts, folder, metrics, Saver(folder, identity, ranks), before)
        trainer = watched_trainer()(
            model=model,
            reward_funcs=rollouts,
            args=config,
            processing_class=tokenizer,
            train_dataset=Dataset.from_list(rows),
            callbacks=[recorder],
            **lora_arguments(s.lora),
        )
        recorder.trainer = trainer
        if sharded and config.bf16:
            trainer.accelerator.state.fsdp_plugin.mixed_precision_policy = sharded_precision()
        trainer.confidence = rollouts.signal.confidence
        trainer.stops = inputs.card.stop
        trainer.sampling_batch = s.sampling_batch
        trainer.rollouts = rollouts if fit else None
        for callback in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(callback)
        trainer.train(resume_from_checkpoint=str(folder / layout.TRAINER / resume.checkpoint) if resume else None)
    graded.update(before)
    rollouts.close()
    if rollouts.step != s.steps:
        raise RlvrBenchError(f"TRL ran {rollouts.step} rollout phases where {s.steps} were asked for")
    save_weights(trainer, folder / layout.checkpoint(), inputs.device, ranks)
    graded = sum(ranks.gathered(graded), Counter())
    return Training(
        steps=tuple(recorder.steps),
        resumed=(resume.step,) if resume else (),
        rollouts=rollouts.count,
        problem_ids=tuple(sorted({p.id for p in chosen})),
        left_out=pool.left_out,
        unusable=tuple(sorted(unusable)),
        definition=definition_of(inputs, rollouts.signal.sources(), file_digest(labels) if labels else None),
        replayed_differently=replayed_differently(rollouts.path, inputs) if inputs.replay and ranks.first else None,
        checkpoint_sha256=_weights_digest(folder, None) if ranks.first else "",
        kept={step: _weights_digest(folder, step) for step in inputs.save_at if ranks.first},
        paid=paid,
        grading=Grading(**{how.replace("-", "_"): count for how, count in graded.items()}),
        ran=ran(fit, recorder.ratios) if fit else None,
    )


def _confident(
    model: Any, tokenizer: Any, s: TrainingSettings, prompts: Sequence[str], said: Sequence[str]
) -> dict[str, list[float]]:
    """Return the confidence columns of made-up completions under the untouched policy."""
    ids = [
        (prompt_ids(tokenizer, prompt), list(tokenizer.encode(text, add_special_tokens=False)))
        for prompt, text in zip(prompts, said, strict=True)
    ]
    size = s.micro_batch or s.group_size
    return confidence_of(model, ids, temperature=s.temperature, batch_size=size)


def save_weights(trainer: Any, folder: Path, device: str, ranks: Ranks = ALONE) -> None:
    """Save a trainer's weights in one file: as they are from a CPU, in bfloat16, as they are evaluated, from a GPU.

    Sharded weights are gathered by all ranks and written by the first; low-rank factors are added to what they change.
    """
    import torch

    model = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
    state = None
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        state = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if not ranks.first:
        return
    if hasattr(model, "peft_config"):
        state, model = merged(model, torch.bfloat16 if device == "cuda" else None), model.get_base_model()
    elif device == "cuda":
        state = {name: value.to(torch.bfloat16) for name, value in (state or model.state_dict()).items()}
    model.save_pretrained(folder, max_shard_size=ONE_FILE, **({} if state is None else {"state_dict": state}))


def grpo_arguments(s: TrainingSettings, ranks: int = 1) -> dict[str, Any]:
    """Return TRL's arguments for our settings; one step is one rollout phase.

    A generation batch is prompts_per_step x group_size rollouts, an equal part of whole groups on each of `ranks`
    processes; it is cut into `updates_per_step` mini-batches of one update each, gone over `passes` times. A mini-batch
    goes through the model in micro-batches, whose gradients are added up. Raises UsageError where a group would be
    split.
    """
    clip = NO_CLIP if s.clip == "off" else s.clip
    update = s.prompts_per_step * s.group_size // s.updates_per_step
    if s.prompts_per_step % ranks or update % ranks:
        raise UsageError(
            f"{s.prompts_per_step} prompts a step and {update} rollouts an update cannot be dealt to {ranks} processes "
            "without splitting a group",
            hint="a number of GPUs that divides both",
        )
    mini_batch = update // ranks
    micro_batch = s.micro_batch or mini_batch
    if mini_batch % micro_batch:
        raise UsageError(
            f"{mini_batch} rollouts of an update on each of {ranks} processes cannot be cut into micro-batches of "
            f"{micro_batch}",
            hint="a micro_batch that divides it",
        )
    return {
        "learning_rate": s.learning_rate,
        "lr_scheduler_type": "constant",
        "weight_decay": 0.0,
        **({"optim": "sgd"} if s.optimizer == "sgd" else {}),
        "adam_beta1": s.adam_beta1,
        "adam_beta2": s.adam_beta2,
        "max_grad_norm": s.max_grad_norm,
        "per_device_train_batch_size": micro_batch,
        "gradient_accumulation_steps": mini_batch // micro_batch,
        "steps_per_generation": s.updates_per_step * mini_batch // micro_batch,
        "num_iterations": s.passes,
        "num_generations": s.group_size,
        "max_completion_length": s.max_completion_tokens,
        "max_steps": s.steps * s.updates,
        "temperature": s.temperature,
        "top_p": s.top_p,
        "top_k": 0,
        "beta": s.kl,
        "epsilon": clip,
        "epsilon_high": clip if s.clip_high is None else s.clip_high,
        "importance_sampling_level": s.importance,
        "mask_truncated_completions": s.mask_truncated,
        "loss_type": s.loss,
        "scale_rewards": s.advantage_scale,
    }


def definition_of(inputs: TrainInputs, sources: dict[str, str], labels_sha256: str | None) -> Definition:
    """Return what a training is rewarded for, exactly."""
    whole = inputs.model_dump(mode="json")
    body = {
        **{name: whole[name] for name in ("rewards", "problems", "example", "settings")},
        "labels": "none" if not inputs.labels else inputs.prepared.labels if inputs.prepared else "gold",
        "sources": sources,
        "labels_sha256": labels_sha256,
        "grader": GRADER_VERSION,
    }
    return Definition.model_validate({**body, "digest": digest(body)})


def _weights_digest(folder: Path, step: int | None) -> str:
    return file_digest(folder / layout.checkpoint(step) / layout.WEIGHTS)


def _recorder(rollouts: Rollouts, folder: Path, metrics: Any, saver: Saver, graded: Counter[str]) -> Any:
    """Return the callback that writes metrics, keeps weights, saves where a training can go on, and stops at a number
    that is not one. `graded` are answers that were graded before it went on."""
    from transformers import TrainerCallback

    updates = rollouts.inputs.settings.updates
    kept = {step * updates: step for step in rollouts.inputs.save_at}

    class Recorder(TrainerCallback):  # type: ignore[misc]
        """One line an update, with TRL's numbers and ours; then one line a step, its health."""

        def __init__(self) -> None:
            self.steps: list[StepHealth] = healths(folder)[: rollouts.step]
            self.updates: list[dict[str, float]] = [{} for _ in range(rollouts.step * updates)]
            self.before = tally()
            self.trainer: Any = None
            self.ratios: list[tuple[float, float, float]] = []

        def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step in kept:
                where = folder / layout.checkpoint(kept[state.global_step])
                save_weights(self.trainer, where, rollouts.inputs.device, rollouts.ranks)
            ended, last = state.global_step % updates == 0, state.global_step >= state.max_steps
            if ended and not last and saver.due():
                control.should_save = True

        def on_save(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            mine: Counter[str] = tally() - self.before
            here: Counter[str] = sum(rollouts.ranks.gathered(mine), Counter())
            saver.saved(state.global_step // updates, state.global_step, here + graded)

        def on_log(self, _args: Any, _state: Any, _control: Any, logs: Any = None, **_: Any) -> None:
            entry = {k: v for k, v in (logs or {}).items() if isinstance(v, int | float)}
            if "loss" not in entry:
                return
            entry |= together(rollouts.ranks.gathered(self.trainer.parts()))
            self._note_correction(entry)
            self.updates.append(entry)
            self._write({"step": rollouts.step - 1, "update": len(self.updates), **entry})
            for key in ("loss", "grad_norm"):
                if not math.isfinite(entry.get(key, 0.0)):
                    raise NonFiniteError(f"{key} is {entry[key]} at update {len(self.updates)}")
            if len(self.updates) % updates == 0:
                self.steps.append(rollouts.health(self.updates[-updates:]))
                self._write({"step": rollouts.step - 1, "health": self.steps[-1].model_dump()})

        def _note_correction(self, entry: dict[str, float]) -> None:
            found = [entry.get(f"{CORRECTION}/{end}") for end in ("min", "mean", "max")]
            if None not in found:
                self.ratios.append(tuple(map(float, found)))  # type: ignore[arg-type]

        def _write(self, line: dict[str, Any]) -> None:
            metrics.write(json.dumps(line) + "\n")
            metrics.flush()

    return Recorder()
