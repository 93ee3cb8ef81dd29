"""Loading models and tokenizers. Safetensors only, no remote code, digests checked before loading."""

from pathlib import Path
from typing import Any

from rlvr_bench.backends.micro import TOKENIZER, WEIGHTS
from rlvr_bench.errors import EnvironmentFaultError
from rlvr_bench.runs import layout
from rlvr_bench.runs.store import file_digest
from rlvr_bench.schema.card import Card


def check_weights(card: Card) -> Path:
    """Return the folder of a card's untouched weights, after checking their digest.

    Raises EnvironmentFaultError where the file is missing or is not the one that the card names.
    """
    folder = WEIGHTS / card.weights.folder
    path = folder / layout.WEIGHTS
    if not path.is_file():
        raise EnvironmentFaultError(
            f"the weights of {card.name} are missing",
            where=str(path),
            hint="pip install --force-reinstall rlvr-bench",
        )
    if file_digest(path) != card.weights.sha256:
        raise EnvironmentFaultError(
            f"the weights of {card.name} are damaged: their digest is not the card's",
            where=str(path),
            hint="pip install --force-reinstall rlvr-bench",
        )
    return folder


def load_tokenizer(card: Card) -> Any:
    """Return the card's tokenizer with the card's chat template.

    Never through AutoTokenizer beside a config.json: for qwen2 it takes its own pre-tokenizer in place of
    the one in tokenizer.json, silently (docs/micro.md, "The tokenizer trap").
    """
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(TOKENIZER, padding_side="left")
    tokenizer.chat_template = card.chat_template
    return tokenizer


def load_model(card: Card, checkpoint: Path | None = None) -> Any:
    """Return the card's model in float32, untouched or with a checkpoint's weights.

    Eager attention: at this size 30 % faster on a CPU than the fused kernel (docs/benchmarks.md).
    """
    from transformers import AutoModelForCausalLM

    folder = check_weights(card) if checkpoint is None else checkpoint
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype="float32",
        attn_implementation="eager",
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
    )
    if type(model).__name__ != card.architecture:
        raise EnvironmentFaultError(
            f"{card.name}: the weights are of {type(model).__name__}, the card says {card.architecture}",
            where=str(folder),
        )
    return model


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
