from __future__ import annotations

import pytest

from kasparro.core.errors import ForeignOrigin, UnexpectedContent
from kasparro.ingestion.http.origin import origin_of, parse_url, resolve_link

BASE = parse_url("https://api.example.org/v1/items?page=1")


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("?page=2", "https://api.example.org/v1/items?page=2"),
        ("items?page=2", "https://api.example.org/v1/items?page=2"),
        ("/v2", "https://api.example.org/v2"),
        ("//api.example.org/x", "https://api.example.org/x"),
        ("https://API.example.org:443/x?c=a%3D%2f%2B", "https://api.example.org/x?c=a%3D%2f%2B"),
        (" https://api.example.org/a b?q=ü#frag ", "https://api.example.org/a%20b?q=%C3%BC"),
        ("https://me:pw@api.example.org/x", "https://api.example.org/x"),
        ("../../../x", "https://api.example.org/x"),
    ],
)
def test_links_within_the_origin_are_resolved(link, expected):
    assert str(resolve_link(link, BASE, "the next page")) == expected


@pytest.mark.parametrize(
    "link",
    [
        "http://api.example.org/x",
        "https://api.example.org:8443/x",
        "https://api.example.org.evil.example/x",
        "https://api.example.org./x",
        "https://api.example.org@evil.example/x",
        "//evil.example/x",
        "https://169.254.169.254/latest/meta-data",
        "https://xn--pi-1ka.example.org/",
        "file:///etc/passwd",
        "gopher://api.example.org/",
        "javascript:alert(1)",
        "https://[::1/",
        "https://api.example.org:99999/",
        r"https://evil.example\@api.example.org/",
    ],
)
def test_links_out_of_the_origin_are_refused(link):
    with pytest.raises((ForeignOrigin, UnexpectedContent)) as caught:
        resolve_link(link, BASE, "the next page")
    if isinstance(caught.value, ForeignOrigin):
        assert "https://api.example.org" in str(caught.value)


def test_both_origins_are_named_and_nothing_else_of_the_link():
    with pytest.raises(ForeignOrigin) as caught:
        resolve_link("http://u:p@evil.example:81/path?key=x", BASE, "the next page")
    assert "http://evil.example:81," in str(caught.value)
    assert "path" not in str(caught.value)


def test_an_origin_is_normalised():
    assert origin_of(parse_url("HTTPS://Bücher.Example:443/x")) == "https://xn--bcher-kva.example"
    assert origin_of(parse_url("http://x.example:8080")) == "http://x.example:8080"
