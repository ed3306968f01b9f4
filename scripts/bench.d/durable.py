"""The durable path beside its peers: docs/performance.md says what is to be reached.

A job is 1 KiB, is on disk before it is answered 202, and is one HTTP call to the provider (nginx), which counts what arrives.
The peers take turns in short rounds, so that a noisy minute falls on all of them. A round posts jobs from 64 connections for
some seconds and waits until all have arrived; then the same from 512. What counts is the median, and for a target the median
of the ratios taken round by round. The figure to steer by is CPU time per job, of all processes that a peer consists of.
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

import disk
import durable_report as report
import journal
import load
import pending
from instances import nginx
from processes import Failed, Probe, Process
from queues import JOB_BYTES, PORTS, Peer

PROVIDER_PORT = 19401
LOAD_CORE = 1
CALLERS = (64, 512)
PARTS = {"journal": journal.measure, "pending": pending.measure}
WARM_UP_SECONDS = 2
DRAIN_LIMIT = 120.0  # seconds until all that was accepted has arrived
LOOK = 0.02  # seconds between looks at what has arrived
QUIET = 0.6  # seconds without an arrival after which none is expected


@dataclass
class Round:
    """What was seen of one peer in each round with so many callers."""

    accepted: list[float] = field(default_factory=list)  # a second
    p50_us: list[float] = field(default_factory=list)
    p99_us: list[float] = field(default_factory=list)
    delivered: list[float] = field(default_factory=list)  # a second, from the first post to the last arrival
    cpu_us: list[float] = field(default_factory=list)  # per job
    written_kib: list[float] = field(default_factory=list)  # to disk, logs and databases, per job


@dataclass
class Measured:
    """All that was seen of one peer."""

    by_callers: dict[int, Round] = field(default_factory=lambda: {callers: Round() for callers in CALLERS})
    busy_mib: float = 0.0
    faults: list[str] = field(default_factory=list)


class Provider:
    """The provider, which counts."""

    def __init__(self, folder: pathlib.Path):
        self.process = Process(nginx("upstream", PROVIDER_PORT), LOAD_CORE, folder)
        self._looks = 0

    def arrived(self) -> int:
        """How many requests have come in, but for those that asked this."""
        status, body = Probe(PROVIDER_PORT, "/_arrived").answer()
        numbers = re.search(rb"\n\s*(\d+)\s+(\d+)\s+(\d+)\s*\n", body)
        if status != 200 or numbers is None:
            raise Failed(f"the provider does not count: status {status}, {body[:200]!r}")
        self._looks += 1
        return int(numbers.group(3)) - self._looks

    def drained(self, before: int, expected: int) -> tuple[int, float]:
        """How many have arrived since there were so many before, and when the last one did: it waits until at least as many
        have as are expected and no more come."""
        arrived, last, end = before, time.monotonic(), time.monotonic() + DRAIN_LIMIT
        while (now := time.monotonic()) < end and (arrived - before < expected or now - last < QUIET):
            if (count := self.arrived()) != arrived:
                arrived, last = count, time.monotonic()
            time.sleep(LOOK)
        return arrived - before, last


def main() -> int:
    options = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    if len(os.sched_getaffinity(0)) < 2:
        raise Failed("two cores are needed")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="causeway-bench-", dir=options.dir))
    folder.chmod(0o711)  # PostgreSQL's server is another user where this is root
    provider, running = None, {}
    try:
        require_disk(folder)
        load1 = os.getloadavg()[0]
        provider = Provider(folder)
        measured = {name: Measured() for name in options.only}
        for name in options.only:
            say(f"starting {name}")
            running[name] = Peer(name, folder)
        syncs = disk.Syncs()
        if options.only:
            rounds(options, provider, running, measured, syncs, folder)
        for name in reversed(options.only):
            running.pop(name).stop()
        status = report.show(measured, syncs, load1, options.rounds, options.seconds) if options.only else 0
        for part in options.parts:
            sys.stdout.flush()
            say(f"{part} …")
            status |= PARTS[part](folder, provider, options)
        return status
    finally:
        for peer in reversed(running.values()):
            peer.stop()
        if provider is not None:
            provider.process.stop()
        shutil.rmtree(folder, ignore_errors=True)


def parse(argv: list[str]) -> argparse.Namespace:
    def some_of(known: dict, what: str):
        def names(text: str) -> list[str]:
            asked = [name for name in text.split(",") if name]
            if unknown := [name for name in asked if name not in known]:
                raise argparse.ArgumentTypeError(f"no such {what}: {', '.join(unknown)}. Known: {', '.join(known)}")
            return [name for name in known if name in asked]

        return names

    def positive(text: str) -> int:
        if (value := int(text)) < 1:
            raise argparse.ArgumentTypeError("at least 1")
        return value

    parser = argparse.ArgumentParser(prog="scripts/bench durable", description="Measures the durable path.")
    parser.add_argument("--rounds", type=positive, default=5, help="rounds per peer (default 5)")
    parser.add_argument("--seconds", type=positive, default=5, help="length of a round's load (default 5)")
    parser.add_argument("--only", type=some_of(PORTS, "peer"), default=list(PORTS), metavar="PEER,…",
                        help=f"of {', '.join(PORTS)} (default: all; '' for none)")
    parser.add_argument("--parts", type=some_of(PARTS, "part"), default=list(PARTS), metavar="PART,…",
                        help=f"after them, of {', '.join(PARTS)} (default: all; '' for none)")
    parser.add_argument("--pending", type=positive, default=100_000, help="runs that wait when it is killed (default 100000)")
    parser.add_argument("--dir", default=tempfile.gettempdir(), help="where the data are, on the disk that is measured")
    return parser.parse_args(argv)


def require_disk(folder: pathlib.Path) -> None:
    kind = subprocess.run(["stat", "-f", "-c", "%T", str(folder)], check=True, capture_output=True, text=True).stdout.strip()
    if kind in ("tmpfs", "ramfs"):
        raise Failed(f"{folder} is in memory ({kind}): nothing is durable there. Give a directory on a disk with --dir")


def rounds(options: argparse.Namespace, provider: Provider, running: dict[str, Peer], measured: dict[str, Measured],
           syncs: disk.Syncs, folder: pathlib.Path) -> None:
    for name, peer in running.items():
        before = provider.arrived()
        peer.check()
        if (calls := provider.drained(before, 1)[0]) != 1:
            raise Failed(f"{name} was given one job, and its provider got {calls} calls")
        before = provider.arrived()
        warm_up = load.post_jobs(peer.url, WARM_UP_SECONDS, LOAD_CORE, CALLERS[0], JOB_BYTES)
        provider.drained(before, warm_up.requests - warm_up.errors)
        if warm_up.errors:
            say(f"{name}: {warm_up.errors} errors while it warmed up")
        peer.empty_logs()
    for number in range(options.rounds):
        syncs.measure(folder)
        for name in turn(options.only, number):
            for callers in CALLERS:
                say(f"round {number + 1}/{options.rounds}: {name}, {callers} callers")
                one_round(running[name], measured[name], provider, callers, options.seconds)


def turn(names: list[str], number: int) -> list[str]:
    """The order of a round: each begins with another peer, so that none always follows the same one."""
    first = number % len(names) if names else 0
    return names[first:] + names[:first]


def one_round(peer: Peer, measured: Measured, provider: Provider, callers: int, seconds: int) -> None:
    before, cpu, written, began = provider.arrived(), peer.cpu_seconds(), peer.written_bytes(), time.monotonic()
    seen = load.post_jobs(peer.url, seconds, LOAD_CORE, callers, JOB_BYTES)
    measured.busy_mib = max(measured.busy_mib, peer.memory_mib())
    arrived, last = provider.drained(before, seen.requests)
    cpu = peer.cpu_seconds() - cpu  # what it does after the last call belongs to the jobs, too
    written = peer.written_bytes() - written
    peer.empty_logs()
    if seen.errors or not seen.requests:
        measured.faults.append(f"{seen.errors} errors of {seen.requests} posts of {callers} callers")
    # What was under way when the load ended may have been accepted.
    elif not seen.requests <= arrived <= seen.requests + callers:
        measured.faults.append(f"{seen.requests} jobs were accepted and {arrived} calls arrived ({callers} callers)")
    into = measured.by_callers[callers]
    into.accepted.append(seen.rate)
    into.p50_us.append(seen.p50_us)
    into.p99_us.append(seen.p99_us)
    into.delivered.append(arrived / (last - began))
    into.cpu_us.append(cpu * 1e6 / max(arrived, 1))
    into.written_kib.append(written / 1024 / max(arrived, 1))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        sys.exit(f"bench: {error}")
