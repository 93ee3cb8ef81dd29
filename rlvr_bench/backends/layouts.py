"""What a folder of trained weights is: the layouts that training repositories leave, and what to do about each.

Only safetensors are read. Shards of optimizers' and distributed checkpoints (`.pt`, `.bin`, `.distcp`) are pickles, or
have to be put together by the program that wrote them: they are refused with that program's command.
"""

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rlvr_bench.backends.hub import INDEX, PART, WEIGHTS
from rlvr_bench.errors import EnvironmentFaultError, UsageError
from rlvr_bench.schema.method import Layout

ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
INSIDE = ("huggingface", "actor/huggingface", "hf", "export", "final")
"""Where training repositories put a model in transformers' layout beside their own state: verl, OpenRLHF and others."""
CONFIGS = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model")

CONVERTED: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("*model_world_size_*_rank_*.pt",),
        "verl's FSDP shards",
        "python -m verl.model_merger merge --backend fsdp --local_dir {0}/actor --target_dir {0}/merged",
    ),
    (
        ("zero_to_fp32.py", "*/zero_to_fp32.py", "*mp_rank_*_model_states.pt"),
        "DeepSpeed's shards (OpenRLHF, TRL)",
        "python {0}/zero_to_fp32.py {0} {0}/merged --safe_serialization, and copy config.json into it",
    ),
    (
        ("*.distcp", "*/.metadata", ".metadata"),
        "a distributed checkpoint of torch",
        "accelerate merge-weights {0} {0}/merged, and copy config.json into it",
    ),
    (
        ("*pytorch_model*.bin", "*adapter_model.bin", "*consolidated.*.pth"),
        "pickled weights, which can run code when they are read",
        "where you trust the file, in Python: AutoModelForCausalLM.from_pretrained({0!r}).save_pretrained(OUT)",
    ),
)
"""Patterns of files by which a layout is known that is not loaded, what it is, and the command that converts it."""


@dataclass(frozen=True)
class Located:
    """A model or adapter in a folder: which layout, and the names of its files of weights."""

    folder: Path
    layout: Layout
    weights: tuple[str, ...]


def locate(folder: Path) -> Located:
    """Return where in a folder the weights are.

    Raises UsageError where it holds several checkpoints and none is named, EnvironmentFaultError for layouts that have
    to be converted, with the command.
    """
    if not folder.is_dir():
        raise UsageError(f"no such folder: {folder}", hint="path is beside the method's file, or whole")
    for place in (folder, *(folder / name for name in INSIDE)):
        found = _model_in(place)
        if found:
            return found
    raise _why_not(folder)


def _model_in(folder: Path) -> Located | None:
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if ADAPTER_CONFIG in names and ADAPTER in names:
        return Located(folder, "adapter", (ADAPTER,))
    if "config.json" not in names:
        return None
    if WEIGHTS in names:
        return Located(folder, "transformers", (WEIGHTS,))
    parts = tuple(name for name in names if fnmatchcase(name, PART))
    if INDEX in names and parts:
        listed = set(map(str, _json(folder / INDEX).get("weight_map", {}).values()))
        if listed != set(parts):
            missing = sorted(listed - set(parts))
            raise EnvironmentFaultError(
                f"{INDEX} and the parts beside it differ: {', '.join(missing[:3]) or 'parts too many'}",
                where=str(folder),
                hint="copy the whole folder",
            )
        return Located(folder, "transformers", parts)
    return None


def _why_not(folder: Path) -> UsageError | EnvironmentFaultError:
    """Return the error that says what a folder is instead, and what to do."""
    below = [path for path in folder.rglob("*") if len(path.relative_to(folder).parts) <= 3]
    names = [path.relative_to(folder).as_posix() for path in below]
    models = sorted(
        {path.parent for path in below if path.name in ("config.json", ADAPTER_CONFIG) and _model_in(path.parent)}
    )
    if models:
        shown = ", ".join(str(path.relative_to(folder)) for path in models[-4:])
        return UsageError(
            f"{folder} holds {len(models)} checkpoints and is none itself: {shown}",
            hint=f"name the final one: path: {models[-1]}",
        )

    for patterns, what, command in CONVERTED:
        if any(fnmatchcase(name, pattern) for name in names for pattern in patterns):
            return EnvironmentFaultError(
                f"{what}: not a model that can be loaded as it is", where=str(folder), hint=command.format(str(folder))
            )
    return UsageError(
        f"{folder} holds no model: {', '.join(names[:6]) or 'it is empty'}",
        hint=f"a folder with config.json and {WEIGHTS}, or with {ADAPTER_CONFIG} and {ADAPTER}",
    )


def check(located: Located, untouched: Path, model: str, architecture: str) -> None:
    """Raise UsageError where weights are not of the card's architecture and tokenizer.

    Layers, widths and vocabulary must be those of the untouched model; a tokenizer beside the weights must give every
    token of the untouched one the same id.
    """
    if located.layout == "adapter":
        return
    own = _json(untouched / "config.json")
    config = _json(located.folder / "config.json")
    named = (config.get("architectures") or ["unnamed"])[0]
    if named != architecture:
        raise UsageError(f"the checkpoint is of {named}, {model} is {architecture}", where=str(located.folder))
    for key in ("num_hidden_layers", "hidden_size", "vocab_size", "num_attention_heads"):
        if config.get(key) != own.get(key):
            raise UsageError(
                f"{key} of the checkpoint is {config.get(key)}, that of {model} is {own.get(key)}: another model",
                where=str(located.folder / "config.json"),
                hint="name the model that it was trained from",
            )
    ours, theirs = _vocabulary(untouched), _vocabulary(located.folder)
    if ours and theirs:
        odd = [token for token, number in ours.items() if theirs.get(token) != number]
        if odd:
            raise UsageError(
                f"the checkpoint's tokenizer is not that of {model}: {odd[0]!r} is {theirs.get(odd[0])}, "
                f"not {ours[odd[0]]}" + (f" (and {len(odd) - 1} more)" if len(odd) > 1 else ""),
                where=str(located.folder / "tokenizer.json"),
            )


def _vocabulary(folder: Path) -> dict[str, int]:
    """Return the ids of a tokenizer's tokens by its tokenizer.json; nothing where there is none."""
    if not (folder / "tokenizer.json").is_file():
        return {}
    told = _json(folder / "tokenizer.json")
    vocabulary = told.get("model", {}).get("vocab", {})
    found = dict(vocabulary) if isinstance(vocabulary, dict) else {}
    return found | {str(added.get("content")): int(added.get("id", -1)) for added in told.get("added_tokens", [])}


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EnvironmentFaultError(f"{path.name} cannot be read: {error}", where=str(path)) from error
    if not isinstance(found, dict):
        raise EnvironmentFaultError(f"{path.name} holds no settings", where=str(path))
    return found
