"""`llmops mcp` with the official Python SDK's client, on standard input and output and over HTTP."""

from __future__ import annotations

import asyncio
import json
import subprocess
from contextlib import asynccontextmanager
from typing import Any, AsyncIterator, Dict

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from conftest import ADMIN_KEY, Project, address, binary, serve

READERS = {
    "list_prompts", "get_prompt", "list_prompt_versions", "render_prompt", "compare_prompts", "list_datasets", "list_runs",
    "get_run", "list_run_results", "compare_runs", "gate_run", "list_deployments", "deployment_history", "list_records",
    "get_record", "list_alerts", "experiment_results",
}


@asynccontextmanager
async def session(project: Project, *arguments: str, **env: str) -> AsyncIterator[ClientSession]:
    server = StdioServerParameters(
        command=binary(), args=["mcp", *arguments], env={**project.env, **env}, cwd=str(project.folder)
    )
    async with stdio_client(server) as (read, write), ClientSession(read, write) as found:
        await found.initialize()
        yield found


def value(result: Any) -> Dict[str, Any]:
    failed = getattr(result, "is_error", getattr(result, "isError", None))
    assert not failed, result.content[0].text
    return json.loads(result.content[0].text)


def failed(result: Any) -> bool:
    return bool(getattr(result, "is_error", getattr(result, "isError", None)))


async def tools(client: ClientSession) -> Dict[str, Any]:
    return {tool.name: tool for tool in (await client.list_tools()).tools}


def test_an_assistant_evaluates_gates_and_rolls_back(project: Project) -> None:
    project.run("eval")
    project.run("deploy", "support-bot", "--prompt", "support-bot@1.0.0", "--model", "sim/support-small")
    project.run("baseline", "promote", "latest")
    (project.folder / "prompts/support-bot.yaml").write_text((project.folder / "prompts-next/support-bot.yaml").read_text())

    async def story() -> None:
        async with session(project) as client:
            known = await tools(client)
            assert set(known) == READERS | {"evaluate", "rollback"}
            hints = known["rollback"].annotations
            assert hints is not None and known["get_run"].annotations is not None
            prompts = value(await client.call_tool("list_prompts", {}))["items"]
            assert "support-bot" in [prompt["name"] for prompt in prompts]
            started = value(await client.call_tool("evaluate", {}))
            ended = value(await client.call_tool("get_run", {"run": started["id"], "wait_ms": 30000}))
            assert ended["status"] == "completed"
            verdict = value(await client.call_tool("gate_run", {"run": started["id"]}))
            assert verdict["verdict"] == "fail"
            worst = value(await client.call_tool("list_run_results", {"run": started["id"], "limit": 3}))
            assert len(worst["items"]) == 3
            compared = value(await client.call_tool("compare_runs", {"run": "baseline", "other": started["id"]}))
            assert compared["summary"]
            rendered = value(
                await client.call_tool("render_prompt", {"name": "support-bot", "version": "1.0.0", "variables": {"input": "Hi"}})
            )
            assert rendered["messages"]

    asyncio.run(story())

    # A second manifest, and back again.
    project.run("deploy", "support-bot", "--prompt", "support-bot@1.0.0", "--model", "sim/other")

    async def back() -> None:
        async with session(project) as client:
            before = value(await client.call_tool("list_deployments", {}))["items"][0]
            value(await client.call_tool("rollback", {"name": "support-bot", "reason": "the assistant saw bad answers"}))
            after = value(await client.call_tool("list_deployments", {}))["items"][0]
            assert before["manifest"] != after["manifest"]
            history = value(await client.call_tool("deployment_history", {"name": "support-bot"}))["items"]
            assert history[0]["reason"] == "the assistant saw bad answers"

    asyncio.run(back())


def test_what_goes_wrong_is_told(project: Project) -> None:
    async def story() -> None:
        async with session(project) as client:
            missing = await client.call_tool("get_run", {"run": "run_none"})
            assert failed(missing) and "run_none" in missing.content[0].text
            for name, arguments in (("no_such_tool", {}), ("get_run", {}), ("get_run", {"run": "latest", "odd": 1})):
                with pytest.raises(Exception) as raised:
                    result = await client.call_tool(name, arguments)
                    assert failed(result), result
                    raise RuntimeError(result.content[0].text)
                assert "get_run" in str(raised.value) or "run" in str(raised.value)
            await client.send_ping()

    asyncio.run(story())


def test_the_keys_role_decides(project: Project) -> None:
    process, url = serve(project)
    try:
        admin = {"LLMOPS_SERVER": url, "LLMOPS_API_KEY": ADMIN_KEY}
        viewer = project.json("key", "create", "reader", "--role", "viewer", **admin)["secret"]

        async def story() -> None:
            async with session(project, **admin) as client:
                assert "rollback" in await tools(client)
            async with session(project, "--role", "viewer", **admin) as client:
                assert set(await tools(client)) == READERS
            async with session(project, LLMOPS_SERVER=url, LLMOPS_API_KEY=viewer) as client:
                assert set(await tools(client)) == READERS
                with pytest.raises(Exception):
                    result = await client.call_tool("rollback", {"name": "support-bot"})
                    assert failed(result)
                    raise RuntimeError("refused")

        asyncio.run(story())
        over_http(project, url, admin["LLMOPS_API_KEY"], viewer)
    finally:
        process.terminate()
        process.wait(timeout=30)


def over_http(project: Project, server: str, admin: str, viewer: str) -> None:
    import httpx
    from mcp.client.streamable_http import streamable_http_client

    log = project.folder / "mcp-log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [binary(), "--server", server, "mcp", "--listen", "127.0.0.1:0"], cwd=project.folder, stderr=stderr, text=True,
            env=project.env,
        )
    try:
        url = address(process, log, r"http://127\.0\.0\.1:\d+/mcp")

        async def names(key: str) -> set:
            async with httpx.AsyncClient(headers={"authorization": f"Bearer {key}"}) as http:
                async with streamable_http_client(url, http_client=http) as streams:
                    async with ClientSession(streams[0], streams[1]) as client:
                        await client.initialize()
                        await client.send_ping()
                        return set(await tools(client))

        assert "rollback" in asyncio.run(names(admin))
        assert asyncio.run(names(viewer)) == READERS
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        assert httpx.post(url, json=ping).status_code == 401
        assert httpx.post(url, json=ping, headers={"authorization": "Bearer llmops_wrong"}).status_code == 401
        foreign = {"authorization": f"Bearer {admin}", "origin": "https://evil.example"}
        assert httpx.post(url, json=ping, headers=foreign).status_code == 403
    finally:
        process.terminate()
        process.wait(timeout=30)
