"""A read that waits for the network can be ended from another thread."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from file_server import serve_stalling
from kasparro.core.errors import SourceError
from kasparro.core.etl_config import CsvSource
from kasparro.ingestion.csv.files import SourceFile
from kasparro.ingestion.csv.locations import find, open_file


def read_all(file: SourceFile) -> None:
    while file.read(1 << 20):
        pass


@pytest.mark.parametrize("scheme", ["http", "s3"])
def test_a_read_that_waits_for_the_network_ends_when_it_is_interrupted(scheme: str) -> None:
    stalled = threading.Event()
    with serve_stalling(stalled) as base, ThreadPoolExecutor() as pool:
        if scheme == "s3":
            store = {"endpoint": base, "anonymous": True, "region": "us-east-1"}
            source = CsvSource(name="s", path="s3://bucket/a.csv", storage=store)
        else:
            source = CsvSource(name="s", path=f"{base}/a.csv")
        file = open_file(find(source)[0])
        reading = pool.submit(read_all, file)
        assert stalled.wait(30)
        file.interrupt()
        with pytest.raises(SourceError, match="ended from outside"):
            reading.result(30)
        file.close()
        file.interrupt()
    assert not [one for one in threading.enumerate() if one.name == "kasparro-files"]
