"""What can go wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Optional

if TYPE_CHECKING:
    import httpx


class LlmopsError(Exception):
    """Anything that this package raises."""


class Unreachable(LlmopsError):
    """The server did not answer."""

    def __init__(self, url: str, cause: Exception) -> None:
        super().__init__(f"cannot reach the llmops server at {url}: {cause}")
        self.url = url


class ApiError(LlmopsError):
    """The server answered with an error."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        hint: Optional[str] = None,
        problems: Optional[List[Dict[str, Any]]] = None,
    ) -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        #: The status of HTTP.
        self.status = status
        #: A stable code, such as `not_found`.
        self.code = code
        self.message = message
        #: What to do about it.
        self.hint = hint
        #: Single mistakes, with their places.
        self.problems = problems or []

    @classmethod
    def of(cls, response: "httpx.Response") -> "ApiError":
        try:
            error = response.json()["error"]
            return cls(response.status_code, error["code"], error["message"], error.get("hint"), error.get("problems"))
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls.protocol(response)

    @classmethod
    def protocol(cls, response: "httpx.Response") -> "ApiError":
        said = f"{response.status_code} {response.text[:200]}"
        return cls(response.status_code, "protocol", f"the answer to {response.request.url.path} is not llmops's: {said}")

    @property
    def is_temporary(self) -> bool:
        """Whether the same call may go through later."""
        return self.status in (408, 429) or self.status >= 500

    @property
    def is_foreign(self) -> bool:
        """Whether the answer is not llmops's, but that of something in between, such as a proxy's page."""
        return self.code == "protocol"


class RenderError(LlmopsError):
    """A prompt could not be rendered here."""


class GateFailed(LlmopsError, AssertionError):
    """A gate did not pass. pytest shows it as the failed assertion that it is."""

    def __init__(self, verdict: str, report: str) -> None:
        super().__init__(f"the gate's verdict is {verdict}\n{report}")
        self.verdict = verdict
