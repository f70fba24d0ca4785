"""Pages of the site that are made from the committed schemas: the API, and every key of every file."""

from __future__ import annotations

import json
import re
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent.parent / "docs"
FILES = (
    ("llmops", "llmops.yaml", "The configuration of a project."),
    ("prompt", "prompts/NAME.yaml", "A prompt."),
    ("experiment", "An experiment's file", "What `llmops experiment create` takes; see [Experiments](experiments.md)."),
    ("canary-policy", "A canary's policy", "What `llmops canary start --policy` takes; see [Canaries](canary.md)."),
    ("settings", "A deployment's settings", "What `llmops deploy --settings` takes; see [The gateway](gateway.md)."),
    ("scores", "scores.json", "What `llmops eval` writes, and `llmops gate` completes."),
)
WORDS = {"Duration": "a time: `500ms`, `30s`, `24h`", "Share": "a share: `0.05`, `5%`"}
Schema = dict[str, Any]


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def api_page() -> str:
    """Every operation of the API, by resource."""
    document = json.loads((DOCS / "openapi.json").read_text(encoding="utf-8"))
    by_tag: dict[str, list[str]] = defaultdict(list)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if not isinstance(operation, dict):
                continue
            role = next((role for rule in operation.get("security", []) for roles in rule.values() for role in roles), "")
            by_tag[operation.get("tags", ["other"])[0]].append(
                f"| `{method.upper()}` | `{path}` | `{operation.get('operationId', '')}` | {role} | {cell(operation.get('summary', ''))} |"
            )
    lines = [
        "# API",
        "",
        "`llmops serve` shows this with all types at `/docs`; the OpenAPI document is `/openapi.json`. Keys, pages, errors, "
        "idempotency and limits are on [the server's page](SERVER.md). Calls of models (`/v1/…`) speak OpenAI's and Anthropic's "
        "own formats, see [the gateway](gateway.md).",
    ]
    for tag in sorted(by_tag):
        lines += ["", f"## {tag}", "", "| | | operation | role | |", "| --- | --- | --- | --- | --- |", *by_tag[tag]]
    return "\n".join(lines) + "\n"


def commands_page(binary: str | None) -> str:
    """Every command with its options, as the binary tells them."""
    lines = [
        "# Commands",
        "",
        "What `llmops help` says. Options of every command: `--config FILE`, `--server URL`, `--api-key KEY`, `--database URL`, "
        "`--json`, `--quiet`. [Exit codes](files.md#exit-codes) are the same everywhere.",
    ]
    if binary is None:
        lines += ["", "This site was built without the binary, which tells the rest."]
    else:
        lines += help_of(binary, [])
    return "\n".join(lines) + "\n"


def help_of(binary: str, path: list[str]) -> list[str]:
    said = subprocess.run([binary, *path, "--help"], capture_output=True, text=True, check=True, env={"COLUMNS": "100"}).stdout
    own = said.split("\nGlobal options")[0].strip().replace(f"{Path(binary).name} ", "llmops ")
    commands = re.search(r"^Commands:\n(.*?)(?:\n\n|\Z)", said, re.M | re.S)
    names = re.findall(r"^  (\w[\w-]*)", commands[1], re.M) if commands else []
    lines = ["", f"{'#' * (1 + len(path))} `llmops {' '.join(path)}`", "", "```text", own, "```"] if path else []
    for name in names:
        if name != "help":
            lines += help_of(binary, [*path, name])
    return lines


def keys_of_files() -> str:
    """Every key of the files that people write, and of the one that CI reads."""
    lines: list[str] = []
    for name, title, text in FILES:
        lines += ["", f"## {title}", "", text, *FileKeys(name, schema_of(name)).lines()]
    return "\n".join(lines) + "\n"


def schema_of(name: str) -> Schema:
    """A committed schema; that of a deployment's settings is a part of the API's document."""
    if name != "settings":
        return json.loads((DOCS / "schema" / f"{name}.schema.json").read_text(encoding="utf-8"))
    parts = json.loads((DOCS / "openapi.json").read_text(encoding="utf-8"))["components"]["schemas"]
    return parts["DeploymentSettings"] | {"$defs": parts}


class FileKeys:
    """The tables of one file: its own keys, then those of each object in it, under the place where it is met first."""

    def __init__(self, name: str, schema: Schema) -> None:
        self.name = name
        self.schema = schema
        self.waiting: list[tuple[str, Schema]] = [("", schema)]
        self.places: dict[str, str] = {}

    def lines(self) -> list[str]:
        found: list[str] = []
        while self.waiting:
            place, schema = self.waiting.pop(0)
            if place:
                found += ["", f"### `{place}` {{#{self.anchor(place)}}}", "", cell(schema.get("description", ""))]
            if "oneOf" in schema and not schema.get("properties"):
                found += self.kinds(place, schema["oneOf"])
            else:
                found += self.table(place, schema.get("properties", {}), schema.get("required", []))
        return found

    def anchor(self, place: str) -> str:
        return f"{self.name}-{re.sub(r'[^a-z_]+', '-', place.lower()).strip('-')}"

    def table(self, place: str, keys: dict[str, Schema], required: list[str]) -> list[str]:
        if not keys:
            return []
        rows = []
        for key, value in keys.items():
            takes = self.takes(f"{place}.{key}".lstrip("."), value)
            rows.append(f"| `{key}` | {takes} | {default(value, key in required)} | {cell(value.get('description', ''))} |")
        return ["", "| key | takes | default | |", "| --- | --- | --- | --- |", *rows]

    def kinds(self, place: str, variants: list[Schema]) -> list[str]:
        """Variants that are told apart by `kind`: what all have in common, then kinds with the same keys together."""
        kinds = [variant for variant in variants if "const" in variant.get("properties", {}).get("kind", {})]
        if not kinds:
            return ["", *(f"* {self.option(place, one)}: {cell(one.get('description', ''))}" for one in variants)]
        common = {key: value for key, value in kinds[0]["properties"].items()
                  if key != "kind" and all(variant["properties"].get(key) == value for variant in kinds)}
        groups: dict[str, list[Schema]] = defaultdict(list)
        for variant in kinds:
            own = {key: value for key, value in variant["properties"].items() if key not in common and key != "kind"}
            groups[json.dumps(own, sort_keys=True)].append(variant | {"own": own})
        lines = self.table(place, common, [])
        for group in groups.values():
            lines += ["", *(f"* `kind: {one['properties']['kind']['const']}`: {cell(one.get('description', ''))}" for one in group)]
            lines += self.table(place, group[0]["own"], group[0].get("required", []))
        return lines

    def option(self, place: str, value: Schema) -> str:
        """One of several shapes; those with one key are written out."""
        keys = value.get("properties", {})
        return "".join(f"`{{{key}: …}}`" for key in keys) if len(keys) == 1 else self.takes(place, value)

    def takes(self, place: str, value: Schema) -> str:
        """What may stand there, in words; objects are queued for a table of their own."""
        if "$ref" in value:
            name = value["$ref"].rsplit("/", 1)[1]
            target = self.schema["$defs"][name]
            if name in WORDS:
                return WORDS[name]
            if not is_object(target):
                return self.takes(place, target)
            return self.object(name, place, target)
        for many in ("anyOf", "oneOf"):
            if many in value:
                words = list(dict.fromkeys(self.takes(place, one) for one in value[many] if one.get("type") != "null"))
                return (", " if all(word.startswith("`") for word in words) else " or ").join(words)
        words = [value["const"]] if "const" in value else value.get("enum")
        if words:
            return ", ".join(f"`{word}`" for word in words)
        kind = value.get("type", "anything")
        kind = next((one for one in kind if one != "null"), "null") if isinstance(kind, list) else kind
        if kind == "array":
            items = value["items"] if isinstance(value.get("items"), dict) else {}
            return f"a list: {self.takes(f'{place}[]', items)}"
        if kind == "object":
            inner = value.get("additionalProperties")
            if isinstance(inner, dict) and inner:
                return f"by name: {self.takes(f'{place}.NAME', inner)}"
            return self.object(place, place, value) if value.get("properties") else "an object"
        return {"boolean": "`true`, `false`", "integer": "a whole number", "number": "a number", "string": "text"}.get(kind, kind)

    def object(self, name: str, place: str, schema: Schema) -> str:
        if name not in self.places:
            self.places[name] = place
            self.waiting.append((place, schema))
        return f"[keys](#{self.anchor(self.places[name])})"


def is_object(schema: Schema) -> bool:
    return "properties" in schema or any("properties" in one for one in schema.get("oneOf", []))


def default(value: Schema, required: bool) -> str:
    if required:
        return "*needed*"
    found = value.get("default")
    if found is None or isinstance(found, (dict, list)):
        return ""
    return f"`{cell(json.dumps(found, ensure_ascii=False))}`"
