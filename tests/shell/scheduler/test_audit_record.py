"""What becomes a record of the audit log can be held by every store, and shows no secret."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from scheduler.audit.record import LONGEST_WORD, MOST_DETAIL_BYTES, AuditRecord, as_json, plain
from shared.redaction import Redactor

AT = 1_790_000_000.25


def made(subject: str = "T-0042", **details: Any) -> AuditRecord:
    record = AuditRecord(AT, "coder", "config_changed", subject, "ok", details)
    return plain(record, Redactor())


def test_it_is_one_json_object_with_its_time_first_and_in_utc() -> None:
    assert as_json(made(before=1, after=[2.5, None, True, "二"])).decode() == (
        '{"at":"2026-09-21T14:13:20.250Z","actor":"coder","action":"config_changed","subject":"T-0042",'
        '"outcome":"ok","details":{"before":1,"after":[2.5,null,true,"二"]}}'
    )


def test_it_shares_nothing_with_what_it_was_made_from() -> None:
    names = ["a"]
    record = made(names=names)
    names.append("b")
    assert record.details == {"names": ["a"]}


def test_what_a_store_could_not_hold_is_replaced() -> None:
    record = made(
        "T-\ud83d\0", big=2**63, small=-(2**63), endless=float("inf"), other={1: object, "\0": b"\xff"}
    )
    assert record.subject == "T-?\N{REPLACEMENT CHARACTER}"
    assert record.details == {
        "big": "9223372036854775808",
        "small": -(2**63),
        "endless": "inf",
        "other": {"1": "<class 'object'>", "\N{REPLACEMENT CHARACTER}": "\\xff"},
    }


def test_the_secret_of_a_claim_token_is_masked_wherever_it_stands() -> None:
    token = "T-0042.3.c2VjcmV0-LXNlY_3JldA"
    record = made(f"task {token}", reason=f"({token})", **{token: [token]})
    assert "c2VjcmV0" not in repr(record)
    assert record.details["reason"] == "(T-0042.3.***)"


def test_a_secret_is_masked_before_a_long_text_is_cut() -> None:
    assert made("x" * (LONGEST_WORD - 20) + " T-0042.3." + "s" * 40).subject.endswith(" T-0042.3.***")


def test_details_have_a_bound_and_show_their_beginning() -> None:
    record = made(reason=["二" * 5000, "三" * 5000], more=1)
    assert len(as_json(record)) < 2 * MOST_DETAIL_BYTES
    assert str(record.details["shortened"]).startswith('{"reason":["二二')
    assert record.details["bytes"] == 30_027


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=[])), inner),
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=[])), JSON_LIKE))
def test_whatever_the_details_are_it_can_be_written_and_read_back(details: dict[str, Any]) -> None:
    record = plain(AuditRecord(AT, "a", "b", "c", "d", details), Redactor())
    line = as_json(record).decode("utf-8")
    assert json.loads(line)["details"] == record.details
    assert "\n" not in line
    assert "\\u0000" not in line
