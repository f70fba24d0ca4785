#!/usr/bin/env python3
"""sizing.py BINARY [CALLS [BODIES]]: what a server on SQLite takes for calls through the gateway, with the simulator as the provider:
memory while it waits and after CALLS calls (20,000), CPU time a call, disk a record. BODIES is what records keep: full (the default),
raw, hashed, none. The table in docs/operations.md has the numbers."""

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

QUESTIONS = [
    "How long does standard shipping take?", "From which amount on is shipping free?", "Do you deliver to Norway? " * 8,
    "I want to return a plant that arrived damaged, what do I do?",
]
THREADS = 4


def main() -> None:
    binary, calls = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 20_000
    bodies = sys.argv[3] if len(sys.argv) > 3 else "full"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "settings.yaml").write_text(f"bodies: {bodies}\n", encoding="utf-8")
        deploy = ["deploy", "support-bot", "--prompt", "support-bot", "--model", "sim/support-small", "--settings", "settings.yaml"]
        for command in (["init", "."], ["prompt", "push"], deploy):
            subprocess.run([binary, *command], cwd=folder, check=True, capture_output=True)
        with open(Path(folder, "log"), "w", encoding="utf-8") as log:
            server = subprocess.Popen([binary, "serve", "--dev", "--listen", "127.0.0.1:0"], cwd=folder, stdout=log, stderr=log)
        try:
            measure(folder, calls)
        finally:
            server.terminate()
            server.wait()


def measure(folder: str, calls: int) -> None:
    port = port_of(Path(folder, "log"))
    time.sleep(2)
    waiting, disk, before = numbers(port), size(folder), time.monotonic()
    threads = [threading.Thread(target=ask, args=(port, calls // THREADS)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - before
    time.sleep(3)
    after = numbers(port)
    print(f"waiting  {waiting['process_resident_memory_bytes'] / 2**20:.0f} MiB, {disk / 1e6:.1f} MB on disk")
    print(f"calls    {calls} in {took:.1f} s, {(after['process_cpu_seconds_total'] - waiting['process_cpu_seconds_total']) / calls * 1e3:.2f} ms of CPU each")
    print(f"after    {after['process_resident_memory_bytes'] / 2**20:.0f} MiB, {(size(folder) - disk) / calls / 1e3:.1f} kB a record")


def port_of(log: Path) -> int:
    for _ in range(200):
        found = re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text(encoding="utf-8"))
        if found:
            return int(found[1])
        time.sleep(0.05)
    raise SystemExit(f"the server says no address: {log.read_text(encoding='utf-8')}")


def ask(port: int, calls: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for i in range(calls):
        messages = [{"role": "user", "content": QUESTIONS[i % len(QUESTIONS)]}]
        body = json.dumps({"model": "support-bot", "user": f"user-{i % 997}", "messages": messages})
        connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{answer.status}: {text.decode()}")


def numbers(port: int) -> dict[str, float]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    return {name: float(value) for name, value in re.findall(r"^(process_\w+) (\S+)$", text, re.M)}


def size(folder: str) -> int:
    return sum(file.stat().st_size for file in Path(folder, ".llmops").rglob("*") if file.is_file())


if __name__ == "__main__":
    main()
