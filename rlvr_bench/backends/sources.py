"""Where problems come from: generators, data sets on the hub or in a folder of one's own, a file of one's own."""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

from rlvr_bench import catalog
from rlvr_bench.backends import hub
from rlvr_bench.backends.arithmetic import chain
from rlvr_bench.backends.micro.problems import problems as micro_arithmetic
from rlvr_bench.backends.rows import DataError, Read, check, content_digest, problems_of, read_rows
from rlvr_bench.catalog.files import is_path
from rlvr_bench.errors import InputsChangedError, NotFoundError, UsageError
from rlvr_bench.plugins import did_you_mean
from rlvr_bench.schema.dataset import Columns, DataSet
from rlvr_bench.schema.problem import Problem
from rlvr_bench.schema.suite import Pin, ProblemSet

GENERATORS: dict[str, Callable[..., list[Problem]]] = {
    "micro-arithmetic": micro_arithmetic,
    "arithmetic-chain": chain,
}
FILE = "file"
"""The source of a JSON Lines file of one's own, `arguments: {path: FILE}`."""

FOLDER = "RLVR_BENCH_DATA"
"""The variable that names a folder with a NAME.jsonl for each data set: lines of {id, problem, answer}."""

OWN = Columns(id="id", problem="problem", answer="answer")


def check_source(wanted: ProblemSet, *, training: bool = False) -> None:
    """Raise NotFoundError where a problem set names an unknown source, UsageError for what it cannot have.

    Without `training` the problems are tested: that is not what a training set is for, and all must be there.
    """
    known = [*GENERATORS, *catalog.data_set_names(), FILE]
    if wanted.pin is not None and wanted.pin.data is not None:
        return
    given = ", ".join(sorted(wanted.arguments))
    if wanted.source in GENERATORS:
        try:
            made = GENERATORS[wanted.source](count=2, **wanted.arguments)
        except (TypeError, ValueError) as error:
            raise UsageError(f"problem source {wanted.source}: {error}") from error
        assert len(made) == 2
        return
    if wanted.source == FILE:
        if set(wanted.arguments) != {"path"}:
            raise UsageError("problem source file needs one argument: path", hint="arguments: {path: ./problems.jsonl}")
        return
    if not is_path(wanted.source) and wanted.source not in known:
        raise NotFoundError(
            f"unknown problem source {wanted.source!r}{did_you_mean(wanted.source, known)}",
            hint="known: " + ", ".join(known),
        )
    data = catalog.load_data_set(wanted.source)
    if given:
        raise UsageError(f"data set {data.name} takes no arguments, {given} was given")
    if not training and data.role == "train":
        raise UsageError(f"data set {data.name} is for training: a task needs one that is checked by count and digest")
    if data.count is not None and wanted.count > data.count:
        raise UsageError(f"data set {data.name} has {data.count} problems, {wanted.count} were asked for")


def pinned(wanted: ProblemSet, look_up: Callable[[hub.Kind, str, str], hub.Found] = hub.look_up) -> ProblemSet:
    """Return a problem set with what it is today frozen in: a commit of the hub, or the digest of one's own file.

    Generated problems are what their arguments say. Raises what `hub.look_up` raises, DataError, NotFoundError.
    """
    check_source(wanted, training=True)
    if wanted.source in GENERATORS or wanted.pin is not None:
        return wanted
    if wanted.source == FILE:
        pin = Pin(origin="file", sha256=content_digest(_of_file(_OWN_FILE, str(_file(wanted))).problems))
        return wanted.model_copy(update={"pin": pin})
    data = catalog.load_data_set(wanted.source)
    path = _in_folder(data)
    if path is not None:
        pin = Pin(origin="folder", data=data, sha256=content_digest(_of_file(data, str(path)).problems))
        return wanted.model_copy(update={"pin": pin})
    if data.hub is None:
        raise DataError(f"data set {data.name} is not on the hub", hint=f"set {FOLDER}=DIR with {data.name}.jsonl")
    found = look_up("dataset", data.hub.repository, data.hub.revision)
    files = hub.matching(found, data.hub.files)
    pin = Pin(origin="hub", data=data, repository=found.repository, commit=found.commit, files=files)
    return wanted.model_copy(update={"pin": pin})


def problems(wanted: ProblemSet) -> list[Problem]:
    """Return all problems of a source, those that its pin names.

    Raises InputsChangedError where a file of one's own is no longer the plan's, DataError, and what the hub raises.
    """
    if wanted.source in GENERATORS:
        return GENERATORS[wanted.source](count=wanted.count, **wanted.arguments)
    return list(_read(wanted).problems)


def told(wanted: ProblemSet) -> list[str]:
    """Return what of a training set was set aside when it was read, in sentences."""
    if wanted.source in GENERATORS:
        return []
    read = _read(wanted)
    aside = [(read.empty, "without an answer"), (read.repeated, "repeated"), (read.torn, "with several answers")]
    parts = [f"{count} {what}" for count, what in aside if count]
    name = wanted.pin.data.name if wanted.pin and wanted.pin.data else wanted.source
    return (
        [f"{name}: {len(read.problems)} of {read.rows} rows are taken; set aside: {', '.join(parts)}"] if parts else []
    )


def _read(wanted: ProblemSet) -> Read:
    pin = pinned(wanted).pin
    assert pin is not None
    if pin.origin == "hub":
        assert pin.data is not None and pin.repository is not None and pin.commit is not None
        return _of_hub(pin.data, pin.repository, pin.commit, pin.files)
    if pin.data is None:
        data, path = _OWN_FILE, _file(wanted)
    else:
        data, found_at = pin.data, _in_folder(pin.data)
        if found_at is None:
            raise DataError(
                f"the plan took {data.name} from a folder, and there is none now",
                hint=f"set {FOLDER}=DIR with {data.name}.jsonl, as when the plan was made",
            )
        path = found_at
    found = _of_file(data, str(path))
    if content_digest(found.problems) != pin.sha256:
        raise InputsChangedError(
            "the problems of this file are not those that the plan was made with",
            where=str(path),
            hint="put the old file back, or start a new run",
        )
    return found


def fetch(wanted: ProblemSet) -> None:
    """Bring the files of a pinned problem set to this machine."""
    pin = wanted.pin
    if pin is not None and pin.origin == "hub":
        assert pin.repository is not None and pin.commit is not None
        hub.fetch("dataset", pin.repository, pin.commit, pin.files)


def _file(wanted: ProblemSet) -> Path:
    """Return the file of one's own that a problem set names."""
    path = Path(str(wanted.arguments["path"]))
    if not path.is_file():
        raise NotFoundError(f"no such file of problems: {path}", hint="JSON Lines of {id, problem, answer}")
    return path


def _in_folder(data: DataSet) -> Path | None:
    """Return the file of a data set in the folder of one's own; None where there is none, and the hub is asked."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return None
    if not Path(folder).is_dir():
        raise NotFoundError(f"{FOLDER} names no folder: {folder}", hint=f"unset {FOLDER} to read from the hub")
    path = Path(folder) / f"{data.name}.jsonl"
    return path if path.is_file() else None


_OWN_FILE = DataSet(schema_version=1, name="file", title="A file", role="own", source="a file of one's own")


def _of_file(data: DataSet, path: str) -> Read:
    status = Path(path).stat()
    return _of_file_as_it_is(data, path, status.st_mtime_ns, status.st_size)


@cache
def _of_file_as_it_is(data: DataSet, path: str, _changed: int, _size: int) -> Read:
    """Read a file once in a process, unless it changes: an evaluation needs the same problems several times."""
    found = problems_of(data, read_rows(Path(path)), OWN)
    check(data, found.problems, where=path)
    return found


@cache
def _of_hub(data: DataSet, repository: str, commit: str, files: tuple[str, ...]) -> Read:
    paths = hub.fetch("dataset", repository, commit, files)
    rows = (
        (f"{name} of {repository} at {commit[:12]}{where.removeprefix(str(path))}", row)
        for name, path in zip(files, paths, strict=True)
        for where, row in read_rows(path)
    )
    found = problems_of(data, rows, data.columns)
    check(data, found.problems, where=f"{repository} at {commit[:12]}")
    return found
