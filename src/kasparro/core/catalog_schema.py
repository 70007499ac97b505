"""The JSON Schema of `kasparro.yaml` (draft 2020-12), for editors. Made from the declarations; nothing in, a schema out."""

from __future__ import annotations

from typing import Any, Final

from pydantic import TypeAdapter

from kasparro.core.declarations.any_source import MODELS, SourceDeclaration

_REFERENCE: Final = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^{}]*)?\}"
_SPELLED: Final[dict[str, dict[str, Any]]] = {
    "integer": {"type": "string", "pattern": rf"^([0-9]+|{_REFERENCE})$"},
    "number": {"type": "string", "pattern": rf"^([0-9.]+|{_REFERENCE})$"},
    "boolean": {"type": "string", "pattern": rf"^((?i:true|false|yes|no|on|off)|{_REFERENCE})$"},
}
_PLAIN_TEXT: Final = ["string", "number", "boolean"]


def json_schema() -> dict[str, Any]:
    """The schema of the catalog file, as it is written: with variables, short forms and every YAML spelling."""
    schema = TypeAdapter(SourceDeclaration).json_schema(by_alias=True, ref_template="#/$defs/{model}")
    definitions: dict[str, Any] = schema.pop("$defs")
    for model in MODELS.values():
        for name in model.given_by_loader:
            definitions[model.__name__]["properties"].pop(name)
        required = definitions[model.__name__]["required"]
        definitions[model.__name__]["required"] = [
            name for name in required if name not in model.given_by_loader
        ]
    for definition in definitions.values():
        if "const" in definition.get("properties", {}).get("type", {}):
            definition["required"] = ["type", *definition.get("required", [])]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Kasparro catalog",
        "description": "The declared sources of a Kasparro installation: kasparro.yaml.",
        "type": "object",
        "properties": {
            "sources": {
                "description": "The declared sources, by name.",
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": "^[a-z][a-z0-9_]{0,49}$"},
                "additionalProperties": schema,
            }
        },
        "patternProperties": {"^x-": {"description": "A place for YAML anchors; not read."}},
        "required": ["sources"],
        "additionalProperties": False,
        "$defs": {name: _as_written(definition) for name, definition in definitions.items()},
    }


def _as_written(schema: Any) -> Any:
    """Widen *schema* by what means the same in the file: variables, and plain scalars where text is expected."""
    match schema:
        case list():
            written: Any = [_as_written(item) for item in schema]
        case {"enum": list(words), **rest}:
            written = {**rest, "anyOf": [{"enum": words}, {"type": "string", "pattern": f"^{_REFERENCE}$"}]}
        case {"type": "integer" | "number" | "boolean" as kind}:
            written = _either(schema, _SPELLED[kind])
        case {"type": "string", "pattern": _}:
            written = _either(schema, {"type": "string", "pattern": _REFERENCE})
        case {"type": "string"} if "const" not in schema:
            written = {**schema, "type": _PLAIN_TEXT}
        case dict() if "const" not in schema:
            written = {key: _inner(key, value) for key, value in schema.items()}
        case _:
            written = schema
    return written


def _inner(key: str, value: Any) -> Any:
    if key in {"properties", "$defs", "patternProperties"}:
        return {name: _as_written(inner) for name, inner in value.items()}
    return (
        _as_written(value)
        if key in {"anyOf", "oneOf", "allOf", "items", "prefixItems", "additionalProperties"}
        else value
    )


def _either(schema: dict[str, Any], spelled: dict[str, Any]) -> dict[str, Any]:
    outer = {key: value for key, value in schema.items() if key in {"description", "title", "default"}}
    return {**outer, "anyOf": [{key: value for key, value in schema.items() if key not in outer}, spelled]}
