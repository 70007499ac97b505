from __future__ import annotations

import pytest
from pydantic import TypeAdapter

from kasparro.core.errors import ConfigurationError
from kasparro.core.etl_config import StaticAuth
from kasparro.ingestion.http.credentials import Credentials, credentials_of


def credentials(**declared: object) -> Credentials:
    return credentials_of(TypeAdapter(StaticAuth).validate_python(declared))


def test_nothing_is_sent_for_none():
    assert credentials(type="none") == Credentials("no credential was sent (auth: none)")


def test_the_credential_goes_where_it_is_declared():
    assert credentials(type="bearer", token="abc").headers == {"Authorization": "Bearer abc"}
    assert credentials(type="basic", username="ü", password="p").headers == {
        "Authorization": "Basic w7w6cA=="
    }
    header = credentials(type="api_key", **{"in": "header"}, name="X-Key", prefix="Key ", value="abc")
    assert (header.headers, header.query) == ({"X-Key": "Key abc"}, {})
    query = credentials(type="api_key", **{"in": "query"}, name="k", value="abc")
    assert (query.headers, query.query) == ({}, {"k": "abc"})


@pytest.mark.parametrize("value", ["ab\nc", "ab\r\nX: y", "“abc”", "ab\0"])
def test_a_secret_no_header_can_carry_is_a_fault_of_the_configuration_and_is_not_shown(value):
    with pytest.raises(ConfigurationError) as caught:
        credentials(type="bearer", token=value)
    assert "ab" not in str(caught.value).replace("variable", "")


def test_credentials_do_not_show_themselves():
    assert "topsecret" not in repr(credentials(type="bearer", token="topsecret"))
    assert "topsecret" not in credentials(type="basic", username="u", password="topsecret").sent


def test_a_credential_in_a_link_is_known_by_name_or_by_value():
    found = credentials(type="api_key", **{"in": "query"}, name="k", value="long-enough")
    assert found.belongs("k", "anything")
    assert found.belongs("other", "long-enough")
    assert not found.belongs("page", "1")
    assert not credentials(type="bearer", token="1").belongs("page", "1")
