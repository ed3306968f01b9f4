"""The peers of `scripts/bench durable`: each takes a job, has it on disk before it answers 202, and makes one HTTP call for it.

A peer is all the processes that takes, its database's among them, in the order of their start. Each has a data directory of
its own in the folder of the run, which must be on a disk.
"""

import base64
import http.client
import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass
from typing import Callable

from instances import PROVIDER_PORT, ROOT, build, causeway
from load import job_body
from processes import JSON, Command, Failed, Probe, Process

CORES = "0,1"  # as a service would run; the load and the provider share one of them
UPSTREAM = f"http://127.0.0.1:{PROVIDER_PORT}/echo"
OPERATION = "/v1/operations/bench.job"
JOB_BYTES = 1024
TITLES = {
    "causeway-sqlite": "Causeway on SQLite",
    "causeway-postgres": "Causeway on PostgreSQL",
    "naive": "naive: actix-web + PostgreSQL, SKIP LOCKED",
    "bullmq": "BullMQ, Redis with appendfsync always",
    "restate": "Restate",
}
PORTS = {"causeway-sqlite": 19461, "causeway-postgres": 19463, "naive": 19467, "bullmq": 19469, "restate": 19471}
PATHS = {"restate": "/bench/echo/send"}  # all others take OPERATION
SLOTS = 256  # calls at once, of every peer
# Causeway's queue, and a provider whose limits and breaker are there and refuse nothing.
INTEGRATION = f"""base_url = "http://127.0.0.1:{PROVIDER_PORT}"
[pool]
max_in_flight = {SLOTS}
max_idle = {SLOTS}
max_queue = {SLOTS}
[queue]
slots = {SLOTS}
[[limits]]
name = "per_second"
kind = "token_bucket"
requests = 1000000
per = "1s"
burst = 1000000
[endpoints.keyed]
method = "POST"
path = "/echo"
idempotency = {{ header = "Idempotency-Key", key_retention = "24h" }}
[endpoints.safe]
method = "POST"
path = "/echo"
idempotency = "safe"
"""
ASYNC = {"prefer": "respond-async"}
KEY = base64.b64encode(secrets.token_bytes(32)).decode()


@dataclass(frozen=True)
class TcpProbe:
    """A server that answers a line with one that begins so."""

    port: int
    line: bytes
    answered: bytes

    def answer(self) -> tuple[int, bytes]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(self.line)
            answer = connection.recv(100)
            return (200 if answer.startswith(self.answered) else 503), answer


@dataclass(frozen=True)
class SqlProbe:
    """A PostgreSQL server that answers a query."""

    port: int

    def answer(self) -> tuple[int, bytes]:
        try:
            return 200, sql(self.port, "SELECT 1").encode()
        except Failed as error:
            return 503, str(error).encode()


@dataclass(frozen=True)
class ListenProbe:
    """A server that takes connections."""

    port: int

    def answer(self) -> tuple[int, bytes]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5):
            return 200, b""


class Peer:
    """Several processes that are one service."""

    def __init__(self, name: str, folder: pathlib.Path):
        self.name = name
        self.folder = folder
        self.port = PORTS.get(name, 0)
        self.processes: list[Process] = []
        try:
            START[name](self)
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PATHS.get(self.name, OPERATION)}"

    def start(self, command: Command) -> Process:
        self.processes.append(Process(command, CORES, self.folder))
        return self.processes[-1]

    def cpu_seconds(self) -> float:
        return sum(process.cpu_seconds() for process in self.processes)

    def written_bytes(self) -> int:
        return sum(process.written_bytes() for process in self.processes)

    def memory_mib(self) -> float:
        return sum(process.pss_mib() for process in self.processes)

    def check(self) -> None:
        """Whether it takes a job."""
        status, body = Probe(self.port, PATHS.get(self.name, OPERATION), "POST", job_body(JOB_BYTES)).answer(ASYNC)
        if status != 202:
            raise Failed(f"{self.name} does not take a job: status {status}, {body[:500]!r}")

    def empty_logs(self) -> None:
        for process in self.processes:
            os.truncate(process.out, 0)

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.stop()


def causeway_files(url: str, port: int) -> dict[str, str]:
    """Causeway with its store there: an operation whose provider knows keys, and one that only reads."""
    server = (f'region = "bench"\n[listen]\napi = "127.0.0.1:{port}"\nadmin = "127.0.0.1:{port + 1}"\n[store]\nurl = "{url}"\n'
              '[[encryption.keys]]\nid = "k1"\nkey = { env = "BENCH_KEY" }\n[logs]\nformat = "json"\nsample_success = 1.0\n')
    operation = lambda endpoint: f'version = 1\ndeadline = "30s"\n[[steps]]\nname = "call"\ncall = "upstream.{endpoint}"\n'
    return {"causeway.toml": server, "integrations/upstream.toml": INTEGRATION,
            "operations/bench.job.toml": operation("keyed"), "operations/bench.safe.toml": operation("safe")}


def causeway_on(url: str, name: str, folder: pathlib.Path, port: int) -> Command:
    command = causeway(name, folder, port, causeway_files(url, port))
    return Command(command.name, command.argv, Probe(port + 1, "/readyz"), {"BENCH_KEY": KEY})


def sqlite_file(name: str, folder: pathlib.Path) -> pathlib.Path:
    return folder / f"{name}.db"


def sqlite_url(name: str, folder: pathlib.Path) -> str:
    return f"sqlite://{sqlite_file(name, folder)}"


def postgres_url(port: int) -> str:
    return f"postgres://causeway@127.0.0.1:{port}/postgres"


def postgres(name: str, folder: pathlib.Path, port: int) -> Command:
    """A server with the settings it comes with: fsync, full_page_writes and synchronous_commit are on."""
    return Command(name, [str(ROOT / "scripts/postgres"), str(folder / name), str(port)], SqlProbe(port), end=signal.SIGINT)


def sql(port: int, statement: str) -> str:
    """What a PostgreSQL server answers."""
    argv = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--command", statement, postgres_url(port)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise Failed(f"{statement!r} failed on port {port}: {done.stderr.strip()}")
    return done.stdout.strip()


def start_sqlite(peer: Peer) -> None:
    peer.start(causeway_on(sqlite_url(peer.name, peer.folder), peer.name, peer.folder, peer.port))


def start_postgres(peer: Peer) -> None:
    database = peer.port + 2
    peer.start(postgres(f"{peer.name}-db", peer.folder, database))
    peer.start(causeway_on(postgres_url(database), peer.name, peer.folder, peer.port))


def start_naive(peer: Peer) -> None:
    database = peer.port + 1
    binary = build(ROOT / "benches/naive/Cargo.toml", "naive_queue")
    peer.start(postgres(f"{peer.name}-db", peer.folder, database))
    env = {"UPSTREAM": UPSTREAM, "DATABASE": postgres_url(database)}
    peer.start(Command(peer.name, [str(binary), f"127.0.0.1:{peer.port}", "2"], ready(peer), env))


def start_bullmq(peer: Peer) -> None:
    root, redis = installed("redis"), peer.port + 1
    data = peer.folder / "redis"
    data.mkdir()
    libraries = ":".join(str(path) for path in root.glob("usr/lib/*-linux-gnu"))
    argv = [str(root / "usr/bin/redis-server"), "--port", str(redis), "--bind", "127.0.0.1", "--dir", str(data), "--save", "",
            "--appendonly", "yes", "--appendfsync", "always"]
    peer.start(Command("redis", argv, TcpProbe(redis, b"PING\r\n", b"+PONG"), {"LD_LIBRARY_PATH": libraries}))
    argv = ["node", str(service("bullmq")), str(peer.port), str(redis), UPSTREAM]
    peer.start(Command(peer.name, argv, ready(peer)))


def start_restate(peer: Peer) -> None:
    root, admin, node, handler = installed("restate"), peer.port + 1, peer.port + 2, peer.port + 3
    binary = next(root.glob("node_modules/@restatedev/restate-server-linux-*/bin/restate-server"), None)
    if binary is None:
        raise Failed("Restate has no server for this machine: leave it out with --only")
    env = {"RESTATE_BASE_DIR": str(peer.folder / "restate"), "RESTATE_LISTEN_MODE": "tcp", "RESTATE_BIND_IP": "127.0.0.1",
           "RESTATE_ADVERTISED_HOST": "127.0.0.1", "RESTATE_BIND_PORT": str(node), "RESTATE_ADMIN__BIND_PORT": str(admin),
           "RESTATE_INGRESS__BIND_PORT": str(peer.port), "RESTATE_DEFAULT_NUM_PARTITIONS": "4", "RESTATE_DISABLE_TELEMETRY": "true",
           "RESTATE_LOG_FILTER": "warn"}
    peer.start(Command(f"{peer.name}-handler", ["node", str(service("restate")), str(handler), UPSTREAM],
                       ListenProbe(handler), {"RESTATE_LOGGING": "WARN"}))
    peer.start(Command(peer.name, [str(binary), "--no-logo"], Probe(admin, "/health"), env))
    status, body = post(admin, "/deployments", {"uri": f"http://127.0.0.1:{handler}"})
    if status not in (200, 201):
        raise Failed(f"Restate does not take its handler: {status} {body[:500]!r}")


def ready(peer: Peer) -> ListenProbe:
    return ListenProbe(peer.port)


def service(name: str) -> pathlib.Path:
    """The service, beside what it imports."""
    there = installed(name) / "service.mjs"
    shutil.copyfile(pathlib.Path(__file__).parent / name / "service.mjs", there)
    return there


def installed(name: str) -> pathlib.Path:
    there = ROOT / ".peers" / name
    if not there.is_dir():
        raise Failed(f"{there} is missing: run scripts/peers queues, or leave it out with --only")
    return there


def post(port: int, path: str, body: dict) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", path, json.dumps(body), JSON)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


START: dict[str, Callable[[Peer], None]] = {
    "causeway-sqlite": start_sqlite,
    "causeway-postgres": start_postgres,
    "naive": start_naive,
    "bullmq": start_bullmq,
    "restate": start_restate,
}
