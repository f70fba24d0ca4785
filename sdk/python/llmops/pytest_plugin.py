"""Fixtures for pytest. They are there as soon as the package is installed.

    def test_quality(llmops_gate):
        llmops_gate()                                # llmops.yaml in the root folder of the tests

    def test_no_regression_on_refusals(llmops_gate):
        llmops_gate("refusals", project="bots/support", inconclusive="skip")
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Optional, Union

import pytest

from .client import Client
from .testing import assert_gate


@pytest.fixture
def llmops_gate(request: pytest.FixtureRequest) -> Callable[..., Dict[str, Any]]:
    """Evaluates and gates a suite; a project's folder is relative to the root folder of the tests."""

    def gate(suite: Optional[str] = None, *, project: Union[str, Path] = ".", **options: Any) -> Dict[str, Any]:
        found = assert_gate(suite, project=Path(request.config.rootpath) / project, **options)
        request.node.user_properties.append(("llmops_overall", found.get("overall")))
        return found

    return gate


@pytest.fixture(scope="session")
def llmops_client() -> Iterator[Client]:
    """A client of the server that LLMOPS_SERVER and LLMOPS_API_KEY name."""
    with Client() as client:
        yield client
