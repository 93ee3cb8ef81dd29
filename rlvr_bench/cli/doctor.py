"""`rlvr-bench doctor`: is this machine ready for a suite, and what to do about each thing that is not."""

from pathlib import Path
from typing import TYPE_CHECKING

from rlvr_bench.cli.options import RUNS, JsonOption, RunsOption, SuiteOption

if TYPE_CHECKING:
    from rlvr_bench.runs.health import Finding
    from rlvr_bench.schema.card import Card
    from rlvr_bench.schema.suite import Suite

MARKS = {"good": "ok  ", "note": "note", "bad": "BAD "}


def doctor(suite: SuiteOption = "micro", runs: RunsOption = RUNS, json: JsonOption = False) -> None:
    """Check GPU, versions, access to gated models, disk and limits for a suite; one line each, exit 4 if one is bad."""
    from rlvr_bench import catalog
    from rlvr_bench.cli import output
    from rlvr_bench.errors import EnvironmentFaultError

    chosen = catalog.load_suite(suite)
    cards = [catalog.load_card(name) for name in chosen.models]
    found = list(_findings(chosen, cards, runs))
    bad = [one.about for one in found if one.state == "bad"]
    if json:
        lines = [vars(one) for one in found]
        output.emit({"schema": "rlvr-bench/doctor/1", "suite": chosen.name, "ready": not bad, "findings": lines})
    else:
        console = output.answer()
        for one in found:
            todo = f": {one.todo}" if one.todo and one.state != "good" else ""
            console.print(f"{MARKS[one.state]}  {one.about:<14} {one.said}{todo}", soft_wrap=True)
    if bad:
        raise EnvironmentFaultError(
            f"not ready for suite {chosen.name}: {', '.join(dict.fromkeys(bad))}",
            hint="each line above says what to do",
        )


def _findings(suite: "Suite", cards: "list[Card]", runs: Path) -> "list[Finding]":
    from rlvr_bench.cli.placed import here
    from rlvr_bench.runs import health

    on_gpus = suite.device == "cuda"
    found = [*health.libraries(), *health.gpus(here(), on_gpus)]
    if on_gpus:
        found += _fits(suite, cards)
    of_hub, download = _hub(suite, cards, runs)
    return [*found, *of_hub, *health.room(runs, download or None)]


def _fits(suite: "Suite", cards: "list[Card]") -> "list[Finding]":
    """Say which models' trainings fit on the GPUs here."""
    from rlvr_bench.cli.placed import here
    from rlvr_bench.engine.gpus import fit_on
    from rlvr_bench.errors import EnvironmentFaultError
    from rlvr_bench.runs.health import Finding
    from rlvr_bench.runs.machine import smallest

    devices = here()
    if not devices:
        return []
    found = []
    for card in cards:
        try:
            ranks = fit_on(card, suite.training, smallest(devices), len(devices)).ranks
        except EnvironmentFaultError as fault:
            found.append(Finding("fit", "bad", fault.message, str(fault.hint)))
        else:
            found.append(Finding("fit", "good", f"{card.name} trains on {ranks} of {len(devices)}"))
    return found


def _hub(suite: "Suite", cards: "list[Card]", runs: Path) -> "tuple[list[Finding], float]":
    """Check that models and data of a suite can be had: the hub, its token, each gate; and the bytes still to fetch."""
    from rlvr_bench.backends import hub, pins
    from rlvr_bench.runs.health import Finding
    from rlvr_bench.schema.card import HubWeights

    if all(card.weights.source != "hub" for card in cards) and all(p.source != "hub" for p in suite.problem_sets):
        return [Finding("hub", "good", "nothing of this suite is on the hub")], 0.0
    found = [_token()]
    frozen = pins.freeze(suite, cards, pins.Book(runs))
    closed = pins.gates(frozen.cards)
    for fault in [*frozen.faults, *closed]:
        found.append(Finding("hub", "bad", fault.message, str(fault.hint or fault.where or "")))
    gated = [card.name for card in frozen.cards if card.gated]
    if not frozen.faults and not closed:
        said = f"{len(cards)} models and {len(suite.problem_sets)} sets of problems can be had"
        found.append(Finding("hub", "good", said + (f", {len(gated)} of them gated" if gated else "")))
    owed = 0.0
    for card in frozen.cards:
        weights = card.weights
        if isinstance(weights, HubWeights):
            names = list(weights.files)
            if weights.commit is None or not hub.is_here("model", weights.repository, weights.commit, names):
                owed += sum(file.size for file in weights.files.values()) or 2.0 * card.parameters
    return found, owed


def _token() -> "Finding":
    from rlvr_bench.backends.hub import has_token
    from rlvr_bench.runs.health import Finding

    if has_token():
        return Finding("hub token", "good", "there is one")
    return Finding("hub token", "note", "none", "gated models need one: hf auth login, or HF_TOKEN")
