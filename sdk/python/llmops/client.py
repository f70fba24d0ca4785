"""The clients. ``api`` has every operation of the server; the methods beside it are what applications do daily."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any, AsyncIterator, Dict, Iterable, Iterator, List, Mapping, Optional, Set, Tuple, Union, cast

import httpx

from . import types as t
from ._http import AsyncTransport, Settings, Transport
from .api import Api, AsyncApi
from .errors import LlmopsError
from .prompts import Fallback, Key, Message, Prompt, PromptCache

#: A rating: how many of how many, such as ``(4, 5)``.
Rating = Tuple[float, float]
#: How long one look at a run waits for its end.
_LOOK_MS = 20_000


def _feedback_body(
    request_id: str,
    thumb: Optional[str],
    rating: Optional[Rating],
    label: Optional[str],
    comment: Optional[str],
    correction: Optional[str],
    signals: Optional[Mapping[str, Any]],
    idempotency_key: Optional[str],
) -> Dict[str, Any]:
    body: Dict[str, Any] = {"request_id": request_id}
    said = {
        "thumb": thumb,
        "rating": {"value": rating[0], "scale": rating[1]} if rating else None,
        "label": label,
        "comment": comment,
        "correction": correction,
        "signals": dict(signals) if signals else None,
    }
    body.update({name: value for name, value in said.items() if value is not None})
    if len(body) == 1:
        raise ValueError("feedback says something: a thumb, rating, label, comment, correction or signals")
    if idempotency_key is not None:
        body["idempotency_key"] = idempotency_key
    return body


def _observation(
    unit: Optional[str], variant: Optional[str], metric: str, value: float, at: Optional[str], key: Optional[str]
) -> Any:
    if unit is None and variant is None:
        raise ValueError("an observation names its unit, its variant, or both")
    said = {"unit": unit, "variant": variant, "metric": metric, "value": value, "at": at, "idempotency_key": key}
    return {name: value for name, value in said.items() if value is not None}


def _flag_value(answer: Any, default: Any) -> Any:
    return cast(Dict[str, Any], answer).get("value", default) if isinstance(answer, dict) else default


def _look_ms(patience: Optional[float], left: float) -> int:
    """Milliseconds that one look at a run may wait for its end: the answer must come before the caller gives up."""
    longest = _LOOK_MS if patience is None else min(_LOOK_MS, patience * 500)
    return int(min(longest, left * 1000))


class _Events:
    """Reads the lines of server-sent events."""

    def __init__(self) -> None:
        self._data: List[str] = []

    def event(self, line: str) -> Optional[t.StoredEvent]:
        """The event that this line ends."""
        if line.startswith("data:"):
            self._data.append(line[5:].strip())
        if line or not self._data:
            return None
        data, self._data = "\n".join(self._data), []
        return cast(t.StoredEvent, json.loads(data))


def _lines(samples: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(json.dumps(sample, ensure_ascii=False).encode() + b"\n" for sample in samples)


class Client:
    """A client of an llmops server.

    Without arguments it reads ``LLMOPS_SERVER`` and ``LLMOPS_API_KEY``. It may be used by many threads at once.
    """

    def __init__(
        self,
        base_url: Optional[str] = None,
        api_key: Optional[str] = None,
        *,
        timeout: float = 30.0,
        prompt_ttl: float = 60.0,
        cache_dir: Union[str, Path, None] = None,
        http: Optional[httpx.Client] = None,
    ) -> None:
        self.settings = Settings(base_url, api_key, timeout)
        self._transport = Transport(self.settings, http)
        #: Every operation of the server.
        self.api = Api(self._transport)
        #: The prompts that were fetched.
        self.prompts = PromptCache(prompt_ttl, cache_dir, scope=self.settings.scope)
        self._lock = threading.Lock()
        self._fetching: Dict[Key, threading.Lock] = {}
        self._refreshing: Set[Key] = set()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    @property
    def openai_base_url(self) -> str:
        """What an OpenAI client takes as its ``base_url`` to ask deployments through the gateway."""
        return f"{self.settings.base_url}/v1"

    # Prompts

    def prompt(self, name: str, version: str = "active", *, fallback: Optional[Fallback] = None) -> Prompt:
        """A version of a prompt: from memory while it is fresh; a stale one at once, while it is fetched anew.

        When the server cannot be reached, or something else answers in its place, what is in memory, on disk
        (``cache_dir``) or in ``fallback`` answers, in this order, for some seconds without asking again. An answer of the
        server, such as that there is no such prompt, is raised.
        """
        key = (name, version)
        found = self.prompts.at_once(key, fallback)
        if found is not None:
            if self.prompts.is_due(key):
                self._refresh(key)
            return found
        began = time.monotonic()
        with self._lock:
            fetching = self._fetching.setdefault(key, threading.Lock())
        # One asks, and the others take what it is told.
        with fetching:
            found = self.prompts.told(key, fallback, time.monotonic() - began)
            if found is not None:
                return found
            try:
                return Prompt(self._fetch(key), "server")
            except LlmopsError as error:
                return self.prompts.instead(key, fallback, error)

    def _fetch(self, key: Key) -> t.PromptVersion:
        try:
            version = self.api.get_prompt_version(*key)
        except LlmopsError as error:
            self.prompts.failed(key, error)
            raise
        self.prompts.put(key, version)
        return version

    def _refresh(self, key: Key) -> None:
        with self._lock:
            if key in self._refreshing:
                return
            self._refreshing.add(key)

        def fetch() -> None:
            try:
                self._fetch(key)
            except LlmopsError:
                # The stale one goes on answering, and the next call tries again.
                pass
            except RuntimeError:
                # Nobody waits for the answer of a client that was closed meanwhile.
                if not self._transport.is_closed:
                    raise
            finally:
                with self._lock:
                    self._refreshing.discard(key)

        threading.Thread(target=fetch, name=f"llmops prompt {key[0]}", daemon=True).start()

    def render(self, name: str, variables: Optional[Mapping[str, Any]] = None, version: str = "active") -> List[Message]:
        """The messages of a prompt, rendered by the server."""
        return list(self.api.render_prompt(name, version, {"variables": dict(variables or {})})["messages"])  # type: ignore[arg-type]

    # Live traffic

    def deployment(self, name: str, environment: Optional[str] = None) -> t.Deployment:
        """What a deployment points to."""
        return self.api.get_deployment(name, environment=environment)

    def assign(
        self, experiment: str, unit: str, attributes: Optional[Mapping[str, Any]] = None
    ) -> t.Assignment:
        """The variant of a unit (a user, say). Its first exposure is stored before the answer."""
        body: Dict[str, Any] = {"unit": unit}
        if attributes:
            body["attributes"] = dict(attributes)
        return self.api.assign_variant(experiment, body)  # type: ignore[arg-type]

    def flag(self, key: str, unit: str, default: Any, attributes: Optional[Mapping[str, Any]] = None) -> Any:
        """The value of an experiment as an OpenFeature flag; ``default`` when it cannot be had."""
        context = {"targetingKey": unit, **(attributes or {})}
        try:
            return _flag_value(self.api.evaluate_flag(key, {"context": context}), default)  # type: ignore[arg-type]
        # Whatever is wrong with the attributes, the client or the answer: a flag has its default.
        except Exception:
            return default

    def observe(
        self,
        experiment: str,
        *,
        metric: str,
        value: float,
        unit: Optional[str] = None,
        variant: Optional[str] = None,
        at: Optional[str] = None,
        idempotency_key: Optional[str] = None,
    ) -> t.RecordedObservations:
        """Records one value of one metric, of a unit, a variant, or both. When it returns, the value is on disk."""
        body = _observation(unit, variant, metric, value, at, idempotency_key)
        return self.api.record_metric(experiment, body)

    def feedback(
        self,
        request_id: str,
        *,
        thumb: Optional[str] = None,
        rating: Optional[Rating] = None,
        label: Optional[str] = None,
        comment: Optional[str] = None,
        correction: Optional[str] = None,
        signals: Optional[Mapping[str, Any]] = None,
        idempotency_key: Optional[str] = None,
    ) -> Any:
        """Says what a person, or the application, thought of an answer.

        ``request_id`` is the answer's header ``x-llmops-request-id``; ``thumb`` is ``up`` or ``down``; ``rating`` is how many of how many; ``correction`` is the answer as it should have been.
        """
        body = _feedback_body(request_id, thumb, rating, label, comment, correction, signals, idempotency_key)
        return self._transport.call("POST", "/api/v1/feedback", body=body)

    # Datasets and runs

    def push_samples(self, dataset: str, samples: Iterable[Mapping[str, Any]]) -> t.ImportedDataset:
        """Adds a version with exactly these samples, and the dataset if it is new."""
        return self.api.import_dataset(dataset, _lines(samples))

    def samples(self, dataset: str, version: str = "latest") -> Iterator[t.SampleAt]:
        """All samples of a version, page by page."""
        cursor: Optional[str] = None
        while True:
            page = self.api.list_samples(dataset, version, cursor=cursor)
            yield from page["items"]
            cursor = page.get("next_cursor")
            if not cursor:
                return

    def events(self, types: Optional[str] = None, after: Optional[int] = None) -> Iterator[t.StoredEvent]:
        """Events as they happen, until the loop ends; ``types`` such as ``alert,run.completed``.

        ``after`` begins behind the event with this ``id``: whoever lost the connection goes on where it was lost.
        """
        reader = _Events()
        for line in self._transport.lines("/api/v1/events", {"types": types, "after": after}):
            event = reader.event(line)
            if event is not None:
                yield event

    def wait(self, run: str = "latest", timeout: float = 600.0) -> t.EvaluationRun:
        """The run once it has ended; ``TimeoutError`` when that takes longer than ``timeout`` seconds."""
        end = time.monotonic() + timeout
        while True:
            left = max(0.0, end - time.monotonic())
            found = self.api.get_run(run, wait_ms=_look_ms(self._transport.patience, left))
            if found["status"] in ("completed", "failed", "cancelled"):
                return found
            if left <= 0:
                raise TimeoutError(f"the run {found['id']} is still {found['status']} after {timeout:.0f} s")
            run = found["id"]

    def gate(
        self, run: str = "latest", *, config: Optional[Mapping[str, Any]] = None, baseline: Optional[str] = None
    ) -> t.GateReport:
        """The verdict on a run, with its evidence."""
        body: Dict[str, Any] = {}
        if config is not None:
            body["config"] = dict(config)
        if baseline is not None:
            body["baseline"] = baseline
        return self.api.gate_run(run, body)  # type: ignore[arg-type]


class AsyncClient:
    """A client of an llmops server, to be awaited. Its methods are those of :class:`Client`."""

    def __init__(
        self,
        base_url: Optional[str] = None,
        api_key: Optional[str] = None,
        *,
        timeout: float = 30.0,
        prompt_ttl: float = 60.0,
        cache_dir: Union[str, Path, None] = None,
        http: Optional[httpx.AsyncClient] = None,
    ) -> None:
        self.settings = Settings(base_url, api_key, timeout)
        self._transport = AsyncTransport(self.settings, http)
        #: Every operation of the server.
        self.api = AsyncApi(self._transport)
        #: The prompts that were fetched.
        self.prompts = PromptCache(prompt_ttl, cache_dir, scope=self.settings.scope)
        self._fetching: Dict[Key, asyncio.Lock] = {}
        self._refreshing: Dict[Key, "asyncio.Task[None]"] = {}

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        for task in list(self._refreshing.values()):
            task.cancel()
        await self._transport.close()

    @property
    def openai_base_url(self) -> str:
        """What an OpenAI client takes as its ``base_url`` to ask deployments through the gateway."""
        return f"{self.settings.base_url}/v1"

    async def prompt(self, name: str, version: str = "active", *, fallback: Optional[Fallback] = None) -> Prompt:
        """A version of a prompt, as :meth:`Client.prompt` finds it."""
        key = (name, version)
        found = self.prompts.at_once(key, fallback)
        if found is not None:
            if self.prompts.is_due(key) and key not in self._refreshing:
                task = asyncio.ensure_future(self._refresh(key))
                self._refreshing[key] = task
                task.add_done_callback(lambda _: self._refreshing.pop(key, None))
            return found
        began = time.monotonic()
        # One asks, and the others take what it is told.
        async with self._fetching.setdefault(key, asyncio.Lock()):
            found = self.prompts.told(key, fallback, time.monotonic() - began)
            if found is not None:
                return found
            try:
                return Prompt(await self._fetch(key), "server")
            except LlmopsError as error:
                return self.prompts.instead(key, fallback, error)

    async def _fetch(self, key: Key) -> t.PromptVersion:
        try:
            version = await self.api.get_prompt_version(*key)
        except LlmopsError as error:
            self.prompts.failed(key, error)
            raise
        self.prompts.put(key, version)
        return version

    async def _refresh(self, key: Key) -> None:
        try:
            await self._fetch(key)
        except LlmopsError:
            # The stale one goes on answering, and the next call tries again.
            pass

    async def render(
        self, name: str, variables: Optional[Mapping[str, Any]] = None, version: str = "active"
    ) -> List[Message]:
        """The messages of a prompt, rendered by the server."""
        answer = await self.api.render_prompt(name, version, {"variables": dict(variables or {})})
        return list(answer["messages"])  # type: ignore[arg-type]

    async def deployment(self, name: str, environment: Optional[str] = None) -> t.Deployment:
        """What a deployment points to."""
        return await self.api.get_deployment(name, environment=environment)

    async def assign(
        self, experiment: str, unit: str, attributes: Optional[Mapping[str, Any]] = None
    ) -> t.Assignment:
        """The variant of a unit (a user, say). Its first exposure is stored before the answer."""
        body: Dict[str, Any] = {"unit": unit}
        if attributes:
            body["attributes"] = dict(attributes)
        return await self.api.assign_variant(experiment, body)  # type: ignore[arg-type]

    async def flag(self, key: str, unit: str, default: Any, attributes: Optional[Mapping[str, Any]] = None) -> Any:
        """The value of an experiment as an OpenFeature flag; ``default`` when it cannot be had."""
        context = {"targetingKey": unit, **(attributes or {})}
        try:
            return _flag_value(await self.api.evaluate_flag(key, {"context": context}), default)  # type: ignore[arg-type]
        # Whatever is wrong with the attributes, the client or the answer: a flag has its default.
        except Exception:
            return default

    async def observe(
        self,
        experiment: str,
        *,
        metric: str,
        value: float,
        unit: Optional[str] = None,
        variant: Optional[str] = None,
        at: Optional[str] = None,
        idempotency_key: Optional[str] = None,
    ) -> t.RecordedObservations:
        """Records one value of one metric, of a unit, a variant, or both. When it returns, the value is on disk."""
        body = _observation(unit, variant, metric, value, at, idempotency_key)
        return await self.api.record_metric(experiment, body)

    async def feedback(
        self,
        request_id: str,
        *,
        thumb: Optional[str] = None,
        rating: Optional[Rating] = None,
        label: Optional[str] = None,
        comment: Optional[str] = None,
        correction: Optional[str] = None,
        signals: Optional[Mapping[str, Any]] = None,
        idempotency_key: Optional[str] = None,
    ) -> Any:
        """Says what a person thought of an answer, as :meth:`Client.feedback` does."""
        body = _feedback_body(request_id, thumb, rating, label, comment, correction, signals, idempotency_key)
        return await self._transport.call("POST", "/api/v1/feedback", body=body)

    async def push_samples(self, dataset: str, samples: Iterable[Mapping[str, Any]]) -> t.ImportedDataset:
        """Adds a version with exactly these samples, and the dataset if it is new."""
        return await self.api.import_dataset(dataset, _lines(samples))

    async def samples(self, dataset: str, version: str = "latest") -> AsyncIterator[t.SampleAt]:
        """All samples of a version, page by page."""
        cursor: Optional[str] = None
        while True:
            page = await self.api.list_samples(dataset, version, cursor=cursor)
            for sample in page["items"]:
                yield sample
            cursor = page.get("next_cursor")
            if not cursor:
                return

    async def events(self, types: Optional[str] = None, after: Optional[int] = None) -> AsyncIterator[t.StoredEvent]:
        """Events as they happen, as :meth:`Client.events` gives them."""
        reader = _Events()
        async for line in self._transport.lines("/api/v1/events", {"types": types, "after": after}):
            event = reader.event(line)
            if event is not None:
                yield event

    async def wait(self, run: str = "latest", timeout: float = 600.0) -> t.EvaluationRun:
        """The run once it has ended; ``TimeoutError`` when that takes longer than ``timeout`` seconds."""
        end = time.monotonic() + timeout
        while True:
            left = max(0.0, end - time.monotonic())
            found = await self.api.get_run(run, wait_ms=_look_ms(self._transport.patience, left))
            if found["status"] in ("completed", "failed", "cancelled"):
                return found
            if left <= 0:
                raise TimeoutError(f"the run {found['id']} is still {found['status']} after {timeout:.0f} s")
            run = found["id"]

    async def gate(
        self, run: str = "latest", *, config: Optional[Mapping[str, Any]] = None, baseline: Optional[str] = None
    ) -> t.GateReport:
        """The verdict on a run, with its evidence."""
        body: Dict[str, Any] = {}
        if config is not None:
            body["config"] = dict(config)
        if baseline is not None:
            body["baseline"] = baseline
        return await self.api.gate_run(run, body)  # type: ignore[arg-type]
