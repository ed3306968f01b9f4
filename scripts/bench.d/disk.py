"""What the disk can do: how often a second an append is synced, one record at a time and many at once."""

import os
import pathlib
import time
from dataclasses import dataclass, field

RECORD = b"\0" * 1024
GROUP = 64
SECONDS = 0.5  # for each


@dataclass
class Syncs:
    """fdatasync a second, as it was in each round."""

    single: list[float] = field(default_factory=list)
    grouped: list[float] = field(default_factory=list)

    def measure(self, folder: pathlib.Path) -> None:
        self.single.append(_rate(folder, RECORD))
        self.grouped.append(_rate(folder, RECORD * GROUP))


def _rate(folder: pathlib.Path, record: bytes) -> float:
    path = folder / "syncs"
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        count, began = 0, time.monotonic()
        while (took := time.monotonic() - began) < SECONDS:
            os.write(file, record)
            os.fdatasync(file)
            count += 1
        return count / took
    finally:
        os.close(file)
        path.unlink()
