"""Fixtures: the real planner, runner and analysis around a fake executor."""

import shutil
from pathlib import Path

import pytest

from tests.fakes import FakeExecutor


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def fake() -> FakeExecutor:
    return FakeExecutor()


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium, for tests that open pages."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()
