"""How fast observations are recorded and results are answered.

    llmops serve --port 8080 &
    python3 scripts/bench/observations.py http://127.0.0.1:8080 --bulk 200000 --single 20000

Makes an experiment of 4 variants and 5 metrics, records observations in bulk and one by one from 32 connections, and asks for
results. An observation counts when the server has acknowledged it. Needs nothing but Python.
"""

import argparse
import asyncio
import http.client
import json
import os
import random
import time
from urllib.parse import urlsplit

METRICS = [
    {"name": "quality", "kind": "continuous"},
    {"name": "solved", "kind": "binary"},
    {"name": "rating", "kind": "ordinal"},
    {"name": "latency_ms", "kind": "latency"},
    {"name": "cost", "kind": "cost"},
]
VARIANTS = ["control", "a", "b", "c"]


def call(base, method, path, body=None, kind="application/json"):
    connection = http.client.HTTPConnection(base.hostname, base.port, timeout=600)
    headers = {"content-type": kind}
    if key := os.environ.get("LLMOPS_API_KEY"):
        headers["authorization"] = f"Bearer {key}"
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status >= 300:
        raise SystemExit(f"{method} {path}: {answer.status} {text.decode()}")
    return json.loads(text)


def value(metric):
    return {
        "quality": lambda: f"{random.random():.4f}",
        "solved": lambda: str(int(random.random() < 0.6)),
        "rating": lambda: str(random.randint(1, 5)),
        "latency_ms": lambda: f"{random.lognormvariate(6, 0.7):.1f}",
        "cost": lambda: f"{random.expovariate(200):.6f}",
    }[metric]()


def lines(first, units):
    for unit in range(first, first + units):
        variant = VARIANTS[unit % 4]
        for metric in METRICS:
            yield f"u{unit},{variant},{metric['name']},{value(metric['name'])}\n"


def bulk(base, experiment, n, part=200_000):
    taken, unit, done = 0.0, 0, 0
    while done < n:
        units = min(part, n - done) // len(METRICS)
        body = ("unit,variant,metric,value\n" + "".join(lines(unit, units))).encode()
        start = time.perf_counter()
        answer = call(base, "POST", f"/api/v1/experiments/{experiment}/observations/import", body, "text/csv")
        taken += time.perf_counter() - start
        done, unit = done + answer["accepted"], unit + units
        if answer["refused"]:
            raise SystemExit(answer["problems"][:3])
    return done, taken


async def single(base, experiment, n, connections):
    key = os.environ.get("LLMOPS_API_KEY")
    head = f"POST /api/v1/experiments/{experiment}/observations HTTP/1.1\r\nhost: {base.netloc}\r\ncontent-type: application/json\r\n"
    head += f"authorization: Bearer {key}\r\n" if key else ""
    left, waits = iter(range(n)), []

    async def worker(number):
        reader, writer = await asyncio.open_connection(base.hostname, base.port)
        for i in left:
            metric = METRICS[i % 5]["name"]
            body = f'{{"unit":"s{i // 5}","variant":"{VARIANTS[i // 5 % 4]}","metric":"{metric}","value":{value(metric)}}}'
            start = time.perf_counter()
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            waits.append(time.perf_counter() - start)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise SystemExit(body.decode())
        writer.close()

    start = time.perf_counter()
    await asyncio.gather(*(worker(i) for i in range(connections)))
    return time.perf_counter() - start, sorted(waits)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server")
    parser.add_argument("--bulk", type=int, default=200_000)
    parser.add_argument("--single", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=32)
    args = parser.parse_args()
    base = urlsplit(args.server)
    spec = {"name": f"bench-{os.getpid()}", "variants": [{"id": v, "is_control": v == "control", "model_name": f"sim/{v}"} for v in VARIANTS],
            "metrics": METRICS, "target_metric": "solved"}
    experiment = call(base, "POST", "/api/v1/experiments", json.dumps(spec))["id"]
    call(base, "POST", f"/api/v1/experiments/{experiment}/start", "{}")
    done, taken = bulk(base, experiment, args.bulk)
    print(f"bulk: {done} observations in {taken:.1f} s, {done / taken:.0f} a second")
    if args.single:
        taken, waits = asyncio.run(single(base, experiment, args.single, args.connections))
        p = lambda q: waits[int(q * (len(waits) - 1))] * 1000
        print(f"single: {args.single} from {args.connections} connections in {taken:.1f} s, {args.single / taken:.0f} a second, "
              f"p50 {p(0.5):.1f} ms, p99 {p(0.99):.1f} ms")
    times = []
    for _ in range(21):
        start = time.perf_counter()
        result = call(base, "GET", f"/api/v1/experiments/{experiment}/results")
        times.append(time.perf_counter() - start)
    times.sort()
    print(f"results over {result['total_samples']} units: median {times[10] * 1000:.1f} ms, slowest {times[-1] * 1000:.1f} ms")


main()
