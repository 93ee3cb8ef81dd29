"""How a training fits on GPUs: ranks, micro-batch, sharding and vLLM's share, at a constant effective batch.

The sums are of what a step holds at its peak: weights, gradients and optimizer in float32 (Rajbhandari et al. 2020,
ZeRO, section 3.1), activations, of all layers or with one recomputed at a time (Korthikanti et al. 2022, section 4), a
tile of logits, and the key-value cache of what is sampled at once. What activations take was measured on CPUs under
the same autocast (tests/backends/test_memory.py). They are estimates; a run that does not fit after all is tried once
with half the micro-batch, and layers recomputed (engine.care).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rlvr_bench.errors import EnvironmentFaultError
from rlvr_bench.schema.base import Frozen
from rlvr_bench.schema.card import Card
from rlvr_bench.schema.suite import Lora, TrainingSettings

MOST_MICRO_BATCH = 16
"""Completions in one pass: larger ones gain nothing once a GPU is busy."""
OVERHEAD_BYTES = 1.5e9
"""CUDA's context and the communicator's buffers."""
USABLE = 0.92
"""Of a GPU's memory: the rest goes to fragments."""
LEAST_VLLM_SEQUENCES = 16
"""vLLM is given room for so many sequences at least; fewer make it slower than transformers."""
VLLM_OVERHEAD_BYTES = 2e9
HEAD_TOKENS, HEAD_WORDS = 4_096, 32_768
"""TRL computes log-probabilities in tiles of so many tokens and words of the vocabulary."""
BUSY_TOKENS = 8_192
"""A GPU is busy with so many tokens in a pass: below, recomputing layers costs less than smaller passes."""
AGAIN = 1.4
"""What the backward of a layer holds at its peak, as a multiple of what its forward leaves for it."""
KEYS_IN_FLOAT32 = 1.5
"""Of the bfloat16 cache: autocast leaves keys in float32, as rotary embeddings are, where transformers samples."""

KNOWN = (
    (0.6e9, 24, 896, 4_864),
    (1.8e9, 28, 1_536, 8_960),
    (3.5e9, 36, 2_048, 11_008),
    (7.8e9, 28, 3_584, 18_944),
    (10e9, 32, 4_096, 14_336),
    (20e9, 48, 5_120, 13_824),
    (40e9, 64, 5_120, 27_648),
    (1e12, 80, 8_192, 28_672),
)
"""Layers, width and inner width by parameters up to which: Qwen2.5 and Llama 3, their configurations on the hub."""


@dataclass(frozen=True)
class Shape:
    """What of a model decides memory. Bytes of a token: `kv_bytes` of bfloat16 keys and values, all layers;
    `saved_bytes` of what one layer leaves for its backward under autocast; `scores` heads beside it leave their
    attention for every token of the sequence, where it is not fused. `tied`: embedding and head are one."""

    parameters: int
    layers: int
    width: int
    vocabulary: int
    kv_bytes: float
    saved_bytes: float
    scores: int = 0
    tied: bool = False


@dataclass(frozen=True)
class Gpu:
    """A kind of GPU: its name, and bytes of memory."""

    name: str
    memory: float


class Fit(Frozen):
    """How a training runs: `ranks` processes, each on one GPU; `micro_batch` x `accumulation` x `ranks` rollouts an
    update. `sharding`: `full` splits weights, gradients and optimizer over the ranks (FSDP, as ZeRO stage 3).
    `checkpointing`: layers are recomputed in the backward. `peak_bytes` are of one GPU, estimated."""

    ranks: int
    micro_batch: int
    accumulation: int
    sampling_batch: int
    sharding: Literal["none", "full"]
    checkpointing: bool
    generation: Literal["vllm", "transformers"]
    vllm_share: float | None = None
    peak_bytes: float

    def words(self, gpu: Gpu) -> str:
        """Return the choice in one line."""
        stage = "ZeRO stage 3 (FSDP)" if self.sharding == "full" else "not sharded"
        by = f"vLLM with {self.vllm_share:.2f} of the memory" if self.vllm_share else "transformers"
        ranks = f" x {self.ranks} ranks" if self.ranks > 1 else ""
        return (
            f"{self.ranks} x {gpu.name}, micro-batch {self.micro_batch} x {self.accumulation} accumulated{ranks} = "
            f"{self.micro_batch * self.accumulation * self.ranks} rollouts an update, {stage}, "
            f"{'layers recomputed' if self.checkpointing else 'nothing recomputed'}, sampled by {by}, "
            f"{self.sampling_batch} at once a rank, peak about {self.peak_bytes / 1e9:.0f} of {gpu.memory / 1e9:.0f} GB"
        )


def shape_by(card: Card, config: Mapping[str, Any]) -> Shape:
    """Return a card's shape by its model's configuration (config.json)."""
    layers, width, heads = (int(config[name]) for name in ("num_hidden_layers", "hidden_size", "num_attention_heads"))
    size = int(config.get("head_dim") or width // heads)
    keys = int(config.get("num_key_value_heads") or heads)
    architecture = card.architecture
    return Shape(
        card.parameters,
        layers,
        width,
        int(config["vocab_size"]),
        4.0 * layers * keys * size,
        _saved(architecture, width, heads * size, int(config["intermediate_size"])),
        heads if architecture.startswith("Gemma2") else 0,
        bool(config.get("tie_word_embeddings", architecture.startswith("Gemma"))),
    )


def _saved(architecture: str, width: int, attention: int, inner: int) -> float:
    """Return the bytes that one layer leaves for one token, `attention` being the width of all its heads: measured
    (tests/backends/test_memory.py). More norms leave more."""
    more = 0.0
    if architecture.startswith(("Olmo", "Gemma")):
        more = 16.0 * width
    elif architecture.startswith("Qwen3"):
        more = 6.0 * attention
    return 28.0 * width + 10.0 * attention + 8.0 * inner + more


def shape_of(card: Card) -> Shape:
    """Return a card's shape, as that of known models of its size: before its configuration is here."""
    layers, width, inner = next(rest for most, *rest in KNOWN if card.parameters <= most)
    grouped = 1.0 if card.architecture.startswith("Olmo2") else 0.25  # OLMo 2 has a key for every query head
    return Shape(
        card.parameters,
        layers,
        width,
        152_064,
        4.0 * layers * width * grouped,
        _saved(card.architecture, width, width, inner),
        width // 256 if card.architecture.startswith("Gemma2") else 0,
        card.parameters < 4e9 or card.architecture.startswith("Gemma"),
    )


def trained_by_lora(shape: Shape, lora: Lora) -> float:
    """Return how many parameters low-rank factors have: seven linear layers of about four widths in all, two each."""
    return 24.0 * lora.rank * shape.width * shape.layers


def is_sharded(settings: TrainingSettings, ranks: int) -> bool:
    """Return whether weights are split over the ranks: never where low-rank factors are trained, as each rank holds the
    whole base anyway and their sum has to be made from whole ones."""
    return ranks > 1 and settings.lora is None


def state_bytes(shape: Shape, settings: TrainingSettings) -> float:
    """Return the bytes of weights, gradients and optimizer, of all ranks together."""
    if settings.lora is None:
        return (8.0 if settings.optimizer == "sgd" else 16.0) * shape.parameters
    return 4.0 * shape.parameters + 16.0 * trained_by_lora(shape, settings.lora)


def length_of(settings: TrainingSettings) -> int:
    """Return the tokens of the longest sequence."""
    return settings.max_prompt_tokens + settings.max_completion_tokens


def update_bytes(
    shape: Shape, settings: TrainingSettings, *, ranks: int, micro_batch: int, checkpointing: bool
) -> float:
    """Return what one GPU holds at the peak of an update beside weights, gradients and optimizer.

    The peak is where log-probabilities are computed, with the bfloat16 copies of all weights, or in the backward of the
    last layer; a forward whose layers are recomputed leaves its float32 inputs alone and no copies of weights.
    """
    length, sharded = length_of(settings), is_sharded(settings, ranks)
    tokens, layer, ends = micro_batch * length, 2.0 * shape.parameters / shape.layers, _ends(shape)
    copies = ends + 2 * layer if sharded else 2.0 * shape.parameters
    whole = 3 * (ends + layer) if sharded else 0.0  # gradients before they are dealt out, and in float32 for their sum
    head = 2.0 * HEAD_WORDS * min(HEAD_TOKENS, tokens) + 16.0 * tokens * shape.width
    of_head = 4.0 * shape.vocabulary * shape.width if settings.lora is None else 0.0  # its gradient, before it is added
    held = of_head if shape.tied else 0.0  # a tied one waits for the embedding's
    fused, scores = tokens * shape.saved_bytes, 8.0 * tokens * shape.scores * length
    mask = 2.0 * tokens * length
    if checkpointing:
        kept = (2.0 if sharded else 4.0) * tokens * shape.width * shape.layers
        again = max(AGAIN * fused + scores, 0.6 * fused + 1.8 * scores)  # of the inner part, or of attention after it
        return kept + max(copies + head + of_head, again + mask + (copies if sharded else layer) + whole + held)
    again = max((AGAIN - 1) * fused, 0.8 * scores) + whole + held
    return (fused + scores + mask) * shape.layers + copies + max(head + of_head, again)


def _ends(shape: Shape) -> float:
    """Return the bytes of embedding and head in bfloat16."""
    return (2.0 if shape.tied else 4.0) * shape.vocabulary * shape.width


def peak_bytes(
    shape: Shape,
    settings: TrainingSettings,
    *,
    ranks: int,
    micro_batch: int,
    sampling_batch: int,
    vllm_share: float | None,
    gpu: Gpu,
    checkpointing: bool,
) -> float:
    """Return what one GPU holds at the peak of a step: of an update, or of sampling, whichever is more."""
    sharded = is_sharded(settings, ranks)
    states = state_bytes(shape, settings) / (ranks if sharded else 1)
    update = states + update_bytes(shape, settings, ranks=ranks, micro_batch=micro_batch, checkpointing=checkpointing)
    if vllm_share is not None:
        return OVERHEAD_BYTES + update + vllm_share * gpu.memory
    # transformers samples with autocast's copies; what is sharded with embedding and head whole, in float32, and one
    # layer after another; there are no gradients then
    copies = 2 * _ends(shape) + 4.0 * shape.parameters / shape.layers if sharded else 2.0 * shape.parameters
    trained = shape.parameters if settings.lora is None else trained_by_lora(shape, settings.lora)
    held = states - 4.0 * trained / (ranks if sharded else 1) + copies
    each = KEYS_IN_FLOAT32 * length_of(settings) * shape.kv_bytes + 16.0 * shape.vocabulary
    return OVERHEAD_BYTES + max(update, held + sampling_batch * each)


def choices(settings: TrainingSettings, available: int) -> list[int]:
    """Return the numbers of ranks, ascending, over which neither a group nor an update has to be split unevenly."""
    update = settings.prompts_per_step * settings.group_size // settings.updates_per_step
    return [n for n in range(1, available + 1) if settings.prompts_per_step % n == 0 and update % n == 0]


def fit(
    card: Card,
    settings: TrainingSettings,
    gpu: Gpu,
    available: int,
    *,
    generation: Literal["vllm", "transformers"],
    shape: Shape | None = None,
    ranks: int | None = None,
    most: int | None = None,
    anyhow: bool = False,
) -> Fit:
    """Return how a card is trained on up to `available` GPUs of one kind: on as few as hold it, with the largest
    micro-batch that fits, at most `most`. `ranks` are taken as they are where they are given. `anyhow`: what seems not
    to fit is tried with the smallest batches, as these are estimates and somebody has decided already.

    Raises EnvironmentFaultError where nothing fits, saying what would.
    """
    shape = shape or shape_of(card)
    found = [
        one
        for count in (choices(settings, available) if ranks is None else [ranks])
        if (one := _on(shape, settings, gpu, count, generation, most)) is not None
    ]
    if found:  # one completion in a pass leaves nothing to halve
        return next((one for one in found if one.micro_batch > 1 or one.accumulation == 1), found[0])
    if anyhow:
        smallest = _on(shape, settings, Gpu(gpu.name, BOUNDLESS), ranks or available, generation, 1)
        assert smallest is not None, "anything fits there"
        share = smallest.vllm_share and _vllm_share(shape, settings, gpu)
        return smallest.model_copy(update={"vllm_share": share, "peak_bytes": gpu.memory})
    raise EnvironmentFaultError(
        f"{card.name} does not fit: its training holds {state_bytes(shape, settings) / 1e9:.0f} GB of weights, "
        f"gradients and optimizer before any rollout, and there {'is' if available == 1 else 'are'} {available} x "
        f"{gpu.name} with {gpu.memory / 1e9:.0f} GB",
        hint=_would(shape, settings, gpu, generation),
    )


def _would(shape: Shape, settings: TrainingSettings, gpu: Gpu, generation: Literal["vllm", "transformers"]) -> str:
    """Say what would fit."""
    found = []
    for kind in (gpu, Gpu("80 GB", 80e9)):
        for count in choices(settings, 64):
            if _on(shape, settings, kind, count, generation, None):
                found.append(f"{count} GPUs of {kind.memory / 1e9:.0f} GB")
                break
    allowed = ", ".join(map(str, choices(settings, 64)))
    small = "lora: in the suite's training, " if settings.lora is None else ""
    return (f"would fit: {' or '.join(dict.fromkeys(found))}; " if found else "") + (
        f"{small}shorter completions, or --models without it; ranks that split no group: {allowed}"
    )


def _on(
    shape: Shape,
    settings: TrainingSettings,
    gpu: Gpu,
    ranks: int,
    generation: Literal["vllm", "transformers"],
    most: int | None,
) -> Fit | None:
    """Return the fit on some ranks, or None: with nothing recomputed where a pass then still keeps a GPU busy, and no
    attempt ran out of memory."""
    mine = settings.prompts_per_step * settings.group_size // settings.updates_per_step // ranks
    local = settings.prompts_per_step * settings.group_size // ranks
    room = USABLE * gpu.memory
    share = _vllm_share(shape, settings, gpu) if generation == "vllm" else None
    largest = [n for n in range(min(mine, most or MOST_MICRO_BATCH), 0, -1) if mine % n == 0]
    busy = [n for n in largest if n > 1 and (n * length_of(settings) >= BUSY_TOKENS or n == mine)]
    whole = settings.sampling_batch and min(settings.sampling_batch, local)
    at_once = [whole] if whole else [g for g in _halved(local) if g >= min(settings.group_size, local)]
    for micro, again in [(n, False) for n in busy if most is None] + [(n, True) for n in largest]:
        for sampled in at_once if share is None else at_once[:1]:
            peak = peak_bytes(
                shape,
                settings,
                ranks=ranks,
                micro_batch=micro,
                sampling_batch=sampled,
                vllm_share=share,
                gpu=gpu,
                checkpointing=again,
            )
            if peak <= room:
                return Fit(
                    ranks=ranks,
                    micro_batch=micro,
                    accumulation=mine // micro,
                    sampling_batch=sampled,
                    sharding="full" if is_sharded(settings, ranks) else "none",
                    checkpointing=again,
                    generation=generation,
                    vllm_share=share,
                    peak_bytes=peak,
                )
    return None


def _halved(count: int) -> list[int]:
    found = [count]
    while found[-1] % 2 == 0:
        found.append(found[-1] // 2)
    return found


BOUNDLESS = 1e18
SMI = 0.985
"""nvidia-smi counts memory that CUDA keeps for itself."""


def _vllm_share(shape: Shape, settings: TrainingSettings, gpu: Gpu) -> float:
    """Return the share of a GPU's memory for vLLM: its bfloat16 weights and room for some sequences, rounded up."""
    needed = 2.0 * shape.parameters + VLLM_OVERHEAD_BYTES
    needed += LEAST_VLLM_SEQUENCES * length_of(settings) * shape.kv_bytes
    return min(0.95, -(-100 * needed // gpu.memory) / 100)
