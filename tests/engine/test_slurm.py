"""A real Slurm on loopback: micro through it, disturbed in every way, ends in the local run's report."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlvr_bench.engine import slurm as ours
from rlvr_bench.engine.executor import LOST
from rlvr_bench.engine.slurm import SlurmExecutor
from rlvr_bench.errors import EnvironmentFaultError
from rlvr_bench.runs import layout, store
from rlvr_bench.runs.layout import RunFolder
from tests.cluster import missing, slurm
from tests.engine.chaos import report_of
from tests.fakes import folder_of, planned

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]
ROOT = Path(__file__).parents[2]
STARTED: list[subprocess.Popen] = []
CUT = ["--models", "micro-qwen-a", "--seeds", "1", "--limit", "20"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    home = tmp_path_factory.mktemp("slurm")
    with slurm(home) as found:
        yield found
        for process in STARTED:  # those of tests that failed
            process.kill()
            process.communicate()


def runner(runs: Path, *more: str, **environment: str) -> subprocess.Popen:
    words = [sys.executable, "-c", "from rlvr_bench.cli.app import main; main()", "validate", "--method", "ttrl"]
    words += [*CUT, "--runs", runs.name, *more]  # relative, as the default is
    env = {**os.environ, "RLVR_BENCH_SLURM_POLL": "0.3", "RLVR_BENCH_SAVE_MINUTES": "0", **environment}
    return subprocess.Popen(
        words, cwd=runs.parent, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.fixture(scope="module")
def calm(tmp_path_factory) -> str:
    """The report of an undisturbed local run."""
    runs = tmp_path_factory.mktemp("calm")
    process = runner(runs, "-q")
    assert process.communicate()[0] and process.returncode == 0
    return report_of(runs)


def events(runs: Path) -> list[dict]:
    return [e for run in runs.glob("micro--*") if run.is_dir() for e in store.read_events(RunFolder(run))]


def until(runs: Path, what: str, count: int, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while sum(e["event"] == what for e in events(runs)) < count:
        assert time.monotonic() < deadline, (what, [e["event"] for e in events(runs)])
        time.sleep(0.1)


def running(cluster) -> list[str]:
    return cluster.run("squeue", "--me", "-h", "-r", "-t", "RUNNING", "-o", "%i").split()


def some_running(cluster) -> list[str]:
    deadline = time.monotonic() + 60
    while not (found := running(cluster)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def test_disturbed_in_every_way_it_ends_in_the_local_report(cluster, calm, tmp_path) -> None:
    runs = tmp_path / "runs"
    process = runner(runs, "--executor", "slurm")
    until(runs, "started", 1)
    cluster.run("scancel", some_running(cluster)[0])  # somebody cancels a job by hand
    until(runs, "lost", 1)
    until(runs, "finished", 2)
    # an admin drains the node
    cluster.run("scontrol", "update", f"nodename={cluster.nodes[0]}", "state=drain", "reason=test")
    cluster.wait("drain")
    time.sleep(1)
    cluster.run("scontrol", "update", f"nodename={cluster.nodes[0]}", "state=resume")
    until(runs, "finished", 4)
    some_running(cluster)
    process.send_signal(signal.SIGKILL)  # the runner dies; its jobs do not
    process.communicate()
    left = running(cluster)
    assert left
    process = runner(runs, "--executor", "slurm")
    until(runs, "attached", 1)
    until(runs, "finished", 6)
    some_running(cluster)
    cluster.kill("slurmd")  # the node fails in the middle of a stage
    cluster.wait("down", 60)
    cluster.start_slurmd()
    out = process.communicate(timeout=400)[0]
    assert process.returncode == 0, out[-2000:]
    assert report_of(runs) == calm
    kinds = [e["event"] for e in events(runs)]
    assert "failed" not in kinds and kinds.count("run-started") == 2
    (run,) = [p for p in runs.glob("micro--*") if p.is_dir()]
    assert not list((run / "slurm").glob("*.json")), "arrays that ended are forgotten"


def test_ctrl_c_leaves_the_jobs_and_says_how_to_stop_them(cluster, tmp_path) -> None:
    runs = tmp_path / "runs"
    process = runner(runs, "--executor", "slurm")
    until(runs, "started", 1)
    some_running(cluster)
    process.send_signal(signal.SIGINT)
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 130, out
    assert "go on where they are" in out and "scancel --name=rlvr-" in out
    assert running(cluster)
    name = out.split("scancel --name=")[1].split("`")[0]
    cluster.run("scancel", f"--name={name}")
    deadline = time.monotonic() + 30
    while cluster.run("squeue", "--me", "-h", "-r", "-o", "%i").split():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def staged(runs: Path, count: int) -> tuple[RunFolder, list[Path]]:
    plan = planned("ttrl", models=["micro-qwen-a"], limit=4)
    run = folder_of(plan, runs)
    store.start_run(run, plan)
    found = []
    for stage in plan.stages[:count]:
        store.write_model(run.stage(stage.id) / layout.STAGE, stage)
        found.append(run.stage(stage.id))
    return run, found


@pytest.fixture
def quick(cluster, runs, monkeypatch):
    """An executor whose workers are scripts that tests decide about."""
    monkeypatch.setenv("RLVR_BENCH_SLURM_POLL", "0.2")
    monkeypatch.setattr(ours, "command", lambda folder: ["/bin/sh", "-c", "sh $0/does.sh", str(folder)])

    def make(does: str, count: int):
        run, folders = staged(runs, count)
        for folder in folders:
            (folder / "does.sh").write_text(does)
        executor = SlurmExecutor(log=run.path / "server.log")
        executor.start()
        return executor, folders

    return make


def ended(executor, count: int) -> dict[Path, int]:
    found: dict[Path, int] = {}
    deadline = time.monotonic() + 60
    while len(found) < count:
        assert time.monotonic() < deadline
        found.update(executor.poll(0.1))
    return found


def test_exit_codes_arrays_and_what_is_kept(quick) -> None:
    executor, folders = quick("echo said; case $(basename $0) in *) exit 7;; esac", 5)
    for folder in folders:
        executor.submit(folder)
    assert executor.waiting() == set(folders)
    assert ended(executor, 5) == dict.fromkeys(folders, 7)
    assert all("said" in (folder / "log.txt").read_text() for folder in folders)
    assert len(list(executor.home.glob("*.out"))) == 5 and not list(executor.home.glob("*.json"))


def test_a_job_that_runs_out_of_time_or_is_preempted_is_lost_and_one_we_stop_is_killed(
    quick, monkeypatch, cluster
) -> None:
    executor, folders = quick("exec sleep 60", 2)
    for folder in folders:
        executor.submit(folder)
    while executor.waiting():
        executor.poll(0.1)
    executor.stop(folders[0])
    assert ended(executor, 1) == {folders[0]: -9}
    words = ["--parsable", "-p", "urgent", "-n", str(os.cpu_count()), "-o", "/dev/null", "--wrap", "sleep 1"]
    urgent = cluster.run("sbatch", *words)
    assert ended(executor, 1) == {folders[1]: LOST}
    cluster.run("scancel", urgent.strip())


def test_a_runner_that_dies_before_it_knows_the_job_finds_it_by_its_name(quick) -> None:
    executor, folders = quick("exec sleep 30", 2)
    for folder in folders:
        executor.submit(folder)
    executor._flush()
    again = SlurmExecutor(log=executor.home.parent / "server.log")  # the first never wrote a job's number anywhere
    again.start()
    assert set(again.attached()) == set(folders)
    again.cancel()
    deadline = time.monotonic() + 30
    while SlurmExecutor(log=executor.home.parent / "server.log").attached():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_what_slurm_refuses_is_an_error_at_once(quick, monkeypatch) -> None:
    executor, folders = quick("true", 1)
    monkeypatch.setenv("RLVR_BENCH_SLURM_PARTITION", "nowhere")
    assert executor.said(folders[0]) == ""
    executor.submit(folders[0])
    with pytest.raises(EnvironmentFaultError, match=r"sbatch refuses: .*nvalid partition") as caught:
        executor.poll(0.1)
    assert "slurm-" in str(caught.value.hint)


def test_a_controller_that_is_away_is_waited_for(quick, cluster) -> None:
    executor, folders = quick("sleep 25", 1)
    executor.submit(folders[0])
    while executor.waiting():
        executor.poll(0.1)
    # a start by the backfill scheduler is not saved until something else is: it would forget that the job runs
    state, running = cluster.home / "state/job_state", time.time()
    job = next(iter(executor._arrays.values())).job
    cluster.run("scontrol", "update", f"jobid={job}_0", "comment=running")
    while not state.exists() or state.stat().st_mtime < running:
        assert executor.poll(0.1) == [], "the job ended before the controller had saved that it runs"
    cluster.kill("slurmctld")
    until = time.monotonic() + 3
    while time.monotonic() < until:
        assert executor.poll(0.1) == []
    cluster.start("slurmctld", "/usr/sbin/slurmctld", "-D", "-f", str(cluster.home / "slurm.conf"))
    assert ended(executor, 1) == {folders[0]: 0}


def test_what_the_shell_says_before_the_worker_is_in_the_failure(quick, monkeypatch) -> None:
    monkeypatch.setenv("RLVR_BENCH_SLURM_SETUP", "echo $NOT_SET_HERE; module load nothing || exit 5")
    executor, folders = quick("true", 1)
    executor.submit(folders[0])
    assert ended(executor, 1) == {folders[0]: 5}
    assert "module" in executor.said(folders[0])


def test_a_job_that_cannot_start_is_said_and_ended(quick, cluster) -> None:
    executor, folders = quick("true", 1)
    cluster.run("scontrol", "update", f"nodename={cluster.nodes[0]}", "state=drain", "reason=test")
    try:
        executor.submit(folders[0])
        executor.poll(0.1)
        (name,) = [path.stem for path in executor.home.glob("*.json")]
        executor._arrays[name].live[0] = "PENDING"
        job = executor._arrays[name].job
        assert executor._ended(executor._arrays[name], {0: (job, "PENDING", "BadConstraints")}) == []
        assert ended(executor, 1) == {folders[0]: -9}
        assert "never start it: BadConstraints" in executor.said(folders[0])
    finally:
        cluster.run("scontrol", "update", f"nodename={cluster.nodes[0]}", "state=resume")


def test_an_sbatch_that_was_accepted_without_an_answer_is_not_sent_again(quick, monkeypatch) -> None:
    executor, folders = quick("exec sleep 20", 1)
    real, sent = ours.slurm, []

    def deaf(*words: str):
        done = real(*words)
        if words[0] == "sbatch":
            sent.append(words)
            raise ours.AwayError("Socket timed out on send/recv operation")
        return done

    monkeypatch.setattr(ours, "slurm", deaf)
    executor.submit(folders[0])
    executor._flush()
    assert len(sent) == 1 and executor._arrays and next(iter(executor._arrays.values())).job.isdigit()
    executor.cancel()


def test_a_user_who_may_submit_no_more_now_waits(quick, monkeypatch) -> None:
    executor, folders = quick("true", 1)
    monkeypatch.setattr(ours, "FULL_SECONDS", 1.0)
    real, full = ours.slurm, [True]

    def limited(*words: str):
        if words[0] == "sbatch" and full:
            full.pop()
            raise ours.FullError("QOSMaxSubmitJobPerUserLimit")
        return real(*words)

    monkeypatch.setattr(ours, "slurm", limited)
    executor.submit(folders[0])
    assert executor.poll(0.1) == [] and executor.waiting() == {folders[0]}
    assert ended(executor, 1) == {folders[0]: 0}


def test_what_is_withdrawn_before_it_was_submitted_comes_back(quick) -> None:
    executor, folders = quick("true", 1)
    executor.submit(folders[0])
    executor.stop(folders[0])
    assert executor.poll(0.1) == [(folders[0], -9)] and executor.waiting() == set()


def test_a_stage_whose_node_fails_is_done_again(quick, cluster) -> None:
    """Slurm requeues it itself; the executor neither believes that it ended nor submits it twice."""
    executor, folders = quick("cd $(dirname $0); echo begun >> times; [ $(wc -l < times) -gt 1 ] || exec sleep 45", 1)
    executor.submit(folders[0])
    deadline = time.monotonic() + 60
    while not (folders[0] / "times").exists():
        assert time.monotonic() < deadline
        assert executor.poll(0.1) == []
    cluster.kill("slurmd")
    while "down" not in cluster.run("sinfo", "-h", "-o", "%T"):
        assert time.monotonic() < deadline
        assert executor.poll(0.2) == []
    cluster.start_slurmd()
    cluster.wait("idle")
    job = next(iter(executor._arrays.values())).job  # Slurm lets a requeued job wait for two minutes
    subprocess.run(["scontrol", "update", f"jobid={job}_0", "starttime=now"], capture_output=True)
    assert ended(executor, 1) in ({folders[0]: 0}, {folders[0]: LOST})
    if (folders[0] / "times").read_text().count("begun") == 1:  # taken away for good: the runner owes it again
        executor.submit(folders[0])
        assert ended(executor, 1) == {folders[0]: 0}
    assert (folders[0] / "times").read_text().count("begun") == 2


@pytest.mark.parametrize(
    ("again", "code"),
    [
        ("exit 1", 1),
        ("for f in ../../../../slurm/*.begun; do echo 0 > $f; done; exit 1", LOST),  # as the first start left it
        ("rm ../../../../slurm/*.begun; exit 1", LOST),
        ("rm ../../../../slurm/*.begun; exit 7", 7),
        ("rm ../../../../slurm/*.begun", 0),
    ],
)
def test_a_start_that_never_came_to_the_script_is_not_its_failure(quick, again, code, monkeypatch) -> None:
    """Slurm fails a requeued job with code 1 and never starts it where its node returns in the same second."""
    monkeypatch.setenv("SLURM_RESTART_COUNT", "5")  # of the job that the runner is in
    does = f"cd $(dirname $0); if [ -e once ]; then {again}; exit; fi; touch once; exec sleep 60"
    executor, folders = quick(does, 1)
    executor.submit(folders[0])
    deadline = time.monotonic() + 60
    while not (folders[0] / "once").exists():
        assert time.monotonic() < deadline
        assert executor.poll(0.1) == []
    job = next(iter(executor._arrays.values())).job
    subprocess.run(["scontrol", "requeue", f"{job}_0"], check=True)
    time.sleep(1.5)  # the second in which it would not be started
    subprocess.run(["scontrol", "update", f"jobid={job}_0", "starttime=now"], check=True)
    assert ended(executor, 1) == {folders[0]: code}
    assert not list(executor.home.glob("*.begun"))
