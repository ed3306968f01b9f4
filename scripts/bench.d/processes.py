"""Processes of a benchmark: started on given cores, measured from /proc, ended by id.

A peer's cost is that of its whole process tree (master and workers alike), user and system time together. It is read
in clock ticks of 10 ms, so a round must be seconds long.
"""

import http.client
import os
import pathlib
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from typing import Protocol

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
START_LIMIT = 15.0  # seconds a process may take to answer
STOP_LIMIT = 30.0  # seconds it may take to end after SIGTERM; Causeway drains for up to 25
JSON = {"content-type": "application/json"}


class Failed(Exception):
    """The benchmark cannot go on; the message says why and what to do."""


class Ready(Protocol):
    """Something that is answered with 200 once a process is ready. Its port must be free before."""

    port: int

    def answer(self) -> tuple[int, bytes]: ...


@dataclass(frozen=True)
class Probe:
    """A request that is answered with 200 once a process is ready."""

    port: int
    path: str
    method: str = "GET"
    body: str | None = None

    def answer(self, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(self.method, self.path, self.body, {**(JSON if self.body else {}), **(headers or {})})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


@dataclass(frozen=True)
class Command:
    """How a process is started."""

    name: str
    argv: list[str]
    ready: Ready
    env: dict[str, str] = field(default_factory=dict)
    end: signal.Signals = signal.SIGTERM  # what asks it to end


class Process:
    """A running process and its children, on one core or some ("0,1"), its output in files named after it."""

    def __init__(self, command: Command, core: int | str, folder: pathlib.Path):
        self.name = command.name
        self._end = command.end
        self.out = folder / f"{command.name}.out"
        self.err = folder / f"{command.name}.err"
        _require_free(command.ready.port, command.name)
        # Appended, so that the file can be emptied between rounds while the process writes to it.
        with open(self.out, "ab") as out, open(self.err, "ab") as err:
            began = time.monotonic()
            self._popen = subprocess.Popen(
                ["taskset", "-c", str(core), *command.argv],
                cwd=folder, env={**os.environ, **command.env}, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                start_new_session=True,
            )
        try:
            self._wait_ready(command.ready, began)
        except BaseException:
            self.stop()
            raise
        self.start_ms = (time.monotonic() - began) * 1000

    def _wait_ready(self, probe: Ready, began: float) -> None:
        last: object = "no answer"
        while time.monotonic() - began < START_LIMIT:
            if self._popen.poll() is not None:
                raise Failed(f"{self.name} ended with status {self._popen.returncode} at start: {self._last_words()}")
            try:
                status, body = probe.answer()
                if status == 200:
                    return
                last = f"status {status}, {body[:200]!r}"
            except OSError as error:
                last = error
            time.sleep(0.001)
        raise Failed(f"{self.name} was not ready after {START_LIMIT:.0f} s ({last}): {self._last_words()}")

    def _last_words(self) -> str:
        text = self.err.read_text(errors="replace") + self.out.read_text(errors="replace")
        return " | ".join(text.strip().splitlines()[-5:]) or "it said nothing"

    def cpu_seconds(self) -> float:
        """User and system time of the tree so far, ended children included."""
        return sum(sum(ticks) for _, ticks in self._tree()) / CLOCK_TICKS

    def rss_mib(self) -> float:
        """Resident memory of the tree; pages that its processes share are counted in each."""
        pages = 0
        for pid, _ in self._tree():
            pages += int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * PAGE / 2**20

    def pss_mib(self) -> float:
        """Resident memory of the tree; of pages that processes share, each has its share."""
        return self._sum("smaps_rollup", "Pss:") / 2**10

    def written_bytes(self) -> int:
        """What the tree has had written to disk, of children that have ended too where they were waited for."""
        return self._sum("io", "write_bytes:")

    def _sum(self, file: str, name: str) -> int:
        """A number that such a file in /proc tells, of all processes of the tree; those that end meanwhile are left out."""
        numbers = []
        for pid, _ in self._tree():
            try:
                text = pathlib.Path(f"/proc/{pid}/{file}").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            numbers += [int(line.split()[1]) for line in text.splitlines() if line.startswith(name)]
        return sum(numbers)

    def _tree(self) -> list[tuple[int, list[int]]]:
        """Every process of the tree: its id, and its utime, stime, cutime, cstime."""
        children: dict[int, list[int]] = {}
        ticks: dict[int, list[int]] = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                stat = pathlib.Path(f"/proc/{entry}/stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended meanwhile
            after_name = stat[stat.rindex(")") + 2 :].split()
            children.setdefault(int(after_name[1]), []).append(int(entry))
            ticks[int(entry)] = [int(value) for value in after_name[11:15]]
        found, todo = [], [self._popen.pid]
        while todo:
            pid = todo.pop()
            if pid not in ticks:
                raise Failed(f"{self.name} is gone: {self._last_words()}")
            found.append((pid, ticks[pid]))
            todo += children.get(pid, [])
        return found

    def stop(self) -> None:
        """Ends it as an operator would, and by force if that does not help."""
        if self._popen.poll() is not None:
            return
        self._popen.send_signal(self._end)
        try:
            self._popen.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(self._popen.pid, signal.SIGKILL)  # its own session: nobody else is in it
            self._popen.wait()

    def kill(self) -> None:
        """Ends it as a failing machine would."""
        self._popen.kill()
        self._popen.wait()


def _require_free(port: int, name: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise Failed(f"{name} needs 127.0.0.1:{port}: {error}. End what uses it and run this again") from error
