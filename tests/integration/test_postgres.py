"""The tests' own PostgreSQL keeps what it promises to them."""

import os
from contextlib import suppress
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

from tests.integration.postgres import PASSWORD, Cluster, run_cluster

pytestmark = [pytest.mark.integration, pytest.mark.needs("postgresql")]


def ask(url: str, question: LiteralString) -> list[object]:
    """The first column."""
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute(question)]


def test_a_test_has_an_empty_database(postgres_url: str) -> None:
    assert ask(postgres_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [0]
    assert ask(postgres_url, "SHOW server_encoding") == ["UTF8"]


def test_what_one_test_leaves_is_not_there_for_another(postgres_cluster: Cluster, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE left_behind (id int)")
    other = postgres_cluster.fresh_database()
    assert other != postgres_url
    assert ask(other, "SELECT to_regclass('left_behind')::text") == [None]
    with psycopg.connect(other):  # also where somebody forgot to hang up
        postgres_cluster.drop_database(other)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        ask(other, "SELECT 1")


def test_it_asks_for_the_password_and_listens_on_loopback_alone(postgres_url: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        ask(postgres_url.replace(PASSWORD, "guessed"), "SELECT 1")
    assert ask(postgres_url, "SHOW listen_addresses") == ["127.0.0.1"]


@pytest.mark.parametrize("crash", [False, True], ids=["stopped", "crashed"])
def test_after_a_restart_its_urls_are_true_and_what_was_committed_is_there(*, crash: bool) -> None:
    with run_cluster(fsync=True) as cluster:
        url = cluster.fresh_database()
        assert ask(url, "SHOW fsync") == ["on"]
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        cluster.stop(crash=crash)
        with pytest.raises(psycopg.OperationalError, match="refused"):
            ask(url, "SELECT 1")
        cluster.start()
        assert ask(url, "SELECT answer FROM kept") == [42]
        assert ("not properly shut down" in cluster.said()) is crash


def test_nothing_is_left_of_it_when_a_test_fails() -> None:
    with suppress(ZeroDivisionError), run_cluster() as cluster:
        assert cluster.process is not None
        pid = cluster.process.pid
        assert (cluster.directory / "data/postmaster.pid").read_text().startswith(f"{pid}\n")
        _ = 1 / 0
    assert not cluster.directory.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.needs("/proc")
def test_no_password_stands_in_its_command_line(postgres_cluster: Cluster) -> None:
    assert postgres_cluster.process is not None
    words = Path(f"/proc/{postgres_cluster.process.pid}/cmdline").read_bytes()
    assert b"postgres\0" in words
    assert PASSWORD.encode() not in words
