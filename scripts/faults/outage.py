#!/usr/bin/env python3
"""PostgreSQL goes away in the middle of a run and of requests, and comes back.

While it is away every request is answered soon, with 503 and Retry-After. Afterwards everything that was acknowledged is
there, and the run goes on by itself and ends whole.

usage: outage.py [--seconds 20] [--keep]
needs: LLMOPS_TEST_POSTGRES, and LLMOPS_TEST_POSTGRES_CTL, a program that takes `stop` and `start`
"""

import argparse
import collections
import os
import subprocess
import sys
import threading
import time

from stand import Stand, run_request
from replicas import check_run

SAMPLES = 6_000


class Traffic:
    """Writes and reads without end, and keeps what came of it."""

    def __init__(self, stand: Stand, lane: int):
        self.stand, self.lane, self.url = stand, lane, stand.servers()[lane % len(stand.servers())].url
        self.told: list[tuple[float, float, str, int, dict]] = []
        self.acknowledged: list[str] = []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        count = 0
        while not self.stopped.is_set():
            count += 1
            name = f"p-{self.lane}-{count}"
            self.note("read", "GET", "/api/v1/runs?limit=5", None)
            body = {"prompt": {"name": name, "version": "1.0.0", "content": "{{ input }}"}}
            if 200 <= self.note("write", "POST", "/api/v1/prompts", body) < 300:
                self.acknowledged.append(name)
            time.sleep(0.05)

    def note(self, kind: str, method: str, path: str, body) -> int:
        begun = time.monotonic()
        status, headers, _ = self.stand.ask(method, path, body, url=self.url)
        self.told.append((begun, time.monotonic() - begun, kind, status, headers))
        return status

    def stop(self) -> None:
        self.stopped.set()
        self.thread.join()


def check_traffic(traffic: list[Traffic], down: tuple[float, float]) -> None:
    told = [one for lane in traffic for one in lane.told]
    statuses = collections.Counter((kind, status) for _, _, kind, status, _ in told)
    during = [one for one in told if down[0] < one[0] < down[1] - 4]
    print(f"  {dict(statuses)}; {len(during)} requests while it was away")
    assert len(during) > 10, "there were requests while it was away"
    for begun, took, kind, status, headers in told:
        assert status in (200, 201, 503), (kind, status)
        assert took < 6, f"a {kind} took {took:.1f} s"
        if status == 503:
            assert int(headers.get("retry-after", headers.get("Retry-After", "0"))) >= 1, headers
    assert all(one[3] == 503 for one in during), collections.Counter(one[3] for one in during)
    after = [one for one in told if one[0] > down[1] + 5]
    assert after and all(one[3] in (200, 201) for one in after), collections.Counter(one[3] for one in after)


def check_writes(stand: Stand, traffic: list[Traffic]) -> int:
    names = [name for lane in traffic for name in lane.acknowledged]
    for name in names:
        status, _, answer = stand.ask("GET", f"/api/v1/prompts/{name}/versions/1.0.0")
        assert status == 200, (name, status, answer)
    return len(names)


def story(args: argparse.Namespace) -> None:
    control = os.environ["LLMOPS_TEST_POSTGRES_CTL"]
    stand = Stand(os.environ["LLMOPS_TEST_POSTGRES"], None, SAMPLES, latency=200)
    failed = True
    try:
        for kind in ("serve", "serve", "worker"):
            stand.add(kind)
        run = stand.insist("POST", "/api/v1/runs", run_request("big"))["id"]
        traffic = [Traffic(stand, lane) for lane in range(4)]
        while stand.insist("GET", f"/api/v1/runs/{run}")["progress"]["done"] < SAMPLES // 10:
            time.sleep(0.2)
        stopped = time.monotonic()
        subprocess.run([control, "stop"], check=True, stdout=subprocess.DEVNULL)
        print(f"  PostgreSQL is away for {args.seconds:.0f} s", flush=True)
        time.sleep(args.seconds)
        back = time.monotonic()
        subprocess.run([control, "start"], check=True, stdout=subprocess.DEVNULL)
        while (present := stand.insist("GET", f"/api/v1/runs/{run}"))["status"] == "running":
            if time.monotonic() - back > 240:
                sys.exit(f"the run did not end: {present['progress']}")
            time.sleep(0.5)
        took = time.monotonic() - back
        time.sleep(max(0.0, 8 - took))
        for lane in traffic:
            lane.stop()
        check_traffic(traffic, (stopped + 1, back))
        check_run(stand, run, SAMPLES)
        writes = check_writes(stand, traffic)
        print(f"  held: the run ended {took:.0f} s after, {SAMPLES} samples once each; {writes} acknowledged writes are there")
        failed = False
    finally:
        stand.end(args.keep or failed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--keep", action="store_true", help="keep folder and database")
    story(parser.parse_args())


if __name__ == "__main__":
    main()
