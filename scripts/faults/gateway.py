#!/usr/bin/env python3
"""The gateway under load while things break.

faults: a provider that answers a third of its requests with 429, 500, silence, resets before and during an answer, garbage or
  a slow drip. Every client gets a right answer or a proper error, and every line of the provider's log is one attempt of
  exactly one record.
rollback: three replicas on PostgreSQL under load. A rollback fails no request, and the last one answered by the old
  manifest began less than a second after the command.
outage: PostgreSQL is stopped under load and comes back. No call fails, and no record is lost.

usage: gateway.py faults|rollback|outage [--requests N] [--rate N] [--seconds S] [--keep]
needs: LLMOPS_TEST_POSTGRES for rollback and outage; LLMOPS_TEST_POSTGRES_CTL, which takes `stop` and `start`, for outage
"""

import argparse
import asyncio
import collections
import contextlib
import json
import os
import re
import signal
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

from stand import KEY, binary, psql
from upstream import answer_text

HERE = os.path.dirname(os.path.abspath(__file__))
CONFIG = """\
version: 1
project: gateway-faults
providers:
  mock: {{kind: openai, base_url: "http://127.0.0.1:{port}/v1"}}
operations: {{enable_auto_evaluation: false}}
"""
SETTINGS = {"retries": 2, "timeout_first_byte": "700ms", "timeout_total": "20s", "bodies": "raw"}


class Place:
    """A provider, and servers before it, in a folder of its own."""

    def __init__(self, faults: float, database: str | None = None):
        self.folder, self.database = tempfile.mkdtemp(prefix="llmops-gateway-"), database
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.provider_log = os.path.join(self.folder, "provider.jsonl")
        with open(os.path.join(self.folder, "llmops.yaml"), "w", encoding="utf-8") as file:
            file.write(CONFIG.format(port=self.port))
        command = [sys.executable, os.path.join(HERE, "upstream.py"), str(self.port), self.provider_log]
        self.processes = [subprocess.Popen([*command, "--faults", str(faults)], stderr=self.log())]
        self.servers: list[subprocess.Popen] = []
        self.addresses: list[str] = []

    def log(self):
        return open(os.path.join(self.folder, "log"), "a", encoding="utf-8")

    def serve(self) -> str:
        """Starts a server and answers with its address."""
        command = [binary()] + (["--database", self.database] if self.database else [])
        env = {**os.environ, "LLMOPS_ADMIN_KEY": KEY, "LLMOPS_LOG": "warn", "NO_COLOR": "1"}
        process = subprocess.Popen(
            [*command, "serve", "--listen", "127.0.0.1:0"], cwd=self.folder, env=env, stderr=subprocess.PIPE, text=True
        )
        self.processes.append(process)
        self.servers.append(process)
        for line in process.stderr:
            if found := re.search(r"serves http://([0-9.:]+)", line):
                break
        else:
            sys.exit("a server did not start")
        # Nobody may block on what it says.
        subprocess.Popen(["cat"], stdin=process.stderr, stdout=self.log())
        self.addresses.append(found.group(1))
        return found.group(1)

    def ask(self, path: str, body=None, address: str | None = None):
        url = f"http://{address or self.addresses[0]}{path}"
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30) as answer:
            return json.load(answer)

    def records(self) -> list[dict]:
        """All records, newest first."""
        records, cursor = [], ""
        while True:
            page = self.ask(f"/api/v1/records?limit=500{cursor}")
            records += page["items"]
            if not page["next_cursor"]:
                return records
            cursor = f"&cursor={page['next_cursor']}"

    def close(self, keep: bool) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
        if keep:
            print(f"kept: {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


async def call(address: str, number: int, stream: bool, timeout: float = 60.0) -> tuple[int, dict, bytes, bool]:
    """(status, headers, body, whether it came whole) of one call on a connection of its own."""
    host, port = address.split(":")
    body = {"model": "bot", "messages": [{"role": "user", "content": f"call {number}"}], "stream": stream}
    text = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n"
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(f"{head}content-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n".encode() + text)
        raw = b""
        async with asyncio.timeout(timeout):
            with contextlib.suppress(ConnectionError):
                while piece := await reader.read(65536):
                    raw += piece
    finally:
        writer.close()
    head, _, rest = raw.partition(b"\r\n\r\n")
    lines = head.decode(errors="replace").split("\r\n")
    status = int(lines[0].split(" ")[1]) if " " in lines[0] else 0
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if headers.get("transfer-encoding") == "chunked":
        body, whole = unchunked(rest)
    else:
        body, whole = rest, len(rest) == int(headers.get("content-length", len(rest)))
    return status, headers, body, whole


def unchunked(raw: bytes) -> tuple[bytes, bool]:
    body = b""
    while raw:
        size, found, rest = raw.partition(b"\r\n")
        if not found:
            return body, False
        length = int(size, 16)
        if length == 0:
            return body, True
        if len(rest) < length + 2:
            return body + rest[:length], False
        body, raw = body + rest[:length], rest[length + 2 :]
    return body, False


def judge(number: int, stream: bool, told: tuple[int, dict, bytes, bool]) -> str:
    """What a call came to: `right`, `error`, `cut`; anything else is wrong."""
    status, headers, body, whole = told
    wanted = answer_text(f"call {number}")
    if status == 0:
        return "wrong: no answer at all"
    if status >= 400:
        error = json.loads(body).get("error", {}) if whole else {}
        return "error" if error.get("message") and "x-llmops-request-id" in headers else f"wrong: {status} {body!r}"
    if not stream:
        if not whole:
            return "cut"
        said = json.loads(body)["choices"][0]["message"]["content"]
        return "right" if said == wanted else f"wrong: {said!r}"
    events = [line[6:] for line in body.decode().split("\n") if line.startswith("data: ")]
    said = "".join(
        json.loads(event)["choices"][0]["delta"].get("content") or "" for event in events if event != "[DONE]"
    ) if whole else ""
    if whole and events[-1:] == ["[DONE]"]:
        return "right" if said == wanted else f"wrong: {said!r}"
    return "wrong: the end is missing, and does not look so" if whole else "cut"


class Load:
    """Calls at a rate, over all addresses in turn."""

    def __init__(self, place: Place, rate: float, limit: int | None = None):
        self.place, self.rate, self.limit = place, rate, limit
        self.results: list[tuple[float, int, bool, tuple]] = []
        self.stopped = False

    async def run(self, lanes: int) -> None:
        begun, next_number = time.monotonic(), iter(range(1, 10**9))
        address = self.place.addresses

        async def lane() -> None:
            for number in next_number:
                if self.stopped or (self.limit and number > self.limit):
                    return
                due = begun + number / self.rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                at, stream = time.time(), number % 2 == 0
                try:
                    told = await call(address[number % len(address)], number, stream)
                except (OSError, TimeoutError) as error:
                    told = (0, {}, repr(error).encode(), False)
                self.results.append((at, number, stream, told))

        await asyncio.gather(*(lane() for _ in range(lanes)))


def check_results(load: Load) -> collections.Counter:
    counts = collections.Counter()
    for _, number, stream, told in load.results:
        verdict = judge(number, stream, told)
        counts[verdict if not verdict.startswith("wrong") else "wrong"] += 1
        assert not verdict.startswith("wrong"), f"call {number}, stream {stream}: {verdict}"
    return counts


def check_attempts(place: Place, calls: int) -> None:
    """Every line of the provider's log is one attempt of exactly one record.

    An attempt may have no line: the provider closed the connection at the moment in which it was used again, or was given up
    before it had read the request. One that was answered has a line.
    """
    with open(place.provider_log, encoding="utf-8") as file:
        asked = collections.Counter(json.loads(line)["call"] for line in file)
    all_attempts, arrived, records = collections.Counter(), collections.Counter(), collections.Counter()
    for record in place.records():
        number = int(re.search(r"call (\d+)", record["request_body"]).group(1))
        records[number] += 1
        all_attempts[number] += len(record["attempts"])
        arrived[number] += sum("status" in attempt for attempt in record["attempts"])
    assert len(records) == calls and set(records.values()) == {1}, f"{len(records)} calls have records, of {calls}"
    wrong = {n: (arrived[n], asked[n], all_attempts[n]) for n in records if not arrived[n] <= asked[n] <= all_attempts[n]}
    assert not wrong, f"lines and attempts differ: {dict(list(wrong.items())[:10])}"
    unseen = sum(all_attempts.values()) - sum(asked.values())
    print(f"  {sum(asked.values())} lines of the provider's log are attempts of {calls} records; {unseen} attempts have no line")


async def faults(args: argparse.Namespace) -> None:
    place, failed = Place(0.33), True
    try:
        place.serve()
        place.ask("/api/v1/deployments/bot/deploy", {"manifest": {"model": "mock/m"}, "settings": SETTINGS})
        await asyncio.sleep(1)
        load = Load(place, args.rate, args.requests)
        await load.run(200)
        counts = check_results(load)
        print(f"  {args.requests} calls: {dict(counts)}")
        assert counts["right"] > args.requests * 0.8, "most calls are answered in the end"
        await asyncio.sleep(1)
        check_attempts(place, args.requests)
        failed = False
    finally:
        place.close(args.keep or failed)


def database() -> str:
    server, name = os.environ["LLMOPS_TEST_POSTGRES"], f"llmops_gateway_{os.getpid()}"
    psql(server, f"CREATE DATABASE {name}")
    return re.sub(r"/[^/?]*(\?.*)?$", f"/{name}\\1", server)


def drop(url: str) -> None:
    name = re.search(r"/([^/?]*)(\?.*)?$", url).group(1)
    psql(os.environ["LLMOPS_TEST_POSTGRES"], f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


async def rollback(args: argparse.Namespace) -> None:
    url = database()
    place, failed = Place(0.0, url), True
    try:
        for _ in range(3):
            place.serve()
        old = place.ask("/api/v1/deployments/bot/deploy", {"manifest": {"model": "mock/old"}, "settings": SETTINGS})
        new = place.ask("/api/v1/deployments/bot/deploy", {"manifest": {"model": "mock/new"}})
        await asyncio.sleep(1.5)
        load = Load(place, args.rate)
        running = asyncio.create_task(load.run(300))
        await asyncio.sleep(args.seconds / 2)
        commanded = time.time()
        answer = asyncio.to_thread(place.ask, "/api/v1/deployments/bot/rollback", {})
        assert (await answer)["deployment"]["manifest"] == old["deployment"]["manifest"]
        took = time.time() - commanded
        await asyncio.sleep(args.seconds / 2)
        load.stopped = True
        await running
        counts = check_results(load)
        assert set(counts) == {"right"}, dict(counts)
        wrong = new["deployment"]["manifest"]
        last = max(at for at, _, _, told in load.results if told[1]["x-llmops-manifest"] == wrong)
        rate = len(load.results) / args.seconds
        print(f"  {len(load.results)} calls, {rate:.0f}/s, none failed; the command took {took * 1000:.0f} ms, the last call")
        print(f"  that the manifest before answered began {(last - commanded) * 1000:.0f} ms after it was given")
        assert last - commanded < 1.0
        failed = False
    finally:
        place.close(args.keep or failed)
        drop(url)


async def outage(args: argparse.Namespace) -> None:
    control, url = os.environ["LLMOPS_TEST_POSTGRES_CTL"], database()
    place, failed = Place(0.0, url), True
    try:
        place.serve()
        place.ask("/api/v1/deployments/bot/deploy", {"manifest": {"model": "mock/m"}, "settings": SETTINGS})
        await asyncio.sleep(1.5)
        load = Load(place, args.rate)
        running = asyncio.create_task(load.run(100))
        await asyncio.sleep(3)
        await asyncio.to_thread(subprocess.run, [control, "stop"], check=True, stdout=subprocess.DEVNULL)
        print(f"  PostgreSQL is away for {args.seconds:.0f} s", flush=True)
        await asyncio.sleep(args.seconds)
        await asyncio.to_thread(subprocess.run, [control, "start"], check=True, stdout=subprocess.DEVNULL)
        await asyncio.sleep(5)
        load.stopped = True
        await running
        counts = check_results(load)
        assert set(counts) == {"right"}, dict(counts)
        # What waits in the file comes back by itself.
        until, records = time.monotonic() + 60, []
        while time.monotonic() < until and len(records) < len(load.results):
            await asyncio.sleep(1)
            records = await asyncio.to_thread(place.records)
        assert len(records) == len(load.results), f"{len(records)} records of {len(load.results)} calls"
        check_attempts(place, len(load.results))
        print(f"  {len(load.results)} calls, none failed, and each has its record")
        failed = False
    finally:
        place.close(args.keep or failed)
        drop(url)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("story", choices=("faults", "rollback", "outage"))
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=1000.0, help="calls per second, at most")
    parser.add_argument("--seconds", type=float, help="of load, or of outage")
    parser.add_argument("--keep", action="store_true", help="keep the folder")
    args = parser.parse_args()
    args.seconds = args.seconds or {"rollback": 10.0, "outage": 60.0}.get(args.story, 0.0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    asyncio.run({"faults": faults, "rollback": rollback, "outage": outage}[args.story](args))
    print(f"held: {args.story}")


if __name__ == "__main__":
    main()
