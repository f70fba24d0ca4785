#!/usr/bin/env python3
"""Three servers and two workers on PostgreSQL, killed with -9 all the time: schedules fire once a tick, a large run ends whole.

Every few seconds one process is killed and started again, while schedules fire at every tick and a run of many samples is
worked on. In the end every schedule has fired exactly once for each tick, and the run has every sample exactly once.

usage: replicas.py [--small] [--queue store|redis|both] [--keep]
needs: LLMOPS_TEST_POSTGRES, and LLMOPS_TEST_REDIS for the queue in Redis
"""

import argparse
import datetime
import os
import random
import sys
import time

from stand import Stand, psql, run_request


def moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def make_schedules(stand: Stand, count: int, tick: int) -> None:
    for i in range(count):
        spec = {
            "name": f"every-{i}",
            "cron": f"*/{tick} * * * * *",
            "overlap": "queue",
            "missed": "run_once",
            "run": run_request("small"),
        }
        stand.insist("POST", "/api/v1/schedules", spec)


def harass(stand: Stand, run: str, pause: float, limit: float) -> int:
    """Kills and restarts until the run has ended; answers with the number of kills."""
    kills, started, progress = 0, time.monotonic(), 0
    while time.monotonic() - started < limit:
        time.sleep(pause)
        victim = random.choice(stand.processes)
        victim.kill()
        kills += 1
        present = stand.insist("GET", f"/api/v1/runs/{run}") if len(stand.servers()) > 1 or victim.kind != "serve" else None
        victim.start()
        if present and present["progress"]["done"] != progress:
            progress = present["progress"]["done"]
            print(f"  {kills} kills, {progress} of {present['progress']['total']} samples", flush=True)
        if present and present["status"] not in ("running", "pending"):
            return kills
    sys.exit(f"the run did not end within {limit:.0f} s")


def check_run(stand: Stand, run: str, samples: int) -> None:
    present = stand.insist("GET", f"/api/v1/runs/{run}")
    assert present["status"] == "completed", (present["status"], present.get("error"))
    assert present["progress"]["done"] == samples, present["progress"]
    assert present["results"]["total_samples"] == samples, present["results"]["total_samples"]
    rows = psql(
        stand.database,
        "SELECT COUNT(*), COUNT(DISTINCT (ordinal, trial)), MIN(ordinal), MAX(ordinal), COUNT(passed) FROM results "
        f"WHERE run_key = (SELECT key FROM runs WHERE id = '{run}')",
    )
    assert rows == f"{samples}|{samples}|0|{samples - 1}|{samples}", rows


def check_schedules(stand: Stand, count: int, tick: int) -> int:
    """Every schedule fired once for every tick from its first to its last; answers with the number of firings."""
    total = 0
    runs = set()
    for i in range(count):
        firings = stand.insist("GET", f"/api/v1/schedules/every-{i}/firings?limit=500")["items"]
        wrong = [firing for firing in firings if firing["status"] != "started"]
        assert not wrong, wrong
        times = sorted(moment(firing["fire_at"]) for firing in firings)
        gaps = {(b - a).total_seconds() for a, b in zip(times, times[1:])}
        assert gaps <= {float(tick)}, f"every-{i}: gaps of {gaps} s"
        assert all(time.second % tick == 0 and time.microsecond == 0 for time in times), times
        runs.update(firing["run"] for firing in firings)
        total += len(firings)
    assert len(runs) == total, f"{total} firings and {len(runs)} runs"
    made = psql(stand.database, "SELECT COUNT(*) FROM run_tags WHERE name = 'schedule'")
    assert made == str(total), f"{total} firings made {made} runs"
    odd = psql(
        stand.database,
        "SELECT COUNT(*) FROM runs r JOIN run_tags t ON t.run_key = r.key AND t.name = 'schedule' "
        "WHERE r.status <> 'completed' OR (SELECT COUNT(*) FROM results x WHERE x.run_key = r.key) <> 5",
    )
    assert odd == "0", f"{odd} scheduled runs are not whole"
    return total


def settle(stand: Stand, count: int, limit: float) -> None:
    """Pauses the schedules and waits for what they started."""
    for i in range(count):
        stand.insist("POST", f"/api/v1/schedules/every-{i}/pause")
    started = time.monotonic()
    waiting = "SELECT (SELECT COUNT(*) FROM schedule_firings WHERE status = 'due') + (SELECT COUNT(*) FROM runs WHERE status = 'running')"
    while (left := psql(stand.database, waiting)) != "0":
        if time.monotonic() - started > limit:
            sys.exit(f"{left} firings and runs are not over after {limit:.0f} s")
        time.sleep(0.5)


def story(args: argparse.Namespace, queue: str) -> None:
    small = args.small
    samples, schedules, tick = (1_500, 10, 5) if small else (20_000, 50, 10)
    url = None if queue == "store" else os.environ["LLMOPS_TEST_REDIS"]
    # Each story has a database of Redis to itself.
    url = url and f"{url.rstrip('/')}/{os.environ.get('LLMOPS_TEST_REDIS_DB', '9')}"
    print(f"queue in {'PostgreSQL' if queue == 'store' else 'Redis'}: {samples} samples, {schedules} schedules")
    stand = Stand(os.environ["LLMOPS_TEST_POSTGRES"], url, samples)
    failed = True
    try:
        for kind in ("serve", "serve", "serve", "worker", "worker"):
            stand.add(kind)
        make_schedules(stand, schedules, tick)
        run = stand.insist("POST", "/api/v1/runs", run_request("big"))["id"]
        started = time.monotonic()
        kills = harass(stand, run, 2.0 if small else 5.0, 120 if small else 900)
        took = time.monotonic() - started
        settle(stand, schedules, 60 if small else 180)
        check_run(stand, run, samples)
        firings = check_schedules(stand, schedules, tick)
        assert all(process.stop() == 0 for process in stand.processes), "a process did not stop when asked"
        print(f"  held: {kills} kills in {took:.0f} s, {samples} samples once each, {firings} firings once each")
        failed = False
    finally:
        stand.end(args.keep or failed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--queue", choices=["store", "redis", "both"], default="both")
    parser.add_argument("--keep", action="store_true", help="keep folder and database")
    args = parser.parse_args()
    for queue in ("store", "redis") if args.queue == "both" else (args.queue,):
        story(args, queue)


if __name__ == "__main__":
    main()
