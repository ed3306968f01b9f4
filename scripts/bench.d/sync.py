"""The synchronous path beside its peers: docs/performance.md says what is to be reached.

Every peer runs on core 0; the provider (nginx) and the load generator share core 1. The peers take turns in short
rounds, so that a noisy minute falls on all of them; what counts is the median, and for a target the median of the
ratios taken round by round. The figure to steer by is CPU time per operation.
"""

import argparse
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field

import aggregate
import growth
import hanging
import load
import report
from instances import ROOT, build, nginx
from processes import Command, Failed, Probe, Process

HERE = pathlib.Path(__file__).parent
PEER_CORE, LOAD_CORE = 0, 1
OPERATION = "/v1/operations/bench.echo"
OPERATIONS = {"causeway-mapped": "/v1/operations/bench.mapped"}  # all others run OPERATION
PROVIDER_PORT = 19401
PROVIDER_ID = b"pay_3Qk8LmZ0vXcT1aRb"  # in the provider's answer: a peer that passes it on really called it
PORTS = {"nginx": 19402, "envoy": 19403, "naive": 19404, "causeway": 19405, "causeway-quiet": 19407,
         "causeway-mapped": 19409}
ADMIN_PORTS = {"causeway": 19406, "causeway-quiet": 19408, "causeway-mapped": 19410}
# The file to which a peer writes a line per request.
LOGS = {"envoy": "envoy-access.log", "causeway": "causeway.out", "causeway-mapped": "causeway-mapped.out"}
# What is measured after the peers, each in its own file.
PARTS = {"aggregate": aggregate.measure, "hanging": hanging.measure, "growth": growth.measure}
PACED = ["naive", "causeway"]
STARTS = 5
IDLE_SECONDS = 2
WARM_UP_SECONDS = 2
SETTLE_LIMIT = 5.0


@dataclass
class Measured:
    """All that was seen of one peer."""

    start_ms: list[float] = field(default_factory=list)
    idle_mib: float = 0.0
    busy_mib: float = 0.0
    rps: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    p50_us: list[float] = field(default_factory=list)
    p99_us: list[float] = field(default_factory=list)
    logged: list[float] = field(default_factory=list)  # lines per request
    errors: int = 0
    paced_rate: list[float] = field(default_factory=list)
    paced_p50_us: list[float] = field(default_factory=list)
    paced_p99_us: list[float] = field(default_factory=list)
    paced_errors: int = 0


def main() -> int:
    options = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    if len(os.sched_getaffinity(0)) < 2:
        raise Failed("two cores are needed: one for the peer, one for the provider and the load")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="causeway-bench-"))
    running: dict[str, Process] = {}
    try:
        commands = {name: command(name, folder) for name in options.only}
        load1 = os.getloadavg()[0]
        os.sched_setaffinity(0, {LOAD_CORE})
        provider = Process(nginx("upstream", PROVIDER_PORT), LOAD_CORE, folder)
        running["provider"] = provider
        measured = {name: Measured() for name in options.only}
        for name in options.only:
            running[name] = start(commands[name], measured[name], folder)
        if options.only:
            rounds(options, running, measured, folder)
        for name in reversed(options.only):
            running.pop(name).stop()
        status = report.show(measured, load1, options.rounds, options.seconds) if options.only else 0
        for part in options.parts:
            say(f"{part} …")
            status |= PARTS[part](folder, options.rounds, options.seconds)
        return status
    finally:
        for process in reversed(running.values()):
            process.stop()
        shutil.rmtree(folder, ignore_errors=True)


def parse(argv: list[str]) -> argparse.Namespace:
    def peers(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        if unknown := [name for name in names if name not in PORTS]:
            raise argparse.ArgumentTypeError(f"no such peer: {', '.join(unknown)}. Known: {', '.join(PORTS)}")
        return [name for name in PORTS if name in names]

    def parts(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        if unknown := [name for name in names if name not in PARTS]:
            raise argparse.ArgumentTypeError(f"no such part: {', '.join(unknown)}. Known: {', '.join(PARTS)}")
        return [name for name in PARTS if name in names]

    def positive(text: str) -> int:
        if (value := int(text)) < 1:
            raise argparse.ArgumentTypeError("at least 1")
        return value

    parser = argparse.ArgumentParser(prog="scripts/bench sync", description="Measures the synchronous path.")
    parser.add_argument("--rounds", type=positive, default=5, help="rounds per peer (default 5)")
    parser.add_argument("--seconds", type=positive, default=5, help="length of a round (default 5)")
    parser.add_argument("--only", type=peers, default=list(PORTS), metavar="PEER,…",
                        help=f"of {', '.join(PORTS)} (default: all; '' for none)")
    parser.add_argument("--parts", type=parts, default=list(PARTS), metavar="PART,…",
                        help=f"after them, of {', '.join(PARTS)} (default: all; '' for none)")
    return parser.parse_args(argv)


def command(name: str, folder: pathlib.Path) -> Command:
    """How to start a peer; builds or writes first what that needs."""
    ready = Probe(PORTS[name], operation(name), "POST", load.body())
    match name:
        case "nginx":
            return nginx("proxy", PORTS[name])
        case "envoy":
            binary = next(ROOT.glob(".peers/bench/lib/python3*/site-packages/envoy/_bin/envoy"), None)
            if binary is None:
                raise Failed("Envoy is not installed: run scripts/peers bench")
            argv = [str(binary), "-c", str(HERE / "envoy.yaml"), "--concurrency", "1", "--log-level", "warning",
                    "--disable-hot-restart"]
            return Command(name, argv, ready)
        case "naive":
            binary = build(ROOT / "benches/naive/Cargo.toml", "naive")
            env = {"UPSTREAM": f"http://127.0.0.1:{PROVIDER_PORT}/echo"}
            return Command(name, [str(binary), f"127.0.0.1:{PORTS[name]}", "1"], ready, env)
        case _:
            binary = build(ROOT / "Cargo.toml", "causeway")
            argv = [str(binary), "serve", "--config", str(causeway_config(name, folder))]
            return Command(name, argv, Probe(ADMIN_PORTS[name], "/livez"))


def causeway_config(name: str, folder: pathlib.Path) -> pathlib.Path:
    """The configuration in scripts/bench.d/causeway, with the ports of this instance and, for the quiet one, the
    attempt log of successes sampled off."""
    config = folder / f"{name}-config"
    shutil.copytree(HERE / "causeway", config)
    changes = {f":{PORTS['causeway']}\"": f":{PORTS[name]}\"", f":{ADMIN_PORTS['causeway']}\"": f":{ADMIN_PORTS[name]}\""}
    if name == "causeway-quiet":
        changes["sample_success = 1.0"] = "sample_success = 0.0"
    text = (config / "causeway.toml").read_text()
    for before, after in changes.items():
        if text.count(before) != 1:
            raise Failed(f"scripts/bench.d/causeway/causeway.toml should hold {before!r} once")
        text = text.replace(before, after)
    (config / "causeway.toml").write_text(text)
    return config


def start(how: Command, measured: Measured, folder: pathlib.Path) -> Process:
    """Starts the peer several times for the start-up time; the last start stays."""
    for _ in range(STARTS - 1):
        process = Process(how, PEER_CORE, folder)
        measured.start_ms.append(process.start_ms)
        process.stop()
    process = Process(how, PEER_CORE, folder)
    measured.start_ms.append(process.start_ms)
    time.sleep(IDLE_SECONDS)
    measured.idle_mib = process.rss_mib()
    return process


def rounds(options: argparse.Namespace, running: dict[str, Process], measured: dict[str, Measured],
           folder: pathlib.Path) -> None:
    for name in options.only:
        check_answer(name)
        load.saturate(url(name), WARM_UP_SECONDS, LOAD_CORE)
        empty_log(name, folder)
    for number in range(options.rounds):
        for name in turn(options.only, number):
            say(f"round {number + 1}/{options.rounds}: {name}")
            saturated_round(name, running[name], measured[name], options.seconds, folder)
    paced = [name for name in options.only if name in PACED]
    for number in range(options.rounds):
        for name in turn(paced, number):
            say(f"{report.PACED_RATE}/s, round {number + 1}/{options.rounds}: {name}")
            paced_round(name, measured[name], options.seconds, folder)


def turn(names: list[str], number: int) -> list[str]:
    """The order of a round: each begins with another peer, so that none always follows the same one."""
    first = number % len(names) if names else 0
    return names[first:] + names[:first]


def saturated_round(name: str, process: Process, measured: Measured, seconds: int, folder: pathlib.Path) -> None:
    before = process.cpu_seconds()
    seen = load.saturate(url(name), seconds, LOAD_CORE)
    settle(name, folder)  # work put off until after the answer belongs to the operation too
    cpu = process.cpu_seconds() - before
    measured.busy_mib = max(measured.busy_mib, process.rss_mib())
    measured.errors += seen.errors
    if seen.requests:
        measured.rps.append(seen.rate)
        measured.cpu_us.append(cpu * 1e6 / seen.requests)
        measured.p50_us.append(seen.p50_us)
        measured.p99_us.append(seen.p99_us)
        if name in LOGS:
            measured.logged.append(lines(folder / LOGS[name]) / seen.requests)
    else:
        measured.errors += 1
    empty_log(name, folder)


def paced_round(name: str, measured: Measured, seconds: int, folder: pathlib.Path) -> None:
    seen = load.pace(url(name), seconds, LOAD_CORE, report.PACED_RATE)
    measured.paced_rate.append(seen.rate)
    measured.paced_p50_us.append(seen.p50_us)
    measured.paced_p99_us.append(seen.p99_us)
    measured.paced_errors += seen.errors
    settle(name, folder)
    empty_log(name, folder)


def check_answer(name: str) -> None:
    status, body = Probe(PORTS[name], operation(name), "POST", load.body()).answer()
    if status != 200 or PROVIDER_ID not in body:
        raise Failed(f"{name} does not pass the provider's answer on: status {status}, {body[:500]!r}")


def settle(name: str, folder: pathlib.Path) -> None:
    """Waits until the peer's log has stopped growing."""
    time.sleep(0.1)
    if name not in LOGS:
        return
    log, size, end = folder / LOGS[name], -1, time.monotonic() + SETTLE_LIMIT
    while log.stat().st_size != size and time.monotonic() < end:
        size = log.stat().st_size
        time.sleep(0.1)


def lines(path: pathlib.Path) -> int:
    with open(path, "rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


def empty_log(name: str, folder: pathlib.Path) -> None:
    if name in LOGS:
        os.truncate(folder / LOGS[name], 0)


def url(name: str) -> str:
    return f"http://127.0.0.1:{PORTS[name]}{operation(name)}"


def operation(name: str) -> str:
    return OPERATIONS.get(name, OPERATION)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        sys.exit(f"bench: {error}")
