"""How authentication, TLS and redirects are declared: every example of the documents, and what is wrong with the others."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import indent

import pytest
import yaml
from jsonschema import Draft202012Validator

from kasparro.core.errors import ConfigurationError
from kasparro.core.etl_config import ApiSource, CsvSource, json_schema, load_catalog
from kasparro.core.redaction import redact_text, register_secrets

ROOT = Path(__file__).parents[4]
REST = (ROOT / "docs" / "sources" / "rest.md").read_text(encoding="utf-8")
EXAMPLES = [
    part
    for section in ("### `auth`\n", "### `redirects`, `redirect_hosts` and `tls`\n")
    for block in re.findall(r"```yaml\n(.*?)```", REST.split(section)[1].split("\n### ")[0], re.DOTALL)
    for part in block.split("---\n")
]
VALUES = {name: f"value-of-{name}" for name in re.findall(r"\$\{(\w+)\}", "".join(EXAMPLES))}
SECRET = re.compile(r"value-of-\w*(SECRET|TOKEN|PASSWORD|KEY)\b")


def catalog(tmp_path: Path, block: str, url: str = "https://h.example") -> Path:
    file = tmp_path / "kasparro.yaml"
    file.write_text(f"sources:\n  s:\n    type: api\n    url: {url}\n{indent(block.strip(), '    ')}\n")
    return file


def load(tmp_path: Path, block: str, **keys: str) -> ApiSource:
    source = load_catalog(catalog(tmp_path, block, **keys), VALUES).sources["s"]
    assert isinstance(source, ApiSource)
    return source


def told(tmp_path: Path, block: str, **keys: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, block, **keys)
    return str(caught.value).replace(str(tmp_path), "")


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_of_the_documents_is_accepted_by_loader_and_schema(tmp_path, example):
    declared = load(tmp_path, example)
    assert not SECRET.search(repr(declared))
    assert declared.folder == tmp_path
    Draft202012Validator(json_schema()).validate(yaml.safe_load((tmp_path / "kasparro.yaml").read_text()))


def test_there_is_an_example_of_each_way():
    shown = set(re.findall(r"type: (\w+)", "".join(EXAMPLES)))
    assert shown >= {"oauth2_client_credentials", "oauth2_refresh_token", "oauth2_jwt_bearer", "jwt", "login"}


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("auth: {type: oauth2_client_credentials}", ":5: sources.s.auth: token_url is missing"),
        ("auth: {type: oauth2_client_credential}", "Did you mean 'oauth2_client_credentials'?"),
        (
            "auth: {type: oauth2_client_credentials, token_url: 'https://x.example/?client_secret=s', client_id: i, client_secret: s}",
            "sources.s.auth.token_url: must not contain a credential",
        ),
        (
            "auth: {type: oauth2_client_credentials, token_url: 'https://x.example', client_id: i, client_secret: s, params: {scope: a}}",
            "sources.s.auth.params.scope: is set by the grant itself",
        ),
        (
            "auth: {type: oauth2_client_credentials, token_url: 'https://x.example', client_id: i, client_secret: s, params: {a: [1]}}",
            "sources.s.auth.params.a: must be text, a number, true or false",
        ),
        (
            "auth: {type: oauth2_client_credentials, token_url: 'https://x.example', client_id: i, client_secret: '${UNSET}'}",
            "sources.s.auth.client_secret: the variable UNSET is not set",
        ),
        (
            "auth: {type: login, url: 'https://x.example', cookie: S, body: {password: '${UNSET}'}}",
            "UNSET is not set",
        ),
        ("auth: {type: jwt}", "sources.s.auth: needs either key or key_file"),
        ("auth: {type: jwt, key: k, key_file: f}", "needs either key or key_file"),
        ("auth: {type: jwt, key: k, algorithm: none}", "sources.s.auth.algorithm: unknown word"),
        (
            "auth: {type: jwt, key: k, claims: {exp: 1}}",
            "claims.exp: has a key of its own or is set by itself",
        ),
        ("auth: {type: jwt, key: k, lifetime: 1s}", "sources.s.auth.lifetime: must be at least"),
        (
            "auth: {type: oauth2_jwt_bearer, key: k, token_url: 'https://x.example', client_secret: s}",
            "sources.s.auth.client_secret: belongs to a client_id",
        ),
        ("auth: {type: login, url: 'https://x.example'}", "needs either token_path or cookie"),
        (
            "auth: {type: login, url: 'https://x.example', cookie: S, in: query}",
            "leave in, name and prefix out",
        ),
        ("auth: {type: login, url: 'https://x.example', cookie: 'a b'}", "is not a cookie's name"),
        (
            "auth: {type: login, url: 'https://x.example', token_path: t, in: query}",
            "needs the name of the query",
        ),
        ("auth: {type: login, url: 'https://x.example', token_path: t, name: 'a b'}", "not a header name"),
        ("auth: {type: login, url: 'https://x.example', token_path: 't['}", "is not a JMESPath expression"),
        (
            "auth: {type: login, url: 'https://x.example', token_path: t, body: {}, form: {a: 1}}",
            "together with body",
        ),
        (
            "auth: {type: login, url: 'https://x.example', token_path: t, method: GET, form: {a: 1}}",
            "sends nothing",
        ),
        (
            "auth: {type: login, url: 'https://x.example', token_path: t, headers: {Authorization: x}}",
            "Declare it under",
        ),
        (
            "auth: {type: login, url: 'https://x.example', token_path: t, auth: {type: login}}",
            "sources.s.auth.auth",
        ),
        ("tls: {}", "sources.s.tls: needs ca, cert, or both"),
        ("tls: {ca: x, key: y}", "sources.s.tls.key: has no meaning without cert"),
        ("tls: {ca: x, verify: false}", "sources.s.tls.verify: unknown key"),
        ("redirects: all", "sources.s.redirects: unknown word"),
        (
            "redirects: none\nredirect_hosts: [a.example]",
            "sources.s.redirect_hosts: contradicts redirects: none",
        ),
        ("redirect_hosts: a.example", "sources.s.redirect_hosts: must be a list"),
        *(
            (f"redirect_hosts: ['{host}']", "redirect_hosts[0]: must be a host such as")
            for host in (
                *(
                    "https://a.example/path",
                    "a b",
                    "ftp://a.example",
                    "a.*.example",
                    "**",
                    "*a.example",
                    "a.example:0",
                ),
                *(
                    "me@a.example",
                    "a.example:99999",
                    "https://",
                    ".",
                    "*.",
                    "a.example?x",
                    "http://[::1",
                    "a\\b",
                ),
            )
        ),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(tmp_path, block, said):
    assert said in told(tmp_path, block)


def test_tls_has_no_meaning_without_it(tmp_path):
    assert "sources.s.tls: has no meaning for http://" in told(
        tmp_path, "tls: {ca: x}", url="http://h.example"
    )


@pytest.mark.parametrize("key", ["tls: {ca: x}", "redirect_hosts: [a.example]", "redirects: none"])
def test_files_of_this_machine_are_not_redirected(tmp_path, key):
    file = tmp_path / "kasparro.yaml"
    file.write_text(f"sources: {{s: {{type: csv, path: a.csv, {key}}}}}")
    with pytest.raises(
        ConfigurationError, match="does not go with this path, which is a file of this machine"
    ):
        load_catalog(file, {})
    file.write_text(f"sources: {{s: {{type: csv, path: 'https://h.example/a.csv', {key}}}}}")
    assert isinstance(load_catalog(file, {}).sources["s"], CsvSource)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "a.example",
            "*.a.example",
            "*",
            "http://a.example",
            "https://*.a.example:8443",
            "http://[::1]:8080",
        ),
        *("http://*:80", "bücher.example", "localhost", "10.0.0.7:5000"),
    ],
)
def test_hosts_are_written_in_every_usual_way(tmp_path, host):
    assert load(tmp_path, f"redirect_hosts: ['{host}']").redirect_hosts == (host,)


def test_values_of_a_login_are_read_as_json_and_those_that_are_secret_are_hidden(tmp_path):
    block = """
        auth:
          type: login
          url: https://h.example/login
          token_path: t
          body: {user: me, n: 7, remember: true, credentials: {Password: correct-horse, otp: "123456"}, keys: [{api_key: battery-staple}]}
    """
    declared = load(tmp_path, block)
    register_secrets(declared)
    shown = repr(declared.auth.body) + redact_text("correct-horse 123456 battery-staple remember me")
    for secret in ("correct-horse", "123456", "battery-staple"):
        assert secret not in shown
    assert "remember me" in shown
    body = declared.auth.body
    assert (body["user"], body["n"], body["remember"]) == ("me", 7, True)
