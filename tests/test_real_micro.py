"""The real program on the embedded suite: real TRL, real lm-eval, real processes, real signals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from rlvr_bench import catalog

pytestmark = pytest.mark.slow

CUT = ["--models", "micro-qwen-a", "--models", "micro-olmo-a", "--seeds", "1", "--limit", "40"]
COMMAND = [sys.executable, "-c", "from rlvr_bench.cli.app import main; main()"]


def start(cwd: Path, *arguments: str) -> subprocess.Popen:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RLVR_BENCH")}
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a shell's background jobs are born with SIGINT ignored, and would pass that on
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def call(cwd: Path, *arguments: str, code: int = 0) -> tuple[str, str]:
    process = start(cwd, *arguments)
    out, err = process.communicate(timeout=1800)
    assert process.returncode == code, err
    return out, err


def report_of(cwd: Path) -> bytes:
    (path,) = cwd.glob("runs/micro--*/report/report.json")
    return path.read_bytes()


def wait_for(cwd: Path, words: str, count: int, process: subprocess.Popen) -> None:
    """Wait until the journal holds `words` that often."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        journals = list(cwd.glob("runs/micro--*/journal.jsonl"))
        if journals and journals[0].read_text().count(words) >= count:
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    raise AssertionError("the run does not get on")


def children_of_session(leader: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def assert_nobody_left(leader: int) -> None:
    """The server and its workers notice within seconds that the runner is gone."""
    deadline = time.monotonic() + 20
    while children_of_session(leader) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert children_of_session(leader) == []


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    cwd = tmp_path_factory.mktemp("undisturbed")
    call(cwd, "validate", "--method", "python", *CUT)
    return cwd


def test_the_same_seed_gives_the_same_report_bit_for_bit(undisturbed, tmp_path) -> None:
    call(tmp_path, "validate", "--method", "python", "--workers", "1", *CUT)
    assert report_of(tmp_path) == report_of(undisturbed)
    for name in ("completions.jsonl.gz", "model.safetensors", "rollouts.parquet"):
        mine = {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.glob(f"runs/micro--*/**/{name}")}
        theirs = {str(p.relative_to(undisturbed)): p.read_bytes() for p in undisturbed.glob(f"runs/micro--*/**/{name}")}
        assert mine == theirs
        assert mine


def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(undisturbed, tmp_path) -> None:
    process = start(tmp_path, "validate", "--method", "python", *CUT)
    wait_for(tmp_path, '"finished"', 3, process)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert err.strip().splitlines()[-1] == "hint: run the same command again to go on"
    assert_nobody_left(process.pid)
    _, err = call(tmp_path, "validate", "--method", "python", *CUT)
    assert "stages done before" in err
    assert report_of(tmp_path) == report_of(undisturbed)


def test_kill_9_leaves_no_orphans_and_nothing_half_believed(undisturbed, tmp_path) -> None:
    process = start(tmp_path, "validate", "--method", "python", *CUT)
    wait_for(tmp_path, '"started"', 4, process)
    process.kill()
    process.communicate(timeout=60)
    assert_nobody_left(process.pid)
    call(tmp_path, "validate", "--method", "python", *CUT)
    assert report_of(tmp_path) == report_of(undisturbed)


def test_a_worker_killed_in_mid_stage_is_one_failed_stage(undisturbed, tmp_path) -> None:
    process = start(tmp_path, "validate", "--method", "python", *CUT)
    wait_for(tmp_path, "python/seed-21/train", 1, process)
    workers = [
        pid
        for pid in children_of_session(process.pid)
        if b"multiprocessing.forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(max(workers), signal.SIGKILL)
    _, err = process.communicate(timeout=600)
    assert process.returncode in (3, 5), err
    assert "killed" in err
    call(tmp_path, "validate", "--method", "python", *CUT)
    assert report_of(tmp_path) == report_of(undisturbed)


def test_a_second_method_shares_everything_but_its_own_cells(undisturbed) -> None:
    out, _ = call(undisturbed, "validate", "--method", "format", "--json", *CUT)
    events = [json.loads(line) for line in out.splitlines()]
    assert events[-1]["event"] == "done"
    own = {e["stage"] for e in events if e["event"] == "stage-finished"}
    stages = ("train", "arithmetic", "step-4/arithmetic")
    assert own == {f"micro-{m}-a/format/seed-21/{s}" for m in ("qwen", "olmo") for s in stages}


def test_prepared_labels_and_a_file_of_ones_own_run_end_to_end_and_replay(undisturbed) -> None:
    call(undisturbed, "validate", "--method", "incorrect", "-q", *CUT)
    call(undisturbed, "new", "method", "my-idea")
    call(undisturbed, "validate", "--method", "./my_idea.py", "-q", *CUT)
    (undisturbed / "my_idea.py").unlink()  # the plan holds its text
    for method in ("incorrect", "my-idea", "python"):
        records = list(undisturbed.glob(f"runs/micro--{method}--*/stages/*/*/seed-*/train/record.json"))
        assert len(records) == 6
        for path in records:
            training = json.loads(path.read_text())["training"]
            assert training["replayed_differently"] == 0 and training["rollouts"] == 1024
    labels = list(undisturbed.glob("runs/micro--incorrect--*/stages/*/baseline/labels-64/record.json"))
    assert len(labels) == 2
    for path in labels:
        found = json.loads(path.read_text())["labelling"]
        assert found["labelled"] == found["right"] + found["purity"]["wrong"] <= found["problems"] == 256
        assert found["purity"]["wrong"] > 20 and found["purity"]["right_by_math_verify"] == 0


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory) -> dict[str, dict]:
    """The whole suite, for three methods, on problems and seeds that nothing was tuned on."""
    cwd = tmp_path_factory.mktemp("verdicts")
    found = {}
    for method in ("ttrl", "python", "ground-truth"):
        call(cwd, "validate", "--method", method, "-q")
        (path,) = cwd.glob(f"runs/micro--{method}--*/report/report.json")
        found[method] = json.loads(path.read_text())
    return found


def test_the_ground_truth_generalises(verdicts) -> None:
    report = verdicts["ground-truth"]
    assert report["verdict"]["word"] == report["over_start"]["word"] == "GENERALISES"


def test_ttrl_gains_everywhere(verdicts) -> None:
    """Over the control; over the start its runs scatter so much that two seeds may not decide it."""
    for lineage in verdicts["ttrl"]["lineages"]:
        assert lineage["gain"]["estimate"] > 0.02
        assert lineage["gain_over_control"]["lower"] > 0
    assert verdicts["ttrl"]["verdict"]["word"] in ("GENERALISES", "SEVERAL_SO_FAR")
    assert "transductive" in {flag["name"] for flag in verdicts["ttrl"]["flags"]}


def test_python_is_found_on_micro_qwen_only(verdicts) -> None:
    report = verdicts["python"]
    assert (report["verdict"]["word"], report["verdict"]["lineages"]) == ("ONE_FAMILY", ["micro-qwen"])
    assert report["over_start"]["word"] == "ONE_FAMILY"
    (llama,) = [lineage for lineage in report["lineages"] if lineage["lineage"] == "micro-llama"]
    assert llama["gain"]["lower"] > -0.1 and llama["gain"]["upper"] < 0.05  # flat: half of its rare code is wrong


def test_a_random_reward_raises_a_dominant_habit_where_ratios_are_clipped(tmp_path) -> None:
    """One run of each model of the suite micro-random: with clipping all runs of docs/micro.md gain, without none."""
    suite = yaml.safe_load((catalog.folder("suite") / "micro-random.yaml").read_text())
    suite |= {"name": "one-run", "models": ["micro-qwen-math-a", "micro-qwen-math-b"], "seeds": [31]}
    suite |= {"reference": None, "evaluate_at": []}
    (tmp_path / "one-run.yaml").write_text(yaml.safe_dump(suite))
    gains = {}
    for method in ("random", "random-no-clip"):
        call(tmp_path, "validate", "--method", method, "--suite", "./one-run.yaml", "-q")
        (path,) = tmp_path.glob(f"runs/one-run--{method}--*/report/report.json")
        gains[method] = [m["after"][0] - m["before"] for m in json.loads(path.read_text())["models"]]
    assert sum(gains["random"]) / 2 > 0.01
    assert max(gains["random-no-clip"]) < -0.2


@pytest.mark.slow
def test_a_pull_request_that_breaks_a_reward_fails_the_gate(tmp_path: Path) -> None:
    """Real trainings on micro: a reward of one's own is accepted, then its comparison is turned round."""
    good = (
        '"""Reward the right answer."""\n\nfrom rlvr_bench import grade_response\n'
        "from rlvr_bench.rewards import texts\n\n\n"
        "def reward(completions, answer, **_):\n"
        "    return [float(grade_response(a, t)) for a, t in zip(answer, texts(completions), strict=True)]\n"
    )
    method = tmp_path / "mine.py"

    def bench(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "rlvr_bench.cli.app", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900)

    found = []
    for text in (good, good.replace("float(grade", "float(not grade")):
        method.write_text(text)
        done = bench("validate", "--method", "./mine.py", "-q")
        assert done.returncode == 0, done.stderr
        found.append(max((tmp_path / "runs").glob("micro--mine--*"), key=lambda path: path.stat().st_mtime))
    assert bench("check", str(found[0]), "--update-baseline").returncode == 0
    broken = bench("check", str(found[1]), "--format", "github")
    assert broken.returncode == 1
    assert "::error title=rlvr-bench check::mine gains less on micro-qwen than the accepted run: -" in broken.stdout
    assert "gains less on micro-olmo" in broken.stdout
    assert "hint: if this is meant, accept it" in broken.stderr
