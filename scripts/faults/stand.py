"""A stand to break things on: servers and workers of one installation, started, killed and asked."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KEY = "llmops-faults-key-0123456789abcdef0123456789abcdef"

CONFIG = """\
version: 1
project: faults
providers:
  sim: {{kind: simulator, seed: 1, latency: {latency}ms, max_concurrency: {calls}}}
targets:
  plain: {{model: sim/any}}
datasets:
  big: {{path: big.jsonl, type: benchmark}}
  small: {{path: small.jsonl, type: benchmark}}
scoring:
  metrics:
    levenshtein: {{weight: 1}}
operations: {{enable_auto_evaluation: false}}
"""


def run_request(dataset: str, **more) -> dict:
    """What POST /api/v1/runs takes."""
    return {
        "target": {"name": "plain", "model": "sim/any"},
        "dataset": dataset,
        "scoring": {
            "metrics": {"levenshtein": {"kind": "levenshtein", "weight": 1.0}},
            "pass_threshold": 0.0,
            "max_error_rate": 0.02,
            "max_judge_cost": None,
        },
        "cache": False,
        **more,
    }


def binary() -> str:
    """The command: LLMOPS_BINARY, or what was built last here."""
    named = os.environ.get("LLMOPS_BINARY")
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    built = [os.path.join(target, profile, "llmops") for profile in ("release", "debug")]
    found = [named] if named else sorted(filter(os.path.exists, built), key=os.path.getmtime, reverse=True)
    if not found:
        sys.exit("there is no llmops to test: cargo build -p llmops-cli")
    return found[0]


def psql(url: str, sql: str) -> str:
    """Asks PostgreSQL."""
    done = subprocess.run(["psql", "-w", "-X", "-At", "-d", url, "-c", sql], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"psql: {done.stderr.strip()}")
    return done.stdout.strip()


class Process:
    """A server or a worker."""

    def __init__(self, stand: "Stand", kind: str):
        self.stand, self.kind, self.url = stand, kind, None
        self.start()

    def start(self) -> None:
        """Starts it; a server is ready when it has told its address."""
        stand = self.stand
        command = [stand.binary, "--database", stand.database, self.kind, "--lease", stand.lease]
        if self.kind == "serve":
            command += ["--listen", "127.0.0.1:0"]
        if stand.queue:
            command += ["--queue", stand.queue]
        env = {**os.environ, "LLMOPS_LOG": "warn", "LLMOPS_ADMIN_KEY": KEY, "NO_COLOR": "1"}
        self.process = subprocess.Popen(
            command, cwd=stand.folder, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        ready = threading.Event()
        threading.Thread(target=self.read, args=(self.process, ready), daemon=True).start()
        if not ready.wait(60):
            raise RuntimeError(f"{self.kind} did not start: see {stand.log}")

    def read(self, process: subprocess.Popen, ready: threading.Event) -> None:
        """Keeps what it says; finds its address."""
        for line in process.stderr:
            with open(self.stand.log, "a", encoding="utf-8") as log:
                log.write(f"[{self.kind} {process.pid}] {line}")
            if match := re.search(r"serves (http://[0-9.:]+)", line):
                self.url = match.group(1)
                ready.set()
            elif "takes jobs from" in line:
                ready.set()

    def kill(self) -> None:
        """As a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """As an operator would."""
        self.process.terminate()
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.kill()
            return -9


class Stand:
    """An installation on a database of its own."""

    def __init__(self, server: str, queue: str | None, samples: int, lease="2s", latency=250, calls=16):
        self.binary, self.queue, self.lease = binary(), queue, lease
        name = f"llmops_faults_{os.getpid()}_{random.randrange(10**6)}"
        psql(server, f"CREATE DATABASE {name}")
        self.server, self.name = server, name
        self.database = urllib.parse.urlparse(server)._replace(path=f"/{name}").geturl()
        self.folder = tempfile.mkdtemp(prefix="llmops-faults-")
        self.log = os.path.join(self.folder, "log")
        self.processes: list[Process] = []
        self.write(samples, latency, calls)

    def write(self, samples: int, latency: int, calls: int) -> None:
        """Writes the project and registers its datasets."""
        files = {"llmops.yaml": CONFIG.format(latency=latency, calls=calls)}
        for dataset, count in (("big", samples), ("small", 5)):
            lines = ({"id": f"s{i}", "input": f"question number {i}?", "expected_output": f"answer {i}"} for i in range(count))
            files[f"{dataset}.jsonl"] = "".join(json.dumps(line) + "\n" for line in lines)
        for file, text in files.items():
            with open(os.path.join(self.folder, file), "w", encoding="utf-8") as out:
                out.write(text)
        for dataset in ("big", "small"):
            command = [self.binary, "--database", self.database, "-q", "dataset", "build", dataset]
            subprocess.run(command, cwd=self.folder, check=True, stdout=subprocess.DEVNULL)

    def add(self, kind: str) -> Process:
        """One more process."""
        process = Process(self, kind)
        self.processes.append(process)
        return process

    def servers(self) -> list[Process]:
        """Those that answer."""
        return [process for process in self.processes if process.kind == "serve"]

    def ask(self, method: str, path: str, body=None, url=None, timeout=30.0):
        """(status, headers, answer) of one request; status 0 when nobody answers."""
        url = url or random.choice(self.servers()).url
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url + path, data=data, method=method)
        request.add_header("content-type", "application/json")
        request.add_header("authorization", f"Bearer {KEY}")
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                text = answer.read()
                return answer.status, dict(answer.headers), json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            text = error.read()
            with contextlib.suppress(ValueError):
                return error.code, dict(error.headers), json.loads(text)
            return error.code, dict(error.headers), text.decode(errors="replace")
        except (OSError, ValueError) as error:
            return 0, {}, str(error)

    def insist(self, method: str, path: str, body=None):
        """The answer, from whichever server gives one."""
        told = None
        for _ in range(200):
            status, _, told = self.ask(method, path, body)
            if 200 <= status < 300:
                return told
            if status not in (0, 503):
                break
            time.sleep(0.1)
        raise RuntimeError(f"{method} {path}: {told}")

    def end(self, keep: bool) -> None:
        """Stops and removes everything."""
        for process in self.processes:
            if process.process.poll() is None:
                process.kill()
        if keep:
            print(f"kept: {self.folder} {self.database}")
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        psql(self.server, f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")
