"""kill_writes.py BINARY TIMES: kills a server with -9 at random moments while it is written to, again and again, on one
SQLite store. Every write that was acknowledged must be there afterwards, whole and with its record of change."""

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
import urllib.request

KEY = "llmops_for-this-test-alone-0123456789"
WRITERS = 4


class Server:
    def __init__(self, binary, folder):
        environment = {**os.environ, "LLMOPS_ADMIN_KEY": KEY}
        command = [binary, "--database", f"sqlite:{folder}/llmops.db", "serve", "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
        self.url = None
        while self.url is None:
            line = self.process.stderr.readline()
            if not line:
                sys.exit(f"the server did not start: exit {self.process.wait()}")
            found = re.search(r"http://127[^ ]*", line)
            self.url = found and found.group(0)
        # A pipe that nobody reads would stop the server one day.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def call(self, method, path, body=None, kind="application/json"):
        request = urllib.request.Request(self.url + path, body, method=method)
        request.add_header("authorization", f"Bearer {KEY}")
        request.add_header("content-type", kind)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def write(server, writer, cycle, acknowledged):
    """Prompts and dataset versions, one after the other, until the server is gone."""
    number = 0
    try:
        while True:
            name = f"w{writer}-{cycle}-{number}"
            if number % 4 == 3:
                sample = {"id": name, "input": f"What is {name}?", "expected_output": name}
                made = server.call("POST", f"/api/v1/datasets/d-{name}/versions", json.dumps(sample).encode(),
                                   "application/x-ndjson")
                acknowledged.append(("dataset", f"d-{name}", made["version"]["version"]))
            else:
                prompt = {"prompt": {"name": name, "version": "1.0.0", "content": f"{name} {{{{ input }}}}"}}
                made = server.call("POST", "/api/v1/prompts", json.dumps(prompt).encode())
                acknowledged.append(("prompt", name, made["prompt"]["hash"]))
            number += 1
    except urllib.error.HTTPError as error:
        # The store says that it cannot, which is no acknowledgement; anything else is a bug.
        if error.code != 503:
            acknowledged.append(("error", f"{error.code} {error.read()[:300]}", ""))
    except (OSError, ValueError):
        pass  # Killed in the middle of an answer.


def everything(server, path):
    cursor = ""
    while cursor is not None:
        page = server.call("GET", f"{path}limit=500" + (f"&cursor={cursor}" if cursor else ""))
        yield from page["items"]
        cursor = page["next_cursor"]


def missing(server, acknowledged):
    prompts = {p["name"]: p["hash"] for p in everything(server, "/api/v1/prompts?")}
    datasets = {d["name"]: d["version"] for d in everything(server, "/api/v1/datasets?")}
    recorded = {r["target"] for r in everything(server, "/api/v1/audit?")}
    problems = []
    for kind, name, made in acknowledged:
        if kind == "error":
            problems.append(f"a write was refused: {name}")
            continue
        stored = (prompts if kind == "prompt" else datasets).get(name)
        if stored != made:
            problems.append(f"the {kind} {name} was acknowledged as {made} and is {stored}")
        if (f"{name}@1.0.0" if kind == "prompt" else name) not in recorded:
            problems.append(f"the {kind} {name} has no record of its change")
    return problems


def main():
    binary, times = os.path.abspath(sys.argv[1]), int(sys.argv[2])
    seed = int(os.environ.get("SEED", "1"))
    moments = random.Random(seed)
    folder = tempfile.mkdtemp(prefix="llmops-kill-")
    acknowledged, started = [], time.monotonic()
    try:
        for cycle in range(times):
            server = Server(binary, folder)
            writers = [threading.Thread(target=write, args=(server, w, cycle, acknowledged)) for w in range(WRITERS)]
            for thread in writers:
                thread.start()
            time.sleep(moments.uniform(0.005, 0.4))
            server.kill()
            for thread in writers:
                thread.join()
        server = Server(binary, folder)
        problems = missing(server, acknowledged)
        server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    seconds = time.monotonic() - started
    print(f"{times} kills, {len(acknowledged)} acknowledged writes, {len(problems)} problems, {seconds:.0f} s, seed {seed}")
    for problem in problems[:20]:
        print("  " + problem, file=sys.stderr)
    sys.exit(1 if problems or len(acknowledged) < times else 0)


main()
