"""A PostgreSQL of the tests' own: a throw-away cluster, and in it an empty database for whoever asks.

The rule: nothing of the machine's is used or left. The cluster lies in a temporary directory, listens on a
free loopback port and on a socket in that directory, asks for a password as a real one does, runs in the
foreground as our child, and is ended by its pid. Where we are root it runs as somebody else, because
PostgreSQL refuses to be root.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg

from shared import clock

USER, PASSWORD = "board", "password-of-the-board"
START_SECONDS = 30.0
STOP_SECONDS = 30.0
MOST_PORTS = 5
"""A port that was free may be somebody else's by the time it is used."""

_DEBIAN = Path("/usr/lib/postgresql")
_UNPRIVILEGED = ("postgres", "nobody")


def programs() -> Path | None:
    """Where `initdb` and `postgres` are: on PATH, or where Debian puts them (the newest); None if nowhere."""
    found = shutil.which("postgres")
    candidates = [Path(found).resolve().parent] if found else []
    candidates += sorted(_DEBIAN.glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    return next((path for path in candidates if (path / "initdb").exists()), None)


def installed() -> bool:
    """Server programs, not only the client's."""
    return programs() is not None


@dataclass
class Cluster:
    """A cluster in `directory`. It may be stopped and started again, as a server is: its URLs stay true."""

    directory: Path
    fsync: bool = False
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def create(self) -> None:
        """Make the cluster's files."""
        password = self.directory / "password"
        password.write_text(PASSWORD)
        _give_away(self.directory, password)
        options = ["--pgdata", str(self._data), "--username", USER, "--pwfile", str(password)]
        options += ["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"]
        code = self._popen("initdb", options).wait()
        assert code == 0, self.said()

    def start(self) -> None:
        """Returns when it answers."""
        for _ in range(MOST_PORTS):
            port = self.port or _free_port()
            settings = {
                "port": port,
                "listen_addresses": "127.0.0.1",
                "unix_socket_directories": self.directory,
                "fsync": "on" if self.fsync else "off",
                "timezone": "UTC",
            }
            options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
            self.process = self._popen("postgres", ["-D", str(self._data), *options])
            if self._answers(port):
                self.port = port
                return
        raise AssertionError(self.said())

    def stop(self, *, crash: bool = False) -> None:
        """End it in good order; with `crash` without a checkpoint, so that the next start has to recover."""
        assert self.process is not None
        self.process.send_signal(signal.SIGQUIT if crash else signal.SIGINT)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def fresh_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"test_{next(self._numbers)}"
        self._tell(f"CREATE DATABASE {name}")
        return self._url(self.port, name)

    def drop_database(self, url: str) -> None:
        """With whoever is still connected."""
        self._tell(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def said(self) -> str:
        """Its log, for the message of a failed assertion."""
        return (self.directory / "log").read_text(errors="replace")

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _answers(self, port: int) -> bool:
        """As soon as it does; False if it ended instead."""
        deadline = clock.monotonic() + START_SECONDS
        assert self.process is not None
        while self.process.poll() is None:
            try:
                psycopg.connect(self._url(port, "postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                assert clock.monotonic() < deadline, self.said()
                time.sleep(0.02)  # another process rings no bell here
            else:
                return True
        return False

    def _tell(self, statement: str) -> None:
        with psycopg.connect(self._url(self.port, "postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _popen(self, program: str, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        where = programs()
        assert where is not None
        owner = _owner()
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(
                [where / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                user=owner and owner.pw_uid,
                group=owner and owner.pw_gid,
                extra_groups=owner and [],
            )

    @staticmethod
    def _url(port: int, name: str) -> str:
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{port}/{name}"


@contextmanager
def run_cluster(*, fsync: bool = False) -> Iterator[Cluster]:
    """A cluster, running; with its block it ends and its files go. `fsync`: for what a power cut is about."""
    directory = Path(tempfile.mkdtemp(prefix="clawpace-pg-"))
    cluster = Cluster(directory, fsync)
    try:
        cluster.create()
        cluster.start()
        yield cluster
    finally:
        if cluster.process is not None:
            cluster.stop()
        shutil.rmtree(directory)


def _owner() -> pwd.struct_passwd | None:
    """Who the cluster belongs to; None: to us."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(names[name] for name in _UNPRIVILEGED if name in names)


def _give_away(*paths: Path) -> None:
    if (owner := _owner()) is not None:
        for path in paths:
            os.chown(path, owner.pw_uid, owner.pw_gid)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
