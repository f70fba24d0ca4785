"""The blocking and the asynchronous client against a real server."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from conftest import KEY, Server
from llmops import ApiError, AsyncClient, Client, Unreachable

SAMPLES = [
    {"id": "1", "input": "What does delivery cost?", "expected_output": ["Delivery costs 4.90."]},
    {"id": "2", "input": "When do you open?", "expected_output": ["We open at nine."]},
]
RUN = {
    "target": {"name": "helper", "prompt": "helper@1.0.0"},
    "dataset": "questions",
    "scoring": {"metrics": {"token_f1": {"kind": "token_f1", "weight": 1}}},
}


@pytest.fixture(scope="module")
def seeded(server: Server) -> None:
    with Client(server.url, KEY) as client:
        prompt = {"name": "helper", "version": "1.0.0", "model": "sim/small", "content": "{{ input }}"}
        client.api.push_prompt({"prompt": prompt})
        imported = client.push_samples("questions", SAMPLES)
        assert imported["version"]["sample_count"] == 2


def test_a_run_is_made_waited_for_and_gated(client: Client, seeded: None) -> None:
    run = client.api.create_run(RUN)
    ended = client.wait(run["id"], timeout=60)
    assert ended["status"] == "completed"
    results = ended.get("results")
    assert results and results["total_samples"] == 2
    report = client.gate(run["id"], config={"overall_min": 0.0, "category_min": 0.0})
    assert report["verdict"] == "pass"
    report = client.gate(run["id"], config={"overall_min": 1.0})
    assert report["verdict"] in ("fail", "pass")
    assert {check["name"] for check in report["checks"]} >= {"overall_min", "error_rate"}


def test_samples_come_page_by_page(client: Client, seeded: None) -> None:
    many = [{"id": f"s{n:03}", "input": f"Question number {n}?"} for n in range(130)]
    client.push_samples("many", many)
    assert [sample["id"] for sample in client.samples("many")] == [sample["id"] for sample in many]
    assert client.api.export_dataset("many", "latest").count("\n") == 130


def test_errors_say_what_is_wrong(client: Client, server: Server) -> None:
    with pytest.raises(ApiError) as raised:
        client.api.get_prompt("no-such-prompt")
    assert raised.value.status == 404
    assert raised.value.code
    assert not raised.value.is_temporary
    with Client(server.url, "llmops_wrong-key") as stranger, pytest.raises(ApiError) as raised:
        stranger.api.list_prompts()
    assert raised.value.status == 401
    with Client("http://127.0.0.1:9", timeout=2) as nowhere, pytest.raises(Unreachable):
        nowhere.api.list_prompts()


def test_deployments_and_live_traffic(client: Client, seeded: None) -> None:
    client.api.deploy("helper", {"prompt": "helper@1.0.0", "model": "sim/small"})
    assert client.deployment("helper")["name"] == "helper"
    asked = {"model": "helper", "messages": [{"role": "user", "content": "Hello?"}]}
    deadline = time.monotonic() + 10
    while True:
        # Gateways hear of a change within a second.
        headers = {"authorization": f"Bearer {KEY}"}
        answer = httpx.post(f"{client.openai_base_url}/chat/completions", json=asked, headers=headers)
        if answer.status_code != 404:
            break
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)
    assert answer.json()["choices"][0]["message"]["content"], answer.text
    # Feedback finds its answer by the header.
    request_id = answer.headers["x-llmops-request-id"]
    client.feedback(request_id, thumb="down", rating=(2, 5), correction="We are open.", idempotency_key="click-1")
    client.feedback(request_id, thumb="down", rating=(2, 5), correction="We are open.", idempotency_key="click-1")
    kept = client._transport.call("GET", "/api/v1/feedback", query={"request_id": request_id})["items"]
    assert [item["correction"] for item in kept] == ["We are open."]
    assert client.openai_base_url.endswith("/v1")


def test_experiments_assign_and_record(client: Client) -> None:
    spec = {
        "key": "greeting",
        "name": "Greeting",
        "variants": [{"id": "plain", "name": "plain", "is_control": True}, {"id": "warm", "name": "warm"}],
        "metrics": [{"name": "solved", "kind": "binary"}],
        "target_metric": "solved",
    }
    try:
        client.api.create_experiment(spec)  # type: ignore[arg-type]
    except ApiError as error:
        pytest.fail(f"{error} {error.problems}")
    client.api.start_experiment("greeting")
    first = client.assign("greeting", "user-7")
    assert first["included"] and first["variant"]["id"] in ("plain", "warm")
    assert client.assign("greeting", "user-7")["variant"] == first["variant"]
    recorded = client.observe("greeting", unit="user-7", variant=first["variant"]["id"], metric="solved", value=1)
    assert recorded["accepted"] == 1
    again = client.observe(
        "greeting", unit="user-7", variant=first["variant"]["id"], metric="solved", value=1, idempotency_key="k"
    )
    assert again["accepted"] + again["duplicates"] == 1
    assert client.flag("greeting", "user-7", default="?") is not None
    assert client.flag("no-such-flag", "user-7", default="fallback") == "fallback"


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize(
    "url", ["127.0.0.1:8080", "localhost", "ftp://localhost", "http://", "//localhost", "http:localhost"]
)
def test_what_is_no_address_of_a_server_is_refused(client: type, url: str) -> None:
    with pytest.raises(ValueError, match=r"is no address of an llmops server: write http://HOST:PORT"):
        client(url)


def test_a_refused_address_keeps_its_password() -> None:
    with pytest.raises(ValueError) as refused:
        Client("ana:secret@example.org")
    assert "secret" not in str(refused.value)
    assert Client(" HTTPS://example.org/ ").openai_base_url == "HTTPS://example.org/v1"


def test_feedback_says_something(client: Client) -> None:
    with pytest.raises(ValueError):
        client.feedback("chatcmpl-1")


def test_the_asynchronous_client_does_the_same(server: Server, seeded: None) -> None:
    async def story() -> None:
        async with AsyncClient(server.url, KEY) as client:
            prompt, page = await asyncio.gather(client.prompt("helper"), client.api.list_prompts())
            assert prompt.name == "helper"
            assert any(found["name"] == "helper" for found in page["items"])
            assert await client.render("helper", {"input": "Hi"}) == prompt.render(input="Hi")
            run = await client.api.create_run(RUN)
            assert (await client.wait(run["id"], 60))["status"] == "completed"
            assert (await client.gate(run["id"], config={"overall_min": 0.0, "category_min": 0.0}))["verdict"] == "pass"
            await client.push_samples("async", SAMPLES)
            assert [sample["id"] async for sample in client.samples("async")] == ["1", "2"]
            assert await client.flag("no-such-flag", "user", default=3) == 3
            with pytest.raises(ApiError):
                await client.deployment("nothing")

    asyncio.run(story())


def test_flags_never_raise() -> None:
    def odd(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=["no", "object"])

    client = Client("http://flags.test", KEY, http=httpx.Client(transport=httpx.MockTransport(odd)))
    assert client.flag("f", "u", default="d") == "d"
    assert client.flag("f", "u", default="d", attributes={"n": float("nan"), "at": object()}) == "d"
    assert Client("http://127.0.0.1:9", "schlüssel").flag("f", "u", default=1) == 1
    with Client("http://127.0.0.1:9", KEY) as closed:
        pass
    assert closed.flag("f", "u", default=None) is None


def test_observations_name_a_unit_or_a_variant(client: Client) -> None:
    with pytest.raises(ValueError):
        client.observe("greeting", metric="solved", value=1)
    # Whoever was assigned is known: the variant need not be said.
    client.assign("greeting", "user-8")
    assert client.observe("greeting", unit="user-8", metric="solved", value=1)["accepted"] == 1


def test_an_impatient_client_waits_in_short_looks(server: Server) -> None:
    looks: list[int] = []

    def running(request: httpx.Request) -> httpx.Response:
        looks.append(int(request.url.params["wait_ms"]))
        status = "completed" if len(looks) > 1 else "running"
        return httpx.Response(200, json={"id": "r", "status": status})

    http = httpx.Client(transport=httpx.MockTransport(running), timeout=5)
    assert Client("http://runs.test", KEY, http=http).wait("r", timeout=60)["status"] == "completed"
    assert looks == [2500, 2500]


def test_events_come_as_they_happen(server: Server, client: Client) -> None:
    client.api.create_alert({"type": "anomaly", "message": "Look here", "severity": "info", "source": "test"})  # type: ignore[arg-type]
    found = next(event for event in client.events(types="alert", after=0))
    assert found["type"].startswith("alert")

    async def asynchronously() -> str:
        async with AsyncClient(server.url, KEY) as other:
            async for event in other.events(types="alert", after=0):
                return event["type"]
        raise AssertionError

    assert asyncio.run(asynchronously()) == found["type"]
