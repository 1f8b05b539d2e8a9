"""A real PostgreSQL server of Debian's package, in a temporary folder and on loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, Self

import psycopg

from grading.home import Server

LOCKED, PASSWORD = "locked", "s3cret-of-the-store"  # a user who needs a password
_HBA = f"host all {LOCKED} all scram-sha-256\nlocal all all trust\nhost all all 127.0.0.1/32 trust\n"


def programs() -> Path | None:
    """The folder of PostgreSQL's programs."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders else None


class PostgresServer:
    """Use as a context manager; nothing that it holds is worth a wait for the disk."""

    def __init__(self) -> None:
        found = programs()
        assert found
        self._programs = found
        # PostgreSQL refuses to run as root.
        self._user: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []}
        if os.geteuid() != 0:
            self._user = {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="skillmix-postgres-"))
        if self._user:
            shutil.chown(self.folder, "postgres", "postgres")
        self._call("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "--no-sync")
        (self.folder / "data" / "pg_hba.conf").write_text(_HBA)
        self.start()
        self.sql(f"CREATE ROLE {LOCKED} LOGIN PASSWORD '{PASSWORD}'")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        options = {"port": self.port, "fsync": "off", "max_connections": 60, "shared_buffers": "16MB"}
        options |= {"listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder}
        self._process = subprocess.Popen(
            [
                self._programs / "postgres",
                *("-D", self.folder / "data"),
                *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
            ],
            cwd=self.folder,
            stderr=(self.folder / "log").open("ab"),
            **self._user,
        )
        until = time.monotonic() + 30
        while True:
            try:
                self.sql("SELECT 1")
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Break off all connections and end it; what it holds stays."""
        self._process.send_signal(how)
        self._process.wait(30)

    def sql(self, statement: str, *values: Any) -> Any:
        """Run a statement as the superuser; its rows, if it has any."""
        with psycopg.connect(self.address(), autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else None

    def address(self, user: str = "postgres", database: str = "postgres", options: str = "") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}{options}"

    def new_store(self, options: str = "") -> Server:
        """An empty schema of its own, which is the whole of a store."""
        schema = f"store_{uuid.uuid4().hex}"
        self.sql(f"CREATE SCHEMA {schema}")
        return Server(self.address(options=f"?options=-csearch_path%3D{schema}{options}"))

    def _call(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), "-D", str(self.folder / "data"), *arguments]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True, **self._user)
