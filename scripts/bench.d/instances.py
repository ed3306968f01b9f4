"""The processes that several parts of the benchmark start: Causeway with a given configuration, the sandbox, nginx."""

import functools
import http.client
import json
import pathlib
import shutil
import subprocess

import load
from processes import JSON, Command, Failed, Probe

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
PROVIDER_PORT = 19401


def nginx(role: str, port: int) -> Command:
    argv = [shutil.which("nginx") or "/usr/sbin/nginx", "-p", ".", "-e", "stderr", "-c", str(HERE / f"{role}.nginx.conf")]
    return Command(role, argv, Probe(port, "/echo", "POST", load.body()))


@functools.cache
def build(manifest: pathlib.Path, binary: str) -> pathlib.Path:
    # As it is shipped: deploy/Dockerfile builds the same.
    cargo = ["cargo", "build", "--profile", "dist", "--locked", "--bin", binary, "--manifest-path", str(manifest)]
    if subprocess.run(cargo, check=False).returncode != 0:
        raise Failed(f"cannot build {binary}; leave it out with --only, or mend the build")
    metadata = ["cargo", "metadata", "--no-deps", "--format-version", "1", "--manifest-path", str(manifest)]
    target = json.loads(subprocess.run(metadata, check=True, capture_output=True).stdout)["target_directory"]
    return pathlib.Path(target) / "dist" / binary


def causeway(name: str, folder: pathlib.Path, port: int, files: dict[str, str]) -> Command:
    """Causeway on `port` (business API) and `port + 1` (admin), with these files beside a plain `causeway.toml`."""
    config = folder / f"{name}-config"
    server = (f'region = "bench"\n[listen]\napi = "127.0.0.1:{port}"\nadmin = "127.0.0.1:{port + 1}"\nio_threads = 1\n'
              '[logs]\nformat = "json"\n')
    for path, text in {"causeway.toml": server, **files}.items():
        (config / path).parent.mkdir(parents=True, exist_ok=True)
        (config / path).write_text(text)
    binary = build(ROOT / "Cargo.toml", "causeway")
    return Command(name, [str(binary), "serve", "--config", str(config)], Probe(port + 1, "/livez"))


def sandbox(port: int) -> Command:
    """Causeway's simulated provider, in a process of its own."""
    binary = build(ROOT / "Cargo.toml", "causeway")
    return Command("sandbox", [str(binary), "sandbox", "--listen", f"127.0.0.1:{port}"], Probe(port, "/_control/plan"))


def behave(port: int, path: str, then: dict) -> None:
    """From now on the sandbox behaves so to requests whose path begins with `path`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("PUT", "/_control/plan", json.dumps({"path": path, "then": then}), JSON)
        answer = connection.getresponse()
        if answer.status != 200:
            raise Failed(f"the sandbox does not take the plan for {path}: {answer.status} {answer.read()[:300]!r}")
    finally:
        connection.close()
