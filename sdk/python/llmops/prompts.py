"""Prompts on the caller's side: rendering, and a cache that goes on answering when the server does not."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Tuple, Union, cast

from .errors import ApiError, LlmopsError, RenderError, Unreachable

if TYPE_CHECKING:
    from .types import PromptVersion

#: A message as model providers take it.
Message = Dict[str, Any]
#: What stands in for a prompt that cannot be had: its text, its messages, or all of it.
Fallback = Union[str, List[Message], Mapping[str, Any]]

_PLACEHOLDER = re.compile(r"\{\{-?\s*([A-Za-z_][A-Za-z0-9_]*)\s*-?\}\}")


@dataclass(frozen=True)
class Prompt:
    """A version of a prompt."""

    #: The version as the server keeps it; of a fallback, what it says.
    version: "PromptVersion"
    #: `server`, `cache` (fresh), `stale` (the server could not be asked anew), `disk` or `fallback`.
    origin: str

    @property
    def name(self) -> str:
        return self.version["name"]

    @property
    def label(self) -> str:
        """`NAME@VERSION`."""
        return f"{self.version['name']}@{self.version.get('version', '?')}"

    @property
    def hash(self) -> Optional[str]:
        """The hash of what decides the answer; none of a fallback."""
        return self.version.get("hash")

    @property
    def model(self) -> Optional[str]:
        return self.version.get("model")

    @property
    def parameters(self) -> Dict[str, Any]:
        """Sampling parameters, as a keyword argument list for a model's client."""
        return {name: value for name, value in (self.version.get("parameters") or {}).items() if value not in (None, [])}

    def render(self, **variables: Any) -> List[Message]:
        """The messages for these values, rendered here: no request is made.

        Placeholders such as ``{{ name }}`` need nothing else; templates with statements or filters need Jinja2
        (``pip install llmops[jinja]``). ``Client.render`` lets the server do it.
        """
        body: Dict[str, Any] = dict(self.version)
        values = _bind(body.get("variables") or [], variables)
        texts: List[str] = []

        def render(content: Any) -> Any:
            if isinstance(content, str):
                texts.append(content)
                return _template(content, values)
            if isinstance(content, list):
                return [render(part) for part in cast(List[Any], content)]
            if isinstance(content, dict):
                return {key: render(part) for key, part in cast(Dict[str, Any], content).items()}
            return content

        messages: List[Message] = []
        if body.get("system") is not None:
            messages.append({"role": "system", "content": render(body["system"])})
        for example in body.get("examples") or []:
            messages.append({"role": "user", "content": example["input"]})
            messages.append({"role": "assistant", "content": example["output"]})
        if body.get("content") is not None:
            messages.append({"role": "user", "content": render(body["content"])})
        for message in body.get("messages") or []:
            messages.append({**message, "content": render(message.get("content"))})
        given = values.get("input")
        if given not in (None, "") and not any(_uses(text, "input") for text in texts):
            messages.append({"role": "user", "content": given if isinstance(given, str) else json.dumps(given)})
        if not messages:
            raise RenderError(f"{self.label}: there is nothing to send: no text, no input and no message")
        return messages


def _bind(declared: Any, given: Mapping[str, Any]) -> Dict[str, Any]:
    """The values of a prompt's variables: those that are given, then defaults."""
    values = dict(given)
    missing = []
    for variable in declared:
        name = variable["name"]
        if values.get(name) is None and variable.get("default") is not None:
            values[name] = variable["default"]
        if values.get(name) is None and variable.get("required"):
            missing.append(name)
    if missing:
        raise RenderError(f"values are missing for: {', '.join(missing)}")
    return values


def _uses(text: str, name: str) -> bool:
    return re.search(r"\{[{%][^}]*\b" + re.escape(name) + r"\b", text) is not None


def _template(text: str, values: Mapping[str, Any]) -> str:
    rest = _PLACEHOLDER.sub("", text)
    if "{{" in rest or "{%" in rest or "{#" in rest:
        return _jinja(text, values)

    def value(match: "re.Match[str]") -> str:
        name = match[1]
        if name not in values:
            raise RenderError(f"the template uses `{name}`, and there is no value for it")
        found = values[name]
        if found is None:
            return ""
        if isinstance(found, bool):
            return "true" if found else "false"
        return found if isinstance(found, str) else json.dumps(found) if isinstance(found, (list, dict)) else str(found)

    return _PLACEHOLDER.sub(value, text)


def _jinja(text: str, values: Mapping[str, Any]) -> str:
    try:
        import jinja2
        import jinja2.sandbox
    except ImportError as error:
        raise RenderError("this template needs Jinja2: pip install llmops[jinja], or let the server render") from error
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=True
    )
    try:
        return environment.from_string(text).render(values)
    except jinja2.TemplateError as error:
        raise RenderError(str(error)) from error


@dataclass
class _Entry:
    version: "PromptVersion"
    fetched: float


Key = Tuple[str, str]


class PromptCache:
    """Versions that were fetched, in memory and on disk.

    An entry is fresh for ``ttl`` seconds. A stale one is still answered, while it is fetched anew; what the server
    cannot answer is answered from what is there. Pinned versions never change and are never stale.
    """

    def __init__(
        self,
        ttl: float = 60.0,
        directory: Union[str, Path, None] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ttl = ttl
        self._directory = Path(directory) if directory is not None else None
        self._clock = clock
        self._entries: Dict[Key, _Entry] = {}

    def get(self, key: Key) -> Optional[Prompt]:
        """What is in memory; its origin is `cache` or `stale`."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        is_fresh = self._clock() - entry.fetched < self.ttl or _is_pinned(key)
        return Prompt(entry.version, "cache" if is_fresh else "stale")

    def put(self, key: Key, version: "PromptVersion") -> None:
        self._entries[key] = _Entry(version, self._clock())
        path = self._path(key)
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                part = path.with_suffix(".part")
                part.write_text(json.dumps(version), encoding="utf-8")
                part.replace(path)
            except OSError:
                # The copy on disk is a convenience: a folder that cannot be written to is no reason to fail.
                pass

    def on_disk(self, key: Key) -> Optional[Prompt]:
        path = self._path(key)
        if path is None:
            return None
        try:
            return Prompt(json.loads(path.read_text(encoding="utf-8")), "disk")
        except (OSError, ValueError):
            return None

    def _path(self, key: Key) -> Optional[Path]:
        if self._directory is None:
            return None
        name = re.sub(r"[^A-Za-z0-9._-]", "_", "@".join(key))
        return self._directory / f"{name}.json"


def _is_pinned(key: Key) -> bool:
    return key[1] != "active"


def fallback_prompt(name: str, fallback: Fallback) -> Prompt:
    """A prompt made of what the caller holds ready."""
    version: Dict[str, Any] = {"name": name, "version": "fallback"}
    if isinstance(fallback, str):
        version["content"] = fallback
    elif isinstance(fallback, Mapping):
        version.update(fallback)
    else:
        version["messages"] = list(fallback)
    return Prompt(version, "fallback")  # type: ignore[arg-type]


def unavailable(error: LlmopsError) -> bool:
    """Whether an error says nothing about the prompt: then what is at hand may stand in."""
    return isinstance(error, Unreachable) or (isinstance(error, ApiError) and error.is_temporary)
