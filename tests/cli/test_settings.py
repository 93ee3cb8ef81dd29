"""Settings: flag over environment over pyproject.toml over the user's file over default; each says where it is from."""

from pathlib import Path

import pytest

from rlvr_bench.cli import settings
from rlvr_bench.cli.app import run as rlvr_bench
from rlvr_bench.errors import FileFormatError


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """A folder, a home and an environment without settings; what a command sets is taken back."""
    (tmp_path / "work" / "deep").mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for setting in settings.SETTINGS.values():
        monkeypatch.setenv(setting.variable, "")
        monkeypatch.delenv(setting.variable)
    monkeypatch.chdir(tmp_path / "work" / "deep")
    return tmp_path


def own(root: Path, text: str) -> Path:
    path = root / "config" / "rlvr-bench" / "settings.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def project(root: Path, text: str) -> Path:
    path = root / "work" / "pyproject.toml"
    path.write_text("[project]\nname = 'x'\n\n[tool.rlvr-bench]\n" + text)
    return path


def test_the_order(nowhere, monkeypatch, capsys) -> None:
    mine = own(nowhere, "retry = 1\nworkers = 3\nsuite = 'small'\n")
    ours = project(nowhere, "retry = 2\nsuite = 'smoke'\n")
    monkeypatch.setenv("RLVR_BENCH_SUITE", "micro-random")
    assert rlvr_bench(["show", "settings"]) == 0
    rows = {line.split()[0]: line.split()[1:3] for line in capsys.readouterr().out.splitlines()}
    assert rows["suite"] == ["micro-random", "RLVR_BENCH_SUITE"]
    assert rows["retry"] == ["2", str(ours)] and rows["workers"] == ["3", str(mine)]
    assert rows["executor"] == ["local", "default"] and set(rows) == set(settings.SETTINGS)


def test_a_files_setting_reaches_the_verbs_and_a_flag_is_stronger(nowhere, capsys) -> None:
    project(nowhere, "suite = 'micro-random'\n")
    assert rlvr_bench(["plan", "--method", "random"]) == 0
    assert "micro-random, version" in capsys.readouterr().out
    assert rlvr_bench(["plan", "--method", "random", "--suite", "micro"]) == 0
    assert "micro, version" in capsys.readouterr().out


def test_paths_are_beside_their_file(nowhere) -> None:
    ours = project(nowhere, "runs = 'my-runs'\n")
    assert settings.read({}, Path.cwd())["runs"].value == str(ours.parent / "my-runs")


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("retries = 3\n", "no such setting: retries", 5),
        ("suite = 'micro'\nretry = 'often'\n", "retry must be a whole number, not 'often'", 6),
        ("workers = true\n", "workers must be a whole number", 5),
        ("max-gpu-hours = '3'\n", "max-gpu-hours must be a number", 5),
    ],
)
def test_slips_are_said_with_their_line(nowhere, text, said, line, capsys) -> None:
    path = project(nowhere, text)
    with pytest.raises(FileFormatError, match=said) as caught:
        settings.read({}, Path.cwd())
    assert caught.value.where == f"{path}:{line}"
    assert rlvr_bench(["list", "suites"]) == 2
    assert said in capsys.readouterr().err
    assert rlvr_bench(["--help"]) == 0  # help is for those who have slipped


def test_did_you_mean(nowhere) -> None:
    own(nowhere, "retrys = 3\n")
    with pytest.raises(FileFormatError) as caught:
        settings.read({}, Path.cwd())
    assert "retry" in str(caught.value.hint)


def test_other_tools_slips_are_not_ours(nowhere) -> None:
    (nowhere / "work" / "pyproject.toml").write_text("[project\n")
    assert settings.read({}, Path.cwd())["retry"].source == "default"
    own(nowhere, "retry = \n")
    with pytest.raises(FileFormatError, match="not TOML"):
        settings.read({}, Path.cwd())


def test_money(monkeypatch, capsys) -> None:
    monkeypatch.setenv("RLVR_BENCH_GPU_PRICE", "2.5")
    from rlvr_bench.cli.plan import _money

    assert _money(100, 200) == [("money", "250-500 at 2.5 an hour")]
    monkeypatch.setenv("RLVR_BENCH_GPU_PRICE", "cheap")
    assert rlvr_bench(["plan", "--method", "random", "--suite", "micro"]) == 0  # no hours of a GPU, no money
