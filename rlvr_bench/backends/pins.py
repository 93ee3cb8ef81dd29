"""What a plan freezes: commits of models and data sets. Looked up once for a folder of runs, and kept there.

`revisions.json` beside the runs works as a lock file: the same command later makes the same plan, and other methods
meet the same models, though their authors push a new README in between. Remove a line of it to look that one up anew.
"""

import contextlib
import fcntl
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from rlvr_bench.backends import adopting, hub, models, sources
from rlvr_bench.errors import EnvironmentFaultError, RlvrBenchError
from rlvr_bench.runs.store import write_text
from rlvr_bench.schema.card import Card, HubWeights
from rlvr_bench.schema.method import Checkpoint, Method
from rlvr_bench.schema.suite import Suite

REVISIONS = "revisions.json"
VERIFIED = Path(".cache") / "verified.json"
AT_ONCE = 8
_FOUND = TypeAdapter(dict[str, hub.Found])
T = TypeVar("T")


def _read(path: Path) -> dict[str, hub.Found]:
    if not path.is_file():
        return {}
    try:
        return _FOUND.validate_json(path.read_bytes())
    except ValidationError as error:
        raise EnvironmentFaultError(
            "the file of frozen revisions is damaged",
            where=str(path),
            hint="mend it, or remove it to look revisions up anew",
        ) from error


class Book:
    """What was looked up before, by kind, name and revision."""

    def __init__(self, runs: Path) -> None:
        self.path = runs / REVISIONS
        self._lock = threading.Lock()
        self._known = _read(self.path)
        self._cached: dict[str, hub.Found] = {}
        self._dead: hub.UnreachableError | None = None

    def look_up(self, kind: hub.Kind, repository: str, revision: str) -> hub.Found:
        """Return what is known, else what the hub says now. Once it cannot be reached, it is not asked again."""
        key = f"{kind} {repository} {revision}"
        known = self._known.get(key) or self._cached.get(key)
        if known is not None:
            return known
        if self._dead is not None:
            raise self._dead
        try:
            found = hub.look_up(kind, repository, revision)
        except hub.UnreachableError as error:
            self._dead = error
            raise
        with self._lock:
            (self._cached if found.cached else self._known)[key] = found
        return found

    @property
    def cached(self) -> list[str]:
        """What the local cache had to answer for, as the hub could not be reached; it is not kept."""
        return sorted(found.repository for found in self._cached.values())

    def save(self) -> None:
        """Write what is known, durably, beside what other runs of the folder have found meanwhile."""
        if not self._known:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(f".{REVISIONS}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            both = {**_read(self.path), **self._known}
            body = {key: asdict(found) for key, found in sorted(both.items())}
            write_text(self.path, json.dumps(body, indent=1, default=lambda v: v.model_dump(exclude_none=True)) + "\n")


@dataclass
class Frozen:
    """A suite and its cards with everything pinned that could be, and what could not, with the reason."""

    suite: Suite
    cards: list[Card]
    notes: list[str] = field(default_factory=list)
    faults: list[RlvrBenchError] = field(default_factory=list)


def freeze(suite: Suite, cards: Sequence[Card], book: Book) -> Frozen:
    """Return the suite and cards with what names mean today; several are asked for at once.

    A fault is kept, and what it is about stays as it is: a plan can be looked at without a network or access.
    """

    def tried(pin: Callable[[T], T], value: T) -> tuple[T, EnvironmentFaultError | None]:
        try:
            return pin(value), None
        except EnvironmentFaultError as error:
            return value, error

    with ThreadPoolExecutor(AT_ONCE) as pool:
        some_cards = pool.map(lambda card: tried(lambda c: models.pinned(c, book.look_up), card), cards)
        some_sets = list(pool.map(lambda p: tried(lambda q: sources.pinned(q, book.look_up), p), suite.problem_sets))
        pairs = list(some_cards)
    pinned_cards, found = [card for card, _ in pairs], [problems for problems, _ in some_sets]
    faults = [fault for _, fault in (*pairs, *some_sets) if fault is not None]
    tasks = tuple(t.model_copy(update={"problems": p}) for t, p in zip(suite.tasks, found[:-1], strict=True))
    frozen = suite.model_copy(update={"tasks": tasks, "training_problems": found[-1]})
    notes = [
        f"{old.name}: {old.weights.repository} is {new.weights.repository} on the hub now"
        for old, new in zip(cards, pinned_cards, strict=True)
        if isinstance(old.weights, HubWeights)
        and isinstance(new.weights, HubWeights)
        and old.weights.repository.lower() != new.weights.repository.lower()
    ]
    if book.cached:
        notes.append(f"the hub was not reached; the local cache says what {', '.join(book.cached)} hold")
    return Frozen(frozen, pinned_cards, notes, _in_short(faults))


def _in_short(faults: Sequence[RlvrBenchError]) -> list[RlvrBenchError]:
    """Return each fault once, and those of a hub that cannot be reached as one."""
    away = [fault for fault in faults if isinstance(fault, hub.UnreachableError)]
    found = {fault.message: fault for fault in faults if not isinstance(fault, hub.UnreachableError)}
    first = away[:1]
    if len(away) > 1:
        words = f"the hub cannot be reached, and {len(away)} models and data sets are not in the local cache"
        first = [hub.UnreachableError(words, where=away[0].where, hint=away[0].hint)]
    return [*first, *found.values()]


def checkpoints(method: Method, book: Book) -> tuple[Method, list[RlvrBenchError]]:
    """Return a method with its checkpoints pinned, and what could not be."""
    faults: list[RlvrBenchError] = []

    def tried(one: Checkpoint) -> Checkpoint:
        try:
            return adopting.pinned(one, book.look_up)
        except RlvrBenchError as error:
            faults.append(error)
            return one

    pinned = {name: tuple(map(tried, getattr(method, name))) for name in ("checkpoints", "controls")}
    return method.model_copy(update=pinned), _in_short(faults)


def gates(cards: Sequence[Card]) -> list[RlvrBenchError]:
    """Return for which gated models this machine has no access, before hours of downloads end at the last one.

    A model whose files are all here needs none.
    """

    def closed(card: Card) -> RlvrBenchError | None:
        weights = card.weights
        if not isinstance(weights, HubWeights) or weights.commit is None or not card.gated:
            return None
        if hub.is_here("model", weights.repository, weights.commit, list(weights.files)):
            return None
        try:
            hub.check_access("model", weights.repository)
        except RlvrBenchError as error:
            return error
        return None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [error for error in pool.map(closed, cards) if error is not None]


class Verified:
    """Which large files were found to have their digest before: by path, size and time of change."""

    def __init__(self, runs: Path) -> None:
        self._path = runs / VERIFIED
        self._known: dict[str, str] = {}
        with contextlib.suppress(OSError, ValidationError):
            self._known = TypeAdapter(dict[str, str]).validate_json(self._path.read_bytes())

    def seen(self, path: Path, digest: str) -> bool:
        """Return whether a file, as it is now, had this digest."""
        return self._known.get(_state(path)) == digest

    def saw(self, path: Path, digest: str) -> None:
        """Keep that a file has a digest."""
        self._known[_state(path)] = digest
        write_text(self._path, json.dumps(self._known, indent=1) + "\n")


def _state(path: Path) -> str:
    real = path.resolve()
    status = real.stat()
    return f"{real} {status.st_size} {status.st_mtime_ns}"


def fetch_problems(suite: Suite) -> None:
    """Bring the files of all problems to this machine. Raises what the hub raises."""
    for problems in suite.problem_sets:
        sources.fetch(problems)


def fetch_models(cards: Sequence[Card], runs: Path, tell: Callable[[str], None]) -> None:
    """Bring all models to this machine, checked; `tell` is told what is fetched.

    Raises what the hub raises, EnvironmentFaultError for damaged files.
    """
    verified = Verified(runs)
    for card in cards:
        if isinstance(card.weights, HubWeights):
            size = sum(file.size for file in card.weights.files.values())
            where = f"{card.weights.repository} at {str(card.weights.commit)[:12]}"
            tell(f"fetching {card.name}: {where}, {size / 1e9:.1f} GB")
        models.fetch(card, verified.seen, verified.saw)
