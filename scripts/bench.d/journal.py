"""What the journal costs a caller that waits: the same endpoint as one that may act (its intent and its end are on disk before
the answer) and as one that only reads (nothing is written down), at the same low rate, in turns.

What the first waits longer is measured in group commits, as the server counts them (`causeway_store_commit_seconds`).
"""

import argparse
import pathlib
import re
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import load
import queues
from durable_report import judge
from processes import Failed, Probe, Process
from queues import OPERATION, TITLES
from report import spread

if TYPE_CHECKING:
    from durable import Provider

PORTS = {"causeway-sqlite": 19451, "causeway-postgres": 19453}
DATABASE_PORT = 19455
OPERATIONS = {"journalled": OPERATION, "safe": "/v1/operations/bench.safe"}
RATE = 200  # operations a second
COMMITS = 2
LEAST_PACED = 0.98
LOAD_CORE = 1


@dataclass
class Seen:
    """What was seen of one operation in each round."""

    p50_us: list[float] = field(default_factory=list)
    p99_us: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    commit_us: list[float] = field(default_factory=list)  # the mean group commit meanwhile
    commits: list[float] = field(default_factory=list)  # per operation
    errors: int = 0


def measure(folder: pathlib.Path, _provider: "Provider", options: argparse.Namespace) -> int:
    status = 0
    for name, port in PORTS.items():
        running = []
        try:
            if name == "causeway-sqlite":
                url = queues.sqlite_url("journal", folder)
            else:
                url = queues.postgres_url(DATABASE_PORT)
                running.append(Process(queues.postgres("journal-db", folder, DATABASE_PORT), queues.CORES, folder))
            running.append(Process(queues.causeway_on(url, f"journal-{name}", folder, port), queues.CORES, folder))
            seen = {operation: Seen() for operation in OPERATIONS}
            for number in range(options.rounds + 1):
                for operation in list(OPERATIONS)[:: 1 if number % 2 else -1]:
                    # The first round warms up.
                    one_round(operation, port, running, seen[operation] if number else Seen(), options.seconds)
            status |= show(name, seen)
        finally:
            for process in reversed(running):
                process.stop()
    return status


def one_round(operation: str, port: int, running: list[Process], seen: Seen, seconds: int) -> None:
    cpu = lambda: sum(process.cpu_seconds() for process in running)
    (count, total), before = committed(port + 1), cpu()
    loaded = load.pace(f"http://127.0.0.1:{port}{OPERATIONS[operation]}", seconds, LOAD_CORE, RATE)
    time.sleep(0.3)  # the log is written after the answer
    seen.cpu_us.append((cpu() - before) * 1e6 / max(loaded.requests, 1))
    after = committed(port + 1)
    seen.commit_us.append((after[1] - total) * 1e6 / max(after[0] - count, 1))
    seen.commits.append((after[0] - count) / max(loaded.requests, 1))
    seen.p50_us.append(loaded.p50_us)
    seen.p99_us.append(loaded.p99_us)
    seen.errors += loaded.errors + (loaded.rate < LEAST_PACED * RATE)


def committed(admin: int) -> tuple[int, float]:
    """How many groups have been committed, and how long all of them took."""
    body = Probe(admin, "/metrics").answer()[1].decode()
    line = r"^causeway_store_commit_seconds_%s(?:\{[^}]*\})? (\S+)$"
    found = [re.search(line % what, body, re.M) for what in ("count", "sum")]
    if not all(found):
        raise Failed("the server does not tell its commits (causeway_store_commit_seconds)")
    return int(float(found[0].group(1))), float(found[1].group(1))


def show(name: str, seen: dict[str, Seen]) -> int:
    print(f"\n| {TITLES[name]}, a caller waits, {RATE}/s | p50 µs | p99 µs | CPU µs/operation | group commits/operation "
          "| mean group commit µs |\n|---|---|---|---|---|---|")
    for operation, s in seen.items():
        print(f"| {operation} | {spread(s.p50_us, 0)} | {spread(s.p99_us, 0)} | {spread(s.cpu_us, 0)} | {spread(s.commits, 2)} "
              f"| {spread(s.commit_us, 0)} |")
    journalled, safe = seen["journalled"], seen["safe"]
    waited = [mine - others for mine, others in zip(journalled.p50_us, safe.p50_us, strict=True)]
    in_commits = [wait / commit for wait, commit in zip(waited, journalled.commit_us, strict=True)]
    if errors := journalled.errors + safe.errors:
        print(f"!!! VOID: {errors} errors, or the rate was not reached")
        return 1
    commits = [mine - others for mine, others in zip(journalled.commits, safe.commits, strict=True)]
    print(f"\nThe journal is {spread(commits, 2)} group commits of an operation, and costs {spread(waited, 0)} µs of waiting (p50) and "
          f"{statistics.median(journalled.cpu_us) - statistics.median(safe.cpu_us):.0f} µs of CPU: "
          f"as long as {spread(in_commits, 2)} group commits; ≤ {COMMITS}: {judge(in_commits, COMMITS, noise_of=[journalled.p50_us, safe.p50_us])}")
    return 0
