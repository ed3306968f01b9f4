"""A server killed with many runs pending: what they cost in memory and on disk, how long it takes to be ready again, and
whether all of them are executed then.

The integration is paused; runs of 1 KiB are posted until so many wait; the server is killed (SIGKILL) and started again on
the same data; the integration is resumed, and the provider counts what arrives. Once with SQLite, once with PostgreSQL.
"""

import argparse
import pathlib
import re
import sqlite3
import time
from dataclasses import dataclass, field

import load
import queues
from instances import PROVIDER_PORT
from processes import Failed, Probe, Process
from queues import JOB_BYTES, OPERATION, TITLES, sql

PORTS = {"causeway-sqlite": 19481, "causeway-postgres": 19483}
DATABASE_PORT = 19485
LOAD_CORE = 1
CALLERS = 64
FILL_SECONDS = 2  # of posting at a time
FILL_LIMIT = 300.0
COUNT_LIMIT = 30.0
KILLS = 3
READY_MS, QUEUED_MIB, OVERHEAD_BYTES = 2000, 64, 1024
PAYLOADS = 3  # times what was sent and came back


@dataclass
class Seen:
    """What was seen of one store."""

    queued: int = 0
    empty_bytes: int = 0
    queued_bytes: int = 0
    finished_bytes: int = 0
    queued_mib: float = 0.0
    resumed_mib: float = 0.0
    ready_ms: list[float] = field(default_factory=list)
    lost: int = 0
    arrived: int = 0
    finish_s: float = 0.0


def measure(folder: pathlib.Path, provider, options: argparse.Namespace) -> int:
    seen = {name: one(name, folder, provider, options.pending) for name in PORTS}
    answer = len(Probe(PROVIDER_PORT, "/echo", "POST", "{}").answer()[1])
    provider.arrived()
    return show(seen, answer)


def one(name: str, folder: pathlib.Path, provider, count: int) -> Seen:
    port, file = PORTS[name], queues.sqlite_file("pending", folder)
    is_sqlite = name == "causeway-sqlite"
    url = queues.sqlite_url("pending", folder) if is_sqlite else queues.postgres_url(DATABASE_PORT)
    command = queues.causeway_on(url, f"pending-{name}", folder, port)
    size = (lambda: file_bytes(file)) if is_sqlite else database_bytes
    seen, running = Seen(), []
    try:
        if not is_sqlite:
            running.append(Process(queues.postgres("pending-db", folder, DATABASE_PORT), queues.CORES, folder))
        running.append(Process(command, queues.CORES, folder))
        seen.empty_bytes = size()
        pause(port + 1, "pause")
        seen.queued = fill(port, count)
        seen.queued_mib = running[-1].rss_mib()
        for _ in range(KILLS):
            running.pop().kill()
            running.append(Process(command, queues.CORES, folder))
            seen.ready_ms.append(running[-1].start_ms)
        seen.resumed_mib = running[-1].rss_mib()
        seen.lost = max(0, seen.queued - depth(port + 1, seen.queued))
        seen.queued_bytes = size()
        before, began = provider.arrived(), time.monotonic()
        pause(port + 1, "resume")
        seen.arrived, last = provider.drained(before, seen.queued)
        seen.finish_s = last - began
        running.pop().stop()
        seen.finished_bytes = size()
        return seen
    finally:
        for process in reversed(running):
            process.stop()


def fill(port: int, count: int) -> int:
    """Posts until so many wait, or no more are taken; how many wait."""
    end, accepted = time.monotonic() + FILL_LIMIT, 0
    while accepted < count and time.monotonic() < end:
        seen = load.post_jobs(f"http://127.0.0.1:{port}{OPERATION}", FILL_SECONDS, LOAD_CORE, CALLERS, JOB_BYTES)
        accepted += seen.requests - seen.errors
        if seen.errors:  # the queue is full
            break
    return depth(port + 1, accepted)


def depth(admin: int, least: int) -> int:
    """How many runs wait, once the server has counted them."""
    end, waiting = time.monotonic() + COUNT_LIMIT, 0
    last = -1
    while time.monotonic() < end and (waiting < least or waiting != last):
        last = waiting
        time.sleep(2.5)  # it counts every two seconds
        body = Probe(admin, "/metrics").answer()[1].decode()
        lines = [line for line in body.splitlines() if line.startswith("causeway_queue_depth{") and 'state="pending"' in line]
        waiting = sum(int(float(line.rsplit(" ", 1)[1])) for line in lines)
    return waiting


def pause(admin: int, verb: str) -> None:
    status, body = queues.post(admin, f"/admin/v1/integrations/upstream/{verb}", {})
    if status != 200:
        raise Failed(f"the integration cannot be told to {verb}: {status} {body[:300]!r}")


def file_bytes(path: pathlib.Path) -> int:
    """The database and its log, once the log has been written into it."""
    connection = sqlite3.connect(path, timeout=10)
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.close()
    return sum(beside.stat().st_size for end in ("", "-wal") if (beside := pathlib.Path(f"{path}{end}")).exists())


def database_bytes() -> int:
    return int(sql(DATABASE_PORT, "CHECKPOINT; SELECT pg_database_size(current_database())").splitlines()[-1])


def show(seen: dict[str, Seen], answer: int) -> int:
    print("\n| killed with runs pending | runs | ready ms | RSS queued MiB | RSS started again MiB | bytes/run queued | bytes/run finished "
          "| all executed in s | lost |\n|---|---|---|---|---|---|---|---|---|")
    from report import spread

    for name, s in seen.items():
        per_run = lambda size: (size - s.empty_bytes) / max(s.queued, 1)
        print(f"| {TITLES[name]} | {s.queued:,} | {spread(s.ready_ms, 0)} | {s.queued_mib:.1f} | {s.resumed_mib:.1f} "
              f"| {per_run(s.queued_bytes):,.0f} | {per_run(s.finished_bytes):,.0f} | {s.finish_s:.1f} | {s.lost} |")
    say = lambda good: "met" if good else "not met"
    print("\n| target | on | measured | verdict |\n|---|---|---|---|")
    status = 0
    for name, s in seen.items():
        on = TITLES[name].removeprefix("Causeway on ")
        per_run = lambda size: (size - s.empty_bytes) / max(s.queued, 1)
        queued, finished = PAYLOADS * JOB_BYTES + OVERHEAD_BYTES, PAYLOADS * (JOB_BYTES + answer) + OVERHEAD_BYTES
        print(f"| ready in < {READY_MS / 1000:.0f} s after kill -9 | {on} | {max(s.ready_ms):,.0f} ms | {say(max(s.ready_ms) < READY_MS)} |")
        print(f"| memory ≤ {QUEUED_MIB} MiB with the runs queued | {on} | {s.queued_mib:.1f} | {say(s.queued_mib <= QUEUED_MIB)} |")
        for what, bound, size in (("queued", queued, s.queued_bytes), ("finished", finished, s.finished_bytes)):
            print(f"| bytes per run that is {what} ≤ {bound:,} | {on} | {per_run(size):,.0f} | {say(per_run(size) <= bound)} |")
        if s.lost or s.arrived < s.queued:
            print(f"\n!!! VOID: {TITLES[name]}: {s.lost} runs were lost and {s.arrived} of {s.queued} calls arrived.")
            status = 1
    return status
