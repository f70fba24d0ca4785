#!/usr/bin/env python3
"""Load on the gateway: requests per second, latency, time to the first byte of a stream, memory.

In front of one upstream that costs next to nothing it measures: the upstream itself, the barest proxy that hyper makes,
llmops with its records on (bodies hashed, then full), and, where `--peers` names a virtual environment with
scripts/bench/requirements-gateways.txt in it, TensorZero (observability off) and LiteLLM's proxy. Prints a table, and
says whether each promise holds.

usage: gateway.py [--seconds 8] [--binary FILE] [--bench FILE] [--peers DIR] [--only NAME,…]
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KEY = "llmops-bench-key-0123456789abcdef0123456789abcdef"
CONNECTIONS = (1, 32, 256)
# Seconds after a load in which a gateway may finish what it put off, before something else is measured.
SETTLE = 4

CONFIG = """\
version: 1
project: bench
providers:
  mock: {{kind: openai, base_url: "http://{upstream}/v1", api_key: sk-bench-0123456789}}
operations: {{enable_auto_evaluation: false}}
"""
TENSORZERO = """\
[gateway]
observability.enabled = false
[models.mock]
routing = ["mock"]
[models.mock.providers.mock]
type = "openai"
model_name = "mock"
api_base = "http://{upstream}/v1/"
api_key_location = "none"
"""
# The Python package carries the gateway, and starts it for its clients.
TENSORZERO_START = """\
import sys, time
from tensorzero.tensorzero import _start_http_gateway
gateway = _start_http_gateway(config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False)
with open(sys.argv[2], "w") as file:
    print(gateway.base_url, file=file)
while True:
    time.sleep(60)
"""
LITELLM = """\
model_list:
  - model_name: mock
    litellm_params: {{model: openai/mock, api_base: "http://{upstream}/v1", api_key: sk-bench}}
general_settings: {{master_key: {key}}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(address: str, process: subprocess.Popen, seconds: float = 90) -> None:
    host, port = address.rsplit(":", 1)
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
            return
        time.sleep(0.1)
    sys.exit(f"nothing listens on {address}")


class Stand:
    """Everything that runs beside the load, in a folder of its own."""

    def __init__(self, args: argparse.Namespace):
        self.args, self.folder, self.running = args, tempfile.mkdtemp(prefix="llmops-gateway-"), []
        self.upstream = f"127.0.0.1:{free_port()}"
        self.start([args.bench, "upstream", self.upstream], self.upstream)

    def start(self, command: list[str], address: str, **more) -> subprocess.Popen:
        log = open(os.path.join(self.folder, "log"), "a", encoding="utf-8")
        process = subprocess.Popen(command, stdout=more.pop("stdout", log), stderr=log, cwd=self.folder, **more)
        self.running.append(process)
        if address:
            wait_for(address, process)
        return process

    def write(self, name: str, text: str) -> str:
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        return path

    def stop(self, processes: list[subprocess.Popen]) -> None:
        for process in processes:
            process.terminate()
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            self.running.remove(process)

    def close(self) -> None:
        self.stop(list(self.running))
        shutil.rmtree(self.folder, ignore_errors=True)

    def request(self, path: str, model: str, **more) -> str:
        """A file with a whole HTTP request."""
        messages = [{"role": "user", "content": "Where is my parcel 4711? It should have been here on Monday."}]
        body = json.dumps({"model": model, "messages": messages, "user": "user-17", **more}, separators=(",", ":"))
        head = f"POST {path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {KEY}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        return self.write("request.txt", head + body)

    def bench(self, mode: str, address: str, file: str, count: int, seconds: float) -> dict:
        command = [self.args.bench, mode, address, file, str(count), str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)


def ask(url: str, body: dict) -> dict:
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def llmops(stand: Stand, bodies: str) -> tuple[str, list[subprocess.Popen]]:
    folder = os.path.join(stand.folder, f"project-{bodies}")
    os.makedirs(folder)
    with open(os.path.join(folder, "llmops.yaml"), "w", encoding="utf-8") as file:
        file.write(CONFIG.format(upstream=stand.upstream))
    env = {**os.environ, "LLMOPS_ADMIN_KEY": KEY, "LLMOPS_LOG": "warn", "NO_COLOR": "1"}
    log = open(os.path.join(stand.folder, "log"), "a", encoding="utf-8")
    command = [stand.args.binary, "serve", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE, stdout=log, text=True)
    stand.running.append(process)
    for line in process.stderr:
        if found := re.search(r"serves http://([0-9.:]+)", line):
            break
    else:
        sys.exit("llmops did not start")
    address = found.group(1)
    settings = {"bodies": bodies, "retries": 0}
    deploy = {"manifest": {"model": "mock/mock"}, "settings": settings}
    ask(f"http://{address}/api/v1/deployments/bot/deploy", deploy)
    time.sleep(1)  # until the gateway has it
    return address, [process]


def proxy(stand: Stand) -> tuple[str, list[subprocess.Popen]]:
    address = f"127.0.0.1:{free_port()}"
    return address, [stand.start([stand.args.bench, "proxy", address, stand.upstream], address)]


def tensorzero(stand: Stand) -> tuple[str, list[subprocess.Popen]]:
    config = stand.write("tensorzero.toml", TENSORZERO.format(upstream=stand.upstream))
    told = os.path.join(stand.folder, "tensorzero.url")
    command = [os.path.join(stand.args.peers, "bin", "python"), "-c", TENSORZERO_START, config, told]
    process = stand.start(command, "", env={**os.environ, "RUST_LOG": "warn"})
    until = time.monotonic() + 60
    while not (os.path.exists(told) and os.path.getsize(told)):
        if time.monotonic() > until or process.poll() is not None:
            sys.exit("tensorzero did not start")
        time.sleep(0.1)
    with open(told, encoding="utf-8") as file:
        url = file.read().strip()
    address = f"127.0.0.1:{urllib.parse.urlsplit(url).port}"
    wait_for(address, process)
    return address, [process]


def litellm(stand: Stand) -> tuple[str, list[subprocess.Popen]]:
    config = stand.write("litellm.yaml", LITELLM.format(upstream=stand.upstream, key=KEY))
    address = f"127.0.0.1:{free_port()}"
    command = [os.path.join(stand.args.peers, "bin", "litellm"), "--config", config, "--port", address.split(":")[1]]
    command += ["--num_workers", "2"]
    # Its list of prices comes from the network otherwise, and is waited for.
    return address, [stand.start(command, address, env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"})]


SUBJECTS = {
    "upstream": (lambda stand: (stand.upstream, []), "/v1/chat/completions", "mock"),
    "hyper proxy": (proxy, "/v1/chat/completions", "mock"),
    "llmops, hashed": (lambda stand: llmops(stand, "hashed"), "/v1/chat/completions", "bot"),
    "llmops, full": (lambda stand: llmops(stand, "full"), "/v1/chat/completions", "bot"),
    "tensorzero": (tensorzero, "/openai/v1/chat/completions", "tensorzero::model_name::mock"),
    "litellm": (litellm, "/v1/chat/completions", "mock"),
}


def resident(process: subprocess.Popen) -> float:
    """Megabytes in memory."""
    with open(f"/proc/{process.pid}/status", encoding="utf-8") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) / 1024


def cpu(processes: list[subprocess.Popen]) -> float:
    """Seconds of processor time so far, children included."""
    total = 0
    for process in processes:
        pids = [process.pid, *map(int, children(process.pid))]
        for pid in pids:
            with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                fields = file.read().rsplit(") ", 1)[1].split()
                total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[str]:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
        return file.read().split()
    return []


def measure(stand: Stand, name: str) -> dict:
    start, path, model = SUBJECTS[name]
    address, processes = start(stand)
    # A single connection says most about the gateway: the table begins with it.
    figures = {}
    request = stand.request(path, model)
    for connections in CONNECTIONS:
        before = cpu(processes)
        one = stand.bench("load", address, request, connections, stand.args.seconds)
        time.sleep(0.5)
        # The load's own warming up is a second that is not counted among its requests.
        share = stand.args.seconds / (stand.args.seconds + min(1.0, stand.args.seconds))
        one["cpu_us"] = (cpu(processes) - before) * share * 1e6 / max(one["requests"], 1)
        figures[connections] = one
    time.sleep(SETTLE)
    stream = stand.request(path, model, stream=True)
    figures["stream"] = stand.bench("load", address, stream, 1, stand.args.seconds / 2)
    if name.startswith("llmops"):
        slow = stand.request(path, model, stream=True, slow=True)
        with contextlib.ExitStack() as stack:
            holding = subprocess.Popen(
                [stand.args.bench, "hold", address, slow, "1000", "8"], stdout=subprocess.PIPE, text=True
            )
            stack.callback(holding.kill)
            time.sleep(6)
            figures["rss"] = resident(processes[0])
            figures["held"] = json.loads(holding.communicate(timeout=60)[0])
    stand.stop(processes)
    return figures


def show(name: str, figures: dict) -> None:
    cells = [f"{name:16}"]
    for connections in CONNECTIONS:
        one = figures[connections]
        cells.append(f"{one['rate']:9.0f} {one['p50_ms']:7.3f} {one['p99_ms']:8.3f} {one['cpu_us']:5.0f}")
        if one["errors"]:
            cells.append(f"({one['errors']} errors: {one['error'][:200]!r})")
    stream = figures["stream"]
    cells.append(f"{stream['first_p50_ms']:7.3f} {stream['first_p99_ms']:7.3f}")
    if "rss" in figures:
        cells.append(f"{figures['rss']:6.0f} MB, {figures['held']['alive']} alive")
    print("  ".join(cells), flush=True)


def promises(all_figures: dict) -> bool:
    """What is promised, and whether it holds."""
    held = True

    def promise(text: str, value: float, holds: bool) -> None:
        nonlocal held
        held &= holds
        print(f"{'yes' if holds else 'NO ':3}  {text}: {value:.2f}")

    for ours, least in (("llmops, hashed", 4.0), ("llmops, full", 3.0)):
        if ours not in all_figures:
            continue
        for connections in (32, 256):
            rate = all_figures[ours][connections]["rate"]
            for peer, factor in (("tensorzero", least), ("litellm", 100.0)):
                if peer in all_figures:
                    times = rate / all_figures[peer][connections]["rate"]
                    promise(f"{ours}: times {peer} at {connections}, at least {factor:.0f}", times, times >= factor)
            if "hyper proxy" in all_figures and ours == "llmops, hashed":
                share = rate / all_figures["hyper proxy"][connections]["rate"]
                promise(f"{ours}: share of a bare proxy at {connections}, at least 0.60", share, share >= 0.6)
        if "upstream" in all_figures:
            added = all_figures[ours][1]["p99_ms"] - all_figures["upstream"][1]["p99_ms"]
            promise(f"{ours}: ms added at the 99th percentile of one connection, at most 0.15", added, added <= 0.15)
            first = all_figures[ours]["stream"]["first_p99_ms"] - all_figures["upstream"]["stream"]["first_p99_ms"]
            promise(f"{ours}: ms added to the first byte of a stream at p99, at most 0.2", first, first <= 0.2)
        rss, alive = all_figures[ours]["rss"], all_figures[ours]["held"]["alive"]
        promise(f"{ours}: MB at 1,000 open streams ({alive} alive), below 150", rss, rss < 150 and alive == 1000)
    return held


def main() -> None:
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--binary", default=os.path.join(target, "release", "llmops"))
    parser.add_argument("--bench", default=os.path.join(target, "release", "examples", "bench"))
    parser.add_argument("--peers", help="a virtual environment with the other gateways")
    parser.add_argument("--only", help="names of the table's rows, separated by semicolons")
    args = parser.parse_args()
    args.binary, args.bench = os.path.abspath(args.binary), os.path.abspath(args.bench)
    args.peers = args.peers and os.path.abspath(args.peers)
    for file in (args.binary, args.bench):
        if not os.path.exists(file):
            sys.exit(f"{file} is missing: cargo build --release -p llmops-cli, and -p llmops-gateway --example bench")
    names = args.only.split(";") if args.only else list(SUBJECTS)
    if not args.peers:
        names = [name for name in names if name not in ("tensorzero", "litellm")]
    stand = Stand(args)
    try:
        heads = "".join(f"  {f'{n} connections: /s, p50, p99 ms, CPU µs':>32}" for n in CONNECTIONS)
        print(f"{os.cpu_count()} cores, {args.seconds:.0f} s each\n{'':16}{heads}  first byte p50, p99", flush=True)
        figures = {}
        for name in names:
            figures[name] = measure(stand, name)
            show(name, figures[name])
        sys.exit(0 if promises(figures) else 1)
    finally:
        stand.close()


if __name__ == "__main__":
    main()
