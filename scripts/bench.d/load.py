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


def saturate(url: str, seconds: int, core: int) -> Seen:
    """64 connections, each sending again as soon as it is answered."""
    return _wrk(url, seconds, core, {})


def pace(url: str, seconds: int, core: int, rate: int) -> Seen:
    """`rate` requests a second over the same 64 connections, evenly spaced but for the timer's millisecond. A latency
    counts from the moment of sending."""
    return _wrk(url, seconds, core, {"RATE": str(rate)})


def _wrk(url: str, seconds: int, core: int, env: dict[str, str]) -> Seen:
    argv = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(SCRIPT), url]
    run = subprocess.run(argv, env={**os.environ, **env}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                         timeout=seconds + 30, check=False)
    try:
        seen = json.loads(run.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise RuntimeError(f"wrk failed against {url} (status {run.returncode}): {run.stderr.strip()}") from error
    errors = sum(seen[kind] for kind in ("not_2xx", "connect", "read", "write", "timeout"))
    return Seen(seen["requests"], seen["duration_us"] / 1e6, seen["p50_us"], seen["p99_us"], errors)
