#!/usr/bin/env python3
"""Writes llmops/types.py and llmops/api.py from the OpenAPI document.

    python3 sdk/python/generate.py            writes them
    python3 sdk/python/generate.py --check    exits 1 when they are not what it would write
"""

from __future__ import annotations

import json
import keyword
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parent.parent / "docs" / "openapi.json"
PREFIX = "#/components/schemas/"
# Streams that do not end are no calls with an answer.
LEFT_OUT = {"stream_events", "socket_events"}
WIDTH = 120


def class_name(name: str) -> str:
    """A schema's name as a Python name: `Page_Alert` is `PageAlert`."""
    words = re.split(r"[^A-Za-z0-9]+", name)
    return "".join(word[:1].upper() + word[1:] for word in words if word)


def doc(text: str, indent: str) -> str:
    text = " ".join(text.split()).replace("\\", "\\\\").replace('"""', "'''")
    return f'{indent}"""{text}"""\n' if text else ""


class Types:
    """Python types of the document's schemas."""

    def __init__(self, schemas: dict[str, Any]) -> None:
        self.schemas = schemas
        self.parts: list[str] = []
        self.names = {name: class_name(name) for name in schemas}
        self.extra: dict[str, int] = {}

    def write(self) -> str:
        for name in sorted(self.schemas):
            self.named(self.names[name], self.schemas[name])
        head = (
            '"""Types of the llmops API. Written by generate.py from the OpenAPI document: do not edit."""\n\n'
            "from __future__ import annotations\n\n"
            "from typing import TYPE_CHECKING, Any, Dict, List, Literal, TypedDict, Union\n\n"
            "if TYPE_CHECKING:\n    from typing_extensions import NotRequired\n\n"
        )
        return head + "\n".join(self.parts)

    def named(self, name: str, schema: dict[str, Any]) -> None:
        fields = self.fields(schema)
        if fields is not None:
            self.typed_dict(name, fields, schema.get("description", ""))
            return
        text = self.of(schema, name)
        note = " ".join(schema.get("description", "").split())
        comment = f"# {note}\n" if note else ""
        self.parts.append(f"\n{comment}{name} = {quoted(text)}\n")

    def fields(self, schema: dict[str, Any]) -> dict[str, tuple[dict[str, Any], bool]] | None:
        """Properties with whether they are required, of an object or of objects that are laid together."""
        if "allOf" in schema:
            fields: dict[str, tuple[dict[str, Any], bool]] = {}
            for part in schema["allOf"]:
                found = self.fields(self.target(part))
                if found is None:
                    return None
                fields.update(found)
            return fields
        if "properties" not in schema:
            return None
        required = set(schema.get("required", []))
        return {name: (value, name in required) for name, value in schema["properties"].items()}

    def target(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = self.schemas[schema["$ref"].removeprefix(PREFIX)]
        return schema

    def typed_dict(self, name: str, fields: dict[str, tuple[dict[str, Any], bool]], text: str) -> None:
        typed = {}
        for field, (schema, required) in fields.items():
            kind = self.of(schema, f"{name}{class_name(field)}")
            typed[field] = kind if required else f"NotRequired[{kind}]"
        if all(field.isidentifier() and not keyword.iskeyword(field) for field in typed):
            body = doc(text, "    ") or ("" if typed else "    pass\n")
            for field, kind in typed.items():
                body += f"\n    {field}: {kind}\n"
                body += doc(fields[field][0].get("description", ""), "    ")
            self.parts.append(f"\nclass {name}(TypedDict):\n{body}")
        else:
            # Names that are words of Python need the other way of writing; what may be absent cannot be told there.
            typed = {field: re.sub(r"^NotRequired\[(.*)\]$", r"\1", kind) for field, kind in typed.items()}
            body = "".join(f"        {field!r}: {json.dumps(kind)},\n" for field, kind in typed.items())
            self.parts.append(f'\n{name} = TypedDict(\n    "{name}",\n    {{\n{body}    }},\n    total=False,\n)\n')

    def of(self, schema: dict[str, Any], name: str) -> str:
        """The type of a schema. `name` is for classes that must be made for it."""
        if "$ref" in schema:
            return self.names[schema["$ref"].removeprefix(PREFIX)]
        for key in ("oneOf", "anyOf"):
            if key in schema:
                options = [self.of(option, f"{name}{n}") for n, option in enumerate(schema[key], 1)]
                return union(options)
        if "allOf" in schema or "properties" in schema:
            fields = self.fields(schema)
            if fields is None:
                return "Dict[str, Any]"
            self.typed_dict(name, fields, schema.get("description", ""))
            return name
        if "enum" in schema:
            return union([f"Literal[{', '.join(repr(value) for value in schema['enum'] if value is not None)}]"]
                         + (["None"] if None in schema["enum"] or "null" in kinds(schema) else []))
        return union([self.plain(kind, schema, name) for kind in kinds(schema)] or ["Any"])

    def plain(self, kind: str, schema: dict[str, Any], name: str) -> str:
        if kind == "array":
            items = schema.get("items")
            return f"List[{self.of(items, name + 'Item') if items else 'Any'}]"
        if kind == "object":
            values = schema.get("additionalProperties")
            return f"Dict[str, {self.of(values, name + 'Value') if isinstance(values, dict) and values else 'Any'}]"
        return {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}[kind]


def kinds(schema: dict[str, Any]) -> list[str]:
    kind = schema.get("type", [])
    return kind if isinstance(kind, list) else [kind]


def union(options: list[str]) -> str:
    options = list(dict.fromkeys(options))
    if "Any" in options:
        return "Any"
    if len(options) == 1:
        return options[0]
    return f"Union[{', '.join(options)}]"


def quoted(kind: str) -> str:
    """A type that is evaluated when the module is loaded: names of classes that come later must wait."""
    if re.fullmatch(r"(str|int|float|bool|Any|Dict\[str, Any\]|Literal\[[^\]]*\])", kind):
        return kind
    return forward(kind)


def forward(kind: str) -> str:
    """`Union[A, List[B]]` with its names in quotes."""
    known = {"Union", "List", "Dict", "Literal", "Any", "str", "int", "float", "bool", "None"}
    pieces = re.split(r"('[^']*')", kind)
    words = [
        piece if piece.startswith("'")
        else re.sub(r"[A-Za-z_][A-Za-z0-9_]*", lambda m: m[0] if m[0] in known else f'"{m[0]}"', piece)
        for piece in pieces
    ]
    return "".join(words)


class Operations:
    """Methods for the document's operations."""

    def __init__(self, document: dict[str, Any], types: Types) -> None:
        self.document = document
        self.types = types

    def write(self) -> str:
        found = []
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                if isinstance(operation, dict) and operation.get("operationId") not in LEFT_OUT | {None}:
                    found.append((operation["operationId"], method.upper(), path, operation))
        found.sort(key=lambda item: item[0])
        head = (
            '"""Every operation of the llmops API, blocking and asynchronous. Written by generate.py from the OpenAPI\n'
            'document: do not edit."""\n\n'
            "from __future__ import annotations\n\n"
            "from typing import Any, Dict, List, Literal, Union\n"
            "from urllib.parse import quote\n\n"
            "from . import types as t\n"
            "from ._http import AsyncTransport, Content, Transport\n\n\n"
            "def _segment(text: str) -> str:\n"
            '    """One segment of a path."""\n'
            '    return quote(text, safe="")\n'
        )
        classes = ""
        for name, transport, is_async in (("Api", "Transport", False), ("AsyncApi", "AsyncTransport", True)):
            classes += f'\n\nclass {name}:\n    """The operations{", to be awaited" if is_async else ""}."""\n\n'
            classes += f"    def __init__(self, transport: {transport}) -> None:\n        self._transport = transport\n"
            for item in found:
                classes += "\n" + self.method(*item, is_async=is_async)
        return head + classes

    def method(self, name: str, method: str, path: str, operation: dict[str, Any], *, is_async: bool) -> str:
        of_path, of_query = [], []
        for parameter in operation.get("parameters", []):
            if parameter["in"] in ("path", "query"):
                (of_path if parameter["in"] == "path" else of_query).append(parameter)
        arguments = [f"{safe(p['name'])}: str" for p in of_path]
        content = operation.get("requestBody", {}).get("content", {})
        lines = ["self"] + arguments
        send = ""
        if "application/json" in content:
            required = operation["requestBody"].get("required", False)
            kind = self.kind(content["application/json"]["schema"])
            lines.append(f"body: {kind}" if required else f"body: Union[{kind}, None] = None")
            send = ", body=body"
        elif content:
            usual = next(iter(content))
            lines += ["content: Content", f'content_type: str = "{usual}"']
            send = ", content=content, content_type=content_type"
        if of_query:
            lines.append("*")
        for parameter in of_query:
            kind = self.kind(parameter.get("schema", {}))
            kind = kind if "None" in kind else f"Union[{kind}, None]"
            # What is required has no default.
            lines.append(f"{safe(parameter['name'])}: {kind}" + ("" if parameter.get("required") else " = None"))
        answer = self.answer(operation)
        url = re.sub(r"\{([^}]*)\}", lambda m: "{_segment(" + safe(m[1]) + ")}", path)
        url = f'f"{url}"' if of_path else f'"{url}"'
        query = ", ".join(f'"{p["name"]}": {safe(p["name"])}' for p in of_query)
        query = f", query={{{query}}}" if query else ""
        plain = ", as_text=True" if answer == "str" else ""
        word, wait = ("async def", "await ") if is_async else ("def", "")
        text = f"    {word} {name}({', '.join(lines)}) -> {answer}:\n"
        if len(text) > WIDTH:
            text = f"    {word} {name}(\n" + "".join(f"        {line},\n" for line in lines) + f"    ) -> {answer}:\n"
        text += doc(operation.get("summary", ""), "        ")
        call = f'{wait}self._transport.call("{method}", {url}{query}{send}{plain})'
        if answer == "None":
            return text + f"        {call}\n"
        line = f"        return {call}\n"
        if len(line) > WIDTH:
            pieces = [f'"{method}"', url] + [piece for piece in (query, send, plain) if piece]
            inner = "".join(f"            {piece.removeprefix(', ')},\n" for piece in pieces)
            line = f"        return {wait}self._transport.call(\n{inner}        )\n"
        return text + line

    def answer(self, operation: dict[str, Any]) -> str:
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                content = response.get("content", {})
                if "application/json" in content:
                    return self.kind(content["application/json"]["schema"])
                return "str" if content else "None"
        return "Any"

    def kind(self, schema: dict[str, Any]) -> str:
        text = self.types.of(schema, "Unnamed")
        known = {"Union", "List", "Dict", "Literal", "Any", "str", "int", "float", "bool", "None"}
        pieces = re.split(r"('[^']*')", text)
        return "".join(
            piece if piece.startswith("'")
            else re.sub(r"[A-Za-z_][A-Za-z0-9_]*", lambda m: m[0] if m[0] in known else f"t.{m[0]}", piece)
            for piece in pieces
        )


def safe(name: str) -> str:
    """A parameter's name in Python."""
    name = name.replace("-", "_").replace(".", "_")
    return f"{name}_" if keyword.iskeyword(name) else name


def main() -> int:
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    types = Types(document["components"]["schemas"])
    text_of_types = types.write()
    files = {"types.py": text_of_types, "api.py": Operations(document, types).write()}
    stale = []
    for name, text in files.items():
        path = HERE / "llmops" / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    if "--check" in sys.argv and stale:
        print(f"not what generate.py writes: {', '.join(stale)}: run python3 sdk/python/generate.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
