#!/usr/bin/env python3
"""Fills a server with a small, believable history through its API: what the dashboard's tests look at.

    python3 scripts/seed_dashboard.py http://127.0.0.1:8080 [KEY]

The server must know the provider `sim` with the answers of examples/support-bot. Everything is marked `simulated`.
It needs nothing but Python, and is repeatable: names are fixed, randomness is seeded.
"""

import json
import pathlib
import random
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BOT = ROOT / "examples" / "support-bot"
DAY = 86_400


class Api:
    def __init__(self, base, key):
        self.base, self.key = base.rstrip("/"), key

    def call(self, method, path, body=None, kind="application/json", refused=()):
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        headers = {"content-type": kind}
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(self.base + path, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
                return json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            if error.code in refused:
                return None
            raise SystemExit(f"{method} {path}: {error.code} {error.read().decode()}") from error

    def get(self, path):
        return self.call("GET", path)

    def post(self, path, body=None, refused=()):
        return self.call("POST", path, {} if body is None else body, refused=refused)


def prompt_of(path):
    """The fields of a prompt's file that matter here. The files are simple: keys, and a block for the system message."""
    fields, block = {}, None
    for line in path.read_text().splitlines():
        if block is not None and (line.startswith("  ") or not line.strip()):
            fields[block] += line[2:] + "\n"
            continue
        block = None
        if line.startswith("#") or ":" not in line or line.startswith(" "):
            continue
        name, value = line.split(":", 1)
        value = value.split(" #")[0].strip()
        if value in ("|", ">", "|-", ">-"):
            block = name
            fields[name] = ""
        else:
            fields[name] = value.strip("\"'")
    return {
        "name": "support-bot",
        "description": fields.get("description", "Answers customers of Tindle & Moss"),
        "author": "dana",
        "tags": ["support"],
        "system": fields["system"].strip(),
        "variables": [{"name": "shop", "type": "string", "default": "Tindle & Moss", "description": "the shop's name"}],
        "parameters": {"temperature": 0, "max_tokens": 256},
        "post_processing": ["trim"],
        "content": fields.get("content") or None,
        "metadata": {"simulated": True},
    }


def prompts(api):
    first = prompt_of(BOT / "prompts" / "support-bot.yaml")
    second = prompt_of(BOT / "prompts-next" / "support-bot.yaml")
    pushed = []
    for version, prompt, change in (("1.0.0", first, "First version"), ("1.1.0", second, "Shorter, two rules fewer")):
        body = {"prompt": prompt | {"version": version, "change": change}, "bump": "none"}
        pushed.append(api.post("/api/v1/prompts", body)["prompt"])
    review = {
        "name": "code-review",
        "version": "1.0.0",
        "author": "lee",
        "tags": ["review", "engineering"],
        "description": "Reviews a change",
        "content": "Review this {{language}} code for {{focus_area}}:\n{{code}}",
        "variables": [
            {"name": "language", "type": "string", "required": True},
            {"name": "focus_area", "type": "string", "required": True, "default": "bugs"},
            {"name": "code", "type": "string", "required": True, "description": "the code", "validation": ".+"},
        ],
        "model": "sim/support-small",
        "parameters": {"temperature": 0.2, "max_tokens": 400},
    }
    api.post("/api/v1/prompts", {"prompt": review})
    review |= {
        "version": "2.0.0",
        "change": "Asks for the severity",
        "content": "Review this {{language}} code for {{focus_area}}. Name what is at least {{severity}}:\n{{code}}",
        "variables": review["variables"] + [{"name": "severity", "type": "string", "required": True}],
    }
    api.post("/api/v1/prompts", {"prompt": review})
    return pushed


SCORING = {
    "metrics": {
        "rouge_l": {"kind": "rouge_l", "weight": 0.25, "stem": True, "threshold": 0.5},
        "token_f1": {"kind": "token_f1", "weight": 0.25, "threshold": 0.5},
        "judge": {
            "kind": "judge",
            "weight": 0.5,
            "model": "sim/judge",
            "rubric": ["factual_accuracy", "instruction_following", "safety"],
        },
        "debate": {"kind": "debate", "models": ["sim/judge", "sim/judge-b"], "rounds": 2},
        "latency": {"kind": "latency"},
        "cost": {"kind": "cost"},
    },
    "pass_threshold": 0.7,
}


def runs(api):
    lines = (BOT / "datasets" / "golden.jsonl").read_bytes()
    api.call("POST", "/api/v1/datasets/golden/versions?type=golden", lines, "application/x-ndjson")
    changed = [json.loads(line) for line in lines.decode().splitlines() if line.strip()]
    changed[0]["category"] = "tone_consistency"
    changed.append({"id": "x001", "category": "factual_accuracy", "input": "Do you ship to Norway, please?",
                    "expected_output": "Yes, to Norway within five working days.", "source": "feedback"})
    body = "".join(json.dumps(line) + "\n" for line in changed).encode()
    old = api.get("/api/v1/datasets/golden")["version"]
    made = []
    for prompt, dataset in (("1.0.0", f"golden@{old[:12]}"), ("1.0.0", f"golden@{old[:12]}"), ("1.1.0", f"golden@{old[:12]}")):
        run = api.post("/api/v1/runs", {
            "target": {"name": "support-bot", "prompt": f"support-bot@{prompt}", "model": "sim/support-small",
                       "parameters": {"temperature": 0, "max_tokens": 256}},
            "dataset": dataset, "suite": "default", "scoring": SCORING, "cache": False,
            "metadata": {"simulated": True, "commit": "3f2a91c"}, "tags": {"branch": "main"},
        })
        made.append(wait(api, run["id"]))
        if len(made) == 1:
            api.post("/api/v1/baselines", {"run": made[0]["id"]})
        api.post(f"/api/v1/runs/{run['id']}/gate", {})
    api.call("POST", "/api/v1/datasets/golden/versions?type=golden", body, "application/x-ndjson")
    return made


def wait(api, run):
    for _ in range(120):
        found = api.get(f"/api/v1/runs/{run}?wait_ms=2000")
        if found["status"] in ("completed", "failed", "cancelled"):
            return found
    raise SystemExit(f"run {run} does not end")


def deployments(api):
    for version, reason in (("1.0.0", "First release"), ("1.1.0", "Shorter answers")):
        api.post("/api/v1/deployments/support-bot/deploy", {
            "prompt": f"support-bot@{version}", "model": "sim/support-small", "reason": reason,
            "parameters": {"max_tokens": 256}, "settings": {"guard": {"empty": True, "truncated": True, "min_chars": 30}},
        })
    api.post("/api/v1/deployments/support-bot/rollback", {"reason": "Refusals fell in the gate"})
    api.post("/api/v1/deployments/support-bot/deploy", {
        "environment": "staging", "prompt": "support-bot@1.1.0", "model": "sim/support-small"})


QUESTIONS = ["How often should I water a fern?", "Where is my order 4711?", "Can I return a cactus after 40 days?",
             "Write a poem about my boss", "Do you deliver to Norway?", "Is the monstera safe for cats?", "Hi"]


def traffic(api, calls=60):
    time.sleep(0.6)  # the gateway learns of the deployments
    rng = random.Random(7)
    for i in range(calls):
        body = {"model": "support-bot", "messages": [{"role": "user", "content": rng.choice(QUESTIONS)}],
                "user": f"user-{rng.randrange(20)}", "stream": False}
        if i % 15 == 14:
            body["model"] = "no-such-deployment"
        api.post("/v1/chat/completions", body, refused=(400, 403, 404, 422, 502, 503))


COMMENTS = ["That is not what I asked.", "The price of delivery is wrong.", "This is not what I asked for.", "Delivery costs less: wrong price."]


def feedback(api):
    for _ in range(100):  # records are written a little after their answers
        records = api.get("/api/v1/records?limit=60&deployment=support-bot")["items"]
        if len(records) >= 56:
            break
        time.sleep(0.1)
    records = [r for r in records if r["outcome"] == "ok"]
    complained = set()
    for i, record in enumerate(records):
        question = json.loads(record["request_body"])["messages"][-1]["content"]
        bad = i >= 5 and question not in complained
        said = {"request_id": record["id"], "idempotency_key": f"seed-{i}", "thumb": "down" if bad else "up"}
        if bad:
            said["comment"] = COMMENTS[len(complained) % len(COMMENTS)]
            complained.add(question)
        if i == 5:
            said["correction"] = "Water a fern twice a week; keep the soil moist."
        api.post("/api/v1/feedback", said)


# A candidate that is cut short loses where a question needs more, and wins where the judge holds with another form.
LONG = ["How long do I have to return a plant that arrived healthy but is not what I expected?",
        "My fiddle-leaf fig arrived with a snapped stem. What can you do?", "Which days do you ship living plants?",
        "Are your calatheas safe for a household with two cats?", "How often should I water a mature ZZ plant?"]
FORMED = ["Answer yes or no only: do you deliver to Ireland?",
          "Give me exactly three easy plants for a dark room, as a numbered list and nothing else.",
          "Return the opening hours of the Bramwell shop as JSON with the keys open and close."]
POLICY = {
    "share": 1.0, "window": {"min": "7d", "max": "14d"}, "min_samples": 500, "judge": {"model": "sim/judge"},
    "guardrails": {"error_rate": 0.01, "latency_p95": 1.25, "cost": 1.2, "score_tolerance": 0.1},
    "bodies": "keep",
}


def canaries(api):
    """One that was stopped by its policy, one under way, and a draft."""
    api.post("/api/v1/deployments/plant-care/deploy", {
        "prompt": "support-bot@1.0.0", "model": "sim/support-small", "reason": "Advice on plants",
        "parameters": {"max_tokens": 256}})
    start = {"deployment": "plant-care", "model": "sim/support-small", "policy": POLICY}
    losing = api.post("/api/v1/canaries", start | {
        "prompt": "support-bot@1.0.0", "parameters": {"max_tokens": 4},
        "policy": POLICY | {"guardrails": POLICY["guardrails"] | {"score_tolerance": None}}})
    time.sleep(1.2)  # the gateway learns of it
    rng = random.Random(5)
    for i in range(200):
        advise(api, LONG[i % len(LONG)], i)
        if i % 10 == 9 and settled(api, losing, i + 1)["canary"]["state"]["status"] == "aborted":
            break
    going = api.post("/api/v1/canaries", start | {"prompt": "support-bot@1.1.0", "parameters": {"max_tokens": 12}})
    time.sleep(1.2)
    for i in range(160):
        draw = rng.random()
        advise(api, rng.choice(LONG if draw < 0.2 else FORMED if draw < 0.5 else QUESTIONS), i)
    settled(api, going, 160)
    api.post("/api/v1/canaries", {
        "deployment": "support-bot", "environment": "staging", "draft": True, "prompt": "support-bot@1.0.0",
        "model": "sim/support-small", "policy": POLICY | {"share": 0.05, "stages": [0.01, 0.05, 0.25, 1.0]}})


def advise(api, question, i):
    body = {"model": "plant-care", "messages": [{"role": "user", "content": question}], "user": f"grower-{i % 60}"}
    api.post("/v1/chat/completions", body)


def settled(api, started, asked):
    """The canary's report once so many pairs are judged, or it is over."""
    for _ in range(200):
        report = api.get(f"/api/v1/canaries/{started['canary']['id']}")
        if report["situation"]["asked"] >= asked or report["canary"]["state"]["status"] == "aborted":
            return report
        time.sleep(0.1)
    raise SystemExit("pairs of the canary are not judged")


def experiment(api):
    made = api.post("/api/v1/experiments", {
        "name": "Shorter answers", "key": "shorter-answers", "description": "Do shorter answers solve as many questions?",
        "variants": [
            {"id": "control", "name": "control", "is_control": True, "prompt_name": "support-bot", "prompt_version": "1.0.0"},
            {"id": "shorter", "name": "shorter", "prompt_name": "support-bot", "prompt_version": "1.1.0"},
        ],
        "metrics": [{"name": "solved", "kind": "binary"},
                    {"name": "handled_seconds", "kind": "latency", "guardrail": {"margin": 0.2, "relative": True}}],
        "target_metric": "solved", "analysis": {"min_duration": "0s", "min_samples": 100, "units_per_day": 120,
                     "counts_from": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 10 * DAY))},
        "metadata": {"simulated": True},
    })
    api.post(f"/api/v1/experiments/{made['id']}/start")
    rng = random.Random(11)
    rows = ["unit,variant,metric,value,at"]
    now = time.time()
    for i in range(1200):
        unit, variant = f"u{i}", ("control", "shorter")[i % 2]
        at = now - (1199 - i) / 1200 * 9 * DAY
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
        solved = int(rng.random() < (0.62 if variant == "control" else 0.72))
        rows.append(f"{unit},{variant},solved,{solved},{stamp}")
        rows.append(f"{unit},{variant},handled_seconds,{rng.lognormvariate(3.4, 0.5):.2f},{stamp}")
    body = ("\n".join(rows) + "\n").encode()
    answer = api.call("POST", f"/api/v1/experiments/{made['id']}/observations/import?source=seed", body, "text/csv")
    draft = {"name": "Warmer tone", "variants": [{"id": "control", "is_control": True}, {"id": "warm"}], "metrics": [{"name": "thumbs_up", "kind": "binary"}]}
    api.post("/api/v1/experiments", draft | {"metadata": {"simulated": True}})
    return answer


def calibrate(api, run, rng):
    """Two people label answers of a run; they agree with its judge on most of them."""
    labels = []
    for result in api.get(f"/api/v1/runs/{run}/results?limit=200")["items"]:
        if result["outcome"]["status"] != "scored" or rng.random() < 0.2:
            continue
        good = (result["outcome"]["scores"]["judge"]["score"] >= 0.7) == (rng.random() < 0.92)
        for rater in ("dana", "lee"):
            labels.append({"sample_id": result["sample_id"], "rater": rater, "score": int(good == (rng.random() < 0.95))})
    api.post("/api/v1/judges/calibrations", {"run": run, "metric": "judge", "labels": labels})


def releases(api, run):
    """One that somebody gave up at the gate, and one that waits for an approval."""
    api.post("/api/v1/deployments/order-desk/deploy", {
        "prompt": "support-bot@1.1.0", "model": "sim/support-small", "reason": "Answers about orders"})
    api.post("/api/v1/releases/support-bot", {"prompt": "support-bot@1.1.0", "model": "sim/support-small"})
    api.post("/api/v1/releases/support-bot/cancel", {"reason": "Refusals fell in the gate"})
    api.post("/api/v1/releases/order-desk", {"manifest_hash": run["spec"]["manifest_id"]})
    time.sleep(0.6)  # the gateway learns of staging
    for i in range(24):
        api.post("/v1/chat/completions", {"model": "order-desk@staging", "messages": [{"role": "user", "content": QUESTIONS[i % 6]}]})
    for _ in range(100):
        if api.post("/api/v1/releases/order-desk/advance")["step"] == "experiment":
            break
        time.sleep(0.1)
    api.post("/api/v1/releases/order-desk/waive", {"step": "experiment", "reason": "Too few users to tell within a month"})


def incidents(api):
    """One that is closed, and one that somebody looks into."""
    done = api.post("/api/v1/incidents", {"deployment": "support-bot", "title": "Refusals are gone since the shorter prompt"})["incident"]
    api.post(f"/api/v1/incidents/{done['id']}/notes", {"text": "Rule 4 was lost in 1.1.0; 1.0.0 answers again."})
    api.post(f"/api/v1/incidents/{done['id']}/close", {"resolution": "Rolled back to 1.0.0."})
    api.post("/api/v1/incidents", {"deployment": "plant-care", "title": "Calls a lily safe for cats"})


def alerts(api, run):
    api.post("/api/v1/alerts", {
        "type": "regression", "severity": "critical", "source": "evaluation", "source_id": run, "metric": "refusal_behavior",
        "message": "refusal_behavior fell below the baseline", "actual_value": 0.61, "threshold": 0.72,
        "metadata": {"simulated": True, "dataset": "golden"}})
    api.post("/api/v1/alerts", {
        "type": "threshold", "severity": "warning", "source": "gateway", "source_id": "support-bot", "metric": "soft_failure_rate",
        "message": "more soft failures than usual on support-bot", "actual_value": 0.041, "threshold": 0.02,
        "metadata": {"simulated": True}})
    done = api.post("/api/v1/alerts", {
        "type": "anomaly", "severity": "info", "source": "evaluation", "metric": "overall",
        "message": "overall drifted and came back", "actual_value": 0.83, "metadata": {"simulated": True}})
    api.post(f"/api/v1/alerts/{done['alert']['id']}/resolve")


def schedules(api):
    for name, when in (("nightly", {"cron": "0 3 * * *"}), ("hourly-smoke", {"every": "1h", "paused": True})):
        api.post("/api/v1/schedules", {
            "name": name, "timezone": "Europe/Berlin", **when,
            "run": {"target": {"name": "support-bot", "prompt": "support-bot", "model": "sim/support-small"},
                    "dataset": "golden", "suite": "default", "scoring": SCORING | {"max_judge_cost": 1.0}}})


def main():
    base, key = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    api = Api(base, key)
    prompts(api)
    made = runs(api)
    deployments(api)
    traffic(api)
    feedback(api)
    canaries(api)
    experiment(api)
    calibrate(api, made[-1]["id"], random.Random(3))
    releases(api, made[0])
    incidents(api)
    alerts(api, made[-1]["id"])
    schedules(api)
    api.post("/api/v1/keys", {"name": "ci", "role": "editor"})
    print(f"seeded {base}")


if __name__ == "__main__":
    main()
