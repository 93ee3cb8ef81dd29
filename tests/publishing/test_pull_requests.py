"""What the submissions workflow runs, on a made-up repository: data only, whatever a pull request brings."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / ".github" / "check-submissions.sh"
OWN = ROOT / "leaderboard" / "submissions"
PYTHON, PAPER = next(OWN.glob("python--*")).name, "spurious-rewards--v0"


def git(where: Path, *words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    return subprocess.run(
        ["git", *identity, *words], cwd=where, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    board = tmp_path / "leaderboard" / "submissions"
    board.mkdir(parents=True)
    shutil.copytree(OWN / PAPER, board / PAPER)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "base")
    return tmp_path


def pull_request(repository: Path, change: Callable[[Path], object]) -> tuple[int, str]:
    """Commit a change and check it as the workflow would, with the base checked out."""
    base = git(repository, "rev-parse", "HEAD")
    git(repository, "checkout", "-q", "-b", "pull")
    change(repository)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "--allow-empty", "-m", "change")
    head = git(repository, "rev-parse", "HEAD")
    git(repository, "checkout", "-q", base)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "BASE": base, "HEAD": head, "PATH": path}
    done = subprocess.run(
        ["bash", str(SCRIPT)], cwd=repository, env=environment, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


def add_python(repository: Path) -> Path:
    return Path(shutil.copytree(OWN / PYTHON, repository / "leaderboard" / "submissions" / PYTHON))


def test_a_submission_that_holds(repository) -> None:
    code, said = pull_request(repository, add_python)
    assert code == 0, said
    assert f"holds    {PYTHON}" in said and PAPER not in said


def test_code_of_a_pull_request_is_never_run(repository) -> None:
    def change(where: Path) -> None:
        folder = add_python(where)
        (where / "setup.py").write_text("raise SystemExit('run')")
        (where / "rlvr_bench").mkdir()
        (where / "rlvr_bench" / "__init__.py").write_text("open('owned', 'w')")
        (where / ".github").mkdir()
        (where / ".github" / "check-submissions.sh").write_text("touch owned")
        (folder / "conftest.py").write_text("open('owned', 'w')")

    code, said = pull_request(repository, change)
    assert code == 1
    assert "a file that a submission has not: 'conftest.py'" in said
    assert not list(repository.rglob("owned"))


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (lambda where: None, 0, "no submission was added or changed"),
        (lambda where: (where / "README.md").write_text("x"), 0, "no submission was added or changed"),
        (lambda where: shutil.rmtree(where / "leaderboard" / "submissions" / PAPER), 1, "never deleted"),
        (lambda where: (add_python(where) / "entry.json").chmod(0o755), 1, "is executable"),
        (lambda where: (add_python(where) / "table.csv").symlink_to("/etc/passwd"), 1, "is a link or no plain file"),
        (
            lambda where: add_python(where).rename(where / "leaderboard" / "submissions" / "a b; touch owned"),
            1,
            "odd name",
        ),
        (
            lambda where: (where / "leaderboard" / "submissions" / PAPER / "table.csv").write_text("method\n"),
            1,
            f"REFUSED  {PAPER}",
        ),
        (
            lambda where: (add_python(where), (where / "leaderboard" / "status.json").write_text('{"x": {}}')),
            1,
            "which is no submission",
        ),
    ],
)
def test_what_a_pull_request_may_not_do(repository, change, code, says) -> None:
    got, said = pull_request(repository, change)
    assert got == code, said
    assert says in said
    assert not list(repository.rglob("owned"))
