"""A real Slurm on loopback: munged, slurmctld and slurmd of Debian's packages, started and stopped by tests.

Nodes share this machine's cores; of several, each says that it has a GPU, which is none.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ctld}
AuthType=auth/munge
AuthInfo=socket={home}/munge.socket
CredType=cred/munge
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool-%n
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/slurmd-%n.pid
SlurmctldLogFile={home}/slurmctld.log
SlurmdLogFile={home}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0
MpiDefault=none
ReturnToService=2
SlurmdTimeout={timeout}
SlurmctldTimeout=20
KillWait=2
InactiveLimit=0
MinJobAge=60
MaxArraySize=1001
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=9
"""


def missing() -> str:
    """Say what this machine lacks for a Slurm of its own, empty where nothing does."""
    for name in ("munged", "slurmctld", "slurmd", "sbatch", "mungekey"):
        if shutil.which(name) is None and not Path(f"/usr/sbin/{name}").exists():
            return f"{name} is not installed (slurm-wlm, munge)"
    return "" if os.geteuid() == 0 else "slurmd starts jobs as root only"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@dataclass
class Slurm:
    """A running cluster; each node has as many cores as this machine."""

    home: Path
    nodes: tuple[str, ...]
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)

    def run(self, *words: str) -> str:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def start(self, name: str, *words: str) -> None:
        with (self.home / f"{name}.out").open("ab") as log:
            self.processes[name] = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)

    def start_slurmd(self) -> None:
        for i, node in enumerate(self.nodes):
            name = f"slurmd{i or ''}"
            if name not in self.processes:
                self.start(name, "/usr/sbin/slurmd", "-D", "-N", node, "-f", str(self.home / "slurm.conf"))

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def wait(self, state: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while True:
            done = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, check=False)
            if state in done.stdout:
                return
            assert time.monotonic() < deadline, (state, done.stdout, done.stderr, self.log())
            time.sleep(0.1)

    def log(self) -> str:
        return "\n".join(p.read_text(errors="replace")[-1500:] for p in self.home.glob("*.log"))


@contextmanager
def slurm(home: Path, *, timeout: int = 5, two: bool = False) -> Iterator[Slurm]:
    """Start a cluster of one node, or two, below a folder and set SLURM_CONF for this process."""
    host = socket.gethostname().split(".")[0]
    nodes = (host, f"{host}-2") if two else (host,)  # the first is also a name that others look up
    (home / "state").mkdir(parents=True)
    cores = len(os.sched_getaffinity(0))
    text = CONF.format(host=host, home=home, ctld=free_port(), timeout=timeout)
    gpu = "Gres=gpu:1" if two else ""
    for node in nodes:
        text += f"NodeName={node} NodeAddr=127.0.0.1 Port={free_port()} CPUs={cores} {gpu}\n"
    if two:
        text += "GresTypes=gpu\n"
        (home / "gres.conf").write_text("Name=gpu File=/dev/null\n")
    (home / "slurm.conf").write_text(text)
    subprocess.run(["/usr/sbin/mungekey", "-c", "-k", str(home / "munge.key")], check=True)
    home.chmod(0o755)
    found = Slurm(home, nodes)
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(home / "slurm.conf")
    try:
        files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        own = [f"--{name}={home}/munge.{end}" for name, end in files.items()]
        found.start("munged", "/usr/sbin/munged", "--foreground", "--force", *own)
        deadline = time.monotonic() + 10
        while not (home / "munge.socket").exists():
            assert time.monotonic() < deadline, (home / "munged.out").read_text()
            time.sleep(0.05)
        found.start("slurmctld", "/usr/sbin/slurmctld", "-D", "-i", "-f", str(home / "slurm.conf"))
        found.start_slurmd()
        found.wait("idle")
        yield found
    finally:
        subprocess.run(["scancel", "--me"], capture_output=True, check=False)
        for name in ("slurmd", "slurmd1", "slurmctld", "munged"):
            if name in found.processes:
                found.processes[name].terminate()
        for process in found.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        if before is None:
            del os.environ["SLURM_CONF"]
        else:
            os.environ["SLURM_CONF"] = before
