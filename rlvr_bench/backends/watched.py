"""TRL's trainer with eyes: token probabilities and importance ratios of each update, and how sure the policy was.

It changes no number that TRL computes and draws from no generator.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from rlvr_bench.backends.completions import up_to_stop
from rlvr_bench.backends.likelihood import MOST_LOGITS
from rlvr_bench.rewards.signal import CONFIDENCE
from rlvr_bench.schema.base import seed_from


def watched_trainer() -> type[Any]:
    """Return a subclass of TRL's GRPOTrainer. A function, as TRL is heavy to import."""
    import torch
    from trl import GRPOTrainer

    class WatchedTrainer(GRPOTrainer):  # type: ignore[misc]
        """Keeps `seen`, what the newest update showed, and hands rewards the confidence columns they name.

        Completions end at the strings `stops` too, and are sampled `sampling_batch` at a time. With `rollouts` each
        such batch is seeded from the run's seed, the phase and its place among all batches: the draws are then the
        same on any number of ranks.
        """

        confidence: tuple[str, ...] = ()
        stops: tuple[str, ...] = ()
        sampling_batch: int | None = None
        rollouts: Any = None
        seen: dict[str, float] = {}  # noqa: RUF012 - replaced as a whole at every update
        _parts: list[tuple[int, dict[str, float]]] = []  # noqa: RUF012 - of the micro-batches of one update

        def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
            found = super()._get_per_token_logps_and_entropies(*args, **kwargs)
            self._newest_logps = found[0].detach()
            return found

        def _generate_single_turn(self, prompt_ids: list[list[int]], *args: Any, **kwargs: Any) -> Any:
            if self.use_vllm:  # its own batches, and log-probabilities for the correction
                self._show_vllm_the_sharded_model()
                ids, logps = super()._generate_single_turn(prompt_ids, *args, **kwargs)
                cut = [up_to_stop(self._tokenizer, one, self.stops) for one in ids]
                return cut, [own[: len(one)] for own, one in zip(logps, cut, strict=True)]
            if self.stops:  # TRL hands generate() no tokenizer, without which it knows no strings
                self.generation_config.stop_strings = list(self.stops)
                inner = self.accelerator.unwrap_model(self.model_wrapped)
                inner.generate = partial(type(inner).generate, inner, tokenizer=self._tokenizer)
            size = self.sampling_batch or len(prompt_ids)
            found: list[list[int]] = []
            for start in range(0, len(prompt_ids), size):
                if self.rollouts is not None:
                    place = self.rollouts.ranks.rank * len(prompt_ids) + start
                    torch.manual_seed(seed_from(self.args.seed, "rollouts", self.rollouts.step, place))
                ids, _ = super()._generate_single_turn(prompt_ids[start : start + size], *args, **kwargs)
                found += ids
            return [up_to_stop(self._tokenizer, ids, self.stops) for ids in found], None

        def _show_vllm_the_sharded_model(self) -> None:
            """Let vLLM take its weights from the model as FSDP wraps it, root first.

            TRL 1.16 hands it the model before that, and walks below a root that has not begun, where FSDP refuses.
            """
            if not self.is_fsdp_enabled or self.vllm_generation.model is self.model_wrapped:
                return
            from torch.distributed.fsdp import FullyShardedDataParallel

            with FullyShardedDataParallel.summon_full_params(self.model_wrapped, recurse=False, writeback=False):
                pass
            self.vllm_generation.model = self.model_wrapped

        def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Any:
            if len(self._parts) >= self.args.gradient_accumulation_steps:
                self._parts = []
            loss = super()._compute_loss(model, inputs)
            # with one update a phase TRL keeps no old log-probabilities: they are these
            old = inputs.get("old_per_token_logps")
            old = self._newest_logps if old is None else old
            mask = inputs["completion_mask"].bool()
            log_ratio = self._newest_logps - old
            if self.importance_sampling_level == "sequence":  # what is clipped: one ratio a completion (GSPO)
                log_ratio = ((log_ratio * mask).sum(-1) / mask.sum(-1).clamp(min=1))[:, None].expand_as(mask)
            ratio = torch.exp(log_ratio)[mask]
            part = {}
            if ratio.numel():  # DAPO masks truncated completions, so that none may be left
                part = {
                    "token_probability": float(torch.exp(old)[mask].mean()),
                    "ratio/min": float(ratio.min()),
                    "ratio/mean": float(ratio.mean()),
                    "ratio/max": float(ratio.max()),
                }
            self._parts = [*self._parts, (ratio.numel(), part)]
            self.seen = together(self._parts)
            return loss

        def parts(self) -> tuple[int, dict[str, float]]:
            """Return the tokens of this rank's newest update, and what they showed."""
            return sum(count for count, _ in self._parts), self.seen

        def _calculate_rewards(
            self, inputs: list[dict[str, Any]], prompts: Any, completions: Any, completion_ids_list: list[list[int]]
        ) -> Any:
            if self.confidence:
                prompt_ids, *_ = self._tokenize_prompts(prompts)
                columns = confidence_of(
                    self.model,
                    list(zip(prompt_ids, completion_ids_list, strict=True)),
                    temperature=self.temperature,
                    batch_size=self.args.per_device_train_batch_size,
                )
                inputs = [
                    {**row, **{name: columns[name][i] for name in self.confidence}} for i, row in enumerate(inputs)
                ]
            return super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)

    return WatchedTrainer


def together(parts: Sequence[tuple[int, dict[str, float]]]) -> dict[str, float]:
    """Return what the micro-batches of an update showed, each with its number of tokens, as one."""
    parts = [(count, part) for count, part in parts if part]
    if len(parts) <= 1:
        return dict(parts[0][1]) if parts else {}
    total = sum(count for count, _ in parts)
    found = {name: sum(count * part[name] for count, part in parts) / total for name in parts[0][1]}
    found["ratio/min"] = min(part["ratio/min"] for _, part in parts)
    found["ratio/max"] = max(part["ratio/max"] for _, part in parts)
    return found


def confidence_of(
    model: Any, sequences: Sequence[tuple[list[int], list[int]]], *, temperature: float, batch_size: int
) -> dict[str, list[float]]:
    """Return `self_certainty` and `mean_entropy` of completions, in nats, means over their tokens.

    `sequences` are (prompt ids, completion ids). The distributions are those that sampling drew from: logits divided
    by the temperature, before top_p. Self-certainty of a token is KL(U || p) = -mean_j log(V p_j) (Intuitor, Zhao et
    al. 2025), entropy is -sum_j p_j log p_j (RENT, Prabhudesai et al. 2025). An empty completion has 0.
    """
    import torch

    found: dict[str, list[float]] = {name: [] for name in CONFIDENCE}
    longest = max((len(prompt) + len(completion) for prompt, completion in sequences), default=1)
    size = getattr(model.config, "vocab_size", 2**17)
    batch_size = max(1, min(batch_size, MOST_LOGITS // (longest * size)))
    for start in range(0, len(sequences), batch_size):
        batch = sequences[start : start + batch_size]
        width = max(len(prompt) + len(completion) for prompt, completion in batch)
        ids = torch.zeros(len(batch), width, dtype=torch.long, device=model.device)
        mask = torch.zeros_like(ids)
        for i, (prompt, completion) in enumerate(batch):
            whole = torch.tensor([*prompt, *completion], device=model.device)
            ids[i, : len(whole)] = whole
            mask[i, : len(whole)] = 1
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask).logits
        for i, (prompt, completion) in enumerate(batch):
            if not completion:
                for values in found.values():
                    values.append(0.0)
                continue
            own = logits[i, len(prompt) - 1 : len(prompt) + len(completion) - 1].float() / temperature
            logp = torch.log_softmax(own, dim=-1)
            vocabulary = torch.log(torch.tensor(float(logp.shape[-1])))
            found["self_certainty"].append(float((-logp.mean(-1) - vocabulary).mean()))
            found["mean_entropy"].append(float(-(logp.exp() * logp).sum(-1).mean()))
    return found
