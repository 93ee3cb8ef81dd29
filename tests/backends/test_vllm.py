"""Our side of vLLM, against a stand-in of its names (tests/stand_ins): nothing here says what vLLM itself does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def told(script: str, folder: Path) -> dict:
    """Run a script where vLLM's stand-in is installed, and return what it prints last."""
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests/stand_ins"), str(ROOT)]),
        "RLVR_BENCH_GENERATION": "vllm",
        "RLVR_BENCH_RANKS": "1",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run([sys.executable, "-c", HEAD + script, str(folder)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


HEAD = """
import json, os, sys
from pathlib import Path
import vllm
from rlvr_bench.backends import lm_eval, models, placing
from rlvr_bench.backends.completions import Completions
from tests.backends.test_training import small
from tests.fakes import planned

models.prepare_process()
folder = Path(sys.argv[1])
plan = planned("random", models=["micro-qwen-a"], seeds=1, limit=60)
base = next(s.inputs for s in plan.stages if s.kind == "baseline")
tokenizer = models.load_tokenizer(base.card)
"""


def test_evaluation_is_that_of_transformers_up_to_the_draws(tmp_path: Path) -> None:
    script = """
def go(name):
    (folder / name).mkdir()
    found = lm_eval.evaluate(base, folder / name, None)
    return found
one, two = go("one"), go("two")
# a resume draws unfinished chunks only, and the same
path = folder / "two" / "completions.jsonl.gz"
path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
again = lm_eval.evaluate(base, folder / "two", None)
os.environ["RLVR_BENCH_GENERATION"] = "transformers"
theirs = go("three")
share = lambda e: sum(o.correct / o.attempts for o in e) / len(e)
print(json.dumps({
    "same": one == two == again, "sampled": [share(one.sampled), share(theirs.sampled)],
    "greedy": [o.correct for o in one.greedy] == [o.correct for o in theirs.greedy],
    "tokens": [one.generated_tokens, theirs.generated_tokens], "likelihoods": one.likelihoods == theirs.likelihoods,
    "engines": [{k: e[k] for k in ("dtype", "seed", "max_model_len")} for e in vllm.ENGINES],
}))
"""
    found = told(script, tmp_path)
    assert found["same"] and found["greedy"] and found["likelihoods"]
    assert found["sampled"][0] == pytest.approx(found["sampled"][1], abs=0.08)
    assert found["tokens"][0] == pytest.approx(found["tokens"][1], rel=0.05)
    assert all(e["dtype"] == "bfloat16" and e["max_model_len"] for e in found["engines"])


def test_training_samples_with_the_weights_it_trains_and_corrects(tmp_path: Path) -> None:
    script = """
def go(name, seed):
    inputs = small("random", steps=3, prompts_per_step=4, group_size=4, updates_per_step=2, learning_rate=1e-3)
    inputs = inputs.model_copy(update={"seed": seed, "save_at": ()})
    (folder / name).mkdir()
    found = placing.train(inputs, folder / name, labels=None, trackers=None)
    import pyarrow.parquet as pq
    return found, pq.read_table(folder / name / "rollouts.parquet").to_pylist()
(one, rows), (two, same), (three, other) = go("one", 1), go("two", 1), go("three", 2)
print(json.dumps({
    "ran": one.ran.model_dump(), "again": one.checkpoint_sha256 == two.checkpoint_sha256,
    "differ": [r["completion"] for r in rows if r["step"] == 0] != [r["completion"] for r in other if r["step"] == 0],
    "seeds": [e["seed"] for e in vllm.ENGINES], "replayed": one.replayed_differently,
    "groups": [len({r["completion"] for r in rows[i : i + 4]}) for i in range(0, len(rows), 4)],
}))
"""
    found = told(script, tmp_path)
    assert found["ran"]["generation"] == "vllm" and found["again"] and found["replayed"] == 0
    low, mean, high = found["ran"]["correction"]
    assert 0.999 < low <= mean <= high < 1.001, "the engine did not have the trainer's weights"
    assert found["seeds"][0] == found["seeds"][1] != found["seeds"][2] and found["differ"]
    assert max(found["groups"]) > 1


def test_the_engine_is_part_of_every_digest(monkeypatch) -> None:
    from rlvr_bench.errors import EnvironmentFaultError, UsageError
    from rlvr_bench.runs import provenance

    assert provenance.generator("cpu") == "transformers"
    monkeypatch.setattr(provenance, "find_spec", lambda _: object())
    assert provenance.generator("cuda") == "vllm" and provenance.generator("cpu") == "transformers"
    monkeypatch.setattr(provenance, "version", lambda name: "1.2.3")
    assert provenance.environment(device="cuda").versions["vllm"] == "1.2.3"
    assert "vllm" not in provenance.environment(device="cpu").versions
    monkeypatch.setenv(provenance.GENERATION, "transformers")
    assert "vllm" not in provenance.environment(device="cuda").versions
    monkeypatch.setenv(provenance.GENERATION, "sglang")
    with pytest.raises(UsageError, match="auto, vllm or transformers"):
        provenance.generator("cuda")
    monkeypatch.setenv(provenance.GENERATION, "vllm")
    monkeypatch.setattr(provenance, "find_spec", lambda _: None)
    with pytest.raises(EnvironmentFaultError, match="not installed"):
        provenance.generator("cuda")
