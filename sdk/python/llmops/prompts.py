"""Prompts on the caller's side: rendering, and a cache that goes on answering when the server does not."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Mapping, Optional, Set, Tuple, Union, cast
from urllib.parse import quote

from .errors import ApiError, LlmopsError, RenderError, Unreachable
from .rendering import bind, names_in, printed, render

if TYPE_CHECKING:
    from .types import PromptVersion

#: A message as model providers take it.
Message = Dict[str, Any]
#: What stands in for a prompt that cannot be had: its text, its messages, or all of it.
Fallback = Union[str, List[Message], Mapping[str, Any]]

#: Seconds after a failure in which what stands in answers without asking the server again.
_REST = 5.0


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

        Values are checked as the server checks them. Placeholders such as ``{{ name }}`` need nothing else; templates
        with statements or filters need Jinja2 (``pip install llmops[jinja]``), whose filters differ from the server's in
        corners. ``Client.render`` lets the server do it.
        """
        body: Dict[str, Any] = dict(self.version)
        used = _names(body)
        declared = body.get("variables")
        # What a caller holds ready declares nothing, or as much as it likes.
        is_fallback = self.origin == "fallback" and not declared
        values = dict(variables) if is_fallback else bind(declared or [], variables, used)

        def rendered(content: Any) -> Any:
            if isinstance(content, str):
                return render(content, values)
            if isinstance(content, list):
                return [rendered(part) for part in cast(List[Any], content)]
            if isinstance(content, dict):
                return {key: rendered(part) for key, part in cast(Dict[str, Any], content).items()}
            return content

        messages: List[Message] = []
        if body.get("system") is not None:
            messages.append({"role": "system", "content": rendered(body["system"])})
        for example in body.get("examples") or []:
            messages.append({"role": "user", "content": example["input"]})
            messages.append({"role": "assistant", "content": example["output"]})
        for message in body.get("messages") or []:
            messages.append({**message, "content": rendered(message.get("content"))})
        if body.get("content") is not None:
            messages.append({"role": "user", "content": rendered(body["content"])})
        given = values.get("input")
        if given not in (None, "") and "input" not in used:
            messages.append({"role": "user", "content": printed(given)})
        if not messages:
            raise RenderError(f"{self.label}: there is nothing to send: no text, no input and no message")
        return messages


def _names(body: Mapping[str, Any]) -> Set[str]:
    """The variables that a prompt's templates use."""

    def texts(content: Any) -> Iterator[str]:
        if isinstance(content, str):
            yield content
        elif isinstance(content, (list, dict)):
            parts = cast(Dict[str, Any], content).values() if isinstance(content, dict) else cast(List[Any], content)
            for part in parts:
                yield from texts(part)

    contents = [body.get("system"), body.get("content"), *(m.get("content") for m in body.get("messages") or [])]
    return {name for content in contents for text in texts(content) for name in names_in(text)}


@dataclass
class _Entry:
    version: "PromptVersion"
    fetched: float


Key = Tuple[str, str]


class PromptCache:
    """Versions that were fetched, in memory and on disk.

    An entry is fresh for ``ttl`` seconds. A stale one is still answered, while it is fetched anew; what the server
    cannot answer is answered from what is there, for some seconds without asking again. Pinned versions never change and
    are never stale. ``scope`` keeps what one server, or one key's project, answers apart from others on the same disk.
    """

    def __init__(
        self,
        ttl: float = 60.0,
        directory: Union[str, Path, None] = None,
        clock: Callable[[], float] = time.monotonic,
        scope: str = "",
    ) -> None:
        self.ttl = ttl
        self._directory = Path(directory) / _digest(scope) if directory is not None else None
        self._clock = clock
        self._entries: Dict[Key, _Entry] = {}
        self._failures: Dict[Key, Tuple[float, LlmopsError]] = {}

    def get(self, key: Key) -> Optional[Prompt]:
        """What is in memory; its origin is `cache` or `stale`."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        is_fresh = self._clock() - entry.fetched < self.ttl or _is_pinned(key)
        return Prompt(entry.version, "cache" if is_fresh else "stale")

    def put(self, key: Key, version: "PromptVersion") -> None:
        self._entries[key] = _Entry(version, self._clock())
        self._failures.pop(key, None)
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

    def failed(self, key: Key, error: LlmopsError) -> None:
        """Notes why the server could not be asked; an answer of the server is no such reason."""
        if unavailable(error):
            self._failures[key] = (self._clock(), error)

    def _failure(self, key: Key, within: float = _REST) -> Optional[LlmopsError]:
        """Why the server could not be asked, where that was less than ``within`` seconds ago."""
        at, error = self._failures.get(key, (0.0, None))
        return error if error is not None and self._clock() - at < within else None

    def is_due(self, key: Key) -> bool:
        """Whether what is in memory is to be fetched anew."""
        found = self.get(key)
        return found is not None and found.origin == "stale" and self._failure(key) is None

    def at_once(self, key: Key, fallback: Optional[Fallback]) -> Optional[Prompt]:
        """What answers without asking: what is in memory, and, shortly after a failure, what stands in."""
        found = self.get(key)
        return self.stand_in(key, fallback) if found is None and self._failure(key) else found

    def told(self, key: Key, fallback: Optional[Fallback], seconds: float) -> Optional[Prompt]:
        """What another caller was told in these last seconds: a prompt, or the error that is raised then."""
        found, failure = self.at_once(key, fallback), self._failure(key, seconds)
        if found is None and failure is not None:
            raise failure
        return found

    def instead(self, key: Key, fallback: Optional[Fallback], error: LlmopsError) -> Prompt:
        """What stands in for an answer; the error is raised where nothing does, or where it is the answer."""
        at_hand = self.stand_in(key, fallback) if unavailable(error) else None
        if at_hand is None:
            raise error
        return at_hand

    def stand_in(self, key: Key, fallback: Optional[Fallback]) -> Optional[Prompt]:
        """What answers when the server does not: the copy on disk, or what the caller holds ready."""
        at_hand = self.on_disk(key)
        if at_hand is None and fallback is not None:
            at_hand = fallback_prompt(key[0], fallback)
        return at_hand

    def _path(self, key: Key) -> Optional[Path]:
        return None if self._directory is None else self._directory / f"{quote('@'.join(key), safe='@')}.json"


def _digest(scope: str) -> str:
    return hashlib.sha256(scope.encode()).hexdigest()[:16]


def _is_pinned(key: Key) -> bool:
    return key[1] not in ("active", "latest")


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
    return isinstance(error, Unreachable) or (isinstance(error, ApiError) and (error.is_temporary or error.is_foreign))
