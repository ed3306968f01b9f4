"""What an operation costs as integrations become many, and what a large configuration costs at start and idle.

Causeway with 1, 10, 50 and 200 integrations, each called in turn over the same 64 connections; all of them call the same
provider. Then two configurations that are only started: 50 integrations of ten mapped endpoints (memory), and 50 of
twenty (start-up with 1,000 endpoints).
"""

import pathlib
import statistics
import time

import load
from instances import PROVIDER_PORT, causeway
from processes import Failed, Probe, Process
from report import spread

PORTS = {1: 19441, 10: 19443, 50: 19445, 200: 19447}
CONFIGURED_PORT = 19449
STARTS = 5
FLAT = 1.15  # CPU per operation is read with an error of about that
SCRAPES, SCRAPE_MS = 20, 150
START_MS, IDLE_MIB, BUSY_MIB = 300, 60, 40
PEER_CORE, LOAD_CORE = 0, 1


def measure(folder: pathlib.Path, rounds: int, seconds: int) -> int:
    running: dict[int, Process] = {}
    try:
        for count, port in PORTS.items():
            command = causeway(f"causeway-{count}", folder, port, many(count, 1))
            running[count] = Process(command, PEER_CORE, folder)
        cpu: dict[int, list[float]] = {count: [] for count in PORTS}
        busy: dict[int, float] = {}
        errors = 0
        for number in range(rounds + 1):
            for count, process in running.items():
                before = process.cpu_seconds()
                seen = load.saturate(f"http://127.0.0.1:{PORTS[count]}", seconds, LOAD_CORE, operations(count))
                time.sleep(0.3)  # the log is written after the answer
                if number:  # the first round warms up
                    cpu[count].append((process.cpu_seconds() - before) * 1e6 / max(seen.requests, 1))
                errors += seen.errors
                busy[count] = process.rss_mib()
        status = show(cpu, busy, errors)
        scraped()
    finally:
        for process in reversed(running.values()):
            process.stop()
    configured(folder)
    return status


def scraped() -> None:
    """What a scrape costs a server whose integrations have all been called."""
    print("\n| integrations | scrape ms | series | KiB |\n|---|---|---|---|")
    slowest = 0.0
    for count, port in PORTS.items():
        took, body = [], b""
        for _ in range(SCRAPES):
            began = time.perf_counter()
            status, body = Probe(port + 1, "/metrics").answer()
            took.append((time.perf_counter() - began) * 1000)
            if status != 200:
                raise Failed(f"/metrics of {count} integrations answered {status}")
        series = sum(1 for line in body.splitlines() if line and not line.startswith(b"#"))
        print(f"| {count} | {spread(took, 1)} | {series:,} | {len(body) / 1024:,.0f} |")
        slowest = max(took)
    say = "met" if slowest < SCRAPE_MS else "not met"
    print(f"\nevery scrape < {SCRAPE_MS} ms at 200 integrations (the slowest took {slowest:.1f}): {say}")


def configured(folder: pathlib.Path) -> None:
    print("\n| only configured | start ms | idle MiB |\n|---|---|---|")
    verdicts = []
    for each in (10, 20):
        starts, idle = [], 0.0
        for _ in range(STARTS):
            process = Process(causeway(f"causeway-50-{each}", folder, CONFIGURED_PORT, many(50, each)), PEER_CORE, folder)
            try:
                starts.append(process.start_ms)
                time.sleep(1)
                idle = process.rss_mib()
            finally:
                process.stop()
        print(f"| 50 integrations of {each} mapped endpoints | {spread(starts, 0)} | {idle:.1f} |")
        verdicts.append((idle, statistics.median(starts)))
    say = lambda good: "met" if good else "not met"
    print(f"\nidle with 50 integrations of ten mapped endpoints ≤ {IDLE_MIB} MiB: {say(verdicts[0][0] <= IDLE_MIB)}")
    print(f"start < {START_MS} ms with 1,000 endpoints: {say(verdicts[1][1] < START_MS)}")


def operations(count: int) -> list[str]:
    return [f"/v1/operations/bench.i{number}" for number in range(count)]


def many(count: int, endpoints: int) -> dict[str, str]:
    """`count` integrations of so many endpoints; one alone passes bytes through, several are mapped both ways."""
    made = {}
    for number in range(count):
        text = f'base_url = "http://127.0.0.1:{PROVIDER_PORT}"\n[pool]\nmax_in_flight = 64\nmax_idle = 64\n'
        for endpoint in range(endpoints):
            text += f'[endpoints.e{endpoint}]\nmethod = "POST"\npath = "/echo"\nidempotency = "safe"\n'
            if endpoints > 1:
                text += ("request = '{ body: { amount: .amount, currency: (.currency | ascii_downcase), source: .token, "
                         f"order: .order, kind: \"{endpoint}\" }} }}'\n"
                         "response = '{ id: .body.id, status: .body.status, amount: .body.amount, country: "
                         ".body.customer.country, card: .body.card.last4 }'\n")
        made[f"integrations/i{number}.toml"] = text
        made[f"operations/bench.i{number}.toml"] = f'[[steps]]\nname = "echo"\ncall = "i{number}.e0"\n'
    return made


def show(cpu: dict[int, list[float]], busy: dict[int, float], errors: int) -> int:
    print("\n| integrations | CPU µs/operation | to one | RSS busy MiB |\n|---|---|---|---|")
    ratios = {}
    for count, values in cpu.items():
        ratios[count] = [ours / one for ours, one in zip(values, cpu[1], strict=True)]
        print(f"| {count} | {spread(values, 1)} | {spread(ratios[count], 2)} | {busy[count]:.1f} |")
    if errors:
        print(f"\n!!! VOID: {errors} errors")
        return 1
    say = lambda good: "met" if good else "not met"
    flat = statistics.median(ratios[max(ratios)]) <= FLAT
    print(f"\ncost flat from 1 to 200 integrations (≤ {FLAT} ×): {say(flat)}")
    print(f"memory with ten integrations at 64 connections ≤ {BUSY_MIB} MiB: {say(busy[10] <= BUSY_MIB)}")
    return 0
