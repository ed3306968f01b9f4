"""localstripe on a loopback port, with nothing on disk.

Its own command listens on every address and keeps all objects in a file in /tmp that each instance shares; tests want
neither. Prints `listening on http://127.0.0.1:PORT` once it answers, and runs until it is ended.

    .peers/venv/bin/python tests/peers/stripe_server.py [--port PORT]     port 0, the default: any free one
"""

import argparse
import asyncio
import signal

from aiohttp import web
from localstripe.resources import Store
from localstripe.server import app


async def serve(port: int) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        print(f"listening on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
        await stopped.wait()
    finally:
        await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description="localstripe on a loopback port, with nothing on disk")
    parser.add_argument("--port", type=int, default=0, help="0 (default): any free one")
    port = parser.parse_args().port
    Store.dump_to_disk = lambda self: None
    asyncio.run(serve(port))


if __name__ == "__main__":
    main()
