"""The declaration models: what they keep, what identifies a fetch, and that docs/catalog.md describes every key."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from kasparro.core import etl_config
from kasparro.core.durations import format_duration
from kasparro.core.etl_config import ApiSource, BearerAuth, Catalog, CsvSource, FieldRule, StreamSource

CATALOG = (Path(__file__).parents[3] / "docs" / "catalog.md").read_text(encoding="utf-8")

SECTIONS: dict[type[BaseModel], str] = {
    etl_config.ApiSource: "## API sources",
    etl_config.CsvAnswers: "### csv answers",
    etl_config.CsvSource: "## CSV sources",
    etl_config.StreamSource: "## Stream sources",
    etl_config.BaseSource: "## Every source",
    etl_config.NoAuth: "#### auth none",
    etl_config.BearerAuth: "#### auth bearer",
    etl_config.ApiKeyAuth: "#### auth api_key",
    etl_config.BasicAuth: "#### auth basic",
    etl_config.OAuth2ClientCredentials: "#### auth oauth2_client_credentials",
    etl_config.OAuth2RefreshToken: "#### auth oauth2_refresh_token",
    etl_config.OAuth2JwtBearer: "#### auth oauth2_jwt_bearer",
    etl_config.SignedJwt: "#### auth jwt",
    etl_config.LoginAuth: "#### auth login",
    etl_config.Tls: "### tls",
    etl_config.NoPagination: "#### pagination none",
    etl_config.PagePagination: "#### pagination page",
    etl_config.OffsetPagination: "#### pagination offset",
    etl_config.CursorPagination: "#### pagination cursor",
    etl_config.LinkHeaderPagination: "#### pagination link_header",
    etl_config.NextUrlPagination: "#### pagination next_url",
    etl_config.AutoPagination: "#### pagination auto",
    etl_config.Parent: "### parent",
    etl_config.RateLimit: "### rate_limit",
    etl_config.Budget: "#### budget",
    etl_config.Retry: "### retry",
    etl_config.Storage: "### storage",
    etl_config.SingerSource: "## Singer taps",
    etl_config.FieldRule: "### map field",
    etl_config.Incremental: "## incremental",
    etl_config.EntityRules: "## entity",
}


def api(**fields: Any) -> ApiSource:
    return ApiSource(**({"name": "s", "url": "https://h.example/x"} | fields))


def rows(heading: str) -> dict[str, str]:
    """The table below *heading*: key -> default."""
    section = CATALOG.split(f"\n{heading}\n", 1)[1]
    section = re.split(r"^#+ ", section, maxsplit=1, flags=re.MULTILINE)[0]
    cells = [
        re.split(r"(?<!\\) \| ", line.strip("| ")) for line in section.splitlines() if line.startswith("| `")
    ]
    return {row[0].strip("`"): row[2] for row in cells}


SIZES = {1 << 40: "1TiB", 16 << 30: "16GiB"}


def default_as_documented(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    if name == "type" or field.is_required():
        return "required"
    match field.get_default(call_default_factory=True):
        case None:
            text = "none"
        case bool() as value:
            text = f"`{str(value).lower()}`"
        case timedelta() as value:
            text = f"`{format_duration(value)}`"
        case etl_config.NoAuth() | etl_config.NoPagination():
            text = "`{type: none}`"
        case etl_config.Retry() | etl_config.Storage() | etl_config.CsvAnswers():
            text = "see there"
        case ("",):
            text = '`[""]`'
        case ():
            text = "`[]`"
        case value:
            text = f"`{SIZES.get(value, value)}`" if isinstance(value, int) else f"`{value}`"
    return text


def own_fields(model: type[BaseModel]) -> list[str]:
    hidden = getattr(model, "given_by_loader", frozenset()) - {"type"}
    shared = etl_config.BaseSource.model_fields if model is not etl_config.BaseSource else {}
    inherited = shared if issubclass(model, etl_config.BaseSource) else {}
    return [name for name in model.model_fields if name not in hidden and name not in inherited]


@pytest.mark.parametrize("model", SECTIONS)
def test_every_key_is_documented_with_its_default(model):
    expected = {
        model.model_fields[name].alias or name: default_as_documented(model, name)
        for name in own_fields(model)
    }
    if model is etl_config.BaseSource:
        expected["type"] = "required"
    assert rows(SECTIONS[model]) == expected


def test_every_model_is_documented():
    public = {getattr(etl_config, name) for name in etl_config.__all__}
    models = {item for item in public if isinstance(item, type) and issubclass(item, BaseModel)}
    of_others = {etl_config.Signing}  # its keys are in the blocks that have them
    assert models - {etl_config.Catalog} - of_others == set(SECTIONS)


def test_the_documented_example_is_accepted(tmp_path):
    examples = re.findall(r"```yaml\n(.*?)```", CATALOG, re.DOTALL)
    whole = [text for text in examples if "sources:" in text]
    assert len(whole) == 2
    for number, text in enumerate(whole):
        file = tmp_path / f"{number}.yaml"
        file.write_text(text)
        assert etl_config.load_catalog(file, {"REPO_TOKEN": "t"}).sources


def test_a_declaration_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        api().url = "https://other.example"  # type: ignore[misc]


def test_a_refusal_by_pydantic_does_not_show_the_input():
    with pytest.raises(ValidationError) as refusal:
        api(timeout="hunter2", auth={"type": "bearer", "token": ["hunter2"]})
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    "changed",
    [
        {"url": "https://h.example/y"},
        {"method": "POST"},
        {"method": "POST", "body": {"a": 1}},
        {"params": {"a": 1}},
        {"records": "items"},
        {"records": "a[].b[]", "carry": ["id"]},
        {"format": "csv"},
        {"csv": {"delimiter": ";"}},
        {"encoding": "cp1252"},
        {"key": "id"},
        {"pagination": "link_header"},
        {"pagination": "page"},
        {"pagination": {"type": "page", "size_param": "n", "size": 5}},
    ],
)
def test_another_fetch_has_another_fingerprint(changed):
    assert api(**changed).fetch_fingerprint() != api().fetch_fingerprint()


@pytest.mark.parametrize(
    "changed",
    [
        {"description": "x"},
        {"auth": BearerAuth(token=SecretStr("t"))},
        {"headers": {"X-Token": "t"}},
        {"timeout": "1s"},
        {"retry": {"attempts": 1}},
        {"format": "auto", "csv": {}, "carry": [], "encoding": "auto"},
        {"max_size": "1GiB"},
        {"error": "error"},
        {"map": {"title": "x"}},
        {"schedule": "* * * * *"},
        {"enabled": False},
        {"name": "other"},
    ],
)
def test_what_does_not_change_the_fetch_keeps_the_fingerprint(changed):
    assert api(**changed).fetch_fingerprint() == api().fetch_fingerprint()


def test_a_new_credential_keeps_the_fingerprint_wherever_it_stands():
    prints = {
        api(
            method="POST", params={"api_key": key}, body={"deep": [{"client_secret": key}]}
        ).fetch_fingerprint()
        for key in ("old", "new")
    }
    assert len(prints) == 1


def test_the_fingerprint_does_not_depend_on_order_nor_on_the_process():
    assert (
        api(params={"a": 1, "b": 2}).fetch_fingerprint() == api(params={"b": 2, "a": 1}).fetch_fingerprint()
    )
    assert api().fetch_fingerprint() == "9d0f7d5129547f19"


def test_what_is_carried_goes_by_its_last_name_or_by_a_given_one():
    carried = api(records="a[].b[]", carry=["id", "customer.email", '^."odd name"']).carry
    assert carried == {"id": "id", "email": "customer.email", "odd name": '^."odd name"'}
    assert api(records="a[].b[]", carry={"order": "id"}).carry == {"order": "id"}


@pytest.mark.parametrize(
    ("keys", "at"),
    [
        ({"records": "a[].b[]", "carry": ["id", "b.id"]}, "second 'id'"),
        ({"records": "a[].b[]", "carry": {"x": "b[0]"}}, "must be a path"),
        ({"records": "a[].b[]", "carry": ["a b"]}, "must be a path"),
        ({"records": "a.b", "carry": ["id"]}, "needs `records` with"),
        ({"carry": ["id"]}, "needs `records` with"),
        (
            {
                "url": "https://h.example/{a}",
                "parent": {"source": "s", "params": {"a": "id"}},
                "records": "a[].b[]",
                "carry": ["id"],
            },
            "does not go with parent",
        ),
        ({"format": "ndjson", "records": "a"}, "each line is a record"),
        ({"format": "csv", "records": "a"}, "each line is a record"),
        ({"format": "xml"}, "must be the path"),
        ({"format": "xml", "records": "a[].b"}, "must be the path"),
    ],
)
def test_what_does_not_go_together_is_refused(keys, at):
    with pytest.raises(ValidationError) as refusal:
        api(**keys)
    assert at in str([error["ctx"] for error in refusal.value.errors()])


@pytest.mark.parametrize(
    "changed",
    [
        {"path": "b.csv"},
        {"delimiter": ";"},
        {"header": False},
        {"skip_rows": 1},
        {"comment": "#"},
        {"ragged": "pad"},
        {"encoding": "cp1252"},
        {"key": "id"},
    ],
)
def test_another_dialect_has_another_fingerprint(changed):
    plain = CsvSource(name="s", path="a.csv")
    assert (
        CsvSource(**({"name": "s", "path": "a.csv"} | changed)).fetch_fingerprint()
        != plain.fetch_fingerprint()
    )


@pytest.mark.parametrize("changed", [{"map": {"title": "n"}}, {"null_values": ["NA"]}, {"drift": "freeze"}])
def test_what_becomes_of_a_row_has_a_fingerprint_of_its_own(changed):
    plain, other = CsvSource(name="s", path="a.csv"), CsvSource(name="s", path="a.csv", **changed)
    assert other.recipe_fingerprint() != plain.recipe_fingerprint()
    assert other.fetch_fingerprint() == plain.fetch_fingerprint()
    words = CsvSource(name="t", path="b.csv", description="words", enabled=False)
    assert words.recipe_fingerprint() == plain.recipe_fingerprint()


def test_a_moved_catalog_keeps_the_fingerprint_of_its_files():
    there = CsvSource(name="s", path="a.csv", folder=Path("/there"))
    assert there.fetch_fingerprint() == CsvSource(name="s", path="a.csv").fetch_fingerprint()


def test_a_stream_has_a_fingerprint_too():
    one, other = (StreamSource(name="s", url=url) for url in ("wss://a.example", "wss://b.example"))
    assert one.fetch_fingerprint() != other.fetch_fingerprint()


@pytest.mark.parametrize("name", ["", "A", "9a", "a-b", "a" * 51, "a\n", "é"])
def test_a_source_name_fits_addresses_and_columns(name):
    with pytest.raises(ValidationError):
        api(name=name)


def test_models_can_be_made_by_their_python_names():
    assert FieldRule(paths=("a",), as_="text") == FieldRule(path="a", **{"as": "text"})


def test_the_home_folder_is_known():
    assert CsvSource(name="s", path="~/a.csv", folder=Path("/x")).location == str(Path.home() / "a.csv")


def test_the_default_timeout_is_for_rest_sources_that_declare_none(tmp_path):
    sources = {
        name: ApiSource(name=name, url="http://x", **keys)
        for name, keys in {"a": {}, "b": {"timeout": "5s"}}.items()
    }
    catalog = Catalog(sources=sources, path=tmp_path).with_timeout(timedelta(seconds=7))

    assert [source.timeout.total_seconds() for source in catalog.sources.values()] == [7, 5]
