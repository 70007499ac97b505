from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from kasparro.core.embedded import EmbeddedPostgres
from kasparro.core.embedded.layout import LONGEST_SOCKET_PATH, Layout, socket_directory

names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=120)


@given(st.lists(names.filter(lambda name: name not in {".", ".."}), min_size=1, max_size=3))
def test_every_path_gets_a_socket_the_system_and_libpq_can_name(parts):
    base = Path("/", *parts)
    sockets = socket_directory(base)
    assert len(os.fsencode(sockets / ".s.PGSQL.5432")) <= LONGEST_SOCKET_PATH
    assert "," not in str(sockets)
    assert sockets == socket_directory(base)


def test_different_long_paths_get_different_sockets():
    assert socket_directory(Path("/" + "a" * 120)) != socket_directory(Path("/" + "b" * 120))


def test_two_ways_to_one_directory_are_one_server(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    assert Layout.within(tmp_path / "link" / "x" / ".." / "d") == Layout.within(tmp_path / "d")


def test_the_url_survives_characters_that_mean_something_in_a_url():
    url = urlsplit(EmbeddedPostgres(Path("/srv/a b%2F+&?#é")).url)
    assert (url.scheme, url.netloc, url.path) == ("postgresql", "postgres@", "/kasparro")
    assert parse_qs(url.query) == {"host": ["/srv/a b%2F+&?#é/postgres/run"]}


def test_the_url_is_known_before_anything_is_created(tmp_path):
    EmbeddedPostgres(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_handed_over_directory_replaces_the_path_to_it():
    seen = Layout.within(Path("/srv/d")).seen_through(7)
    assert (str(seen.data), str(seen.sockets)) == ("/proc/self/fd/7/data", "/proc/self/fd/7/run")
    far = Layout.within(Path("/" + "a" * 120))
    assert far.seen_through(7).sockets == far.sockets
