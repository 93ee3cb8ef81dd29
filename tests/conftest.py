"""Fixtures: the real planner, runner and analysis around a fake executor."""

from pathlib import Path

import pytest

from tests.fakes import FakeExecutor


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def fake() -> FakeExecutor:
    return FakeExecutor()
