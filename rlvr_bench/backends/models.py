"""Loading models and tokenizers. Safetensors only, no remote code, sizes and digests checked before loading."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from rlvr_bench.backends import hub
from rlvr_bench.backends.micro import TOKENIZER, WEIGHTS
from rlvr_bench.errors import EnvironmentFaultError
from rlvr_bench.runs import layout
from rlvr_bench.runs.store import file_digest
from rlvr_bench.schema.card import Card, EmbeddedWeights, HubWeights

Device = Literal["cpu", "cuda"]
ONE_FILE = "10TB"
"""Weights are saved in one file, whatever their size: its digest is theirs."""
PARAMETERS_TOLERANCE = 0.3
"""Counts differ by whether tied embeddings count twice, up to a quarter of a small model; more is another size."""


def pinned(card: Card, look_up: Callable[[hub.Kind, str, str], hub.Found] = hub.look_up) -> Card:
    """Return a card with the commit that its revision names today, and the files that are loaded, frozen in.

    Raises what `hub.look_up` raises, EnvironmentFaultError where the hub holds another model than the card says.
    """
    weights = card.weights
    if isinstance(weights, EmbeddedWeights) or weights.commit is not None:
        return card
    found = look_up("model", weights.repository, weights.revision)
    if found.parameters and abs(found.parameters - card.parameters) > PARAMETERS_TOLERANCE * card.parameters:
        raise EnvironmentFaultError(
            f"{found.repository} has {found.parameters:,} parameters, the card of {card.name} says {card.parameters:,}",
            where=f"at {found.commit[:12]}",
            hint=f"mend the card: rlvr-bench show card {card.name} > {card.name}.yaml, and give its path",
        )
    frozen = {"repository": found.repository, "commit": found.commit, "files": hub.wanted_files(found)}
    return card.model_copy(update={"weights": weights.model_copy(update=frozen), "gated": found.gated})


def fetch(
    card: Card,
    seen: Callable[[Path, str], bool] = lambda *_: False,
    saw: Callable[[Path, str], None] = lambda *_: None,
) -> Path:
    """Return the folder of a card's untouched model, with what was missing downloaded, sizes and digests checked.

    `seen` says whether a file was found to have a digest before, and `saw` is told: 16 GB take half a minute.

    Raises what `hub.fetch` raises, EnvironmentFaultError where a file is missing or is not the one that is meant.
    """
    if isinstance(card.weights, EmbeddedWeights):
        return _embedded(card, card.weights)
    paths = _local(card.weights)
    known = {name: file.sha256 for name, file in card.weights.files.items() if file.sha256 is not None}
    owed = [name for name in known if not seen(paths[name], known[name])]
    with ThreadPoolExecutor(4) as pool:
        digests = dict(zip(owed, pool.map(file_digest, [paths[name] for name in owed]), strict=True))
    for name, digest in digests.items():
        if digest != known[name]:
            raise EnvironmentFaultError(
                f"{name} of {card.weights.repository} is damaged: its digest is not the hub's",
                where=str(paths[name]),
                hint="remove that file (and what it links to) and run the same command again",
            )
        saw(paths[name], digest)
    return paths["config.json"].parent


def check_weights(card: Card) -> Path:
    """Return the folder of a card's untouched model for a stage: files there and whole, by digest or by size.

    The digest of large files is checked once, when a run begins (`fetch`).
    """
    if isinstance(card.weights, EmbeddedWeights):
        return _embedded(card, card.weights)
    return _local(card.weights)["config.json"].parent


def _local(weights: HubWeights) -> dict[str, Path]:
    """Return the local paths of a model's files, downloaded where they are missing, each of the size it should have."""
    assert weights.commit is not None, "a plan freezes the commit"
    names = list(weights.files)
    paths = dict(zip(names, hub.fetch("model", weights.repository, weights.commit, names), strict=True))
    for name, path in paths.items():
        size = path.stat().st_size
        if size != weights.files[name].size:
            raise EnvironmentFaultError(
                f"{name} of {weights.repository} has {size:,} bytes here, the hub says {weights.files[name].size:,}",
                where=str(path),
                hint="remove that file (and what it links to) and run the same command again",
            )
    return paths


def _embedded(card: Card, weights: EmbeddedWeights) -> Path:
    """Return the folder of embedded weights, after checking their digest."""
    folder = WEIGHTS / weights.folder
    path = folder / layout.WEIGHTS
    if not path.is_file():
        raise EnvironmentFaultError(
            f"the weights of {card.name} are missing",
            where=str(path),
            hint="pip install --force-reinstall rlvr-bench",
        )
    if file_digest(path) != weights.sha256:
        raise EnvironmentFaultError(
            f"the weights of {card.name} are damaged: their digest is not the card's",
            where=str(path),
            hint="pip install --force-reinstall rlvr-bench",
        )
    return folder


def load_tokenizer(card: Card) -> Any:
    """Return the card's tokenizer with the card's chat template.

    Of embedded models never through AutoTokenizer beside a config.json: for qwen2 it takes its own pre-tokenizer in
    place of the one in tokenizer.json, silently (docs/micro.md, "The tokenizer trap").
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if isinstance(card.weights, EmbeddedWeights):
        tokenizer = PreTrainedTokenizerFast.from_pretrained(TOKENIZER, padding_side="left")
    else:
        tokenizer = AutoTokenizer.from_pretrained(
            check_weights(card), padding_side="left", trust_remote_code=False, local_files_only=True
        )
    if tokenizer.eos_token_id is None:
        raise EnvironmentFaultError(f"the tokenizer of {card.name} has no end token")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if card.bos_token and tokenizer.bos_token != card.bos_token:
        raise EnvironmentFaultError(
            f"the tokenizer of {card.name} begins texts with {tokenizer.bos_token!r}, its card with {card.bos_token!r}"
        )
    tokenizer.chat_template = card.chat_template
    end_ids(tokenizer, card)
    return tokenizer


def end_ids(tokenizer: Any, card: Card) -> list[int]:
    """Return the ids of the tokens that end an answer. Raises EnvironmentFaultError for one that is no single token."""
    found = [tokenizer.eos_token_id]
    for token in card.end_tokens:
        ids = tokenizer.encode(token, add_special_tokens=False)
        if len(ids) != 1:
            raise EnvironmentFaultError(
                f"end token {token!r} of card {card.name} is not one token of its tokenizer, but {len(ids)}",
                hint="end_tokens of the card must be tokens; strings that end an answer belong under stop",
            )
        found.append(ids[0])
    return list(dict.fromkeys(found))


def attention(card: Card, device: Device) -> str:
    """Return the attention that a model computes with: the fused kernel on a GPU, where its architecture has one.

    Gemma 2 caps its attention logits, which the fused kernel cannot.
    """
    return "eager" if device == "cpu" or card.architecture.startswith("Gemma2") else "sdpa"


def load_model(
    card: Card, checkpoint: Path | None = None, *, device: Device = "cpu", training: bool = False, move: bool = True
) -> Any:
    """Return the card's model, untouched or with a checkpoint's weights; left on the CPU without `move`.

    In float32 on a CPU, with eager attention, which at micro's size is 30 % faster than the fused kernel
    (docs/benchmarks.md); on a GPU in bfloat16, for `training` in float32: a step of 1e-7 is lost in bfloat16.
    """
    import torch
    from transformers import AutoModelForCausalLM

    if device == "cuda" and not torch.cuda.is_available():
        raise EnvironmentFaultError(
            "the suite needs a GPU and torch sees none",
            hint="nvidia-smi; python -c 'import torch; print(torch.version.cuda, torch.cuda.is_available())'",
        )
    folder = check_weights(card) if checkpoint is None else checkpoint
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype="float32" if device == "cpu" or training else "bfloat16",
        attn_implementation=attention(card, device),
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
    )
    if type(model).__name__ != card.architecture:
        raise EnvironmentFaultError(
            f"{card.name}: the weights are of {type(model).__name__}, the card says {card.architecture}",
            where=str(folder),
        )
    room = getattr(model.config, "max_position_embeddings", None)
    if isinstance(card.weights, HubWeights) and room is not None and room < card.context_tokens:
        raise EnvironmentFaultError(
            f"{card.name} has {room:,} tokens of context, the card says {card.context_tokens:,}", where=str(folder)
        )
    if isinstance(card.weights, HubWeights):
        _plain_generation(model, load_tokenizer(card), card)
    return model.to(device) if move else model


def _plain_generation(model: Any, tokenizer: Any, card: Card) -> None:
    """Take away how a model's authors would sample it: a repetition penalty of theirs would act in silence.

    What ends a completion stays: TRL ends one at every end token that is named here.
    """
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig(
        eos_token_id=end_ids(tokenizer, card),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )


def prompt_ids(tokenizer: Any, problem: str) -> list[int]:
    """Return the token ids that TRL feeds for a problem: the chat template, with the generation prompt."""
    out = tokenizer.apply_chat_template(
        [{"role": "user", "content": problem}], add_generation_prompt=True, tokenize=True, return_dict=True
    )
    return list(out["input_ids"])


def prepare_process() -> None:
    """Set a worker process up: one torch thread, no progress bars; its log keeps the libraries' warnings."""
    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
