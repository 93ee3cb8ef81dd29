"""A training that is killed goes on from the end of a rollout phase, bit for bit as if nothing had happened."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rlvr_bench.backends import resuming
from rlvr_bench.backends.models import prepare_process
from rlvr_bench.backends.trl import train
from rlvr_bench.runs import layout
from rlvr_bench.runs.store import file_digest
from tests.backends.test_training import pytestmark, small

assert pytestmark

SETTINGS = {"steps": 6, "prompts_per_step": 4, "group_size": 4, "updates_per_step": 2}
CHILD = """
import sys, time
from pathlib import Path
from rlvr_bench.backends import models, trl
from rlvr_bench.schema.plan import TrainInputs
models.prepare_process()
folder = Path(sys.argv[1])
trl.train(TrainInputs.model_validate_json((folder / "inputs.json").read_text()), folder)
"""


def outcome_of(found) -> dict:
    return found.model_dump(exclude={"resumed"})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    prepare_process()  # one thread, as the process that is killed
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(small("ground-truth", **SETTINGS), folder)


def killed(folder: Path, inputs, *, after: int, environment: dict) -> None:
    """Train in a process of its own and kill it with SIGKILL once `after` phases have been written."""
    (folder / "inputs.json").write_text(inputs.model_dump_json())
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", **environment}
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(folder)], env=env, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(resuming.healths(folder)) < after and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    (folder / "inputs.json").unlink()
    assert child.returncode == -signal.SIGKILL, "it ended before it was killed"


@pytest.mark.parametrize("after", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_a_killed_training_ends_as_an_undisturbed_one(undisturbed, tmp_path, after, monkeypatch) -> None:
    monkeypatch.setenv("RLVR_BENCH_SAVE_MINUTES", "0")
    whole, want = undisturbed
    inputs = small("ground-truth", **SETTINGS)
    killed(tmp_path, inputs, after=after, environment={"RLVR_BENCH_SAVE_MINUTES": "0"})
    found = train(inputs, tmp_path)
    assert found.resumed and found.resumed[0] >= after - 1
    assert outcome_of(found) == outcome_of(want)
    for name in (layout.CHECKPOINT, *(layout.checkpoint(step) for step in inputs.save_at)):
        digests = [file_digest(folder / name / layout.WEIGHTS) for folder in (whole, tmp_path)]
        assert digests[0] == digests[1]
    assert pq.read_table(tmp_path / layout.ROLLOUTS).equals(pq.read_table(whole / layout.ROLLOUTS))
    assert pq.ParquetFile(tmp_path / layout.ROLLOUTS).num_row_groups == 6
    lines = [(f / layout.METRICS).read_text().splitlines() for f in (whole, tmp_path)]
    kept = [
        [{k: v for k, v in json.loads(x).items() if not k.startswith(("step_time", "train_"))} for x in y]
        for y in lines
    ]
    assert len(kept[0]) == len(kept[1]) == 6 * 3
    assert [line.get("health") for line in kept[0]] == [line.get("health") for line in kept[1]]
    assert not (tmp_path / layout.PARTS).exists()


@pytest.mark.slow
def test_without_a_checkpoint_it_starts_anew(undisturbed, tmp_path) -> None:
    inputs = small("ground-truth", **SETTINGS)
    killed(tmp_path, inputs, after=2, environment={"RLVR_BENCH_SAVE_MINUTES": "60"})
    assert (tmp_path / layout.PARTS).exists()  # the rollouts so far can be looked at
    found = train(inputs, tmp_path)
    assert found.resumed == () and outcome_of(found) == outcome_of(undisturbed[1])


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stopped")
    killed(folder, small("ground-truth", **SETTINGS), after=3, environment={"RLVR_BENCH_SAVE_MINUTES": "0"})
    return folder


@pytest.fixture
def halfway(stopped, tmp_path):
    """A folder of a training that was killed in its fourth phase."""
    shutil.copytree(stopped, tmp_path / "stage")
    return tmp_path / "stage", small("ground-truth", **SETTINGS)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "damage",
    [
        "torn",
        "mark",
        *(pytest.param(d, marks=SLOW) for d in ("optimizer", "rollouts", "torn rollouts", "metrics", "other inputs")),
    ],
)
def test_a_damaged_checkpoint_is_not_believed(undisturbed, halfway, damage) -> None:
    folder, inputs = halfway
    mark = folder / layout.TRAINER / resuming.MARK
    at = json.loads(mark.read_text())
    torn = {
        "torn": folder / layout.TRAINER / at["checkpoint"] / "optimizer.pt",
        "torn rollouts": resuming.part(folder, 0),
    }
    if damage in torn:  # as a power cut leaves a file that was never brought to the disk
        torn[damage].write_bytes(torn[damage].read_bytes()[:100])
    elif damage == "optimizer":
        (folder / layout.TRAINER / at["checkpoint"] / "optimizer.pt").unlink()
    elif damage == "rollouts":
        resuming.part(folder, 0).unlink()
    elif damage == "mark":
        mark.write_text(mark.read_text()[:20])
    elif damage == "metrics":
        path = folder / layout.METRICS
        path.write_text(path.read_text()[:200])
    else:
        mark.write_text(json.dumps({**at, "digest": "0" * 64}))
    found = train(inputs, folder)
    assert found.resumed == () and outcome_of(found) == outcome_of(undisturbed[1])


@SLOW
def test_a_torn_metrics_line_is_dropped(undisturbed, halfway) -> None:
    folder, inputs = halfway
    with (folder / layout.METRICS).open("a") as file:
        file.write('{"step": 3, "upda')
    found = train(inputs, folder)
    assert found.resumed and outcome_of(found) == outcome_of(undisturbed[1])
