"""Sources that need others: what is refused, with its line, and in which order they are to run."""

from __future__ import annotations

import pytest

from kasparro.core.catalog_file import load_catalog
from kasparro.core.errors import ConfigurationError

CHILD = "{{type: api, url: 'https://h.example/{{a}}', parent: {{source: {parent}, params: {{a: id}}}}}}"


def catalog(tmp_path, **sources):
    file = tmp_path / "kasparro.yaml"
    lines = [f"  {name}: {text}" for name, text in sources.items()]
    file.write_text("\n".join(["sources:", *lines, ""]))
    return load_catalog(file, {})


def child(parent):
    return CHILD.format(parent=parent)


PLAIN = "{type: csv, path: a.csv}"


def refused(tmp_path, **sources):
    with pytest.raises(ConfigurationError) as refusal:
        catalog(tmp_path, **sources)
    return [(problem.line, problem.message) for problem in refusal.value.problems]


def test_a_source_needs_its_parent_and_nothing_else(tmp_path):
    found = catalog(tmp_path, lines=child("orders"), orders=PLAIN, notes=child("lines"))
    assert [found.needs(name) for name in found.sources] == [("orders",), (), ("lines",)]


def test_a_parent_that_is_not_declared_is_told_with_the_nearest_name(tmp_path):
    [(line, message)] = refused(tmp_path, orders=PLAIN, lines=child("order"))
    assert line == 3
    assert message == "sources.lines.parent.source: there is no source of this name. Did you mean 'orders'?"


def test_a_parent_that_has_faults_of_its_own_is_a_parent_all_the_same(tmp_path):
    [(line, message)] = refused(tmp_path, orders="{type: csv}", lines=child("orders"))
    assert (line, "path is missing" in message) == (2, True)


def test_circles_are_told_at_each_of_their_sources(tmp_path):
    problems = refused(tmp_path, a=child("b"), b=child("c"), c=child("a"), d=child("a"), e=child("e"))
    assert problems == [
        (2, "sources.a.parent.source: is a circle: a -> b -> c -> a"),
        (3, "sources.b.parent.source: is a circle: b -> c -> a -> b"),
        (4, "sources.c.parent.source: is a circle: c -> a -> b -> c"),
        (6, "sources.e.parent.source: is a circle: e -> e"),
    ]


@pytest.mark.parametrize(
    ("url", "parent", "more", "place", "said"),
    [
        ("https://h.example/{b}", "params: {a: id}", "", "url", "has the placeholder {b}"),
        ("https://h.example/", "params: {a: id}", "", "parent.params.a", "is used nowhere. Write {a} in url"),
        ("https://{a}.example/", "params: {a: id}", "", "url", "must not take its host or port"),
        ("https://h.example:{a}/", "params: {a: id}", "", "url", "its host or port cannot be read"),
        ("https://h.example/{a}", "params: {}", "", "parent.params", "must not be empty"),
        ("https://h.example/{a}", "params: {a: 'id['}", "", "parent.params.a", "is not a JMESPath"),
        ("https://h.example/{a}", "params: {a: id}, include: [key]", "", "parent.include", "is there already"),
        ("https://h.example/{a}", "params: {a: id}", "incremental: {field: u, param: s}", "incremental.param", "does not go with parent"),
        ("https://h.example/{a}", "params: {a: id}, changed_only: true", "snapshot: true", "parent.changed_only", "does not go with snapshot"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_told_with_its_place(tmp_path, url, parent, more, place, said):
    text = f"{{type: api, url: '{url}', parent: {{source: p, {parent}}}, {more}}}"
    problems = refused(tmp_path, p=PLAIN, s=text)
    assert any(message.startswith(f"sources.s.{place}") and said in message for _, message in problems), (
        problems
    )


def test_braces_mean_nothing_where_there_is_no_parent(tmp_path):
    text = "{type: api, url: 'https://h.example/x', params: {q: '{a}'}}"
    assert catalog(tmp_path, s=text).sources["s"].params == {"q": "{a}"}
