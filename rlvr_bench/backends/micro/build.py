"""Building the embedded families from nothing: tokenizer, weights, and a manifest of what was built and how.

The same build gives the same bits on one machine; another processor or torch rounds differently, so the digests of a
manifest are of the processor and the versions that it names.
"""

import hashlib
import multiprocessing
import os
import platform
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from rlvr_bench.backends.micro import MANIFEST, TOKENIZER, WEIGHTS
from rlvr_bench.backends.micro.families import FAMILIES, MODELS, respond
from rlvr_bench.backends.micro.habits import Habits, measure
from rlvr_bench.backends.micro.pretrain import RECIPE, Recipe, pretrained
from rlvr_bench.backends.micro.problems import draw
from rlvr_bench.backends.micro.vocabulary import build_tokenizer, save_tokenizer
from rlvr_bench.backends.models import prepare_process
from rlvr_bench.errors import NotFoundError, UsageError
from rlvr_bench.runs.layout import WEIGHTS as WEIGHTS_FILE
from rlvr_bench.runs.provenance import processor
from rlvr_bench.runs.store import file_digest, write_model
from rlvr_bench.schema.base import Frozen

MEASURED = ("torch", "transformers", "tokenizers")


class Built(Frozen):
    """One model of a manifest. `cpu_seconds` are of one core."""

    family: str
    seed: int
    architecture: str
    parameters: int
    sha256: str
    habits: Habits
    cpu_seconds: float


class Manifest(Frozen):
    """What was built, from what, and where. `families` and `recipe` are those of families.py and pretrain.py; `corpora`
    are digests of the first problems and answers that each family's rules give."""

    schema_version: Literal[1] = 1
    tokenizer_sha256: str
    families: dict[str, dict[str, float | str]]
    corpora: dict[str, str]
    recipe: dict[str, int | float | list[float]]
    versions: dict[str, str]
    processor: str
    models: dict[str, Built]


def build(
    folder: Path,
    models: Sequence[str] = (),
    *,
    recipe: Recipe = RECIPE,
    tell: Callable[[str], None] = lambda _: None,
) -> Manifest:
    """Build tokenizer, weights and manifest.json in a folder, one process a core, and return the manifest.

    Raises NotFoundError for an unknown model, UsageError where the folder holds an earlier build, OSError where it
    cannot be written.
    """
    wanted = tuple(dict.fromkeys(models)) or tuple(MODELS)
    unknown = [name for name in wanted if name not in MODELS]
    if unknown:
        raise NotFoundError(f"no embedded model is called {unknown[0]!r}", hint="known: " + ", ".join(MODELS))
    taken = [path for path in (folder / TOKENIZER.name, folder / WEIGHTS.name, folder / MANIFEST.name) if path.exists()]
    if taken:
        raise UsageError(f"{taken[0]} is there already", hint="name a folder that is new or empty")
    folder.mkdir(parents=True, exist_ok=True)
    save_tokenizer(folder / TOKENIZER.name)
    built = {}
    for name, one in _each([(name, folder / WEIGHTS.name / name, recipe) for name in wanted]):
        built[name] = one
        tell(f"{name}: {one.habits.sampled.accuracy:.1%} at temperature 1, {one.cpu_seconds:.0f} CPU-s")
    manifest = Manifest(
        tokenizer_sha256=file_digest(folder / TOKENIZER.name / "tokenizer.json"),
        families={name: asdict(family) for name, family in FAMILIES.items()},
        corpora={name: corpus_digest(name) for name in FAMILIES},
        recipe=written(recipe),
        versions={"python": platform.python_version(), **{name: version(name) for name in MEASURED}},
        processor=processor(),
        models=built,
    )
    write_model(folder / MANIFEST.name, manifest)
    return manifest


Job = tuple[str, Path, Recipe]


def _each(jobs: Sequence[Job]) -> Iterator[tuple[str, Built]]:
    """Build one model after another in each of as many processes as there are cores; a single one here."""
    if len(jobs) == 1:
        yield _build_one(jobs[0])
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")  # a fork of a process with torch's threads may hang
    with ProcessPoolExecutor(min(len(jobs), cores), mp_context=context) as pool:
        yield from pool.map(_build_one, jobs)


def _build_one(job: Job) -> tuple[str, Built]:
    name, folder, recipe = job
    prepare_process()
    family, seed = MODELS[name]
    started = time.process_time()
    tokenizer = build_tokenizer()
    model = pretrained(FAMILIES[family], seed, tokenizer, recipe=recipe)
    seconds = time.process_time() - started
    model.save_pretrained(folder)
    return name, Built(
        family=family,
        seed=seed,
        architecture=type(model).__name__,
        parameters=sum(p.numel() for p in model.parameters()),
        sha256=file_digest(folder / WEIGHTS_FILE),
        habits=measure(model, tokenizer),
        cpu_seconds=round(seconds, 1),
    )


def written(recipe: Recipe) -> dict[str, int | float | list[float]]:
    """Return a recipe as a manifest holds it."""
    return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(recipe).items()}


def corpus_digest(family: str) -> str:
    """Return the SHA-256 (hex) of the first 500 problems and answers of a family: it moves when any rule does."""
    rng = random.Random(0)
    rows = [f"{p.text}{respond(p, FAMILIES[family], rng)}" for p in (draw(rng) for _ in range(500))]
    return hashlib.sha256("\0".join(rows).encode()).hexdigest()


def shipped() -> Manifest:
    """Return the manifest of the models in the package."""
    return Manifest.model_validate_json(MANIFEST.read_text(encoding="utf-8"))
