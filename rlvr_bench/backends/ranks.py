"""One training in several processes, each on a GPU of its own (or, for tests, on a CPU).

`launched` starts them through torch's launcher with accelerate's variables, and FSDP where weights are sharded; each is
this module's `main`, which trains, and the first writes what was found. A rank that fails says why in a file of its own
before its siblings are stopped, so that the record names the cause and not the silence that follows.
"""

import atexit
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from rlvr_bench.errors import EnvironmentFaultError, RlvrBenchError
from rlvr_bench.planning.fit import Fit
from rlvr_bench.runs.store import write_text
from rlvr_bench.schema.plan import TrainInputs
from rlvr_bench.schema.record import Training

ASKED = "ranks.json"
FOUND = "training.json"
FAILED = "failed-rank-{rank}.json"
PATIENCE_HOURS = 2
"""Ranks wait so long for each other: one may ask a judge, or write to slow storage, for minutes."""
PARENT = "RLVR_BENCH_PARENT"
NODES = "RLVR_BENCH_NODES"
MAIN_ADDRESS = "RLVR_BENCH_MAIN_ADDRESS"
"""Set by an executor that gives a stage several machines: how many, and HOST:PORT of the first, where the worker is,
which starts torch's launcher on each of them through srun."""


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Return whether this is the process that writes."""
        return self.rank == 0

    def gathered(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in their order; a collective call."""
        if self.count == 1:
            return [value]
        from accelerate.utils import gather_object

        return list(gather_object([value]))

    def agreed(self, value: Any) -> Any:
        """Return the first rank's value; a collective call."""
        if self.count == 1:
            return value
        from accelerate.utils import broadcast_object_list

        held = [value]
        broadcast_object_list(held, from_process=0)
        return held[0]


ALONE = Ranks()


def of_process() -> Ranks:
    """Return the ranks as the launcher's variables say."""
    return Ranks(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


class RanksError(RlvrBenchError):
    """A rank failed; `kind` is the name of its error."""

    def __init__(self, message: str, *, kind: str, where: str | None, hint: str | None) -> None:
        super().__init__(message, where=where, hint=hint)
        self.kind = kind


def launcher(ranks: int, nodes: int = 1) -> list[str]:
    """Return the command that starts the ranks of one machine, of `nodes` in all, without what they run."""
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(ranks // nodes)]
    if nodes == 1:
        return [*words, "--standalone"]
    address, _, port = os.environ[MAIN_ADDRESS].rpartition(":")
    words += ["--nnodes", str(nodes), "--master-addr", address, "--master-port", port, "--node-rank"]
    # one launcher a node, each told its number by srun
    step = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    if cores := os.environ.get("SLURM_CPUS_PER_TASK"):  # which srun has not read since Slurm 22.05
        step.append(f"--cpus-per-task={cores}")
    return [*step, "bash", "-c", f'exec {shlex.join(words)} "$SLURM_NODEID" "$@"', "ranks"]


def environment(fit: Fit, architecture: str, device: str) -> dict[str, str]:
    """Return accelerate's variables for a fit: what `accelerate launch` would set."""
    found = {
        "ACCELERATE_USE_CPU": str(device == "cpu").lower(),
        "ACCELERATE_MIXED_PRECISION": "bf16" if device == "cuda" else "no",
        "OMP_NUM_THREADS": "1",
    }
    if fit.sharding == "none":
        return found
    return found | {
        "ACCELERATE_USE_FSDP": "true",
        "FSDP_VERSION": "1",
        "FSDP_SHARDING_STRATEGY": "FULL_SHARD",
        "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
        "FSDP_TRANSFORMER_CLS_TO_WRAP": layer_of(architecture),
        "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
        "FSDP_USE_ORIG_PARAMS": "true",
        # each rank reads its own copy into the host's memory: what looks at the model before it is sharded finds one
        "FSDP_SYNC_MODULE_STATES": "false",
        "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
    }


def layer_of(architecture: str) -> str:
    """Return the class of a model's layers: what FSDP wraps, one at a time."""
    return architecture.removesuffix("ForCausalLM") + "DecoderLayer"


def launched(inputs: TrainInputs, folder: Path, fit: Fit, *, labels: Path | None, trackers: Path | None) -> Training:
    """Train in `fit.ranks` processes and return what the first found. Raises RanksError for the first that failed."""
    for left in [folder / FOUND, *folder.glob("failed-rank-*.json")]:
        left.unlink(missing_ok=True)
    asked = {
        "inputs": inputs.model_dump(mode="json"),
        "fit": fit.model_dump(),
        "labels": labels and str(labels),
        "trackers": trackers and str(trackers),
    }
    write_text(folder / ASKED, json.dumps(asked) + "\n")
    nodes = int(os.environ.get(NODES, "1"))
    words = [*launcher(fit.ranks, nodes), "-m", "rlvr_bench.backends.ranks", str(folder)]
    env = {
        **os.environ,
        **environment(fit, inputs.card.architecture, inputs.device),
        PARENT: f"{os.getpid()}@{socket.gethostname()}",
    }
    process = subprocess.Popen(words, start_new_session=True, env=env)  # noqa: S603 - words of our own
    try:
        code = process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    try:
        if code == 0:
            return Training.model_validate_json((folder / FOUND).read_text(encoding="utf-8"))
        raise _failure(folder, code)
    finally:
        for left in [folder / FOUND, folder / ASKED, *folder.glob("failed-rank-*.json")]:
            left.unlink(missing_ok=True)


def _failure(folder: Path, code: int) -> RanksError:
    """Return the error of the rank that failed first."""
    said = []
    for path in folder.glob("failed-rank-*.json"):
        try:
            said.append((path.stat().st_mtime, json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError):
            continue
    if not said:
        return RanksError(
            f"the ranks ended with exit code {code} and said nothing",
            kind="",
            where=None,
            hint="the end of the stage's log.txt; dmesg, where memory ran out",
        )
    first = min(said, key=lambda pair: pair[0])[1]
    return RanksError(
        f"rank {first['rank']}: {first['message']}", kind=first["kind"], where=first["where"], hint=first["hint"]
    )


def main(folder: Path) -> int:
    """Be one rank of the training of a stage's folder; return the exit code."""
    from accelerate import PartialState

    from rlvr_bench.backends import models, trl

    ranks = of_process()
    parent, _, host = os.environ.get(PARENT, "0@").partition("@")
    _end_with(int(parent) if host == socket.gethostname() else 0)
    try:
        models.prepare_process()
        asked = json.loads((folder / ASKED).read_text(encoding="utf-8"))
        on_cpu = asked["inputs"].get("device", "cpu") == "cpu"
        PartialState(cpu=on_cpu, timeout=timedelta(hours=PATIENCE_HOURS))  # the ranks find each other
        fit = Fit.model_validate(asked["fit"])
        if ranks.count != fit.ranks:
            raise EnvironmentFaultError(f"{ranks.count} processes were started where {fit.ranks} were meant")
        found = trl.train(
            TrainInputs.model_validate(asked["inputs"]),
            folder,
            labels=Path(asked["labels"]) if asked["labels"] else None,
            trackers=Path(asked["trackers"]) if asked["trackers"] else None,
            fit=fit,
            ranks=ranks,
        )
    except Exception as error:
        traceback.print_exc()
        said = {
            "rank": ranks.rank,
            "kind": type(error).__name__,
            "message": str(error) or type(error).__name__,
            "where": getattr(error, "where", None),
            "hint": getattr(error, "hint", None),
        }
        write_text(folder / FAILED.format(rank=ranks.rank), json.dumps(said) + "\n")
        return 1
    if ranks.first:
        write_text(folder / FOUND, found.model_dump_json() + "\n")
    return 0


def run(folder: Path) -> NoReturn:
    """Be one rank, and end this process without the interpreter's own end.

    There gloo's threads meet what is being torn down, and a rank that has done its work is aborted now and then.
    """
    code = main(folder)
    if of_process().first:
        atexit._run_exitfuncs()  # trackers send what they hold
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _end_with(parent: int) -> None:
    """End this process when the worker that wants its training is gone."""

    def watch() -> None:
        while True:
            try:
                os.kill(parent, 0)
            except ProcessLookupError:
                os._exit(1)
            except PermissionError:
                return
            time.sleep(0.5)

    if parent:
        threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    run(Path(sys.argv[1]))
