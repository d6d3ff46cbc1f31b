"""A row per agent and session, and never many more than five hundred."""

from proxy.agents import MOST_ROWS, Agents


def test_a_session_keeps_its_row() -> None:
    agents = Agents()
    row = agents.row("crab", "s1")
    assert agents.row("crab", "s1") is row
    assert agents.row("crab", "s2") is not row
    assert agents.row("fish", "s1") is not row


def test_the_row_used_last_comes_first() -> None:
    agents = Agents()
    for name in ("a", "b", "c", "a"):
        agents.row(name, "")
    assert [row.agent for row in agents.rows()] == ["a", "c", "b"]


def test_of_five_hundred_and_one_the_oldest_idle_one_is_dropped() -> None:
    agents = Agents()
    waits, works = agents.row("waits", ""), agents.row("works", "")
    waits.waiting_since["request"] = 0.0
    works.in_flight = 1
    for number in range(MOST_ROWS):
        agents.row(str(number), "")
    names = {row.agent for row in agents.rows()}
    assert len(names) == MOST_ROWS
    assert {"waits", "works", str(MOST_ROWS - 1)} <= names
    assert {"0", "1"}.isdisjoint(names)


def test_those_under_way_are_counted_also_beyond_what_is_shown() -> None:
    agents = Agents()
    for number in range(MOST_ROWS + 100):
        agents.row(str(number), "").in_flight += 1
    assert len(agents.rows()) == MOST_ROWS
    assert agents.in_flight == MOST_ROWS + 100


def test_after_a_crowd_that_was_busy_the_rows_become_few_again() -> None:
    agents = Agents()
    rows = [agents.row(str(number), "") for number in range(MOST_ROWS + 100)]
    for row in rows:
        row.in_flight = 1
    more = [agents.row(f"late {number}", "") for number in range(100)]
    for row in rows + more:
        row.in_flight = 0
    agents.row("one more", "")
    assert len(agents._rows) == MOST_ROWS
