"""An XML answer taken apart while it arrives: text in, piece by piece, its records as JSON objects out.

An element becomes an object: attributes under `@name`, elements inside under their names (several of one name: a list), text
under `#text`. One without attributes and elements becomes its text, an empty one null. Names keep their prefixes. DTDs and
entities are refused, depth and size are bounded. `answer_formats` makes one for each answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl

import msgspec
from defusedxml.common import DefusedXmlException
from defusedxml.expatreader import DefusedExpatParser

from kasparro.core.errors import ResponseTooLarge, TruncatedContent, UnexpectedContent
from kasparro.ingestion.http.body import MIB
from kasparro.ingestion.sources.json_records import DEEPEST, Element

LARGEST: Final = 8 * MIB
"""Characters of one record, and of all that is around the records."""

_SILENCE: Final = 4 * MIB
_DECLARATION: Final = re.compile(rb"\s*<\?xml[^>]*\?>")
_ENCODING: Final = re.compile(rb"""\s*<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']""")


def declared_charset(beginning: bytes) -> str | None:
    """The encoding an XML declaration names."""
    found = _ENCODING.match(beginning[:1000])
    return found[1].decode() if found else None


@dataclass(slots=True)
class _Node:
    name: str
    attributes: dict[str, str]
    members: dict[str, Any] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)

    def add(self, name: str, value: Any) -> None:
        if name not in self.members:
            self.members[name] = value
        elif isinstance(self.members[name], _Several):
            self.members[name].append(value)
        else:
            self.members[name] = _Several([self.members[name], value])

    def value(self) -> Any:
        text = "".join(self.texts)
        if text.isspace():
            text = ""
        if not self.attributes and not self.members:
            return text or None
        attributes = {f"@{name}": value for name, value in self.attributes.items()}
        return {**attributes, **self.members, **({"#text": text} if text else {})}


class _Several(list[Any]):
    """The values of elements of one name; a list of another kind never stands in a node."""


class XmlStream(ContentHandler):
    """*names* lead from the outermost element, which they do not name, to the elements that are the records."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.root: str | None = None
        self._names = list(names)
        self._open: list[_Node] = []
        self._path: list[str] = []
        self._found: list[Element] = []
        self._around: Any = None
        self._sizes = [0, 0]
        self._silent = 0
        self._begun = False
        self._parser = DefusedExpatParser(forbid_dtd=True)
        self._parser.setContentHandler(self)

    def feed(self, text: bytes) -> list[Element]:
        """The records that are whole with *text*. Raises `UnexpectedContent`, `ResponseTooLarge`."""
        if not self._begun and text:
            self._begun = True
            text = _DECLARATION.sub(
                b"", text, count=1
            )  # it may name an encoding that this is not in any more
        self._silent += len(text)
        try:
            self._parser.feed(text)
        except SAXParseException as error:
            raise _malformed(error) from error
        except DefusedXmlException as error:
            raise UnexpectedContent(
                "the answer has a DTD or entities of its own, which are not read",
                hint="They could make gigabytes of a few lines, or fetch files",
            ) from error
        if self._silent > _SILENCE:
            raise ResponseTooLarge(f"a piece of the XML comes to more than {_SILENCE // MIB} MiB")
        found, self._found = self._found, []
        return found

    def end(self) -> list[Element]:
        """Raises `TruncatedContent` when the outermost element has not ended."""
        try:
            self._parser.close()
        except SAXParseException as error:
            raise TruncatedContent(f"the XML ends early: {error.getMessage()}") from error
        found, self._found = self._found, []
        return found

    def around(self) -> bytes:
        """The whole answer as JSON, with only the last of its records in it."""
        return msgspec.json.encode(self._around if isinstance(self._around, dict) else {})

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802  # the names of the SAX interface
        self._silent = 0
        if len(self._open) >= DEEPEST:
            raise UnexpectedContent(f"the XML is nested more than {DEEPEST} levels deep")
        attributes = dict(attrs.items())
        self._open.append(_Node(name, attributes))
        if len(self._open) > 1:
            self._path.append(name)
        else:
            self.root = name
        if self._is_record():
            self._sizes[1] = 0
        self._grow(len(name) + sum(len(key) + len(value) for key, value in attributes.items()))

    def characters(self, content: str) -> None:
        self._silent = 0
        self._grow(len(content))
        self._open[-1].texts.append(content)

    def endElement(self, name: str) -> None:  # noqa: N802  # as above
        is_record = self._is_record()
        value = self._open.pop().value()
        if not self._open:
            self._around = value
            return
        self._path.pop()
        if is_record:
            self._found.append(msgspec.json.encode(value))
            self._open[-1].members[name] = _Several([value])
        else:
            self._open[-1].add(name, value)

    def _is_record(self) -> bool:
        return len(self._path) == len(self._names) and self._path == self._names

    def _grow(self, characters: int) -> None:
        inside = self._path[: len(self._names)] == self._names
        self._sizes[inside] += characters + 1
        if self._sizes[inside] > LARGEST:
            what = "a record" if inside else "what is around the records"
            raise ResponseTooLarge(f"{what} in the answer comes to more than {LARGEST // MIB} MiB")


def _malformed(error: SAXParseException) -> UnexpectedContent:
    place = f"line {error.getLineNumber()}"
    return UnexpectedContent(f"the answer is not XML: {error.getMessage()} in {place}")
