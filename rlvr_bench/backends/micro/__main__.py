"""The families' own command: build them from nothing, or measure the shipped ones again.

python -m rlvr_bench.backends.micro build [--out FOLDER] [MODEL ...]     about 100 s a model and core
python -m rlvr_bench.backends.micro habits
"""

import argparse
import sys
from pathlib import Path

from rlvr_bench import catalog
from rlvr_bench.backends.micro.build import build, shipped
from rlvr_bench.backends.micro.families import FAMILIES, MODELS, WAYS, expected_shares
from rlvr_bench.backends.micro.habits import Habits, Manner, measure
from rlvr_bench.backends.models import load_model, load_tokenizer, prepare_process
from rlvr_bench.errors import EnvironmentFaultError, InterruptedRunError, RlvrBenchError


def _line(manner: Manner) -> str:
    ways = []
    for way in WAYS:
        right = manner.accuracies[way]
        ways.append(f"{way} {manner.shares[way]:.0%}" + ("" if right is None else f" ({right:.0%} right)"))
    return f"{manner.accuracy:.1%} right; {', '.join(ways)}; boxed {manner.boxed:.0%}"


def _describe(name: str, habits: Habits) -> str:
    return f"{name}\n  temperature 1: {_line(habits.sampled)}\n  greedy: {_line(habits.greedy)}\n"


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _build(folder: Path, models: list[str]) -> None:
    _say(f"building {len(set(models)) or len(MODELS)} models into {folder}, about 100 s each on one core")
    for name, built in build(folder, models, tell=_say).models.items():
        sys.stdout.write(_describe(name, built.habits) + f"  sha256: {built.sha256}\n")


def _measure() -> None:
    prepare_process()
    for name, built in shipped().models.items():
        card = catalog.load_card(name)
        for what, shares in expected_shares(FAMILIES[built.family]).items():
            ways = ", ".join(f"{way} {share:.0%}" for way, share in shares.items())
            sys.stdout.write(f"{name}, built in, {what}: {ways}\n")
        sys.stdout.write(_describe(f"{name}, as built", built.habits))
        sys.stdout.write(_describe(f"{name}, now", measure(load_model(card), load_tokenizer(card))))


def main(arguments: list[str] | None = None) -> int:
    """Build into a folder, or measure the shipped models again; return the exit code (README, exit codes)."""
    parser = argparse.ArgumentParser(prog="python -m rlvr_bench.backends.micro", description="The embedded families.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    building = verbs.add_parser("build", help="tokenizer, weights and manifest.json from nothing")
    building.add_argument(
        "--out", type=Path, default=Path("micro-families"), metavar="FOLDER", help="default: %(default)s"
    )
    building.add_argument("models", nargs="*", default=[], metavar="MODEL", help="default: all of " + ", ".join(MODELS))
    verbs.add_parser("habits", help="measure the shipped models again, beside what the manifest says")
    asked = parser.parse_args(arguments)
    try:
        if asked.verb == "build":
            _build(asked.out, asked.models)
        else:
            _measure()
    except RlvrBenchError as error:
        return _shown(error)
    except OSError as error:
        return _shown(
            EnvironmentFaultError(f"{error.strerror}: {error.filename}", hint="name another folder with --out")
        )
    except KeyboardInterrupt:
        return _shown(InterruptedRunError("interrupted; nothing is kept of a model that was not finished"))
    return 0


def _shown(error: RlvrBenchError) -> int:
    for label, text in (("error", error.message), ("where", error.where), ("hint", error.hint)):
        if text:
            _say(f"{label}: {text}")
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
