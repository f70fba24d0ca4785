#!/usr/bin/env python3
"""A model provider that fails in every way, and keeps a log of what it was asked.

It speaks OpenAI's format: chats, whole and streamed, with tools and JSON schemas, and embeddings. A request whose last
message is `call N` may meet a fault, drawn by N and by how often N was asked before; all others are answered. Each request
is one line of the log: {"call", "asked", "fault"}.

usage: upstream.py PORT LOG [--faults SHARE]
"""

import argparse
import asyncio
import json
import random
import re

FAULTS = ("429", "500", "hang", "reset before", "reset during", "garbage", "slow drip")
PIECES = 5


def answer_text(text: str) -> str:
    return f"The answer to {text} is yes."


class Upstream:
    def __init__(self, args: argparse.Namespace):
        self.share, self.asked = args.faults, {}
        self.log = open(args.log, "a", encoding="utf-8", buffering=1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await self.read(reader):
                if not await self.answer(*request, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def read(self, reader: asyncio.StreamReader):
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode()
        length = re.search(rb"content-length: *(\d+)", head, re.I)
        body = await reader.readexactly(int(length.group(1))) if length else b"{}"
        return path, json.loads(body)

    def draw(self, call: int) -> tuple[int, str | None]:
        asked = self.asked[call] = self.asked.get(call, 0) + 1
        rng = random.Random(f"{call}/{asked}")
        return asked, rng.choice(FAULTS) if rng.random() < self.share else None

    async def answer(self, path: str, body: dict, writer: asyncio.StreamWriter) -> bool:
        """Answers, or fails; whether the connection goes on."""
        if path.endswith("/embeddings"):
            texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
            data = [{"object": "embedding", "index": i, "embedding": [0.5, -0.25]} for i in range(len(texts))]
            usage = {"prompt_tokens": 2, "total_tokens": 2}
            await self.send(writer, 200, {"object": "list", "model": body["model"], "data": data, "usage": usage})
            return True
        content = body["messages"][-1].get("content") or ""
        text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
        numbered = re.fullmatch(r"call (\d+)", text)
        fault = None
        if numbered:
            asked, fault = self.draw(int(numbered.group(1)))
            self.log.write(json.dumps({"call": int(numbered.group(1)), "asked": asked, "fault": fault}) + "\n")
        if fault in ("429", "500"):
            headers = "retry-after: 0\r\n" if fault == "429" else ""
            await self.send(writer, int(fault), {"error": {"message": f"simulated {fault}", "type": "simulated"}}, headers)
            return True
        if fault == "hang":
            await asyncio.sleep(30)
            return False
        if fault == "reset before":
            writer.transport.abort()
            return False
        if fault == "garbage":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n\x00\xff<garb>")
            await writer.drain()
            return False
        if body.get("stream"):
            return await self.stream(writer, body, text, fault)
        whole = json.dumps(self.completion(body, text)).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(whole)}\r\n\r\n".encode()
        if fault == "reset during":
            writer.write(head + whole[: len(whole) // 2])
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.transport.abort()
            return False
        pieces = 4 if fault == "slow drip" else 1
        writer.write(head)
        for i in range(pieces):
            writer.write(whole[len(whole) * i // pieces : len(whole) * (i + 1) // pieces])
            await writer.drain()
            if pieces > 1:
                await asyncio.sleep(0.03)
        return True

    async def send(self, writer, status: int, body: dict, headers: str = "") -> None:
        text = json.dumps(body).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}content-length: {len(text)}\r\n\r\n"
        writer.write(head.encode() + text)
        await writer.drain()

    def message(self, body: dict, text: str) -> tuple[dict, str]:
        """What the model says, and why it stops: a tool is called where one is offered and none has answered."""
        tools = body.get("tools") or []
        if tools and body["messages"][-1]["role"] != "tool":
            function = {"name": tools[0]["function"]["name"], "arguments": '{"city": "Berlin"}'}
            return {"content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": function}]}, "tool_calls"
        if (body.get("response_format") or {}).get("type") == "json_schema":
            return {"content": '{"city": "Berlin", "degrees": 21}'}, "stop"
        return {"content": answer_text(text)}, "stop"

    def completion(self, body: dict, text: str) -> dict:
        message, reason = self.message(body, text)
        choice = {"index": 0, "message": {"role": "assistant", "refusal": None, **message}, "finish_reason": reason}
        usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
        return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1764000000, "model": body["model"],
                "choices": [{**choice, "logprobs": None}], "usage": usage}

    async def stream(self, writer, body: dict, text: str, fault: str | None) -> bool:
        message, reason = self.message(body, text)
        deltas = [{"role": "assistant", "content": ""}]
        if calls := message.get("tool_calls"):
            function = calls[0]["function"]
            deltas.append({"tool_calls": [{"index": 0, **calls[0], "function": {"name": function["name"], "arguments": ""}}]})
            deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in ('{"city": ', '"Berlin"}')]
        else:
            said = message["content"]
            size = -(-len(said) // PIECES)
            deltas += [{"content": said[i : i + size]} for i in range(0, len(said), size)]
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for i, delta in enumerate(deltas):
            if fault == "reset during" and i == 3:
                await asyncio.sleep(0.02)
                writer.transport.abort()
                return False
            await self.event(writer, body, [{"index": 0, "delta": delta, "finish_reason": None}])
            if fault == "slow drip":
                await asyncio.sleep(0.03)
        await self.event(writer, body, [{"index": 0, "delta": {}, "finish_reason": reason}])
        if (body.get("stream_options") or {}).get("include_usage"):
            usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
            await self.event(writer, body, [], usage=usage)
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        await writer.drain()
        return True

    async def event(self, writer, body: dict, choices: list, **more) -> None:
        chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1764000000, "model": body["model"]}
        data = f"data: {json.dumps({**chunk, 'choices': choices, **more})}\n\n".encode()
        writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await writer.drain()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("log")
    parser.add_argument("--faults", type=float, default=0.0)
    args = parser.parse_args()
    server = await asyncio.start_server(Upstream(args).serve, "127.0.0.1", args.port, backlog=1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
