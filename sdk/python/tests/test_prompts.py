"""Prompts: rendering as the server does it, and a cache that goes on answering."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx
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
    variables = [{"name": "a", "required": True}, {"name": "b"}]
    prompt = fallback_prompt("p", {"content": "{{ a }}{{ b }}", "variables": variables})
    with pytest.raises(RenderError, match="a: it is required"):
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


#: Templates, a variable's declaration, and values: what is rendered here is what the server renders, errors too.
CASES = [
    ("Valor: {{ v }}", {"type": "array"}, ["á", 1, 2.0, True, None]),
    ("{{ v }}", {"type": "object"}, {"a": "é", "b": [1e-7, 1e-5, 1e20, 0.1]}),
    ("a {{- v -}} b", {"type": "bool"}, True),
    ("{% if v %}x{% endif %}{{ v }}", {"type": "bool"}, True),
    ("{{ v | tojson }}", {"type": "string"}, "olá <b>"),
    ("{{ v | join(', ') }}", {"type": "array"}, ["á", 1, True, None, ["x"]]),
    ("{{ v | round(1) }}", {"type": "array"}, [1]),
    ("{% for x in v %}{{ loop.index }}={{ x }};{% endfor %}", {"type": "array"}, [1.5, False, {"k": "ü"}]),
    ("{{ v }}", {"type": "int"}, 7.0),
    ("{{ v }}", {"type": "int"}, "12"),
    ("{{ v }}", {"type": "int"}, "abc"),
    ("{{ v }}", {"type": "int"}, True),
    ("{{ v }}", {"type": "int"}, 2**64),
    ("{{ v }}", {"type": "float"}, "3.25"),
    *(("{{ v }} {{ [v] }}", {"type": "float"}, x) for x in (1e20, 1e16, 123456789012345680.0, 1e-7, -1e-5, 0.1, 7.0, -0.0)),
    ("{{ v }}", {"type": "bool"}, "yes"),
    ("{{ v }}", {"type": "array"}, "[1, 2]"),
    ("{{ v }}", {"type": "object"}, []),
    ("{{ v }}", {"type": "string"}, 5),
    ("{{ v }}", {"type": "string", "default": "d"}, None),
    ("{{ v }}", {"type": "string", "validation": "[a-z]+"}, "x1"),
    ("{{ v }}", {"type": "string", "validation": ".+"}, "two\nlines"),
    ("{{ v }}", {"type": "int", "validation": ["1", 2]}, "2"),
    ("{{ v }}", {"type": "int", "validation": [1]}, 1.0),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_values_are_checked_and_printed_as_the_server_does(client: Client, case: int) -> None:
    template, declaration, value = CASES[case]
    name = f"case-{case}"
    variables = [{"name": "v", **declaration}]
    client.api.push_prompt({"prompt": {"name": name, "version": "1.0.0", "content": template, "variables": variables}})  # type: ignore[typeddict-item]
    prompt = client.prompt(name)
    try:
        expected = client.render(name, {"v": value})
    except ApiError:
        with pytest.raises(RenderError):
            prompt.render(v=value)
        return
    assert prompt.render(v=value) == expected


def test_other_names_are_no_variables() -> None:
    prompt = Prompt({"name": "p", "version": "1.0.0", "content": "{{ v }}", "variables": [{"name": "v"}]}, "server")  # type: ignore[typeddict-item]
    with pytest.raises(RenderError, match="w: the prompt has no such variable"):
        prompt.render(v="x", w="y")
    undeclared = Prompt({"name": "p", "version": "1.0.0", "content": "{{ v }}"}, "server")  # type: ignore[typeddict-item]
    with pytest.raises(RenderError, match="does not declare"):
        undeclared.render(v="x")


def test_latest_is_no_pinned_version() -> None:
    now = [0.0]
    cache = PromptCache(ttl=10, clock=lambda: now[0])
    cache.put(("p", "latest"), {"name": "p"})  # type: ignore[typeddict-item]
    now[0] = 10.0
    found = cache.get(("p", "latest"))
    assert found is not None and found.origin == "stale"


def test_what_is_between_is_not_the_server(tmp_path: Path) -> None:
    asked: list[str] = []

    def page(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, text="<html>Sign in</html>")

    http = httpx.Client(transport=httpx.MockTransport(page))
    with Client("http://proxy.test", KEY, http=http, cache_dir=tmp_path) as client:
        for _ in range(3):
            assert client.prompt("p", fallback="Hi").origin == "fallback"
        assert len(asked) == 1, "a failure is remembered for some seconds"
        with pytest.raises(ApiError):
            client.prompt("q")


def test_copies_on_disk_belong_to_a_server_and_a_key(tmp_path: Path) -> None:
    def of(scope: str) -> PromptCache:
        return PromptCache(directory=tmp_path, scope=scope)

    of("a").put(("menü", "active"), {"name": "menü"})  # type: ignore[typeddict-item]
    assert of("a").on_disk(("menü", "active")) is not None
    assert of("a").on_disk(("menä", "active")) is None
    assert of("b").on_disk(("menü", "active")) is None
