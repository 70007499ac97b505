"""The embedded PostgreSQL dies under a command that uses it: it comes back, and the command ends well."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import pytest

from cli_process import PATIENCE, Kasparro, gated_api
from kasparro.core.embedded.layout import Layout
from kasparro.core.embedded.processes import all_on, read_postmaster_file


@pytest.mark.parametrize("how", ["every process", "the postmaster", "fast shutdown"])
def test_an_ingest_outlives_the_end_of_its_embedded_database(tmp_path, how):
    with gated_api() as api:
        kasparro = Kasparro(tmp_path, {"ETL_BATCH_SIZE": "5", "KASPARRO_DATA_DIR": str(tmp_path / "db")})
        kasparro.catalog(api.source)
        api.allow(3)
        with kasparro.start("ingest", "--json") as process:
            api.wait_until_asked_for(4)
            end(kasparro, how)
            api.allow(api.pages + 1)
            out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, out + err
        assert "embedded.restarted" in err
        (checkpoint,) = kasparro.json("checkpoints", "list")
        assert (checkpoint["status"], checkpoint["record_count"]) == ("complete", 40)


def end(kasparro: Kasparro, how: str) -> None:
    data = Layout.within(kasparro.folder / "db").data
    state = read_postmaster_file(data)
    assert state is not None
    if how == "fast shutdown":
        os.kill(state.pid, signal.SIGINT)
        return
    for pid in all_on(data) if how == "every process" else [state.pid]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
