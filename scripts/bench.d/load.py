"""Load on one peer by `wrk`: as much as it takes, or a fixed rate. Bounded in time, on loopback."""

import json
import os
import pathlib
import subprocess
from dataclasses import dataclass

SCRIPT = pathlib.Path(__file__).parent / "post.lua"
CONNECTIONS = 64


@dataclass(frozen=True)
class Seen:
    """Requests answered, errors (of transport, and answers ≥ 400), and latencies in µs."""

    requests: int
    seconds: float
    p50_us: float
    p99_us: float
    errors: int

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def body() -> str:
    """The request's body, as wrk sends it."""
    return SCRIPT.read_text().split("wrk.body = '", 1)[1].split("'", 1)[0]


def job_body(size: int) -> str:
    """The same body, so many bytes long."""
    return body().replace("a benchmark call", "a benchmark call".ljust(size - len(body()) + len("a benchmark call"), "."))


def post_jobs(url: str, seconds: int, core: int, callers: int, size: int) -> Seen:
    """So many connections, each posting a job of `size` bytes as soon as its last one was accepted."""
    return Load(url, seconds, core, callers=callers, env={"JOB_BYTES": str(size)}).seen()


def saturate(url: str, seconds: int, core: int, operations: list[str] = ()) -> Seen:
    """64 connections, each sending again as soon as it is answered; with `operations`, these paths in turn."""
    return Load(url, seconds, core, operations=operations).seen()


def pace(url: str, seconds: int, core: int, rate: int, operations: list[str] = ()) -> Seen:
    """`rate` requests a second over the same 64 connections, evenly spaced but for the timer's millisecond. A latency
    counts from the moment of sending."""
    return Load(url, seconds, core, rate, operations).seen()


class Load:
    """One run of `wrk`, which goes on while others are started beside it."""

    def __init__(self, url: str, seconds: int, core: int, rate: int | None = None, operations: list[str] = (),
                 callers: int = CONNECTIONS, env: dict[str, str] | None = None):
        argv = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{callers}", f"-d{seconds}s", "--timeout", "30s", "-s",
                str(SCRIPT), url]
        env = {**os.environ, "OPERATIONS": " ".join(operations), **({"RATE": str(rate)} if rate else {}), **(env or {})}
        self._url, self._limit = url, seconds + 60
        self._popen = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)

    def seen(self) -> Seen:
        """Waits for its end."""
        try:
            out, err = self._popen.communicate(timeout=self._limit)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            out, err = self._popen.communicate()
        try:
            seen = json.loads(out.strip().splitlines()[-1])
        except (IndexError, ValueError) as error:
            raise RuntimeError(f"wrk failed against {self._url} (status {self._popen.returncode}): {err.strip()}") from error
        errors = sum(seen[kind] for kind in ("not_2xx", "connect", "read", "write", "timeout"))
        return Seen(seen["requests"], seen["duration_us"] / 1e6, seen["p50_us"], seen["p99_us"], errors)
