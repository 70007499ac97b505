import textwrap

import pytest

from kasparro.core.catalog_file import load_catalog
from kasparro.core.errors import ConfigurationError
from kasparro.core.redaction import redact_text, register_secrets


@pytest.fixture
def load(tmp_path):
    def read(keys, **variables):
        file = tmp_path / "kasparro.yaml"
        file.write_text("sources:\n  s:\n    type: singer\n" + textwrap.indent(textwrap.dedent(keys), "    "))
        return load_catalog(file, variables).source("s")

    return read


def test_a_command_is_words_or_a_text_that_is_cut_into_words(load):
    listed, text = load("command: [tap, --flag, 'a b']"), load("command: tap --flag 'a b'")

    assert listed.command == text.command == ("tap", "--flag", "a b")


def test_its_config_is_read_as_json_would_be_and_its_secrets_are_known(load):
    source = load(
        """
        command: tap
        config: {start: 2024-01-01, size: 100, on: true, dsn: "${DSN}", password: plain-one, mode: "${MODE:-full}"}
        """,
        DSN="postgresql://me:pw@host/db",
    )

    assert source.config == {
        "start": "2024-01-01",
        "size": 100,
        "on": True,
        "dsn": "postgresql://me:pw@host/db",
        "password": "plain-one",
        "mode": "full",
    }
    assert source.hidden == ("plain-one", "postgresql://me:pw@host/db")
    assert "plain-one" not in repr(source) + str(source)


def test_the_logs_know_what_to_hide(load):
    register_secrets(load('command: tap\nconfig: {nested: [{code: "${CODE}"}]}', CODE="only-the-tap-knows"))

    assert redact_text("it is only-the-tap-knows") == "it is ***"


def test_a_new_secret_is_no_other_declaration_and_a_new_stream_is(load):
    text = 'command: tap\nconfig: {password: "${PW}", start: %s}\nstreams: %s'
    one, other = (
        load(text % ("a", "[x]"), PW="first-password"),
        load(text % ("a", "[x]"), PW="second-password"),
    )
    moved, more = (
        load(text % ("b", "[x]"), PW="first-password"),
        load(text % ("a", "[x, y]"), PW="first-password"),
    )

    assert one.fetch_fingerprint() == other.fetch_fingerprint()
    assert len({one.fetch_fingerprint(), moved.fetch_fingerprint(), more.fetch_fingerprint()}) == 3


@pytest.mark.parametrize("catalog", ["discover", "none", "taps/catalog.json", "{streams: [{stream: a}]}"])
def test_a_catalog_is_asked_for_or_given(load, catalog):
    assert load(f"command: tap\ncatalog: {catalog}").catalog


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("config: {}", "command is missing"),
        ("command: []", "must not be empty"),
        ('command: "tap \'a"', "quotation that does not end"),
        ("command: tap\nincremental: {field: x}", "incremental"),
        ("command: tap\nsnapshot: true", "snapshot"),
        ("command: tap\nenv: [A=b]", "is not the name of a variable"),
        ("command: tap\ntimeout: 0s", "must be more than"),
        ("command: tap\nconfig: [a]", "must be a mapping"),
        ("command: tap\nsecrets: [a]", "unknown key"),
        ("command: tap\nurl: https://h.example", "unknown key"),
        ('command: tap\nconfig: {token: "${NOT_SET}"}', "NOT_SET is not set"),
        ("command: tap\nmap: {title: 'a['}", "is not a JMESPath expression"),
    ],
)
def test_what_is_wrong_with_it_is_told(load, keys, message):
    with pytest.raises(ConfigurationError, match=message):
        load(keys)
