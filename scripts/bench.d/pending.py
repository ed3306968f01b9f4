"""A server killed with many runs pending: what they cost in memory and on disk, how long it takes to be ready again, and
whether all of them are executed then.

The integration is paused; runs of 1 KiB are posted until so many wait; the server is killed (SIGKILL) and started again on
the same data; the integration is resumed, and the provider counts what arrives. Once with SQLite, once with PostgreSQL.
"""

import argparse
import pathlib
import sqlite3
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import load
import queues
from instances import PROVIDER_PORT
from processes import Failed, Probe, Process
from queues import JOB_BYTES, OPERATION, TITLES, sql
from report import spread

if TYPE_CHECKING:
    from durable import Provider

PORTS = {"causeway-sqlite": 19481, "causeway-postgres": 19483}
DATABASE_PORT = 19485
LOAD_CORE = 1
CALLERS = 64
FILL_SECONDS = 2  # of posting at a time
FILL_LIMIT = 300.0
COUNT_LIMIT = 30.0
CLEAR_LIMIT = 150.0
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
    is_cleared: bool = True
    queued_mib: float = 0.0
    resumed_mib: float = 0.0
    ready_ms: list[float] = field(default_factory=list)
    lost: int = 0
    arrived: int = 0
    finish_s: float = 0.0

    def per_run(self, size: int) -> float:
        return (size - self.empty_bytes) / max(self.queued, 1)


def measure(folder: pathlib.Path, provider: "Provider", options: argparse.Namespace) -> int:
    answer = len(Probe(PROVIDER_PORT, "/echo", "POST", "{}").answer()[1])
    return show({name: one(name, folder, provider, options.pending) for name in PORTS}, answer)


def one(name: str, folder: pathlib.Path, provider: "Provider", count: int) -> Seen:
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
        if not is_sqlite:
            seen.is_cleared = cleared()
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


def cleared() -> bool:
    """Whether PostgreSQL has cleared away by itself what rows have left in the tables where runs wait: it looks once a minute."""
    left = ("SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables WHERE schemaname = 'causeway' "
            "AND relname IN ('queue', 'progress') AND (n_dead_tup > 1000 OR n_live_tup > 1000)")
    end = time.monotonic() + CLEAR_LIMIT
    while time.monotonic() < end:
        if not sql(DATABASE_PORT, left):
            return True
        time.sleep(1)
    return False


def database_bytes() -> int:
    return int(sql(DATABASE_PORT, "CHECKPOINT; SELECT pg_database_size(current_database())").splitlines()[-1])


def show(seen: dict[str, Seen], answer: int) -> int:
    print("\n| killed with runs pending | runs | ready ms | RSS queued MiB | RSS started again MiB | bytes/run queued "
          "| bytes/run finished | all executed in s | lost |\n|---|---|---|---|---|---|---|---|---|")
    for name, s in seen.items():
        print(f"| {TITLES[name]} | {s.queued:,} | {spread(s.ready_ms, 0)} | {s.queued_mib:.1f} | {s.resumed_mib:.1f} "
              f"| {s.per_run(s.queued_bytes):,.0f} | {s.per_run(s.finished_bytes):,.0f} | {s.finish_s:.1f} | {s.lost} |")
    print("\n| target | on | measured | verdict |\n|---|---|---|---|")
    status = 0
    for name, s in seen.items():
        for text, measured, good in judged(s, answer):
            print(f"| {text} | {TITLES[name].removeprefix('Causeway on ')} | {measured} | {'met' if good else 'not met'} |")
    for name, s in seen.items():
        if not s.is_cleared:
            print(f"\n{TITLES[name]}: what waited was not cleared away in {CLEAR_LIMIT:.0f} s; its room is in the bytes.")
        if s.lost or s.arrived < s.queued:
            print(f"\n!!! {TITLES[name]}: {s.lost} runs were lost, and {s.arrived} of {s.queued} calls arrived.")
            status = 1
    return status


def judged(s: Seen, answer: int) -> list[tuple[str, str, bool]]:
    """The targets: what each is about, what was measured, and whether it was reached."""
    queued, finished = (PAYLOADS * size + OVERHEAD_BYTES for size in (JOB_BYTES, JOB_BYTES + answer))
    slowest, on_queue, at_end = max(s.ready_ms), s.per_run(s.queued_bytes), s.per_run(s.finished_bytes)
    return [
        (f"ready in < {READY_MS / 1000:.0f} s after kill -9", f"{slowest:,.0f} ms", slowest < READY_MS),
        (f"memory ≤ {QUEUED_MIB} MiB with the runs queued", f"{s.queued_mib:.1f}", s.queued_mib <= QUEUED_MIB),
        (f"bytes per run that is queued ≤ {queued:,}", f"{on_queue:,.0f}", on_queue <= queued),
        (f"bytes per run that is finished ≤ {finished:,}", f"{at_end:,.0f}", at_end <= finished),
    ]
