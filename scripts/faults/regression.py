#!/usr/bin/env python3
"""A prompt made worse on purpose, over a real schedule and in real time.

The scheduled run must raise a critical regression alert that reaches a receiver shaped like Slack's, a receiver of signed
webhooks and a client of server-sent events; again within the hour none of them hears of it; acknowledged and recovered it is
resolved. Takes about five minutes, because a schedule fires once a minute.

    python3 scripts/faults/regression.py [LLMOPS]
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

LLMOPS = str(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "target/release/llmops").resolve())
KEY = "key-of-the-regression-script"
SECRET = "whsec_" + base64.b64encode(b"a secret of this script only 123").decode()
GOOD = 'name: bot\nversion: 1.0.0\ncontent: "{{ input }}"\n'
BAD = 'name: bot\nversion: 1.1.0\ncontent: "How long is this: {{ input | length }}?"\n'


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what was posted: time, path, headers, body."""

    posted = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.posted.append((time.monotonic(), self.path, dict(self.headers.items()), body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def project(folder, port):
    questions = [f"What does rule number {i} say about delivery?" for i in range(40)]
    answers = [f"Rule {i} says that parcels leave within {i % 7 + 2} working days of the order." for i in range(40)]
    lines = [{"id": f"q{i}", "prompt": q, "reference_response": a} for i, (q, a) in enumerate(zip(questions, answers))]
    script = [{"input": q, "answer": a} for q, a in zip(questions, answers)]
    (folder / "golden.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in script))
    (folder / "prompts").mkdir()
    (folder / "prompts/bot.yaml").write_text(GOOD)
    (folder / "worse.yaml").write_text(BAD)
    (folder / "llmops.yaml").write_text(f"""version: 1
project: regression
providers:
  sim: {{kind: simulator, script: answers.jsonl}}
targets:
  bot: {{prompt: bot, model: sim/small}}
datasets:
  golden: {{path: golden.jsonl}}
scoring:
  metrics:
    rouge_l: {{weight: 1.0}}
suites:
  minutely: {{target: bot, dataset: golden, schedule: "* * * * *"}}
outbound: {{allow: [127.0.0.1]}}
alerts: {{group_interval: 1s}}
channels:
  team: {{kind: slack, url: "http://127.0.0.1:{port}/slack"}}
  pager: {{kind: webhook, url: "http://127.0.0.1:{port}/hook", secret: "{SECRET}"}}
""")


def main():
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        project(folder, receiver.server_port)
        env = dict(os.environ, LLMOPS_ADMIN_KEY=KEY)
        server = subprocess.Popen(
            [LLMOPS, "serve", "--listen", "127.0.0.1:0"], cwd=folder, env=env, stderr=subprocess.PIPE, text=True
        )
        try:
            url = address(server)
            story(folder, url)
        finally:
            server.terminate()
            server.wait(30)
    print("all of it held")


def address(server):
    for line in server.stderr:
        if "serves http://" in line:
            threading.Thread(target=server.stderr.read, daemon=True).start()
            return line.split("serves ")[1].split(" ")[0]
    raise SystemExit("the server ended")


def story(folder, url):
    heard = []
    threading.Thread(target=listen, args=(url, heard), daemon=True).start()

    def run(*args):
        said = subprocess.run(
            [LLMOPS, *args, "--server", url, "--api-key", KEY, "--json"], cwd=folder, capture_output=True, text=True
        )
        assert said.returncode == 0, f"{args}: {said.stderr}"
        return json.loads(said.stdout)

    def runs(count):
        wait(f"run {count} of the schedule", lambda: len(completed(run)) >= count, 150)
        return completed(run)[0]

    first = runs(1)
    print(f"run 1: pass rate {rate(first)}")
    run("prompt", "push", "worse.yaml", "--activate")
    second = runs(2)
    print(f"run 2, with the worse prompt: pass rate {rate(second)}")

    def regressions():
        listed = run("alert", "list", "--all")["items"]
        return [a for a in listed if a["type"] == "regression" and a["severity"] == "critical" and a["metric"] == "pass_rate"]

    wait("the critical regression alert", regressions, 30)
    alert = regressions()[0]
    print(f"alert: {alert['message']}")
    wait("Slack", lambda: told("/slack", alert), 30)
    wait("the webhook", lambda: told("/hook", alert), 30)
    wait("the client of events", lambda: [e for e in heard if e["alert"]["id"] == alert["id"]], 30)
    check_signature(told("/hook", alert)[0])
    print("it reached Slack, the signed webhook and the client of events")

    before = [len(told(path, alert)) for path in ("/slack", "/hook")]
    third = runs(3)
    time.sleep(10)
    after = [len(told(path, alert)) for path in ("/slack", "/hook")]
    assert before == after, f"told again within the hour: {before} {after}"
    print(f"run 3, still worse ({rate(third)}): nobody was told again")

    run("alert", "ack", alert["id"])
    run("prompt", "activate", "bot@1.0.0")
    runs(4)
    wait("the alert to be resolved", lambda: not [a for a in regressions() if not a.get("resolved_at")], 60)
    resolved = [a for a in regressions() if a["id"] == alert["id"]]
    assert resolved and resolved[0]["acked_at"], "it was acknowledged"
    wait("the word of it", lambda: len(told("/hook", alert)) > after[1], 30)
    print("acknowledged, recovered: resolved, and the webhook heard of it")


def completed(run):
    return [r for r in run("run", "list")["items"] if r["status"] == "completed"]


def rate(run):
    estimate = run["results"]["pass_rate"] if run.get("results") else None
    return estimate["value"] if isinstance(estimate, dict) and "value" in estimate else estimate


def told(path, alert):
    """Messages at a path that are about the alert."""
    what = alert["id"] if path == "/hook" else alert["message"].split(" ")[0]
    return [p for p in Receiver.posted if p[1] == path and what.encode() in p[3]]


def check_signature(post):
    _, _, headers, body = post
    headers = {name.lower(): value for name, value in headers.items()}
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert hmac.compare_digest(expected, headers["webhook-signature"]), "the signature is wrong"


def listen(url, heard):
    request = urllib.request.Request(f"{url}/api/v1/events?types=alert", headers={"authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request, timeout=600) as stream:
        for line in stream:
            if line.startswith(b"data:"):
                heard.append(json.loads(line[5:]))


def wait(what, holds, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = holds()
        if found:
            return found
        time.sleep(0.5)
    raise SystemExit(f"not within {seconds} s: {what}")


main()
