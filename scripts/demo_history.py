#!/usr/bin/env python3
"""demo_history.py BINARY FOLDER: two weeks of simulated history for the demo's dashboard.

FOLDER is a copy of examples/support-bot. For each day a server is started whose clock stands there (`serve --dev
--clock`), and used through its API as a team would: so every date, alert, decision and sum is the product's own work. What
is made is marked `simulated`. FOLDER/live.yaml is the configuration that it was made with, and that goes on with it.

The story: the bot answers well; on the sixth day somebody loses a rule of the prompt, a nightly run raises a critical alert,
an incident is opened and rolled back; version 1.0.0 repairs it. Since then an experiment asks whether a closing question
helps, and since two days a smaller model answers in the shadow.
"""

import concurrent.futures
import contextlib
import http.client
import json
import pathlib
import random
import re
import signal
import subprocess
import sys
import threading
import time

from seed_dashboard import BOT, DAY, SCORING as SEED_SCORING, Api, calibrate, wait

DAYS = 14
MORNING, EVENING = 9, 18
CALLS = 18
# A canary is judged by many calls.
MORE = 80
# The judges have a provider of their own, which answers at once.
SCORING = json.loads(json.dumps(SEED_SCORING).replace("sim/judge", "judge/judge"))
REGRESSION, REPAIR, EXPERIMENT, CANARY = 6, 7, 8, 12
DATA_RULE = re.compile(r"^  - Never reveal.*\n    payment.*\n", re.M)
TONE_RULE = re.compile(r"^  - Be warm and brief.*\n", re.M)
COMMENTS = ("That is not what I asked.", "Too long.", "Wrong price.", "It told me to ask a colleague again.")
OTHERS = ("How often should I water a fern?", "Do you deliver to Norway?", "Is the monstera safe for cats?", "Hi")


def versions(folder):
    """The prompt's files, by version: what 1.0.0 looked like before it was 1.0.0, and what comes after it."""
    text = (BOT / "prompts" / "support-bot.yaml").read_text()

    def changed(version, author, change, old, new=""):
        body, found = old.subn(new, text) if isinstance(old, re.Pattern) else (text.replace(old, new), text.count(old))
        assert found, f"the prompt has changed: {version} cannot be made of it"
        body = re.sub(r"^version: .*$", f"version: {version}", body, flags=re.M)
        body = re.sub(r"^author: .*$", f"author: {author}", body, flags=re.M)
        return re.sub(r"^change: .*$", f"change: {change}", body, flags=re.M)

    made = {
        "0.9.0": changed("0.9.0", "dana", "Before the rule about tone", TONE_RULE),
        "0.9.1": changed("0.9.1", "sam", "Fewer rules, fewer tokens", DATA_RULE),
        "1.0.0": text,
        "1.0.1": changed("1.0.1", "lee", "Ends with a question", "Two sentences are usually enough.",
                         "Two sentences are usually enough. End with a question."),
    }
    folder.mkdir(exist_ok=True)
    for version, body in made.items():
        (folder / f"{version}.yaml").write_text(body)
    return {version: folder / f"{version}.yaml" for version in made}


class Customers:
    """Who asks the bot, and what some of them say of its answers."""

    def __init__(self, rng):
        self.rng = rng
        # A connection for each thread of a pool.
        self.local = threading.local()
        lines = (BOT / "datasets" / "golden.jsonl").read_text().splitlines()
        self.questions = [json.loads(line)["prompt"] for line in lines if '"prompt"' in line]

    def call(self, api, question, user):
        """One call of the gateway: what the caller learns of it."""
        connection = getattr(self.local, "connection", None)
        if connection is None:
            connection = self.local.connection = http.client.HTTPConnection(api.base.removeprefix("http://"), timeout=30)
        body = json.dumps({"model": "support-bot", "messages": [{"role": "user", "content": question}], "user": user})
        connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        return answer.headers.get("x-llmops-request-id"), answer.status

    def traffic(self, api, calls):
        """Questions of customers, and what some of them say of the answers."""
        asked = [(self.rng.choice(self.questions if self.rng.random() < 0.85 else OTHERS), f"user-{self.rng.randrange(90)}")
                 for _ in range(calls)]
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda one: self.call(api, *one), asked))
            said = [self.said(request) for request, status in answers if status == 200 and self.rng.random() < 0.3]
        if said:
            api.post("/api/v1/feedback", said)

    def said(self, request):
        """What a customer says of an answer."""
        bad = self.rng.random() < 0.18
        said = {"request_id": request, "thumb": "down" if bad else "up", "idempotency_key": f"demo-{request}"}
        if bad and self.rng.random() < 0.5:
            said["comment"] = self.rng.choice(COMMENTS)
        if bad and self.rng.random() < 0.15:
            said["correction"] = "Water a fern twice a week; keep the soil moist."
        return said


class Past:
    """The demo's project, with servers at other times."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder
        self.prompts = versions(folder / ".llmops-history")
        self.rng = random.Random(14)
        self.customers = Customers(self.rng)
        self.now = time.time()

    def config(self, day):
        """A model is not the same every day."""
        text = (self.folder / "llmops.yaml").read_text()
        line = re.search(r"^  sim: \{.*\}\n", text, re.M)
        quality = 0.975 + 0.015 * ((day * 7) % 3 - 1) / 2
        live = (f"  sim: {{kind: simulator, script: sim/answers.jsonl, seed: {100 + day}, quality: {quality:.4f}, max_concurrency: 48, "
                f"latency: 25ms, latency_sigma: 0.35}}\n"
                f"  mini: {{kind: simulator, script: sim/answers.jsonl, seed: {200 + day}, quality: 0.93, "
                f"latency: 20ms, latency_sigma: 0.3}}\n"
                f"  judge: {{kind: simulator, script: sim/answers.jsonl, max_concurrency: 64}}\n")
        text = text.replace(line[0], live)
        text = text.replace("prices:", "prices:\n  mini/support-mini: {input: 0.05, output: 0.20}\n  judge/judge: {input: 0.15, output: 0.60}\n  judge/judge-b: {input: 0.15, output: 0.60}\n  #", 1)
        (self.folder / "live.yaml").write_text("# Written by the demo: the project with models that are not perfect.\n" + text)

    @contextlib.contextmanager
    def server(self, at):
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
        log = open(self.folder / ".llmops-history" / "log", "w+", encoding="utf-8")
        server = subprocess.Popen(
            [self.binary, "--config", str(self.folder / "live.yaml"), "serve", "--dev", "--clock", stamp, "--listen", "127.0.0.1:0"],
            stderr=log, stdout=log)
        try:
            yield Api(self.address(server, log), None)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)
            log.close()

    @staticmethod
    def address(server, log):
        for _ in range(1000):
            log.seek(0)
            text = log.read()
            if found := re.search(r"serves (http://\S+)", text):
                return found[1]
            if server.poll() is not None:
                break
            time.sleep(0.01)
        raise SystemExit(f"the server did not start:\n{text}")

    def push(self, api, version):
        subprocess.run([self.binary, "--server", api.base, "--quiet", "prompt", "push", str(self.prompts[version])],
                       check=True, stdout=subprocess.DEVNULL)

    def evaluate(self, api, version):
        """Starts the nightly run; it goes on while customers ask."""
        return api.post("/api/v1/runs", {
            "target": {"name": "support-bot", "prompt": f"support-bot@{version}", "model": "sim/support-small",
                       "parameters": {"temperature": 0, "max_tokens": 256}},
            "dataset": "golden", "suite": "default", "scoring": SCORING, "cache": False,
            "metadata": {"simulated": True}, "tags": {"trigger": "nightly"}})["id"]

    @staticmethod
    def decide(api, run, day):
        """What the gate says of it."""
        wait(api, run)
        api.post(f"/api/v1/runs/{run}/gate", {})
        if day == 0:
            api.post("/api/v1/baselines", {"run": run})

    def deploy(self, api, version, reason, **settings):
        live = {"guard": {"empty": True, "truncated": True, "min_chars": 15}} | settings
        api.post("/api/v1/deployments/support-bot/deploy", {
            "prompt": f"support-bot@{version}", "model": "sim/support-small", "parameters": {"max_tokens": 256},
            "reason": reason, "settings": live})

    def observe(self, api, day, at):
        """What the shop's own system knows of the experiment's users."""
        rows = ["unit,variant,metric,value,at"]
        for i in range(130):
            unit, variant = f"order-{day}-{int(at) % DAY}-{i}", ("control", "question")[i % 2]
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at - self.rng.random() * 3600))
            solved = int(self.rng.random() < (0.60 if variant == "control" else 0.69))
            rows.append(f"{unit},{variant},solved,{solved},{stamp}")
            rows.append(f"{unit},{variant},handled_seconds,{self.rng.lognormvariate(3.4, 0.5):.2f},{stamp}")
        body = ("\n".join(rows) + "\n").encode()
        api.call("POST", f"/api/v1/experiments/closing-question/observations/import?source=shop-{int(at)}", body, "text/csv")

    def experiment(self, api):
        api.post("/api/v1/experiments", {
            "name": "Closing question", "key": "closing-question",
            "description": "Does an answer that ends with a question solve more?",
            "variants": [
                {"id": "control", "name": "as it is", "is_control": True, "prompt_name": "support-bot", "prompt_version": "1.0.0"},
                {"id": "question", "name": "with a question", "prompt_name": "support-bot", "prompt_version": "1.0.1"}],
            "metrics": [{"name": "solved", "kind": "binary"},
                        {"name": "handled_seconds", "kind": "latency", "guardrail": {"margin": 0.2, "relative": True}},
                        {"name": "feedback_thumb", "kind": "binary"}],
            "target_metric": "solved", "analysis": {"min_samples": 200, "units_per_day": 150}, "metadata": {"simulated": True}})
        api.post("/api/v1/experiments/closing-question/start")
        self.deploy(api, "1.0.0", "Users are assigned by the experiment closing-question", experiment="closing-question")

    def canary(self, api):
        api.post("/api/v1/canaries", {
            "deployment": "support-bot", "prompt": "support-bot@1.0.0", "model": "mini/support-mini",
            "parameters": {"max_tokens": 256},
            "policy": {"share": "100%", "window": {"min": "72h", "max": "14d"}, "min_samples": 300,
                       "judge": {"model": "judge/judge", "both_orders": True}, "bodies": "keep",
                       "promote": {"net_win": 0.02, "approval": True}}})

    def incident(self, api):
        opened = api.post("/api/v1/incidents", {
            "deployment": "support-bot", "title": "The bot reads out other customers' addresses", "rollback": True})["incident"]
        api.post(f"/api/v1/incidents/{opened['id']}/notes", {"text": "A rule was lost in 0.9.1; 0.9.0 answers again."})
        api.post(f"/api/v1/incidents/{opened['id']}/close", {"resolution": "Rolled back; 1.0.0 has the rule again."})

    def happens(self, api, day, hour, at):
        """What is special about this time."""
        if hour == EVENING and day == REGRESSION - 1:
            self.push(api, "0.9.1")
            self.deploy(api, "0.9.1", "Fewer tokens")
        elif hour == EVENING and day == REGRESSION:
            self.incident(api)
        elif hour == EVENING:
            pass
        elif day == 0:
            api.call("POST", "/api/v1/datasets/golden/versions?type=golden", (BOT / "datasets" / "golden.jsonl").read_bytes(),
                     "application/x-ndjson")
            self.push(api, "0.9.0")
            self.deploy(api, "0.9.0", "First release")
        elif day == REPAIR:
            self.push(api, "1.0.0")
            self.deploy(api, "1.0.0", "The rules are back, and one about tone")
        elif day == EXPERIMENT:
            self.push(api, "1.0.1")
            self.experiment(api)
        elif day == CANARY:
            self.canary(api)
        elif day == DAYS - 1:
            self.schedule(api)
            # It waits at the gate: the new version was not evaluated yet.
            api.post("/api/v1/releases/support-bot", {"prompt": "support-bot@1.0.1", "model": "sim/support-small"})
        if day >= EXPERIMENT:
            self.observe(api, day, at)

    def live(self, day):
        return "1.0.0" if day >= REPAIR else "0.9.1" if day == REGRESSION else "0.9.0"

    def seed(self):
        start = self.now - DAYS * DAY
        start -= start % DAY
        times = [(day, MORNING + day % 4) for day in range(DAYS + 1)]
        times += [(REGRESSION - 1, EVENING), (REGRESSION, EVENING), (CANARY, EVENING)]
        for day, hour in sorted(times):
            at = start + day * DAY + hour * 3600
            if at > self.now - 1800:
                return
            self.config(day)
            with self.server(at) as api:
                self.happens(api, day, hour, at)
                run = None if hour == EVENING else self.evaluate(api, self.live(day))
                self.customers.traffic(api, CALLS + day + (MORE if day >= CANARY else 0))
                if run:
                    self.decide(api, run, day)
                if run and day == REGRESSION:
                    calibrate(api, run, self.rng)

    def schedule(self, api):
        api.post("/api/v1/schedules", {
            "name": "nightly", "timezone": "Europe/Berlin", "cron": "0 3 * * *", "missed": "skip",
            "run": {"target": {"name": "support-bot", "prompt": "support-bot", "model": "sim/support-small"},
                    "dataset": "golden", "suite": "default", "scoring": SCORING | {"max_judge_cost": 1.0}}})


def main():
    binary, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    began = time.monotonic()
    Past(binary, folder).seed()
    print(f"two weeks of simulated history in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
