"""What carries calls to the server, blocking and asynchronous."""

from __future__ import annotations

import json
import os
from typing import Any, AsyncIterable, Dict, Iterable, Mapping, Optional, Union

import httpx

from .errors import ApiError, Unreachable

#: A body that is no JSON: text, bytes, or parts of them.
Content = Union[str, bytes, Iterable[bytes], AsyncIterable[bytes]]

DEFAULT_URL = "http://127.0.0.1:8080"
VERSION = "0.1.0"


class Settings:
    """Where the server is, and with which key it is asked."""

    def __init__(self, base_url: Optional[str], api_key: Optional[str], timeout: float) -> None:
        self.base_url = (base_url or os.environ.get("LLMOPS_SERVER") or DEFAULT_URL).rstrip("/")
        self.api_key = api_key or os.environ.get("LLMOPS_API_KEY") or None
        self.timeout = timeout

    def headers(self) -> Dict[str, str]:
        headers = {"user-agent": f"llmops-python/{VERSION}"}
        if self.api_key:
            headers["authorization"] = f"Bearer {self.api_key}"
        return headers


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
        except httpx.TransportError as error:
            raise Unreachable(self.settings.base_url, error) from error
        return _read(response, as_text)

    @property
    def is_closed(self) -> bool:
        return self._client.is_closed

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
        except httpx.TransportError as error:
            raise Unreachable(self.settings.base_url, error) from error
        return _read(response, as_text)

    async def close(self) -> None:
        if self._own:
            await self._client.aclose()
