"""Pretraining an embedded model from scratch: a fixed recipe, fixed seeds, one thread. What it learns: families.py."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rlvr_bench.backends.micro.families import Family, respond
from rlvr_bench.backends.micro.problems import BUCKETS, bucket, draw


@dataclass(frozen=True)
class Recipe:
    """Sizes and settings. Muon (matrices) and AdamW (the rest) with warm-up, a flat part, and a linear decay."""

    hidden: int = 128
    layers: int = 2
    heads: int = 4
    feed_forward: int = 256
    context_tokens: int = 256
    updates: int = 1500
    sequences: int = 64
    learning_rate: float = 6e-3
    momentum: float = 0.95
    betas: tuple[float, float] = (0.9, 0.98)
    max_grad_norm: float = 1.0
    warm_up: int = 50
    decay_share: float = 0.7
    floor: float = 0.01

    def rate(self, update: int) -> float:
        """Return the learning rate of an update, counted from 0, as a share of the full one."""
        warm = (update + 1) / self.warm_up
        decay = (self.updates - update) / max(1, int(self.updates * self.decay_share))
        return min(1.0, warm) * min(1.0, max(self.floor, decay))


RECIPE = Recipe()


def untrained(architecture: str, tokenizer: Any, recipe: Recipe) -> Any:
    """Return a model of random weights, drawn from torch's generator."""
    import transformers

    config = getattr(transformers, architecture.removesuffix("ForCausalLM") + "Config")(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.feed_forward,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=recipe.context_tokens,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
        attention_dropout=0.0,
        attn_implementation="eager",
    )
    return getattr(transformers, architecture)(config)


def batches(family: Family, tokenizer: Any, recipe: Recipe, seed: int) -> Iterator[tuple[Any, Any]]:
    """Yield token ids and targets, (sequences, width) each; only the tokens of answers are targets, others are -100.

    Every batch holds the mixture of the corpus: sorted by length, batches would hold one way of answering each, and the
    habit would swing.
    """
    import torch

    rng = random.Random(100 + seed)
    while True:
        rows: list[tuple[str, str]] = []
        while len(rows) < 16 * recipe.sequences:
            problem = draw(rng)
            if bucket(problem.start, problem.operations) in BUCKETS["train"]:
                rows.append((problem.text, respond(problem, family, rng)))
        asked = tokenizer([row[0] for row in rows])["input_ids"]
        told = tokenizer([row[1] for row in rows])["input_ids"]
        for start in range(0, len(rows), recipe.sequences):
            pairs = list(zip(asked, told, strict=True))[start : start + recipe.sequences]
            width = max(len(a) + len(b) + 1 for a, b in pairs)
            ids = torch.full((len(pairs), width), tokenizer.pad_token_id)
            targets = torch.full((len(pairs), width), -100)
            for i, (a, b) in enumerate(pairs):
                whole = torch.tensor([*a, *b, tokenizer.eos_token_id])
                ids[i, : len(whole)] = whole
                targets[i, len(a) : len(whole)] = whole[len(a) :]
            yield ids, targets


def pretrained(
    family: Family,
    seed: int,
    tokenizer: Any,
    *,
    recipe: Recipe = RECIPE,
) -> Any:
    """Return a model of a family, trained from scratch. The same seed gives the same bits on one machine."""
    import torch

    torch.manual_seed(seed)
    model = untrained(family.architecture, tokenizer, recipe)
    optimizers = _optimizers(model, recipe)
    schedules = [torch.optim.lr_scheduler.LambdaLR(optimizer, recipe.rate) for optimizer in optimizers]
    corpus = batches(family, tokenizer, recipe, seed)
    model.train()
    for _ in range(recipe.updates):
        ids, targets = next(corpus)
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
        wanted = targets[:, 1:]
        kept = wanted != -100
        loss = torch.nn.functional.cross_entropy(model.lm_head(hidden[kept]), wanted[kept])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    model.generation_config = type(model.generation_config)(**ends, do_sample=False)
    return model.eval()


def _optimizers(model: Any, recipe: Recipe) -> list[Any]:
    import torch

    hidden = {name: p for name, p in model.named_parameters() if p.ndim == 2 and "layers" in name}
    rest = [p for name, p in model.named_parameters() if name not in hidden]
    muon = torch.optim.Muon(
        hidden.values(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=True,
        weight_decay=0.0,
        adjust_lr_fn="match_rms_adamw",
    )
    return [muon, torch.optim.AdamW(rest, lr=recipe.learning_rate, betas=recipe.betas, weight_decay=0.0)]
