"""The Hugging Face hub: what a name means today, and its files at one commit. Every fault gets its own message.

huggingface_hub does the work and keeps the cache; nothing but safetensors, tokenizer and configuration files is ever
fetched, and of data sets the files that a data set names.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from rlvr_bench.errors import EnvironmentFaultError, RlvrBenchError
from rlvr_bench.schema.card import Commit, HubFile, Repository

Kind = Literal["model", "dataset"]
TIMEOUT_SECONDS = 10.0

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PART = "model-[0-9][0-9][0-9][0-9][0-9]-of-[0-9][0-9][0-9][0-9][0-9].safetensors"
TOKENIZERS = (("tokenizer.json",), ("tokenizer.model",), ("vocab.json", "merges.txt"))
WANTED = (
    *("config.json", "generation_config.json", WEIGHTS, INDEX, PART),
    *("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja"),
)
"""Files of a model that are fetched, as patterns at its top level: no code, no pickles, no second copies."""


class AccessError(EnvironmentFaultError):
    """A model or data set that may not be read."""


class UnreachableError(EnvironmentFaultError):
    """The hub does not answer."""


class AnswerError(EnvironmentFaultError):
    """The hub answers, and what it says is an error or makes no sense."""


@dataclass(frozen=True)
class Found:
    """What the hub says of a repository at a revision; `files` is what there is. `cached`: the local cache says it."""

    repository: Repository
    commit: Commit
    files: dict[str, HubFile]
    gated: bool = False
    parameters: int | None = None
    cached: bool = field(default=False, compare=False)


def look_up(kind: Kind, repository: str, revision: str) -> Found:
    """Return what a revision of a repository is now; from the local cache where the hub cannot be reached.

    Raises AccessError, UnreachableError, EnvironmentFaultError.
    """
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    api = HfApi(library_name="rlvr-bench")
    ask = api.model_info if kind == "model" else api.dataset_info
    with explained(kind, repository, revision):
        try:
            info: Any = ask(repository, revision=revision, files_metadata=True, timeout=TIMEOUT_SECONDS)
        except (httpx2.TransportError, OfflineModeIsEnabled) as error:
            known = _from_cache(kind, repository, revision)
            if known is None:
                raise UnreachableError(
                    f"the hub cannot be reached, and {repository} is not in the local cache",
                    where=f"{api.endpoint}: {_said(error)}",
                    hint=_offline_hint(kind, repository),
                ) from error
            return known
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if isinstance(error, HfHubHTTPError | HFValidationError):
                raise
            raise _senseless(repository, api.endpoint) from error
    try:
        files = {
            sibling.rfilename: HubFile(
                size=sibling.size or 0, sha256=sibling.lfs.sha256 if getattr(sibling, "lfs", None) else None
            )
            for sibling in info.siblings or ()
        }
        weights = getattr(info, "safetensors", None)
        total = weights.total if weights else None
        return _FOUND.validate_python(
            {"repository": info.id, "commit": info.sha, "files": files, "gated": bool(info.gated), "parameters": total}
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise _senseless(repository, api.endpoint) from error


_FOUND: TypeAdapter[Found] = TypeAdapter(Found)


def _senseless(repository: str, endpoint: str) -> AnswerError:
    return AnswerError(
        f"the hub's answer about {repository} is none: a proxy or a login page may stand between",
        where=endpoint,
        hint="open that address in a browser on this machine; HF_ENDPOINT names a mirror",
    )


def check_access(kind: Kind, repository: str) -> None:
    """Raise AccessError where a gated repository is closed to this user."""
    from huggingface_hub import HfApi

    with explained(kind, repository, "main"):
        HfApi(library_name="rlvr-bench").auth_check(repository, repo_type=kind)


def has_token() -> bool:
    """Return whether this machine has a token of the hub."""
    from huggingface_hub import get_token

    return get_token() is not None


def wanted_files(found: Found) -> dict[str, HubFile]:
    """Return the files of a model that are loaded: configuration, tokenizer, and whole weights.

    Raises EnvironmentFaultError where one is missing, and what `fetch` raises: the parts of weights are read from their
    index.
    """
    files = {n: f for n, f in found.files.items() if any(fnmatchcase(n, pattern) for pattern in WANTED)}
    parts = {name for name in files if name.startswith("model-")}
    if WEIGHTS in files:  # one whole file: parts beside it are a second copy
        files = {n: f for n, f in files.items() if n not in parts | {INDEX}}
        needed = {WEIGHTS}
    elif INDEX in files:
        (index,) = fetch("model", found.repository, found.commit, [INDEX])
        needed = _parts_of(index, found)
        files = {n: f for n, f in files.items() if n not in parts or n in needed}
    else:
        needed = {"safetensors weights"}
    missing = sorted((needed | {"config.json"}) - set(files))
    if not any(all(name in files for name in kind) for kind in TOKENIZERS):
        missing.append("tokenizer")
    if missing:
        shown = missing[:4]
        raise EnvironmentFaultError(
            f"{found.repository} holds no {' and no '.join(shown)}",
            where=f"at {found.commit[:12]}: " + (", ".join(sorted(found.files)[:12]) or "no files"),
            hint="finish the download: hf download " + found.repository
            if found.cached
            else "other formats can run code when they are read and are not loaded; choose a repository or revision "
            "with safetensors",
        )
    return files


def _parts_of(index: Path, found: Found) -> set[str]:
    """Return the names of the parts that an index of weights lists."""
    try:
        listed = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        parts = {str(name) for name in listed}
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise EnvironmentFaultError(
            f"{INDEX} of {found.repository} is no index of weights", where=str(index)
        ) from error
    odd = [name for name in parts if not fnmatchcase(name, PART)]
    if odd or not parts:
        raise EnvironmentFaultError(f"{INDEX} of {found.repository} names {odd[:1] or 'no parts'}", where=str(index))
    return parts


def matching(found: Found, patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the files of the first pattern that matches any. Raises EnvironmentFaultError, naming what there is."""
    for pattern in patterns:
        hits = sorted(name for name in found.files if fnmatchcase(name, pattern))
        if hits:
            return tuple(hits)
    raise EnvironmentFaultError(
        f"{found.repository} holds none of the files {', '.join(patterns)}: they were renamed, or this is another set",
        where=f"at {found.commit[:12]}: " + (", ".join(sorted(found.files)[:12]) or "no files"),
        hint="a copy of your own works too: RLVR_BENCH_DATA=DIR with NAME.jsonl",
    )


def fetch(kind: Kind, repository: str, commit: str, names: Sequence[str]) -> list[Path]:
    """Return local paths of files at a commit, downloading what the cache lacks. Nothing is asked where all is there.

    Raises AccessError, UnreachableError, EnvironmentFaultError.
    """
    from concurrent.futures import ThreadPoolExecutor

    from huggingface_hub import hf_hub_download

    def one(name: str) -> Path:
        with explained(kind, repository, commit, name):
            return Path(hf_hub_download(repository, name, repo_type=kind, revision=commit, library_name="rlvr-bench"))

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(one, names))


def is_here(kind: Kind, repository: str, commit: str, names: Sequence[str]) -> bool:
    """Return whether the local cache holds all of some files at a commit."""
    from huggingface_hub import try_to_load_from_cache

    found = [try_to_load_from_cache(repository, name, revision=commit, repo_type=kind) for name in names]
    return all(isinstance(path, str) for path in found)


@contextmanager
def explained(kind: Kind, repository: str, revision: str, name: str = "") -> Iterator[None]:
    """Turn what huggingface_hub raises into what, where and what to type next."""
    import httpx2
    from huggingface_hub import constants, errors

    what = f"{name} of {repository}" if name else repository
    page = f"{constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{repository}"
    where = f"{page} at {revision[:12]}"
    try:
        yield
    except RlvrBenchError:
        raise
    except errors.GatedRepoError as error:
        raise AccessError(
            f"{repository} is gated and this machine has no access to it",
            where=page,
            hint="accept its terms on that page, then `hf auth login` or set HF_TOKEN",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise EnvironmentFaultError(
            f"{repository} has no revision {revision}", where=page, hint="see its branches and tags on that page"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise AccessError(
            f"the hub has no {kind} {repository}, or it is private",
            where=page,
            hint="check the name; for a private one, `hf auth login` or set HF_TOKEN",
        ) from error
    except errors.LocalEntryNotFoundError as error:
        cause = error.__cause__ or error.__context__ or error
        raise UnreachableError(
            f"{what} is not in the local cache and the hub cannot be reached",
            where=f"{where}: {_said(cause)}",
            hint=_offline_hint(kind, repository),
        ) from error
    except errors.EntryNotFoundError as error:
        raise EnvironmentFaultError(
            f"{what} is not there: it was renamed or removed", where=where, hint="the plan's commit no longer holds it"
        ) from error
    except errors.HfHubHTTPError as error:
        code = error.response.status_code if error.response is not None else 0
        if code in (401, 403):
            raise AccessError(
                f"the hub refuses {what} to this machine: {_said(error)}",
                where=page,
                hint="a token may lack the right to read gated or private repositories: `hf auth login` or HF_TOKEN",
            ) from error
        raise AnswerError(
            f"the hub answered {code or 'no status'} for {what}",
            where=where,
            hint="run the same command again in a while",
        ) from error
    except (httpx2.TransportError, errors.OfflineModeIsEnabled) as error:
        raise UnreachableError(
            f"the connection to the hub failed for {what}",
            where=f"{where}: {_said(error)}",
            hint="run the same command again: what was downloaded is kept",
        ) from error
    except OSError as error:
        if "onsistency check" in str(error):
            raise EnvironmentFaultError(
                f"{what} arrived incomplete: its size is not what the hub says",
                where=where,
                hint="run the same command again; a proxy or a full disk cuts files short",
            ) from error
        raise


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return (text or type(error).__name__)[:160]


def _offline_hint(kind: Kind, repository: str) -> str:
    if kind == "model":
        return f"check the network, or on a machine that has one: hf download {repository}, and copy HF_HOME"
    return "check the network, or set RLVR_BENCH_DATA=DIR with NAME.jsonl"


def _from_cache(kind: Kind, repository: str, revision: str) -> Found | None:
    """Return what the local cache holds of a revision, or None."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type=kind)
    ref = folder / "refs" / revision
    commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else revision
    there = [path.name for path in folder.glob("snapshots/*")]
    if commit not in there and len(there) == 1:  # fetched by its commit, as our own downloads are
        commit = there[0]
    snapshot = folder / "snapshots" / commit
    if not snapshot.is_dir():
        return None
    files = {}
    for path in sorted(p for p in snapshot.rglob("*") if p.is_file()):
        blob = path.resolve().name  # large files are stored under their SHA-256
        digest = blob if len(blob) == 64 and set(blob) <= set("0123456789abcdef") else None
        files[str(path.relative_to(snapshot))] = HubFile(size=path.stat().st_size, sha256=digest)
    return Found(repository, commit, files, cached=True)
