"""Weights that were trained elsewhere: pinned when a plan is made, checked and taken over in place of a training."""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rlvr_bench.backends import hub
from rlvr_bench.backends.hub import INDEX
from rlvr_bench.backends.layouts import ADAPTER, ADAPTER_CONFIG, CONFIGS, Located, check, locate
from rlvr_bench.backends.models import ONE_FILE, check_weights, load_model
from rlvr_bench.errors import EnvironmentFaultError, UsageError
from rlvr_bench.runs import layout
from rlvr_bench.runs.store import file_digest, weights_digest
from rlvr_bench.schema.base import digest
from rlvr_bench.schema.card import Card, HubFile, HubWeights
from rlvr_bench.schema.method import Checkpoint
from rlvr_bench.schema.plan import AdoptInputs
from rlvr_bench.schema.record import Definition, Imported, Training

OF_ADAPTERS = (ADAPTER, ADAPTER_CONFIG)


def pinned(checkpoint: Checkpoint, look_up: Callable[[hub.Kind, str, str], hub.Found] = hub.look_up) -> Checkpoint:
    """Return a checkpoint with its layout and the digests of its files; of the hub's, with today's commit.

    Raises what `locate` and `hub.look_up` raise.
    """
    if checkpoint.path is not None:
        found = locate(Path(checkpoint.path))
        names = [*found.weights, *(n for n in (INDEX, *OF_ADAPTERS) if (found.folder / n).is_file())]
        paths = [found.folder / name for name in dict.fromkeys(names)]
        with ThreadPoolExecutor(4) as pool:
            digests = list(pool.map(file_digest, paths))
        files = {p.name: HubFile(size=p.stat().st_size, sha256=d) for p, d in zip(paths, digests, strict=True)}
        return checkpoint.model_copy(update={"path": str(found.folder), "layout": found.layout, "files": files})
    assert checkpoint.repository is not None
    there = look_up("model", checkpoint.repository, checkpoint.revision)
    if ADAPTER in there.files and ADAPTER_CONFIG in there.files:
        files = {name: there.files[name] for name in OF_ADAPTERS}
        kind = "adapter"
    else:
        files, kind = hub.wanted_files(there), "transformers"
    update = {"repository": there.repository, "commit": there.commit, "files": files, "layout": kind}
    return checkpoint.model_copy(update=update)


def adopt(inputs: AdoptInputs, folder: Path) -> Training:
    """Take a checkpoint over into a stage's folder, checked against the card; an adapter is added to the card's model.

    Raises EnvironmentFaultError where a file is not the one that the plan froze, UsageError for another model's.
    """
    checkpoint, card = inputs.checkpoint, inputs.card
    located = _here(checkpoint)
    for name, file in checkpoint.files.items():
        path = located.folder / name
        if file.sha256 is not None and file_digest(path) != file.sha256:
            raise EnvironmentFaultError(
                f"{name} has changed since the plan was made",
                where=str(path),
                hint="plan again: a checkpoint that changes is another one",
            )
    untouched = check_weights(card)
    check(located, untouched, card.name, card.architecture)
    target = folder / layout.checkpoint()
    target.mkdir(parents=True, exist_ok=True)
    if located.layout == "adapter":
        _merge(located, card, target)
    else:
        for name in (*located.weights, INDEX, *CONFIGS):
            if (located.folder / name).is_file():
                _take(located.folder / name, target / name)
    load_model(card, target)  # what evaluates loads it too: better to know now
    whole = weights_digest(target)
    frozen = {name: file.sha256 for name, file in checkpoint.files.items()}  # looked at above, where they are known
    files = {name: frozen.get(name) or file_digest(located.folder / name) for name in located.weights}
    return Training(
        steps=(),
        rollouts=0,
        problem_ids=(),
        definition=Definition(rewards=(), labels="none", sources={}, digest=digest(["imported", whole])),
        checkpoint_sha256=whole,
        imported=Imported(
            origin=checkpoint.repository or Path(str(checkpoint.path)).name,
            commit=checkpoint.commit,
            layout=located.layout,
            files=files,
        ),
    )


def _here(checkpoint: Checkpoint) -> Located:
    """Return a checkpoint on this machine, downloaded where it is a hub's."""
    if checkpoint.path is not None:
        return locate(Path(checkpoint.path))
    assert checkpoint.repository is not None and checkpoint.commit is not None, "a plan freezes the commit"
    paths = hub.fetch("model", checkpoint.repository, checkpoint.commit, list(checkpoint.files))
    return locate(paths[0].parent)


def _take(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it where the file system cannot; a link's target, not the link."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copy2(source, target)


def _merge(located: Located, card: Card, target: Path) -> None:
    """Add an adapter to the card's untouched model and save the sum in one file.

    Raises UsageError where it was trained on another model, EnvironmentFaultError without peft.
    """
    from importlib.util import find_spec

    if find_spec("peft") is None:
        raise EnvironmentFaultError(
            "the checkpoint is a LoRA adapter, and peft is not installed", hint="pip install 'rlvr-bench[lora]'"
        )
    from peft import PeftConfig, PeftModel

    config = PeftConfig.from_pretrained(str(located.folder))
    named = str(config.base_model_name_or_path or "").rstrip("/").rsplit("/", 1)[-1].lower()
    own = {card.name.lower()} | (
        {card.weights.repository.rsplit("/", 1)[-1].lower()} if isinstance(card.weights, HubWeights) else set()
    )
    if named and named not in own:
        raise UsageError(
            f"the adapter was trained on {config.base_model_name_or_path}, the card is {card.name}",
            where=str(located.folder / ADAPTER_CONFIG),
        )
    model: Any = PeftModel.from_pretrained(load_model(card, training=True), str(located.folder))
    model.merge_and_unload().save_pretrained(target, max_shard_size=ONE_FILE)
