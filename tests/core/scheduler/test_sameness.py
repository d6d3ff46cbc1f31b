"""When two things are one, and what an item says."""

from scheduler.core.exchange.sameness import (
    clean,
    clean_creator,
    clean_title,
    described,
    differing,
    fingerprint,
    kept,
    mentions,
    origins,
    same,
    title_key,
)
from scheduler.core.task import MAX_TEXT, MAX_TITLE, Priority, Source
from tests.core.scheduler.boards import a_task
from tests.core.scheduler.items import an_item


def test_the_same_id_is_the_same_thing() -> None:
    assert same(an_item(title="Another"), a_task(), {"c-1"})
    assert not same(an_item(title="Another"), a_task(), {"c-2"})


def test_a_like_title_is_a_coincidence_unless_one_names_the_other() -> None:
    item = an_item(title="WRITE  the Report ", aliases=("#CARD-1", "https://board/c-1"))
    assert not same(item, a_task(), {"MUL-7"})
    assert same(item, a_task(description="as said in c-1."), {"MUL-7"})
    assert same(item, a_task(description="see https://board/c-1"), {"MUL-7"})
    assert same(an_item(description="this is MUL-7"), a_task(), {"MUL-7"})
    assert same(an_item(place="https://m/MUL-7"), a_task(), {"MUL-7"})
    assert same(an_item(description="MUL-7"), a_task(description="From multica: uuid, MUL-7"), {"uuid"})
    assert not same(an_item(title="Else", description="this is MUL-7"), a_task(), {"MUL-7"})
    assert not same(an_item(description="this is MUL-77, or AMUL-7"), a_task(), {"MUL-7"})


def test_a_name_that_may_be_anything_names_nothing() -> None:
    assert not mentions("12 of ab", ["12", "ab", "123"])
    assert not mentions("in 2024", ["2024"])
    assert mentions("(ABC)", ["abc"])


def test_where_a_task_comes_from_stands_in_its_last_line() -> None:
    item = an_item(description="Do it.\n\n", aliases=("CARD-1", "c-1"), place="todo.md:\n7")
    assert described(item) == "Do it.\n\nFrom workboard: c-1, CARD-1, todo.md: 7"
    assert origins(described(item)) == ("c-1", "CARD-1", "todo.md: 7")
    assert described(an_item()) == "From workboard: c-1"
    assert origins("From workboard: c-1") == ("c-1",)
    assert origins("From workboard: c-1\nand so on") == ()
    assert origins("Do it.\n\nFrom ann: with love") == ()
    assert origins("") == ()
    assert len(described(an_item(description="x" * MAX_TEXT))) == MAX_TEXT


def test_text_that_no_board_keeps_is_made_harmless() -> None:
    assert clean("a\0b \ud83d 漢字") == "a\ufffdb ? 漢字"
    assert clean_title(an_item(title=" a\n b\t")) == "a b"
    assert clean_title(an_item(title="\n")) == "workboard c-1"
    assert len(clean_title(an_item(title="x" * 1000))) == MAX_TITLE
    assert clean_creator(an_item()) == "workboard"
    assert len(clean_creator(an_item(creator="ann " * 100))) == 200
    assert title_key(" Straße\tX") == "strasse x"


def test_a_fingerprint_tells_what_has_changed() -> None:
    item = an_item()
    before = fingerprint(item)
    assert differing(before, before) == frozenset()
    for part, other in {
        "title": an_item(title="Else"),
        "description": an_item(description="More"),
        "priority": an_item(priority=Priority.LOW),
        "assignee": an_item(agent=None),
        "depends_on": an_item(waits_for=("c-2",)),
    }.items():
        assert differing(before, fingerprint(other)) == {part}
    assert differing("", before) == {"title", "description", "priority", "assignee", "depends_on"}
    assert "c-1" not in before


def test_what_was_not_taken_over_is_still_a_change() -> None:
    before, now = fingerprint(an_item()), fingerprint(an_item(title="Else", agent="critic"))
    stored = kept(before, now, {"assignee"})
    assert differing(stored, now) == {"assignee"}
    assert differing(kept("", now, {"assignee"}), now) == {"assignee"}


def test_what_is_not_known_now_is_as_it_was() -> None:
    before = fingerprint(an_item(description="Do it.", waits_for=("c-2",)))
    unknown = fingerprint(an_item(title="Else", description=None, waits_for=None))
    assert differing(before, unknown) == {"title"}
    stored = kept(before, unknown, ())
    known = an_item(title="Else", description="Do it.", waits_for=("c-2",))
    assert differing(stored, fingerprint(known)) == frozenset()
    assert differing(stored, fingerprint(an_item(title="Else"))) == {"description", "depends_on"}
    # Where it was never known, it is news when it is.
    assert differing(kept("", unknown, ()), fingerprint(known)) == {"description", "depends_on"}
    assert described(an_item(description=None)) == "From workboard: c-1"
    assert not same(an_item(description=None), a_task(), {"None"})


def test_every_source_may_stand_in_the_last_line() -> None:
    assert all(origins(f"From {source}: x-1") == ("x-1",) for source in Source)
