#!/usr/bin/env python3
"""Fills a store with a million request records, 2,000 runs and 300 prompt versions, and measures every page's data.

    python3 scripts/bench/dashboard.py BINARY [RECORDS]

The store is SQLite: a server is seeded through its API by scripts/seed_dashboard.py, stopped, and its rows are multiplied
in the file. Then each request that a page makes is sent ten times; the slowest but one must stay below 300 ms.
"""

import json
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LIMIT_MS = 300
RUNS, VERSIONS, DAYS = 2_000, 300, 14
PORT = 18391
BASE = f"http://127.0.0.1:{PORT}"


def serve(binary, folder):
    log = (folder / "log").open("a")
    server = subprocess.Popen([binary, "serve", "--dev", "--listen", f"127.0.0.1:{PORT}"], cwd=folder, stderr=log)
    for _ in range(400):
        try:
            urllib.request.urlopen(f"{BASE}/readyz", timeout=2).read()
            return server
        except OSError:
            if server.poll() is not None:
                raise SystemExit((folder / "log").read_text())
            time.sleep(0.05)
    raise SystemExit("the server does not answer")


def stop(server):
    server.terminate()
    server.wait(30)


def get(path):
    with urllib.request.urlopen(BASE + path, timeout=60) as answer:
        return answer.read()


def multiply(path, records):
    store = sqlite3.connect(path)
    store.execute("PRAGMA journal_mode = WAL")
    store.execute("PRAGMA synchronous = OFF")
    now = int(time.time() * 1e6)
    numbers = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {} - 1)"

    print(f"  {RUNS} runs")
    run = store.execute("SELECT id, document, results FROM runs WHERE status = 'completed' ORDER BY key LIMIT 1").fetchone()
    columns = "project_id, dataset, prompt_name, model_name, suite, status, error, repeat, total, done, errored, cost, start_time, end_time"
    store.execute(
        f"{numbers.format(RUNS)} INSERT INTO runs ({columns}, id, created_at, document, results) "
        f"SELECT {columns}, 'run_00' || printf('%016d', i), ?1 - ({RUNS} - i) * 604800000, "
        "replace(document, ?2, 'run_00' || printf('%016d', i)), results FROM n, runs WHERE id = ?2",
        (now, run[0]),
    )
    print(f"  {VERSIONS} prompt versions")
    store.execute(
        f"{numbers.format(VERSIONS)} INSERT INTO prompt_versions "
        "(project_id, name, version, hash, status, is_active, created_at, document) "
        "SELECT project_id, name, '3.0.' || i, printf('%064x', i), status, 0, ?1 - i * 3600000000, "
        "replace(replace(document, version, '3.0.' || i), hash, printf('%064x', i)) "
        "FROM n, prompt_versions WHERE name = 'support-bot' AND version = '1.0.0'",
        (now,),
    )
    print(f"  {records} request records")
    sources = store.execute("SELECT id, deployment, environment, model, outcome, soft_failures, document, project_id FROM request_records").fetchall()
    step = DAYS * 86_400_000_000 // records

    def rows():
        for i in range(records):
            id, deployment, environment, model, outcome, soft, document, project = sources[i % len(sources)]
            at = now - DAYS * 86_400_000_000 + i * step
            fresh = f"req_00{i:016d}"
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at // 1_000_000)) + "Z"
            body = json.loads(document) | {"id": fresh, "at": stamp}
            yield project, fresh, at, deployment, environment, None, model, outcome, f"user-{i % 5000}", None, soft, json.dumps(body)

    store.executemany(
        "INSERT INTO request_records (project_id, id, at, deployment, environment, manifest, model, outcome, user_id, session, "
        "soft_failures, document) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", rows())
    key = "project_id, at / 3600000000, COALESCE(deployment, ''), COALESCE(environment, '')"
    store.execute("DELETE FROM traffic_hours")
    store.execute("DELETE FROM traffic_latencies")
    failed = "SUM(outcome NOT IN ('ok', 'cancelled', 'refused'))"
    store.execute(
        f"INSERT INTO traffic_hours SELECT {key}, COUNT(*), {failed}, SUM(soft_failures > 0), "
        "SUM(document ->> '$.cost' IS NOT NULL), COALESCE(SUM(document ->> '$.cost'), 0), "
        "SUM(document ->> '$.usage.prompt_tokens'), SUM(document ->> '$.usage.completion_tokens') "
        "FROM request_records GROUP BY 1, 2, 3, 4"
    )
    # Twenty classes an hour, as many as calls of one kind have.
    store.execute(f"INSERT INTO traffic_latencies SELECT {key}, rowid_of % 20 + 100, COUNT(*) FROM "
                  "(SELECT *, CAST(substr(id, -6) AS INTEGER) AS rowid_of FROM request_records) GROUP BY 1, 2, 3, 4, 5")
    store.commit()
    store.close()


def paths():
    runs = json.loads(get("/api/v1/runs?limit=3&status=completed"))["items"]
    one, other = runs[0]["id"], runs[-1]["id"]
    experiment = json.loads(get("/api/v1/experiments?status=running"))["items"][0]["id"]
    record = json.loads(get("/api/v1/records?limit=1"))["items"][0]["id"]
    manifest = json.loads(get("/api/v1/deployments"))["items"][0]["manifest"]
    return [
        "/api/v1/overview", "/api/v1/quality?days=365", "/api/v1/quality?days=30", "/api/v1/runs?limit=40",
        "/api/v1/runs?limit=40&status=failed", "/api/v1/runs?limit=40&model=nobody/none", f"/api/v1/runs/{one}",
        f"/api/v1/runs/{one}/distribution", f"/api/v1/runs/{one}/results?limit=50", f"/api/v1/runs/{one}/compare/{other}",
        "/api/v1/prompts?limit=200", "/api/v1/prompts/support-bot/versions",
        "/api/v1/prompts/support-bot/compare?from=1.0.0&to=1.1.0", "/api/v1/datasets?limit=100", "/api/v1/datasets/golden/versions",
        "/api/v1/experiments?limit=50", f"/api/v1/experiments/{experiment}", f"/api/v1/experiments/{experiment}/results",
        "/api/v1/deployments?limit=200", "/api/v1/deployments/support-bot/history", f"/api/v1/manifests/{manifest}",
        "/api/v1/traffic?hours=24", "/api/v1/traffic?hours=720", "/api/v1/records?limit=50",
        *(f"/api/v1/records?limit=50&{filter}" for filter in (
            "soft_failed=true", "user=user-17", "user=nobody", "session=none", "deployment=none", "model=none/none",
            "outcome=upstream_error")),
        f"/api/v1/records/{record}",
        "/api/v1/alerts?limit=50", "/api/v1/schedules?limit=200", "/api/v1/providers", "/api/v1/keys?limit=100",
        "/api/v1/audit?limit=50", "/api/v1/baselines", "/api/v1/channels",
    ]


def main():
    binary = str(pathlib.Path(sys.argv[1]).resolve())
    records = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    folder = pathlib.Path(tempfile.mkdtemp(prefix="llmops-dashboard-"))
    try:
        shutil.copytree(ROOT / "examples" / "support-bot", folder, dirs_exist_ok=True)
        server = serve(binary, folder)
        subprocess.run([sys.executable, ROOT / "scripts" / "seed_dashboard.py", BASE], check=True)
        stop(server)
        multiply(next(folder.glob(".llmops/*.db")), records)
        server = serve(binary, folder)
        slow = []
        for path in paths():
            took = []
            for _ in range(10):
                began = time.perf_counter()
                size = len(get(path))
                took.append((time.perf_counter() - began) * 1e3)
            took.sort()
            print(f"{took[len(took) // 2]:8.1f} ms median {took[-2]:8.1f} ms slowest but one {size / 1e3:9.1f} kB  {path}")
            if took[-2] > LIMIT_MS:
                slow.append(path)
        stop(server)
        if slow:
            raise SystemExit(f"slower than {LIMIT_MS} ms: {', '.join(slow)}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
