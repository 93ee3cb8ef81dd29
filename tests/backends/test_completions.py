"""The file of completions: replayed, torn, read in parts, and by other programs."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlvr_bench.backends.completions import Completions, packed, read_rows


def rows(first: int, count: int) -> list[dict]:
    return [{"text": f"{i} é 😀 \x00", "tokens": i, "truncated": False} for i in range(first, first + count)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "completions.jsonl.gz"
    completions = Completions(path)
    at = 0
    for size in (4, 1, 7, 3):
        completions.add(f"key-{at}", rows(at, size))
        at += size
    return path


def test_any_gzip_reads_it(path) -> None:
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert [len(line["rows"]) for line in lines] == [4, 1, 7, 3]
    assert [row for line in lines for row in line["rows"]] == rows(0, 15) == read_rows(path)[0]
    assert list(Completions(path).chunks) == ["key-0", "key-4", "key-5", "key-12"]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=5))
def test_any_spans_are_read(spans) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.gz"
        path.write_bytes(b"".join(packed({"key": str(i), "rows": rows(i, 3)}) for i in range(0, 15, 3)))
        assert read_rows(path, spans) == [rows(0, 15)[a:b] for a, b in spans]


def test_only_what_is_wanted_is_unpacked(path, monkeypatch) -> None:
    import rlvr_bench.backends.completions as module

    unpacked = []
    real = module.zlib.decompress
    monkeypatch.setattr(module.zlib, "decompress", lambda *a, **k: unpacked.append(1) or real(*a, **k))
    assert [row["tokens"] for row in read_rows(path, [(5, 6)])[0]] == [5]
    assert len(unpacked) == 1


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_torn_end_is_left_out_and_left_alone(path, cut) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    assert read_rows(path)[0] == rows(0, 12) and path.read_bytes() == whole[:-cut]
    assert len(Completions(path).chunks) == 3  # who goes on writing cuts it off
    assert read_rows(path)[0] == rows(0, 12) and len(path.read_bytes()) < len(whole)


def test_a_damaged_member_ends_the_reading(path) -> None:
    data = bytearray(path.read_bytes())
    data[-12] ^= 0xFF
    path.write_bytes(bytes(data))
    assert read_rows(path)[0] == rows(0, 12)
