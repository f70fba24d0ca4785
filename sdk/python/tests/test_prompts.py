"""Prompts: rendering as the server does it, and a cache that goes on answering."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from conftest import KEY, Server
from llmops import ApiError, AsyncClient, Client, RenderError, Unreachable
from llmops.prompts import Prompt, PromptCache, fallback_prompt

PROMPTS = {
    "text": {"content": "Answer in {{ language }}: {{input}}", "variables": [{"name": "language", "type": "string", "default": "French"}]},
    "system": {"system": "You are {{ role }}.", "variables": [{"name": "role", "type": "string", "required": True}]},
    "chat": {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "{{ question }} {{ n }}"}],
        "variables": [{"name": "question", "type": "string", "required": True}, {"name": "n", "type": "int", "default": 3}],
    },
    "examples": {"system": "Sum.", "examples": [{"input": "1+1", "output": "2"}]},
    "loops": {
        "content": "{% for item in items %}- {{ item | upper }}\n{% endfor %}",
        "variables": [{"name": "items", "type": "array", "required": True}],
    },
}
VALUES = {
    "text": {"input": "Where is it?"},
    "system": {"role": "a cook", "input": "Soup?"},
    "chat": {"question": "Why?"},
    "examples": {"input": "2+2"},
    "loops": {"items": ["a", "b"]},
}


@pytest.mark.parametrize("name", PROMPTS)
def test_rendering_here_equals_the_servers(client: Client, name: str) -> None:
    client.api.push_prompt({"prompt": {"name": f"r-{name}", "version": "1.0.0", "model": "sim/m", **PROMPTS[name]}})
    prompt = client.prompt(f"r-{name}")
    assert prompt.render(**VALUES[name]) == client.render(f"r-{name}", VALUES[name])


def test_rendering_says_what_is_missing() -> None:
    prompt = fallback_prompt("p", {"content": "{{ a }}{{ b }}", "variables": [{"name": "a", "required": True}]})
    with pytest.raises(RenderError, match="missing for: a"):
        prompt.render(b="x")
    with pytest.raises(RenderError, match="`b`"):
        prompt.render(a="x")
    with pytest.raises(RenderError, match="nothing to send"):
        fallback_prompt("p", []).render()


def test_values_are_never_templates() -> None:
    assert fallback_prompt("p", "{{ a }}").render(a="{{ b }}") == [{"role": "user", "content": "{{ b }}"}]


def test_a_cache_keeps_time() -> None:
    now = [0.0]
    cache = PromptCache(ttl=10, clock=lambda: now[0])
    cache.put(("p", "active"), {"name": "p"})  # type: ignore[typeddict-item]
    cache.put(("p", "1.0.0"), {"name": "p"})  # type: ignore[typeddict-item]

    def origin(version: str) -> str:
        found = cache.get(("p", version))
        assert isinstance(found, Prompt)
        return found.origin

    assert origin("active") == "cache"
    now[0] = 10.0
    assert origin("active") == "stale"
    assert origin("1.0.0") == "cache", "a pinned version never changes"
    assert cache.get(("q", "active")) is None


def test_stale_prompts_are_answered_and_fetched_anew(client: Client) -> None:
    client.api.push_prompt({"prompt": {"name": "stale", "version": "1.0.0", "model": "sim/m", "content": "one"}})
    client.prompts.ttl = 0.0
    assert client.prompt("stale").origin == "server"
    client.api.push_prompt({"prompt": {"name": "stale", "version": "1.1.0", "model": "sim/m", "content": "two"}, "activate": True})
    first = client.prompt("stale")
    assert (first.origin, first.version["version"]) == ("stale", "1.0.0")
    deadline = time.monotonic() + 10
    while client.prompt("stale").version["version"] != "1.1.0":
        assert time.monotonic() < deadline, "the stale version was not fetched anew"
        time.sleep(0.02)


def test_an_answer_of_the_server_is_no_reason_to_fall_back(client: Client) -> None:
    with pytest.raises(ApiError):
        client.prompt("there-is-none", fallback="text")


def test_without_a_server_what_is_at_hand_answers(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.start()
    cache = tmp_path / "cache"
    with Client(server.url, KEY, prompt_ttl=0.0, cache_dir=cache, timeout=5) as client:
        client.api.push_prompt({"prompt": {"name": "kept", "version": "1.0.0", "model": "sim/m", "content": "kept"}})
        assert client.prompt("kept").origin == "server"
        server.stop()
        assert client.prompt("kept").origin == "stale"
    with Client(server.url, KEY, cache_dir=cache, timeout=5) as client:
        found = client.prompt("kept", fallback="not needed")
        assert (found.origin, found.render()) == ("disk", [{"role": "user", "content": "kept"}])
        found = client.prompt("other", fallback="Answer: {{ input }}")
        assert (found.origin, found.render(input="x")) == ("fallback", [{"role": "user", "content": "Answer: x"}])
        with pytest.raises(Unreachable):
            client.prompt("other")

    async def asynchronously() -> None:
        async with AsyncClient(server.url, KEY, cache_dir=cache, timeout=5) as client:
            assert (await client.prompt("kept")).origin == "disk"
            assert (await client.prompt("other", fallback=[{"role": "user", "content": "hi"}])).origin == "fallback"
            with pytest.raises(Unreachable):
                await client.prompt("other")

    asyncio.run(asynchronously())
