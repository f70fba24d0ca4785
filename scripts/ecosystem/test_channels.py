"""Scorecards to Slack and alerts to PagerDuty, as a receiver of their messages sees them."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Iterator, List, Tuple

import pytest

from conftest import Project

Receiver = Tuple[str, List[Any]]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An address, and the JSON that was posted to it."""
    received: List[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(202 if self.path.endswith("enqueue") else 200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()


def test_slack_gets_the_scorecard(project: Project, receiver: Receiver) -> None:
    url, received = receiver
    project.run("eval")
    said = project.run("gate", "--comment", "slack", SLACK_WEBHOOK_URL=f"{url}/services/T/B/secret")
    assert "sent the scorecard to Slack" in said.stderr
    [message] = received
    assert message["text"].startswith(":white_check_mark:")
    kinds = [block["type"] for block in message["blocks"]]
    assert kinds[0] == "header" and kinds[-1] == "context"
    fields = [field["text"] for block in message["blocks"] for field in block.get("fields", [])]
    assert any("factual_accuracy" in field and "[" in field for field in fields), fields

    # The verdict stands without Slack, and its address is nowhere.
    said = project.run("gate", "--comment", "slack", SLACK_WEBHOOK_URL="http://127.0.0.1:9/services/T/B/secret")
    assert "could not be sent" in said.stderr and "secret" not in said.stderr
    assert "SLACK_WEBHOOK_URL is not set" in project.run("gate", "--comment", "slack").stderr


def test_pagerduty_gets_events(project: Project, receiver: Receiver) -> None:
    url, received = receiver
    config = project.folder / "llmops.yaml"
    config.write_text(
        config.read_text()
        + f"\noutbound: {{allow: [127.0.0.1]}}\nchannels:\n  duty: {{kind: pagerduty, routing_key: \"${{KEY}}\", url: \"{url}/v2/enqueue\"}}\n"
    )
    project.run("alert", "test", KEY="routing-key-of-the-test")
    [event] = received
    assert event["routing_key"] == "routing-key-of-the-test"
    assert event["event_action"] == "trigger" and event["dedup_key"].startswith("llmops/")
    assert event["payload"]["severity"] in ("critical", "error", "warning", "info")
    assert event["payload"]["summary"].startswith("Test: ") and event["payload"]["source"]
    shown = project.run("alert", "channels", code=None, KEY="routing-key-of-the-test")
    assert "routing-key-of-the-test" not in shown.stdout + shown.stderr
