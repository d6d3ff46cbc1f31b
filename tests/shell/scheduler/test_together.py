"""Writes under one commit: in their order, each told what became of it, and one refused harms no other."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from scheduler.blackboard.errors import BoardBroken, BoardBusy, BoardUnavailable
from scheduler.blackboard.faults import Collision
from scheduler.blackboard.sqlite import Sqlite
from scheduler.blackboard.together import MOST, Together
from scheduler.blackboard.transactions import Transactions
from scheduler.core.errors import Code, Refused

BUSY_SECONDS = 5.0
REFUSED = Refused(Code.INVALID, "not that one")
Write = Callable[[Connection], object]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Sqlite]:
    database = Sqlite.open(tmp_path / "words.db", create=True, busy_seconds=BUSY_SECONDS)
    with database.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE words (word PRIMARY KEY, other REFERENCES words)")
    yield database
    database.close()


def words(database: Sqlite) -> list[str]:
    """What is committed, in the order in which it was written."""
    with database.reading() as connection:
        return list(connection.exec_driver_sql("SELECT word FROM words ORDER BY rowid").scalars())


class Line:
    """Writers of which all wait before the first one goes on. Counts transactions."""

    def __init__(self, database: Sqlite, busy_seconds: float = BUSY_SECONDS) -> None:
        self.database = database
        self.together = Together(self._writing, busy_seconds=busy_seconds, shown="words")
        self.transactions = 0
        self.before_commit: Callable[[], object] = lambda: None

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        self.transactions += 1
        with self.database.writing() as connection:
            yield connection
            self.before_commit()

    async def write(self, *works: Write) -> Sequence[object]:
        """What each returned or raised. The first one leads."""
        return await all_at_once(self.together, self.together.write, works)


async def all_at_once(
    together: Together, write: Callable[[Write], object], works: Sequence[Write]
) -> Sequence[object]:
    outcomes: list[object] = [None for _ in works]
    leads, go_on = threading.Event(), threading.Event()

    def lead(connection: Connection) -> object:
        leads.set()
        assert go_on.wait(BUSY_SECONDS)
        return works[0](connection)

    def run(index: int) -> None:
        try:
            outcomes[index] = write(works[index] if index else lead)
        except BaseException as error:
            outcomes[index] = error

    with trio.fail_after(2 * BUSY_SECONDS):
        async with trio.open_nursery() as nursery:
            for index in range(len(works)):
                nursery.start_soon(in_a_thread, run, index)
                while not leads.is_set() or together.waiting != index:  # noqa: ASYNC110 - threads ring no bell
                    await trio.sleep(0.001)
            go_on.set()
    return outcomes


async def in_a_thread(run: Callable[[int], None], index: int) -> None:
    await trio.to_thread.run_sync(run, index, limiter=trio.CapacityLimiter(1))


def say(word: str) -> Write:
    def work(connection: Connection) -> str:
        connection.exec_driver_sql("INSERT INTO words (word) VALUES (?)", (word,))
        return word

    return work


def say_and_fail(word: str, error: BaseException) -> Write:
    def work(connection: Connection) -> None:
        say(word)(connection)
        raise error

    return work


def fill_the_disk(connection: Connection) -> None:
    """As far as SQLite may use it."""
    connection.exec_driver_sql("PRAGMA max_page_count=1")
    connection.exec_driver_sql("INSERT INTO words (word) VALUES (zeroblob(1000000))")


def spoil_the_commit(connection: Connection) -> None:
    connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
    connection.exec_driver_sql("INSERT INTO words VALUES ('spoiled', 'of nobody')")


# -- together -----------------------------------------------------------------------------------------------


async def test_those_who_wait_are_committed_together_in_the_order_in_which_they_came(
    database: Sqlite,
) -> None:
    line = Line(database)
    assert await line.write(*map(say, "cabed")) == list("cabed")
    assert words(database) == list("cabed")
    assert line.transactions == 1


async def test_who_comes_while_others_are_at_work_is_taken_along(database: Sqlite) -> None:
    line = Line(database)
    late = threading.Thread(target=line.together.write, args=[say("late")])

    def meanwhile(connection: Connection) -> None:
        late.start()
        while not line.together.waiting:
            late.join(0.001)
        say("b")(connection)

    await line.write(say("a"), meanwhile)
    late.join()
    assert words(database) == ["a", "b", "late"]
    assert line.transactions == 1


async def test_a_commit_takes_so_many_along_and_the_next_in_the_line_leads_the_others(
    database: Sqlite,
) -> None:
    line = Line(database)
    every = [f"{number:02}" for number in range(MOST + 3)]
    assert await line.write(*map(say, every)) == every
    assert words(database) == every
    assert line.transactions == 2
    assert repr(line.together) == "<Together on words, free, 0 waiting>"


async def test_nobody_returns_before_the_commit(database: Sqlite) -> None:
    line = Line(database)
    returned: list[object] = []
    at_the_commit: list[object] = []
    line.before_commit = lambda: at_the_commit.append((list(returned), words(database)))

    def write(work: Write) -> None:
        returned.append(line.together.write(work))

    await all_at_once(line.together, write, [say("a"), say("b"), say("c")])
    assert at_the_commit == [([], [])]
    assert sorted(map(str, returned)) == ["a", "b", "c"]


# -- what is one's own, and what is everybody's -------------------------------------------------------------


async def test_what_is_refused_leaves_nothing_behind_and_harms_no_other(database: Sqlite) -> None:
    line = Line(database)
    outcomes = await line.write(say("a"), say_and_fail("b", REFUSED), say("c"))
    assert outcomes == ["a", REFUSED, "c"]
    assert words(database) == ["a", "c"]
    assert line.transactions == 1


async def test_where_the_leader_is_refused_the_next_one_leads(database: Sqlite) -> None:
    line = Line(database)
    outcomes = await line.write(say_and_fail("a", REFUSED), say("b"), say("c"))
    assert outcomes == [REFUSED, "b", "c"]
    assert words(database) == ["b", "c"]
    assert line.transactions == 2


async def test_a_row_that_cannot_be_is_the_fault_of_who_wrote_it(database: Sqlite) -> None:
    def too_large(connection: Connection) -> None:
        connection.exec_driver_sql("INSERT INTO words (word) VALUES (?)", (2**63,))

    first, twice, large, last = await Line(database).write(say("a"), say("a"), too_large, say("b"))
    assert (first, last) == ("a", "b")
    assert isinstance(twice, IntegrityError)
    assert isinstance(large, Refused)
    assert words(database) == ["a", "b"]


async def test_a_directory_that_cannot_be_made_is_nobody_elses_trouble(database: Sqlite) -> None:
    error = BoardUnavailable("artifacts cannot be used: Permission denied")
    assert await Line(database).write(say("a"), say_and_fail("b", error), say("c")) == ["a", error, "c"]
    assert words(database) == ["a", "c"]


async def test_a_full_disk_is_everybodys_trouble_also_of_who_was_refused(database: Sqlite) -> None:
    line = Line(database)
    outcomes = await line.write(say("a"), say_and_fail("b", REFUSED), fill_the_disk, say("c"))
    assert [type(each) for each in outcomes] == [BoardUnavailable] * 3 + [str]
    assert "full" in str(outcomes[0])
    assert words(database) == ["c"], "who was not taken along yet is not concerned"


async def test_a_commit_that_fails_is_everybodys_and_the_next_one_succeeds(database: Sqlite) -> None:
    line = Line(database)
    outcomes = await line.write(say("a"), say_and_fail("b", REFUSED), spoil_the_commit)
    assert [type(each) for each in outcomes] == [IntegrityError] * 3
    assert words(database) == []
    assert line.together.write(say("d")) == "d"
    assert words(database) == ["d"]


async def test_who_is_interrupted_leaves_nobody_waiting(database: Sqlite) -> None:
    line = Line(database)
    outcomes = await line.write(say("a"), say_and_fail("b", KeyboardInterrupt()), say("c"))
    assert [type(each) for each in outcomes] == [KeyboardInterrupt, BoardUnavailable, str]
    assert words(database) == ["c"]


# -- waiting ------------------------------------------------------------------------------------------------


def test_who_has_waited_too_long_leaves_the_line_and_is_not_written(database: Sqlite) -> None:
    line = Line(database, busy_seconds=0.01)

    def lead(connection: Connection) -> None:
        waits = threading.Thread(target=wait)
        waits.start()
        waits.join()

    def wait() -> None:
        with pytest.raises(BoardBusy, match="words is busy: others in this process write"):
            line.together.write(say("too late"))
        told.set()

    told = threading.Event()
    line.together.write(lead)
    assert told.is_set()
    assert line.together.waiting == 0
    assert line.together.write(say("next")) == "next"
    assert words(database) == ["next"]


def test_who_is_interrupted_in_the_line_leaves_it_to_the_others(database: Sqlite) -> None:
    line, me = Line(database), threading.get_ident()
    leads, gone = threading.Event(), threading.Event()

    def lead(connection: Connection) -> None:
        leads.set()
        while not line.together.waiting:
            gone.wait(0.001)
        signal.pthread_kill(me, signal.SIGINT)
        assert gone.wait(BUSY_SECONDS)

    leader = threading.Thread(target=line.together.write, args=[lead])
    leader.start()
    assert leads.wait(BUSY_SECONDS)
    with pytest.raises(KeyboardInterrupt):
        line.together.write(say("interrupted"))
    gone.set()
    assert line.together.write(say("next")) == "next"
    leader.join()
    assert words(database) == ["next"]


# -- as the store has them ----------------------------------------------------------------------------------


async def test_work_that_others_overtook_is_begun_anew_and_written_once(database: Sqlite) -> None:
    transactions, tries = Transactions(database), list[str]()

    def overtaken(connection: Connection) -> None:
        tries.append("again")
        say("b")(connection)
        if len(tries) < 3:
            raise Collision

    assert transactions._together is not None
    await all_at_once(transactions._together, transactions.write, [say("a"), overtaken, say("c")])
    assert len(tries) == 3
    assert sorted(words(database)) == ["a", "b", "c"]


async def test_who_stands_in_the_line_while_the_disk_fails_is_not_begun(database: Sqlite) -> None:
    transactions, broken = Transactions(database), BoardBroken("the disk fails")
    assert transactions._together is not None
    outcomes = await all_at_once(
        transactions._together, transactions.write, [say_and_fail("a", broken), say("b"), say("c")]
    )
    assert outcomes == [broken] * 3
    with pytest.raises(BoardBroken):
        transactions.check()
    assert words(database) == []
