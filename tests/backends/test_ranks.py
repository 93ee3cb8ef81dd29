"""One training over several processes: whole groups on each, the same rewards as one process gives, causes not lost."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from rlvr_bench.backends import placing, resuming
from rlvr_bench.backends.models import prepare_process
from rlvr_bench.backends.ranks import RanksError, environment, launcher, layer_of
from rlvr_bench.backends.rollouts import replayed_differently
from rlvr_bench.backends.trl import grpo_arguments
from rlvr_bench.engine import worker
from rlvr_bench.errors import UsageError
from rlvr_bench.planning.fit import Fit
from rlvr_bench.runs import layout
from rlvr_bench.schema.method import RewardSpec
from tests.backends.test_training import pytestmark, small

assert pytestmark
SETTINGS = {"steps": 2, "prompts_per_step": 4, "group_size": 4, "updates_per_step": 2, "sampling_batch": 4}


def trained(inputs, folder: Path, ranks: int, monkeypatch, **environment: str):
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv(placing.RANKS, str(ranks))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    prepare_process()
    return placing.train(inputs, folder, labels=None, trackers=None)


def rows_of(folder: Path) -> list[dict]:
    return pq.read_table(folder / layout.ROLLOUTS).to_pylist()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ttrl", "random"])
def test_two_ranks_give_each_group_the_rewards_of_one(method, tmp_path: Path, monkeypatch) -> None:
    inputs = small(method, **SETTINGS)
    one = trained(inputs, tmp_path / "one", 1, monkeypatch)
    two = trained(inputs, tmp_path / "two", 2, monkeypatch)
    a, b = rows_of(tmp_path / "one"), rows_of(tmp_path / "two")
    names = ["step", "problem_id", "index_in_group", "repeat"]
    assert [[r[n] for n in names] for r in a] == [[r[n] for n in names] for r in b]
    first = [i for i, row in enumerate(a) if row["step"] == 0]
    assert [a[i]["completion"] for i in first] == [b[i]["completion"] for i in first]
    assert [a[i]["reward"] for i in first] == [b[i]["reward"] for i in first]
    assert one.rollouts == two.rollouts == 32
    assert replayed_differently(tmp_path / "two" / layout.ROLLOUTS, inputs) == two.replayed_differently == 0
    assert two.ran is not None and (two.ran.ranks, two.ran.micro_batch, two.ran.accumulation) == (2, 4, 1)
    assert [s.reward for s in one.steps][:1] == [s.reward for s in two.steps][:1]
    assert set(two.kept) == {1} and (tmp_path / "two" / layout.checkpoint(1) / layout.WEIGHTS).is_file()
    metrics = [json.loads(line) for line in (tmp_path / "two" / layout.METRICS).read_text().splitlines()]
    assert [m["update"] for m in metrics if "update" in m] == [1, 2, 3, 4]
    left = {p.name for p in (tmp_path / "two").iterdir()}
    assert left <= {"checkpoint", "checkpoint-step-1", "metrics.jsonl", "rollouts.parquet", "trainer", "tried.json"}


@pytest.mark.slow
def test_an_update_is_that_of_one_rank(tmp_path: Path, monkeypatch) -> None:
    """All rollouts of a phase in one update: the same gradient up to the order of sums, whatever the ranks."""
    from safetensors.torch import load_file

    inputs = small("random", **{**SETTINGS, "steps": 1, "updates_per_step": 1, "optimizer": "sgd"})
    inputs = inputs.model_copy(update={"save_at": ()})
    found = [trained(inputs, tmp_path / str(n), n, monkeypatch) for n in (1, 2)]
    assert found[1].steps[0].loss == pytest.approx(found[0].steps[0].loss, abs=1e-6)
    assert found[1].steps[0].grad_norm == pytest.approx(found[0].steps[0].grad_norm, rel=1e-4)
    one, two = (load_file(tmp_path / n / layout.checkpoint() / layout.WEIGHTS) for n in ("1", "2"))
    assert all((one[name] - two[name]).abs().max() < 1e-6 for name in one)


@pytest.mark.slow
def test_a_rank_that_fails_is_named_with_its_error(tmp_path: Path, monkeypatch) -> None:
    broken = RewardSpec(
        name="reward",
        code="import os\ndef reward(completions, **_):\n    assert os.environ['RANK'] == '0', 'not on this rank'\n"
        "    return [0.0] * len(completions)\n",
    )
    inputs = small("random", **SETTINGS).model_copy(update={"rewards": (broken,), "replay": False})
    with pytest.raises(RanksError, match=r"rank 1: .*not on this rank") as caught:
        trained(inputs, tmp_path / "two", 2, monkeypatch)
    assert caught.value.kind == "RewardError" and worker._kind(caught.value) == "reward"
    assert not list((tmp_path / "two").glob("*rank*"))


@pytest.mark.slow
def test_ranks_end_with_their_worker_and_the_next_goes_on(tmp_path: Path, monkeypatch) -> None:
    """SIGKILL of the worker: its ranks see that it is gone; the next attempt resumes with the same rollouts."""
    inputs = small("ttrl", **{**SETTINGS, "steps": 16})  # it must not end before its ranks look for their worker
    whole = trained(inputs, tmp_path / "whole", 2, monkeypatch)
    folder = tmp_path / "killed"
    folder.mkdir()
    (folder / "inputs.json").write_text(inputs.model_dump_json())
    env = {**os.environ, "PYTHONHASHSEED": "0", "RLVR_BENCH_SAVE_MINUTES": "0"}
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(folder)], env=env, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(resuming.healths(folder)) < 3 and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.01)
    started = psutil.Process(child.pid).children(recursive=True)
    assert len(started) >= 3  # the launcher and two ranks
    child.kill()
    child.wait()
    _, alive = psutil.wait_procs(started, timeout=30)
    assert not alive
    (folder / "inputs.json").unlink()
    again = trained(inputs, folder, 2, monkeypatch, RLVR_BENCH_SAVE_MINUTES="0")
    assert again.resumed and again.resumed[0] >= 2
    assert rows_of(folder) == rows_of(tmp_path / "whole")
    assert again.checkpoint_sha256 == whole.checkpoint_sha256


CHILD = """
import sys
from pathlib import Path
from rlvr_bench.backends import models, placing
from rlvr_bench.schema.plan import TrainInputs
models.prepare_process()
folder = Path(sys.argv[1])
placing.train(TrainInputs.model_validate_json((folder / "inputs.json").read_text()), folder, labels=None, trackers=None)
"""


def test_a_group_is_never_split() -> None:
    settings = small("ttrl", prompts_per_step=4, group_size=4, updates_per_step=2).settings
    for ranks in (1, 2, 4):
        found = grpo_arguments(settings, ranks)
        assert found["per_device_train_batch_size"] * found["gradient_accumulation_steps"] * ranks == 8  # an update
        assert found["per_device_train_batch_size"] * found["steps_per_generation"] % settings.group_size == 0
    with pytest.raises(UsageError, match="without splitting a group"):
        grpo_arguments(settings, 3)


def test_what_the_launcher_is_told(monkeypatch) -> None:
    fit = Fit(
        ranks=8, micro_batch=2, accumulation=4, sampling_batch=16, sharding="full", checkpointing=True,
        generation="vllm", vllm_share=0.3, peak_bytes=7e10,
    )  # fmt: skip
    assert launcher(8)[3:] == ["--nproc-per-node", "8", "--standalone"]
    monkeypatch.setenv("RLVR_BENCH_MAIN_ADDRESS", "node-a:29501")
    step = launcher(8, 2)
    assert step[:5] == ["srun", "--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    assert "--nproc-per-node 4 --nnodes 2 --master-addr node-a --master-port 29501" in step[-2]
    assert step[-2].endswith('--node-rank "$SLURM_NODEID" "$@"')
    told = environment(fit, "Qwen2ForCausalLM", "cuda")
    assert told["FSDP_TRANSFORMER_CLS_TO_WRAP"] == "Qwen2DecoderLayer" and told["ACCELERATE_MIXED_PRECISION"] == "bf16"


@pytest.mark.parametrize("architecture", ["Qwen2", "Llama", "Olmo2", "Gemma2"])
def test_accelerate_reads_the_sharding_that_is_meant(architecture, monkeypatch) -> None:
    """As far as a CPU allows: accelerate's own plug-in, from our variables, finds the layers of the real class."""
    import transformers
    from accelerate import FullyShardedDataParallelPlugin
    from torch.distributed.fsdp import ShardingStrategy, StateDictType

    fit = Fit(
        ranks=2, micro_batch=2, accumulation=4, sampling_batch=16, sharding="full", generation="transformers",
        checkpointing=True, peak_bytes=0,
    )  # fmt: skip
    for name, value in environment(fit, f"{architecture}ForCausalLM", "cpu").items():
        monkeypatch.setenv(name, value)
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.sharding_strategy is ShardingStrategy.FULL_SHARD
    assert plugin.state_dict_type is StateDictType.FULL_STATE_DICT
    config = getattr(transformers, f"{architecture}Config")(
        vocab_size=32, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, pad_token_id=0,
    )  # fmt: skip
    model = getattr(transformers, f"{architecture}ForCausalLM")(config)
    plugin.set_auto_wrap_policy(model)
    (kind,) = plugin.auto_wrap_policy.keywords["transformer_layer_cls"]
    assert kind.__name__ == layer_of(f"{architecture}ForCausalLM")
    assert sum(isinstance(module, kind) for module in model.modules()) == 2


@pytest.fixture
def sharded(tmp_path: Path):
    """Start trainings in two ranks that FSDP really shards (tests/backends/sharded_rank.py); none outlives the test."""
    started: list[subprocess.Popen] = []

    def start(
        name: str, *, generation: str = "transformers", steps: int = 2, sharding: str = "full", precision: str = "no"
    ) -> subprocess.Popen:
        inputs = small("random", **{**SETTINGS, "steps": steps}).model_copy(update={"save_at": ()})
        fit = Fit(
            ranks=2, micro_batch=2, accumulation=2, sampling_batch=4, sharding=sharding, generation=generation,
            checkpointing=True, vllm_share=0.3 if generation == "vllm" else None, peak_bytes=0,
        )  # fmt: skip
        asked = {"inputs": inputs.model_dump(mode="json"), "fit": fit.model_dump(), "labels": None, "trackers": None}
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "ranks.json").write_text(json.dumps(asked))
        root = Path(__file__).parents[2]
        env = {**os.environ, **environment(fit, inputs.card.architecture, "cpu"), "RLVR_BENCH_SAVE_MINUTES": "0"}
        env["ACCELERATE_MIXED_PRECISION"] = precision
        stand_ins = [str(root / "tests/stand_ins")] if generation == "vllm" else []
        env["PYTHONPATH"] = os.pathsep.join([*stand_ins, str(root)])
        words = [*launcher(2), str(Path(__file__).with_name("sharded_rank.py")), str(folder)]
        with (folder / "err").open("a") as err:
            started.append(subprocess.Popen(words, env=env, stdout=err, stderr=err))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            for one in [*psutil.Process(process.pid).children(recursive=True), process]:
                one.kill()


def found_by(folder: Path, process: subprocess.Popen) -> dict:
    """Return what the first rank found."""
    code = process.wait(300)
    said = [path.read_text() for path in folder.glob("failed-rank-*.json")]
    assert code == 0, (said, (folder / "err").read_text()[-3000:])
    return json.loads((folder / "training.json").read_text())


@pytest.mark.slow
def test_weights_that_are_really_sharded(sharded, tmp_path, monkeypatch) -> None:
    found = found_by(tmp_path / "whole", sharded("whole"))
    assert found["rollouts"] == 32 and found["replayed_differently"] == 0 and found["ran"]["sharding"] == "full"
    assert found["ran"]["checkpointing"] and found["ran"]["accumulation"] == 2
    one = trained(small("random", **SETTINGS).model_copy(update={"save_at": ()}), tmp_path / "one", 2, monkeypatch)
    assert [s["loss"] for s in found["steps"]] == pytest.approx([s.loss for s in one.steps], abs=1e-5)
    assert [s["grad_norm"] for s in found["steps"]] == pytest.approx([s.grad_norm for s in one.steps], rel=1e-3)


@pytest.mark.slow
def test_sharded_weights_are_bfloat16_and_rotary_frequencies_are_not(sharded, tmp_path) -> None:
    """As on GPUs: accelerate would round FSDP's buffers too, and positions after thousands of tokens with them."""
    updates = {}
    for name, sharding in (("sharded", "full"), ("one", "none")):
        found_by(tmp_path / name, sharded(name, precision="bf16", sharding=sharding))
        assert json.loads((tmp_path / name / "buffers.json").read_text())["inv_freq"] == "torch.float32"
        lines = [json.loads(line) for line in (tmp_path / name / layout.METRICS).read_text().splitlines()]
        updates[name] = [(line["loss"], line["grad_norm"]) for line in lines if "update" in line]
    assert rows_of(tmp_path / "sharded")[:16] == rows_of(tmp_path / "one")[:16]
    # the fourth is of a few clipped tokens, and differs between float32 and bfloat16 as much
    for (loss, norm), (own, other) in zip(updates["sharded"][:3], updates["one"][:3], strict=True):
        assert loss == pytest.approx(own, abs=2e-3) and norm == pytest.approx(other, rel=0.05)


@pytest.mark.slow
def test_a_sharded_training_saves_and_goes_on(sharded, tmp_path) -> None:
    """Weights and Adam's state are gathered into a checkpoint and dealt out again: the rest is bit for bit the same."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    undisturbed = found_by(whole, sharded("whole", steps=6))
    process = sharded("killed", steps=6)
    deadline = time.monotonic() + 120
    while len(resuming.healths(killed)) < 3 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    started = psutil.Process(process.pid).children(recursive=True)
    for one in [process, *started]:
        one.kill()
    process.wait()
    psutil.wait_procs(started, timeout=30)
    assert (killed / layout.TRAINER / resuming.MARK).is_file() and not (killed / "training.json").exists()
    again = found_by(killed, sharded("killed", steps=6))
    assert again["resumed"] and again["resumed"][0] >= 2
    assert rows_of(killed) == rows_of(whole)
    assert again["checkpoint_sha256"] == undisturbed["checkpoint_sha256"]


@pytest.mark.slow
def test_sharded_weights_reach_vllm(sharded, tmp_path) -> None:
    """Against the stand-in: TRL walks a model that FSDP wrapped after it was handed over."""
    found = found_by(tmp_path / "v", sharded("v", generation="vllm"))
    low, _, high = found["ran"]["correction"]
    assert 0.999 < low <= high < 1.001, "the engine did not have the trainer's weights"
