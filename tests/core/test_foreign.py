"""Somebody else spends this key."""

from proxy.core.foreign import MOST_MODELS, Foreign


def test_a_429_with_room_in_our_window_is_anothers() -> None:
    foreign = Foreign()
    assert foreign.throttled("m", 0, room=True)
    assert not foreign.throttled("n", 0, room=False)
    assert foreign.count == 1


def test_a_model_that_is_refused_while_others_are_served_has_a_limit_of_its_own() -> None:
    foreign = Foreign()
    assert foreign.throttled("m", 0, room=True), "nothing is known yet"
    foreign.served("n")
    assert not foreign.throttled("m", 2, room=True)
    assert not foreign.throttled("m", 6, room=True), "and goes on to have it"
    assert foreign.throttled("n", 7, room=True), "the other one too: it is the key's"
    assert foreign.count == 2


def test_with_one_model_in_use_all_count() -> None:
    foreign = Foreign()
    assert [foreign.throttled("m", at, room=True) for at in range(4)] == [True] * 4


def test_a_model_that_was_served_since_begins_anew() -> None:
    foreign = Foreign()
    foreign.throttled("m", 0, room=True)
    foreign.served("n")
    foreign.served("m")
    assert foreign.throttled("m", 9, room=True)


def test_what_was_long_ago_says_nothing() -> None:
    foreign = Foreign()
    assert foreign.evidence(0) is None
    foreign.throttled("m", 0, room=True)
    foreign.throttled("n", 9, room=True)
    seen = foreign.evidence(600)
    assert seen
    assert (seen.what, seen.count, seen.first_at, seen.last_at) == ("throttled_with_room", 2, 0, 9)
    assert foreign.evidence(609) is None
    foreign.served("o")
    assert foreign.throttled("m", 700, room=True)
    again = foreign.evidence(700)
    assert again
    assert (again.count, again.first_at) == (1, 700)
    assert foreign.count == 3, "as a counter, all of them"


def test_clients_may_name_any_number_of_models() -> None:
    foreign = Foreign()
    for number in range(3 * MOST_MODELS):
        foreign.throttled(f"m{number}", 0, room=False)
    assert len(foreign._refused) == MOST_MODELS
