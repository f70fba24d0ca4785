"""What carries calls to the server, blocking and asynchronous."""

from __future__ import annotations

import json
import os
from typing import Any, AsyncIterable, AsyncIterator, Dict, Iterable, Iterator, Mapping, Optional, Union

import httpx

from .errors import ApiError, Unreachable

#: A body that is no JSON: text, bytes, or parts of them.
Content = Union[str, bytes, Iterable[bytes], AsyncIterable[bytes]]

DEFAULT_URL = "http://127.0.0.1:8080"
VERSION = "0.1.0"
#: Seconds without a sign of life after which a stream of events is gone; the server gives one every 15.
SILENCE = 60.0


class Settings:
    """Where the server is, and with which key it is asked."""

    def __init__(self, base_url: Optional[str], api_key: Optional[str], timeout: float) -> None:
        self.base_url = _address((base_url or os.environ.get("LLMOPS_SERVER") or DEFAULT_URL).strip()).rstrip("/")
        self.api_key = api_key or os.environ.get("LLMOPS_API_KEY") or None
        self.timeout = timeout

    @property
    def scope(self) -> str:
        """What answers belong to: a server, and the project of a key."""
        return f"{self.base_url}\n{self.api_key or ''}"

    def headers(self) -> Dict[str, str]:
        headers = {"user-agent": f"llmops-python/{VERSION}"}
        if self.api_key:
            headers["authorization"] = f"Bearer {self.api_key}"
        return headers


def _address(url: str) -> str:
    """An address that can be asked. Any other would look like an outage for ever, which fallbacks hide.

    What is told is never a user and a password in it.
    """
    scheme, colon, rest = url.partition("://")
    if colon and scheme.lower() in ("http", "https") and rest.strip("/"):
        return url
    host = (rest if colon else url.partition("http:")[2] or url).rpartition("@")[2].lstrip("/")
    hint = f"write http://HOST:PORT or https://HOST, such as http://{host or '127.0.0.1:8080'}"
    raise ValueError(f"{host!r} is no address of an llmops server: {hint}")


def _request(
    query: Optional[Mapping[str, Any]], body: Any, content: Optional[Content], content_type: Optional[str]
) -> Dict[str, Any]:
    """The parts of a request as httpx takes them. What is None is left out of the query."""
    parts: Dict[str, Any] = {}
    if query:
        said = {name: value for name, value in query.items() if value is not None}
        parts["params"] = {n: str(v).lower() if isinstance(v, bool) else v for n, v in said.items()}
    if content is not None:
        parts["content"] = content
        parts["headers"] = {"content-type": content_type or "application/octet-stream"}
    elif body is not None:
        parts["content"] = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        parts["headers"] = {"content-type": "application/json"}
    return parts


def _read(response: httpx.Response, as_text: bool) -> Any:
    """The answer, or the error that it is."""
    if not response.is_success:
        raise ApiError.of(response)
    if as_text:
        return response.text
    if response.status_code == 204 or not response.content:
        return None
    try:
        return response.json()
    except ValueError as error:
        raise ApiError.protocol(response) from error


class Transport:
    """Blocking calls."""

    def __init__(self, settings: Settings, client: Optional[httpx.Client] = None) -> None:
        self.settings = settings
        self._own = client is None
        self._client = client or httpx.Client(timeout=settings.timeout)

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Optional[Mapping[str, Any]] = None,
        body: Any = None,
        content: Optional[Content] = None,
        content_type: Optional[str] = None,
        as_text: bool = False,
    ) -> Any:
        parts = _request(query, body, content, content_type)
        headers = {**self.settings.headers(), **parts.pop("headers", {})}
        try:
            response = self._client.request(method, self.settings.base_url + path, headers=headers, **parts)
        # Also an answer that cannot be unpacked, or that sends elsewhere without end.
        except httpx.RequestError as error:
            raise Unreachable(self.settings.base_url, error) from error
        return _read(response, as_text)

    @property
    def is_closed(self) -> bool:
        return self._client.is_closed

    @property
    def patience(self) -> Optional[float]:
        """Seconds that an answer may take; without an end where absent."""
        return self._client.timeout.read

    def lines(self, path: str, query: Mapping[str, Any]) -> Iterator[str]:
        """The lines of an answer that does not end by itself."""
        headers, params = self.settings.headers(), _request(query, None, None, None).get("params")
        timeout = httpx.Timeout(self.settings.timeout, read=SILENCE)
        try:
            with self._client.stream(
                "GET", self.settings.base_url + path, params=params, headers=headers, timeout=timeout
            ) as response:
                if not response.is_success:
                    response.read()
                    raise ApiError.of(response)
                yield from response.iter_lines()
        except httpx.RequestError as error:
            raise Unreachable(self.settings.base_url, error) from error

    def close(self) -> None:
        if self._own:
            self._client.close()


class AsyncTransport:
    """Calls to be awaited."""

    def __init__(self, settings: Settings, client: Optional[httpx.AsyncClient] = None) -> None:
        self.settings = settings
        self._own = client is None
        self._client = client or httpx.AsyncClient(timeout=settings.timeout)

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Optional[Mapping[str, Any]] = None,
        body: Any = None,
        content: Optional[Content] = None,
        content_type: Optional[str] = None,
        as_text: bool = False,
    ) -> Any:
        parts = _request(query, body, content, content_type)
        headers = {**self.settings.headers(), **parts.pop("headers", {})}
        try:
            response = await self._client.request(method, self.settings.base_url + path, headers=headers, **parts)
        # Also an answer that cannot be unpacked, or that sends elsewhere without end.
        except httpx.RequestError as error:
            raise Unreachable(self.settings.base_url, error) from error
        return _read(response, as_text)

    @property
    def patience(self) -> Optional[float]:
        """Seconds that an answer may take; without an end where absent."""
        return self._client.timeout.read

    async def lines(self, path: str, query: Mapping[str, Any]) -> AsyncIterator[str]:
        """The lines of an answer that does not end by itself."""
        headers, params = self.settings.headers(), _request(query, None, None, None).get("params")
        timeout = httpx.Timeout(self.settings.timeout, read=SILENCE)
        try:
            async with self._client.stream(
                "GET", self.settings.base_url + path, params=params, headers=headers, timeout=timeout
            ) as response:
                if not response.is_success:
                    await response.aread()
                    raise ApiError.of(response)
                async for line in response.aiter_lines():
                    yield line
        except httpx.RequestError as error:
            raise Unreachable(self.settings.base_url, error) from error

    async def close(self) -> None:
        if self._own:
            await self._client.aclose()
