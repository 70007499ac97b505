"""`kasparro.yaml` from the file to the declarations: what is accepted, and what each fault is told."""

from __future__ import annotations

import os
import textwrap
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kasparro.core.catalog_file import MAX_BYTES, load_catalog
from kasparro.core.errors import ConfigurationError, NotSupportedYet
from kasparro.core.etl_config import (
    ApiKeyAuth,
    ApiSource,
    AutoPagination,
    BasicAuth,
    BearerAuth,
    Catalog,
    CsvSource,
    CursorPagination,
    LinkHeaderPagination,
    NextUrlPagination,
    NoAuth,
    NoPagination,
    OffsetPagination,
    PagePagination,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture
def load(tmp_path):
    def loader(text: str, **environ: str) -> Catalog:
        file = tmp_path / "kasparro.yaml"
        file.write_text(textwrap.dedent(text), encoding="utf-8")
        return load_catalog(file, environ)

    return loader


def api(block: str) -> str:
    """A catalog of one API source `s` whose line 5 and following are *block*."""
    return f"sources:\n  s:\n    type: api\n    url: https://h.example/x\n{textwrap.indent(textwrap.dedent(block), '    ')}\n"


def csv(block: str) -> str:
    return (
        f"sources:\n  s:\n    type: csv\n    path: a.csv\n{textwrap.indent(textwrap.dedent(block), '    ')}\n"
    )


def told(load, text: str, **environ: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as refusal:
        load(text, **environ)
    return refusal.value


# What is accepted


def test_a_whole_api_source_arrives_as_declared(load):
    catalog = load(
        api(
            """
            description: Popular repositories
            enabled: yes
            method: post
            body: {query: all, first: 10, price: 1.10, deep: [true, null, no]}
            headers: {Accept: application/json, X-Version: 2, X-Flag: true}
            params: {q: "stars:>5000", country: no, n: 5, v: 1.10, all: true, since: 2024-01-01}
            auth: {type: bearer, token: "${TOKEN}"}
            records: items
            key: [id, owner.id]
            pagination: {type: page, param: p, start: 0, size_param: per_page, size: "${SIZE:-100}"}
            rate_limit: {requests: 60, per: 60s, concurrency: 1}
            retry: {attempts: 3, base: 500ms, max: 10s}
            timeout: 10
            schedule: 0 */6 * * *
            snapshot: false
            ignore_changes: []
            drift: evolve
            map:
              title: [full_name, name]
              author: owner.login
              category: const:repository
              published_at: {path: created, as: "%d.%m.%Y", default: 2024-01-01}
              url: {const: null}
            """
        ),
        TOKEN="a: 'b' # \"c\" ${X}",
    )
    source = catalog.source("s")
    assert isinstance(source, ApiSource)
    assert (source.name, source.enabled, source.method) == ("s", True, "POST")
    assert source.body == {"query": "all", "first": 10, "price": 1.1, "deep": [True, None, "no"]}
    assert source.headers == {"Accept": "application/json", "X-Version": "2", "X-Flag": "true"}
    assert source.params == {
        "q": "stars:>5000", "country": "no", "n": 5, "v": "1.10", "all": True, "since": "2024-01-01",
    }  # fmt: skip
    assert isinstance(source.auth, BearerAuth)
    assert source.auth.token.get_secret_value() == "a: 'b' # \"c\" ${X}"
    assert source.key == ("id", "owner.id")
    assert source.pagination == PagePagination(param="p", start=0, size_param="per_page", size=100)
    assert source.rate_limit is not None
    assert source.rate_limit.per == timedelta(minutes=1)
    assert source.retry.base == timedelta(milliseconds=500)
    assert source.timeout == timedelta(seconds=10)
    assert source.map["title"].paths == ("full_name", "name")
    assert source.map["category"].const == "repository"
    assert source.map["published_at"].as_ == "%d.%m.%Y"
    assert source.map["published_at"].default == "2024-01-01"
    assert source.map["url"].paths == ()


def test_a_source_says_little_when_the_defaults_are_right(load):
    source = load(api("")).source("s")
    assert isinstance(source, ApiSource)
    assert (source.enabled, source.method, source.key, source.records) == (True, "GET", None, None)
    assert source.auth == NoAuth()
    assert source.pagination == NoPagination()
    assert source.timeout == timedelta(seconds=30)
    assert (source.retry.attempts, source.retry.base, source.retry.max) == (
        5,
        timedelta(seconds=1),
        timedelta(minutes=1),
    )


@pytest.mark.parametrize(
    ("text", "auth"),
    [
        ("none", NoAuth()),
        ("{type: none}", NoAuth()),
        ("{type: bearer, token: 0123}", BearerAuth(token="0123")),
        ("{type: api_key, in: query, name: key, value: v}", ApiKeyAuth(in_="query", name="key", value="v")),
        (
            "{type: api_key, name: X-Key, prefix: 'Token ', value: v}",
            ApiKeyAuth(name="X-Key", prefix="Token ", value="v"),
        ),
        ("{type: basic, username: u, password: ''}", BasicAuth(username="u", password="")),
    ],
)
def test_every_way_to_authenticate_is_read(load, text, auth):
    assert load(api(f"auth: {text}")).source("s").auth == auth


@pytest.mark.parametrize(
    ("text", "pagination"),
    [
        ("none", NoPagination()),
        ("page", PagePagination()),
        ("{type: offset, offset_param: skip, limit_param: top, limit: 5}",
         OffsetPagination(offset_param="skip", limit_param="top", limit=5)),
        ("{type: cursor, param: c, next: meta.next}", CursorPagination(param="c", next="meta.next")),
        ("{type: cursor, param: c, next: 'header:X-Next'}", CursorPagination(param="c", next="header:X-Next")),
        ("link_header", LinkHeaderPagination()),
        ("{type: next_url, path: links.next}", NextUrlPagination(path="links.next")),
        ("auto", AutoPagination()),
        ("{type: auto, max_pages: 7}", AutoPagination(max_pages=7)),
        ("{type: page, in: header, param: X-Page, has_more: more, total: meta.total}",
         PagePagination(in_="header", param="X-Page", has_more="more", total="meta.total")),
    ],
)  # fmt: skip
def test_every_pagination_is_read(load, text, pagination):
    assert load(api(f"pagination: {text}")).source("s").pagination == pagination


def test_a_csv_source_arrives_as_declared(load, tmp_path):
    source = load(
        csv(
            r"""
            delimiter: \t
            quotechar: null
            escapechar: \
            encoding: cp1252
            header: [id, null, 2]
            skip_rows: 3
            null_values: [NA, null, -1, no, ""]
            key: Full Name
            map: {title: Full Name}
            """
        ).replace("[id, null, 2]", '[id, "null", 2]')
    ).source("s")
    assert isinstance(source, CsvSource)
    assert source.location == str(tmp_path / "a.csv")
    assert (source.delimiter, source.quotechar, source.escapechar, source.encoding) == (
        "\t",
        None,
        "\\",
        "cp1252",
    )
    assert source.header == ("id", "null", "2")
    assert source.skip_rows == 3
    assert source.null_values == ("NA", "null", "-1", "no", "")
    assert source.key == ("Full Name",)


@pytest.mark.parametrize(
    ("text", "header"), [("yes", True), ("no", False), ("off", False), ("true", True), ("${H}", False)]
)
def test_a_header_is_yes_or_no_in_any_spelling(load, text, header):
    assert load(csv(f"header: {text}"), H="false").source("s").header is header


@pytest.mark.parametrize("path", ["a.csv", "data/a.csv.gz", "../a.bz2", "/abs/a.xz"])
def test_a_path_is_relative_to_the_catalog(load, tmp_path, path):
    source = load(f"sources: {{s: {{type: csv, path: {path}}}}}").source("s")
    assert source.location == str((tmp_path / path).absolute())


def test_anchors_and_merges_are_usual_yaml(load):
    catalog = load(
        """
        x-defaults: &defaults
          timeout: 10s
          retry: {attempts: 2}
          params: {secret: "${NEVER_SET}"}
        sources:
          a: {<<: *defaults, type: api, url: "https://h.example", params: {}}
        """
    )
    assert catalog.source("a").retry.attempts == 2


def test_variables_come_from_the_env_file_beside_the_catalog(load, tmp_path):
    (tmp_path / ".env").write_text("TOKEN=from file\nSIZE=7\n")
    text = api('auth: {type: bearer, token: "${TOKEN}"}\npagination: {type: offset, limit: "${SIZE}"}')
    source = load(text, SIZE="8").source("s")
    assert source.auth.token.get_secret_value() == "from file"
    assert source.pagination.limit == 8


def test_the_process_environment_is_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("KASPARRO_TEST_URL", "https://env.example")
    file = tmp_path / "k.yaml"
    file.write_text("sources: {s: {type: api, url: '${KASPARRO_TEST_URL}'}}")
    assert load_catalog(file).source("s").url == "https://env.example"


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    file = tmp_path / "k.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + csv("").encode())
    assert list(load_catalog(file, {}).sources) == ["s"]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.name)
        for path in (ROOT / "kasparro.yaml", *sorted((ROOT / "examples").glob("*.yaml")))
    ],
)
def test_the_catalogs_of_this_repository_are_accepted(path):
    addresses = dict.fromkeys(("PLAYGROUND_URL", "SALESFORCE_URL"), "http://127.0.0.1:1")
    secrets = (
        "PLAYGROUND_API_KEY",
        "PLAYGROUND_TOKEN",
        "GITHUB_TOKEN",
        "COINGECKO_API_KEY",
        "STRIPE_API_KEY",
    )
    secrets += ("SALESFORCE_CLIENT_ID", "SALESFORCE_CLIENT_SECRET")
    variables = dict.fromkeys([*os.environ, *secrets], "x") | addresses
    assert load_catalog(path, variables).sources


# Disabled sources


DISABLED = """
    sources:
      s:
        type: api
        enabled: no
        url: ${URL}
        schedule: ${CRON}
        auth: {type: bearer, token: "${TOKEN}"}
        pagination: {type: cursor, param: "${P}", next: "${N}"}
        rate_limit: {requests: "${R}", per: "${PER}"}
        records: ${RECORDS}
"""


def test_a_disabled_source_can_do_without_its_variables_until_it_is_used(load):
    catalog = load(DISABLED)
    assert list(catalog.sources) == ["s"]
    assert not catalog.sources["s"].enabled
    with pytest.raises(ConfigurationError) as refusal:
        catalog.source("s")
    assert [problem.line for problem in refusal.value.problems] == [6, 7, 8, 9, 9, 10, 10, 11]
    assert "the variable TOKEN is not set" in str(refusal.value)


def test_a_disabled_source_is_judged_in_everything_else(load):
    refusal = told(load, DISABLED.replace("enabled: no", "enabled: no\n        methd: GET"))
    [problem] = refusal.problems
    assert "Did you mean 'method'?" in problem.message


def test_what_cannot_be_judged_without_its_variable_is_not_passed_over(load):
    assert "TYPE is not set" in str(told(load, "sources: {s: {type: '${TYPE}', enabled: false}}"))


# What is refused, and how


@pytest.mark.parametrize(
    ("block", "place", "message"),
    [
        ("methd: GET", "s.methd", "unknown key. Did you mean 'method'?"),
        ("name: x", "s.name", "unknown key. Known are: description"),
        ("delimiter: x", "s.delimiter", "unknown key"),
        ("method: PUT", "s.method", "unknown word; must be one of GET, POST"),
        ("method: [GET]", "s.method", "unknown word; must be one of GET, POST"),
        ("body: {a: 1}", "s.body", "needs method: POST"),
        ("headers: [a]", "s.headers", "must be a mapping"),
        ("headers: {A: }", "s.headers.A", "must be text"),
        ("headers: {authorization: x}", "s.headers.authorization", "auth: {type: bearer"),
        ("headers: {Host: x}", "s.headers.Host", "is set by the HTTP client"),
        ('headers: {A: "x\\r\\nB: y"}', "s.headers.A", "must not contain line breaks"),
        ("headers: {A B: x}", "s.headers.A B", "is not a header name"),
        ("headers: {A: x, a: y}", "s.headers.a", "is there twice"),
        ("params: {a: [1]}", "s.params.a", "must be text, a number, true or false"),
        ("params: {a: }", "s.params.a", "must be text, a number, true or false"),
        ("params: {page: 1}\npagination: page", "s.params.page", "is set by pagination as well"),
        ("auth: beare", "s.auth", "unknown type. Did you mean 'bearer'?"),
        ("auth: {type: beare}", "s.auth", "unknown type. Did you mean 'bearer'?"),
        ("auth: {token: x}", "s.auth", "needs a type: one of none, bearer, api_key, basic"),
        ("auth: [x]", "s.auth", "must be a mapping"),
        ("auth: {type: bearer}", "s.auth", "token is missing"),
        ("auth: {type: bearer, token: ''}", "s.auth.token", "must not be empty"),
        ("auth: {type: bearer, tokn: x, token: x}", "s.auth.tokn", "Did you mean 'token'?"),
        ("auth: {type: bearer, username: x, token: x}", "s.auth.username", "Known are: type, token"),
        ("auth: {type: api_key, in: heder, name: x, value: x}", "s.auth.in", "Did you mean 'header'?"),
        ("auth: {type: api_key, in_: header, name: x, value: x}", "s.auth.in_", "Did you mean 'in'?"),
        ("auth: {type: api_key, name: a b, value: x}", "s.auth.name", "is not a header name"),
        ('auth: {type: basic, username: "a:b", password: x}', "s.auth.username", "cannot contain a colon"),
        ("records: items[", "s.records", "is not a JMESPath expression (the error is at character 7)"),
        ("records: lenght(items)", "s.records", "Did you mean length()?"),
        ("key: items[0].id", "s.key", "must be a field path"),
        ("key: []", "s.key", "needs at least one"),
        ("key: [id, id]", "s.key", "twice"),
        ("key: {a: b}", "s.key", "must be a list"),
        ("pagination: {type: pages}", "s.pagination", "Did you mean 'page'?"),
        ("pagination: {type: page, size_parm: x}", "s.pagination.size_parm", "Did you mean 'size_param'?"),
        ("pagination: {type: page, page: 1}", "s.pagination.page", "unknown key"),
        ("pagination: {type: page, size: 5}", "s.pagination.size", "needs size_param"),
        ("pagination: {type: page, size_param: x}", "s.pagination.size_param", "needs size"),
        (
            "pagination: {type: page, size_param: page, size: 5}",
            "s.pagination.size_param",
            "must differ from param",
        ),
        ("pagination: {type: page, in: header, param: a b}", "s.pagination.param", "is not a header name"),
        ("pagination: {type: page, in: body}", "s.pagination.in", "needs method: POST"),
        ("pagination: {type: page, in: form}", "s.pagination.in", "must be one of query, body, header"),
        (
            "pagination: {type: offset, in: body, offset_param: a.b, limit_param: a}\nmethod: POST",
            "s.pagination.limit_param",
            "must differ from offset_param",
        ),
        (
            "pagination: {type: page, in: body, param: 'a[0]'}\nmethod: POST",
            "s.pagination.param",
            "must be a path such as variables.page",
        ),
        (
            "headers: {x-page: a}\npagination: {type: page, in: header, param: X-Page}",
            "s.headers.x-page",
            "is set by pagination as well",
        ),
        ("pagination: {type: page, has_more: 'a['}", "s.pagination.has_more", "is not a JMESPath"),
        ("pagination: {type: link_header, max_pages: 0}", "s.pagination.max_pages", "must be more than 0"),
        ("pagination: {type: page, start: -1}", "s.pagination.start", "must be at least 0"),
        ("pagination: {type: offset, limit: 0}", "s.pagination.limit", "must be more than 0"),
        ("pagination: {type: offset, limit: many}", "s.pagination.limit", "must be a whole number"),
        ("pagination: {type: offset, limit: 1.5}", "s.pagination.limit", "must be a whole number"),
        ("pagination: {type: offset, limit_param: offset}", "s.pagination.limit_param", "must differ"),
        ("pagination: {type: cursor, param: c}", "s.pagination", "next is missing"),
        ("pagination: {type: cursor, param: c, next: 'a['}", "s.pagination.next", "is not a JMESPath"),
        (
            "pagination: {type: cursor, param: c, next: 'header:'}",
            "s.pagination.next",
            "is not a header name",
        ),
        ("pagination: {type: next_url}", "s.pagination", "path is missing"),
        ("rate_limit: {requests: 0}", "s.rate_limit.requests", "must be more than 0"),
        ("rate_limit: {per: 5s}", "s.rate_limit.per", "has no meaning without requests"),
        ("rate_limit: {burst: 2}", "s.rate_limit.burst", "has no meaning without requests"),
        ("rate_limit: {requests: 2, burst: 3}", "s.rate_limit.burst", "must not be larger than requests"),
        ("rate_limit: {group: 'A b'}", "s.rate_limit.group", ""),
        ("rate_limit: {park_after: 2h}", "s.rate_limit.park_after", "must be at most"),
        ("rate_limit: {budget: {requests: 5, per: 0s}}", "s.rate_limit.budget.per", "longer than nothing"),
        ("rate_limit: {budget: {requests: 5, per: year}}", "s.rate_limit.budget.per", "must be hour, day"),
        ("retry: {total: 0s}", "s.retry.total", "must be more than 0 seconds"),
        ("rate_limit: {concurrency: 0}", "s.rate_limit.concurrency", "must be at least 1"),
        ("rate_limit: {requests: 5, per: 0s}", "s.rate_limit.per", "must be more than 0 seconds"),
        ("rate_limit: {requests: 5, per: often}", "s.rate_limit.per", "must be a length of time such as"),
        ("rate_limit: 5", "s.rate_limit", "must be a mapping"),
        ("retry: {attempts: 21}", "s.retry.attempts", "must be at most 20"),
        ("retry: {base: 90s}", "s.retry", "must not be shorter than base"),
        ("timeout: 2h", "s.timeout", "must be at most 1 hour"),
        ("timeout: soon", "s.timeout", "must be a length of time such as 500ms, 30s"),
        ("schedule: 0 99 * * *", "s.schedule", "has a bad hour field (number 2 of 5)"),
        ("enabled: perhaps", "s.enabled", "must be true or false"),
        ("drift: evolv", "s.drift", "Did you mean 'evolve'?"),
        ("map: {titel: a}", "s.map.titel", "unknown field. Did you mean 'title'?"),
        ("map: {source_id: a}", "s.map.source_id", "unknown field. Known are: title, description"),
        ("map: {title: 'a['}", "s.map.title", "is not a JMESPath expression"),
        ("map: {title: [a, full name]}", "s.map.title[1]", "needs double quotes inside"),
        ("map: {title: {path: a, deflt: b}}", "s.map.title.deflt", "Did you mean 'default'?"),
        ("map: {title: {paths: a}}", "s.map.title.paths", "Did you mean 'path'?"),
        ("map: {title: {path: a, const: b}}", "s.map.title.const", "cannot be combined"),
        ("map: {title: {}}", "s.map.title", "needs a path, or const"),
        ("map: {title: {default: x}}", "s.map.title", "needs a path, or const"),
        ("map: {title: }", "s.map.title", "must be a mapping"),
        ("map: {title: []}", "s.map.title", "needs a path"),
        ("map: {title: [a, 'const:b']}", "s.map.title[1]", "Write {path: [...], default: ...}"),
        ("map: {title: {const: [1]}}", "s.map.title.const", "must be text, a number, true or false"),
        ("map: {title: {path: a, as: date}}", "s.map.title.as", "must be text: only published_at"),
        (
            "map: {published_at: {path: a, as: iso}}",
            "s.map.published_at.as",
            "must be one of iso8601, epoch_s",
        ),
        ("map: {published_at: {path: a, as: '%Q'}}", "s.map.published_at.as", "is not a strptime pattern"),
        ("map: {published_at: {path: a, as: '%d %'}}", "s.map.published_at.as", "is not a strptime pattern"),
        ("description: ${", "s.description", "has a ${ that is not a variable"),
    ],
)
def test_each_fault_of_an_api_source_is_told_with_its_line_and_the_way_out(
    load, tmp_path, block, place, message
):
    [problem] = told(load, api(block)).problems
    assert problem.file == str(tmp_path / "kasparro.yaml")
    assert problem.line == 5
    assert problem.message.startswith(f"sources.{place}: ")
    assert message in problem.message


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "must not be empty"),
        ("h.example/x", "must be a complete address that starts with http:// or https://"),
        ("ftp://h.example", "must be a complete address"),
        ("https://", "must be a complete address"),
        ("https:///x", "must be a complete address"),
        ("https://user:hunter2@h.example", "Declare them under auth: {type: basic"),
        ("https://hunter2@h.example", "must not contain a user name"),
        ("https://h.example/#x", "must not contain a fragment"),
        ("https://h.example/#", "must not contain a fragment"),
        ("https://h.example:99999", "is not a valid address"),
        ("https://[::1", "is not a valid address"),
        ("https://h.example/a b", "must not contain blanks"),
        ("https://h.example/?a=1&api_key=hunter2", "Declare it under auth: {type: api_key, in: query"),
        ("https://h.example/?Access-Token=hunter2", "must not contain a credential"),
    ],
)
def test_an_address_that_cannot_be_asked_is_refused_without_being_repeated(load, url, message):
    for text, environ in ((f"'{url}'", {}), ("${URL}", {"URL": url})):
        refusal = told(load, f"sources:\n  s:\n    type: api\n    url: {text}", **environ)
        [problem] = refusal.problems
        assert problem.line == 4
        assert message in problem.message
        assert "hunter2" not in str(refusal)


@pytest.mark.parametrize(
    ("block", "place", "message"),
    [
        ("pth: x", "s.pth", "Did you mean 'path'?"),
        ("folder: /", "s.folder", "unknown key"),
        ("delimiter: ';;'", "s.delimiter", "must be exactly one character"),
        ('quotechar: "\\n"', "s.quotechar", "must be exactly one character"),
        ("quotechar: ','\ndelimiter: ','", "s.quotechar", "must differ from delimiter"),
        ("encoding: utf-9", "s.encoding", "is not an encoding"),
        ("encoding: base64", "s.encoding", "is not an encoding"),
        ("header: perhaps", "s.header", "must be true, false, or a list"),
        ("header: 2", "s.header", "must be true, false, or a list"),
        ("header: [a, '']", "s.header", "must be true, false, or a list"),
        ("header: [a, a]", "s.header", "names a column twice"),
        ("header: {}", "s.header", "must be true, false, or a list"),
        ("skip_rows: -1", "s.skip_rows", "must be at least 0"),
        ("comment: ''", "s.comment", "must be 1 to 10 characters"),
        ('comment: "#\\n"', "s.comment", "must be 1 to 10 characters"),
        ("comment: ';;'\ndelimiter: ';'", "s.comment", "must not begin with delimiter"),
        ("comment: '\"'", "s.comment", "must not begin with quotechar"),
        ("ragged: fill", "s.ragged", "reject"),
        ("null_values: NA", "s.null_values", "must be a list"),
        ("auth: none", "s.auth", "does not go with this path, which is a file of this machine"),
        ("retry: {attempts: 2}", "s.retry", "does not go with this path"),
        ("max_size: 5 apples", "s.max_size", "must be a number of bytes such as 500MB"),
        ("max_size: 0", "s.max_size", "must be at least 1"),
        ("max_ratio: 1", "s.max_ratio", "must be at least 2"),
        ("root: https://example.org", "s.root", "must be a folder of this machine"),
    ],
)
def test_each_fault_of_a_csv_source_is_told_with_its_line_and_the_way_out(load, block, place, message):
    [problem] = told(load, csv(block)).problems
    assert problem.line == 5
    assert problem.message.startswith(f"sources.{place}: ")
    assert message in problem.message


@pytest.mark.parametrize("path", ["ftp://h/a.csv", "file:///a.csv", "data/", '"a\\0b"'])
def test_a_path_that_names_no_file_is_refused(load, path):
    [problem] = told(load, f"sources:\n  s:\n    type: csv\n    path: {path}").problems
    assert problem.line == 4
    assert "sources.s.path: must" in problem.message


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "the file is empty: a catalog starts with the key 'sources'"),
        ("# nothing", 1, "the file is empty"),
        ("- a", 1, "the file must be a mapping"),
        ("text", 1, "the file must be a mapping"),
        ("source: {}", 1, "unknown key. Did you mean 'sources'?"),
        ("sources:", 1, "at least one source"),
        ("sources: {}", 1, "at least one source"),
        ("sources: [a]", 1, "at least one source"),
        ("sources:\n  s: api", 2, "sources.s: must be a mapping"),
        ("sources:\n  s: {}", 2, "sources.s: needs a type: one of api, csv, singer, stream"),
        ("sources:\n  s: {type: ap, url: x}", 2, "sources.s.type: unknown type. Did you mean 'api'?"),
        ("sources:\n  s: {type: [api]}", 2, "sources.s.type: unknown type. Known are: api, csv, singer, stream"),
        ("sources:\n  s: {type: api}", 2, "sources.s: url is missing"),
        ("sources:\n  My-Source: {type: csv, path: a}", 2, "1 to 50 of a-z, 0-9 and _, a letter first. Did you mean 'my_source'?"),
        (f"sources:\n  {'a' * 51}: {{type: csv, path: a}}", 2, "not a source name"),
        ("sources:\n  9: {type: csv, path: a}", 2, "not a source name"),
        ('sources:\n  "a\\n": {type: csv, path: a}', 2, "not a source name"),
        ("sources:\n  a: {type: csv, path: a}\n  a: {type: csv, path: b}", 3, "'a' is already given in line 2"),
        ("sources:\n  a:\n    type: csv\n    path: a\n    type: csv", 5, "'type' is already given in line 3"),
        ("sources:\n  a:\n\tb: 1", 3, "a tab cannot indent YAML"),
        ("sources:\n  a: !!python/object:os.system {}", 2, "!!python/object:os.system is not allowed"),
    ],
)  # fmt: skip
def test_each_fault_of_the_file_is_told_with_its_line(load, text, line, message):
    refusal = told(load, text)
    assert message in str(refusal)
    assert line in [problem.line for problem in refusal.problems if message[:20] in problem.message]
    assert refusal.exit_code == 2


def test_everything_wrong_is_told_at_once_in_the_order_of_the_file(load, tmp_path):
    refusal = told(
        load,
        """
        sources:
          a:
            type: api
            url: nowhere
            snapshot: true
            timeout: soon
            map: {title: "a[", author: "b[", published_at: {path: c, as: x}}
          b: {type: stream, url: "wss://h.example"}
          c: {type: csv, path: "${NOT_SET}"}
        """,
    )
    assert type(refusal) is ConfigurationError
    assert [problem.line for problem in refusal.problems] == [5, 7, 8, 9, 10]
    assert f"{tmp_path / 'kasparro.yaml'}:9: sources.b.type: stream is not supported yet" in str(refusal)


@pytest.mark.parametrize(
    ("beside", "at"),
    [
        ("incremental: {field: updated_at, param: since}", "incremental"),
        ("pagination: {type: page, param: page, max_pages: 3}", "pagination.max_pages"),
    ],
)
def test_what_fetches_a_part_does_not_go_with_snapshot(load, beside, at):
    text = str(told(load, api(f"{beside}\nsnapshot: true")))
    assert f"sources.s.{at}: does not go with snapshot" in text


@pytest.mark.parametrize("rule", ["title", "category", "author", "title, category", "published_at"])
def test_a_rule_in_which_different_things_may_well_agree_is_refused(load, rule):
    text = str(told(load, api(f"entity: {{match: [[url], [{rule}]]}}")))
    assert "sources.s.entity.match[1]: is too weak" in text
    assert "A rule needs url, or two of title, author" in text


@pytest.mark.parametrize(
    ("match", "message"),
    [
        ("[[title, title]]", "names a field twice"),
        ("[[title, author], [url], [author, title]]", "is there twice"),
        ("[]", "must not be empty"),
        ("[[]]", "must not be empty"),
    ],
)
def test_a_rule_is_said_once(load, match, message):
    assert message in str(told(load, api(f"entity: {{match: {match}}}")))


def test_a_stream_parses_and_is_refused_by_name(load):
    text = "sources: {s: {type: stream, url: 'wss://h.example', auth: none, records: a, map: {title: b}, key: id}}"
    with pytest.raises(
        NotSupportedYet, match=r"kasparro.yaml:1: sources.s.type: stream is not supported yet"
    ):
        load(text)


def test_a_variable_that_is_not_set_is_named_with_source_and_line(load, tmp_path):
    refusal = told(load, api('auth: {type: bearer, token: "${REPO_TOKEN}"}'))
    [problem] = refusal.problems
    assert problem.line == 5
    assert problem.message == (
        f"sources.s.auth.token: the variable REPO_TOKEN is not set. Set it in the environment or in {tmp_path / '.env'}"
    )


def test_a_variable_that_is_not_set_is_the_only_thing_said_of_its_value(load):
    [problem] = told(load, "sources: {s: {type: api, url: '${URL}'}}").problems
    assert "URL is not set" in problem.message


def test_an_empty_credential_is_an_error(load):
    assert "must not be empty" in str(told(load, api('auth: {type: bearer, token: "${T}"}'), T=""))


@pytest.mark.parametrize(
    "block",
    [
        "auth: ${S}", "auth: {type: '${S}'}", "auth: {type: bearer, token: x, in: '${S}'}", "method: ${S}", "timeout: ${S}",
        "records: '${S}['", "key: '${S}[0]'", "map: {title: '${S}['}", "map: {published_at: {path: a, as: '${S}'}}",
        'headers: {A: "${S}\\n"}', "schedule: ${S}", "enabled: ${S}", "pagination: {type: offset, limit: '${S}'}",
        "drift: ${S}", "rate_limit: {requests: '${S}'}", "params: ['${S}']", "retry: '${S}'", "snapshot: ${S}",
        "incremental: {field: '${S}*', format: '${S}'}", "entity: {match: [['${S}']]}",
    ],
)  # fmt: skip
def test_no_message_repeats_what_a_variable_contained(load, block):
    refusal = told(load, api(block), S="beare hunter2")
    assert "hunter2" not in str(refusal)
    assert "hunter2" not in repr(refusal.problems)


def test_a_declaration_does_not_show_its_credentials(load):
    catalog = load(
        api(
            """
            auth: {type: basic, username: "${S}", password: "${S}"}
            headers: {X-Token: "${S}"}
            params: {key: "${S}"}
            method: POST
            body: {key: "${S}"}
            """
        ),
        S="hunter2",
    )
    assert "hunter2" not in repr(catalog)
    assert "hunter2" not in str(catalog.source("s"))


@settings(deadline=None, max_examples=30)
@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_a_secret_arrives_as_it_is_whatever_it_contains(tmp_path_factory, secret):
    file = tmp_path_factory.mktemp("catalog") / "k.yaml"
    file.write_text(api("auth: {type: bearer, token: '${SECRET}'}"), encoding="utf-8")
    source = load_catalog(file, {"SECRET": secret}).source("s")
    assert isinstance(source, ApiSource)
    assert isinstance(source.auth, BearerAuth)
    assert source.auth.token.get_secret_value() == secret


# The file itself


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ConfigurationError, match=r"nowhere\.yaml: there is no such file"):
        load_catalog(tmp_path / "nowhere.yaml", {})


def test_a_folder_is_no_catalog(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_catalog(tmp_path, {})


def test_a_file_that_is_too_large_is_not_parsed(tmp_path):
    file = tmp_path / "k.yaml"
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigurationError, match="larger than 1024 KiB"):
        load_catalog(file, {})


def test_a_file_that_is_not_text_is_told_with_its_line(tmp_path):
    file = tmp_path / "k.yaml"
    file.write_bytes(b"sources:\n  a: \xff\n")
    with pytest.raises(ConfigurationError, match=r"k\.yaml:2: is not UTF-8 text"):
        load_catalog(file, {})


def test_an_unknown_source_is_told_with_the_nearest_name(load):
    catalog = load("sources: {airports: {type: csv, path: a}, posts: {type: csv, path: b}}")
    with pytest.raises(ConfigurationError, match=r"there is no source 'airport'\. Did you mean 'airports'"):
        catalog.source("airport")
    with pytest.raises(ConfigurationError, match="Declared are: airports, posts"):
        catalog.source("xyz")


@settings(deadline=None, max_examples=30)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(["type", "path", "url", "map", "title", "x"]), inner, max_size=4)))  # fmt: skip
def test_whatever_a_source_holds_it_is_loaded_or_refused(tmp_path_factory, value):
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    for kind, block in (
        ("api", "auth"),
        ("api", "pagination"),
        ("api", "map"),
        ("csv", "header"),
        ("stream", "key"),
        ("singer", "command"),
        ("singer", "config"),
        ("singer", "catalog"),
    ):
        source = {"type": kind, "url": "https://h.example", block: value}
        file.write_text(yaml.safe_dump({"sources": {"s": source}}, allow_unicode=True), encoding="utf-8")
        try:
            load_catalog(file, {})
        except ConfigurationError as refusal:
            assert refusal.problems  # noqa: PT017  # both outcomes are right


GROUPED = """
sources:
  one:
    type: api
    url: https://h.example/1
    rate_limit: {group: acme, requests: 5, per: 1s, park_after: 10s}
  other:
    type: api
    url: https://h.example/2
    rate_limit: {group: %s, requests: 6, per: 2s}
"""


def test_sources_that_share_a_rate_limit_must_mean_the_same_one(load):
    problems = told(load, GROUPED % "acme").problems
    assert [(problem.line, problem.message) for problem in problems] == [
        (
            10,
            f"sources.other.rate_limit.{key}: differs within its group 'acme' with source 'one', which declares another",
        )
        for key in ("requests", "per")
    ]
    assert len(load(GROUPED % "else").sources) == 2
