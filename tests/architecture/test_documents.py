"""The documents hang together: links lead somewhere, every page can be found, and what they name exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from kasparro.core import deletion_models, search_models  # noqa: F401  # their tables are among those of Base
from kasparro.core.models import Base

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")])
CODE = re.compile(r"^( {0,3})(```|~~~).*?^\1\2\s*$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#{1,6} +(?P<text>.+?)\s*$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```\s*$", re.MULTILINE | re.DOTALL)
TESTS = re.compile(r"`(?P<name>test_\w+)`")
ENTRANCES = [ROOT / "README.md", ROOT / "docs" / "README.md"]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def links(page: Path, text: str) -> Iterator[tuple[Path, str]]:
    """The file and the heading each relative link of a page points at."""
    for link in LINK.finditer(CODE.sub("", text)):
        target, _, heading = unquote(link["target"]).partition("#")
        if not re.match(r"[a-z][a-z0-9+.-]*:", target):
            yield (page.parent / target).resolve() if target else page, heading


def anchors(text: str) -> set[str]:
    """The headings of a page as GitHub names them."""
    texts = (heading["text"].lower() for heading in HEADING.finditer(FENCE.sub("", text)))
    return {re.sub(r"[^\w\- ]", "", text).replace(" ", "-") for text in texts}


def broken(page: Path, text: str) -> list[str]:
    found = []
    for target, heading in links(page, text):
        if target != page and not (target.exists() and target.is_relative_to(ROOT)):
            found.append(f"{relative(page)}: {target.name} does not exist")
        elif heading and heading not in anchors(text if target == page else target.read_text()):
            found.append(f"{relative(page)}: {target.name} has no heading #{heading}")
    return found


def reachable(entrances: list[Path]) -> set[Path]:
    found: set[Path] = set()
    left = [page for page in entrances if page.exists()]
    while left:
        page = left.pop()
        if page not in found:
            found.add(page)
            left += [
                target
                for target, _ in links(page, page.read_text())
                if target.suffix == ".md" and target.exists()
            ]
    return found


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_relative_link_leads_somewhere(page):
    assert broken(page, page.read_text()) == []


def test_a_link_that_leads_nowhere_is_found():
    page = ROOT / "docs" / "no-such-page.md"
    text = "# One\n[a](gone.md) [b](../README.md#no-such) [c](https://x.org/gone.md) [d](#one) `[e](gone.md)`"

    assert len(broken(page, text)) == 2


def test_every_page_can_be_found_from_the_readme():
    missing = {page for page in PAGES if page.is_relative_to(ROOT / "docs")} - reachable(ENTRANCES)

    assert sorted(map(relative, missing)) == []


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_page_has_one_title_and_says_nothing_is_left_to_do(page):
    text = FENCE.sub("", page.read_text())

    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    assert not re.search(r"\b(TODO|FIXME|TBD)\b", text)


def test_every_test_the_documents_name_exists():
    written = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = {name["name"]: page for page in PAGES for name in TESTS.finditer(page.read_text())}

    assert [
        f"{relative(page)}: {name}" for name, page in named.items() if f"def {name}(" not in written
    ] == []


def test_every_table_and_every_column_is_described():
    page = (ROOT / "docs" / "architecture.md").read_text().split("\n## Data model\n")[1].split("\n## ")[0]
    described = set(re.findall(r"`(\w+)`", page))
    declared = {
        name for table in Base.metadata.tables.values() for name in (table.name, *table.columns.keys())
    }

    assert sorted(declared - described) == []


def test_decisions_have_the_four_parts_of_a_record():
    records = sorted((ROOT / "docs" / "decisions").glob("0*.md"))

    assert [record.name[:4] for record in records] == [
        f"{number:04}" for number in range(1, len(records) + 1)
    ]
    for record in records:
        titles = re.findall(r"^## (.+)$", record.read_text(), re.MULTILINE)
        assert titles == ["Status", "Context", "Decision", "Consequences"], record.name
