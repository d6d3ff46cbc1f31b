"""Token counts are read in passing, whatever the pieces, the coding and the text around them."""

import gzip
import json
import zlib

import pytest

from proxy.encoding import MOST_AT_ONCE, Decoder
from proxy.usage import TAIL_BYTES, UsageReader

STREAM = (
    b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46}}\n\n'
    b"data: [DONE]\n\n"
)


def tokens(*chunks: bytes, encoding: bytes | None = None) -> tuple[int, int]:
    reader = UsageReader(encoding)
    for chunk in chunks:
        reader.feed(chunk)
    return reader.tokens()


def split(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 2, 7, 100, 10_000])
@pytest.mark.parametrize("encoding", [None, b"identity", b"gzip", b"GZIP", b"deflate"])
def test_the_usage_is_read_however_it_is_cut_and_packed(size: int, encoding: bytes | None) -> None:
    packed = {b"gzip": gzip.compress(STREAM), b"deflate": zlib.compress(STREAM)}
    sent = packed.get((encoding or b"").lower(), STREAM)
    assert tokens(*split(sent, size), encoding=encoding) == (12, 34)


def test_a_stream_that_is_flushed_piece_by_piece_is_read_before_its_end() -> None:
    packer = zlib.compressobj(wbits=31)
    pieces = [packer.compress(line) + packer.flush(zlib.Z_SYNC_FLUSH) for line in STREAM.splitlines(True)]
    assert tokens(*pieces, encoding=b"gzip") == (12, 34)


def test_the_last_usage_counts() -> None:
    first = b'{"usage":{"prompt_tokens":1,"completion_tokens":1}}'
    assert tokens(first, b"\n", STREAM) == (12, 34)
    assert tokens(STREAM, b'data: {"usage":null}\n\n') == (12, 34)


def test_text_that_speaks_of_usage_is_no_usage() -> None:
    said = json.dumps({"usage": {"prompt_tokens": 999, "completion_tokens": 999}})
    answer = {"choices": [{"message": {"content": f"it says {said} and \\{said}"}}]}
    assert tokens(json.dumps(answer).encode()) == (0, 0)
    answer["usage"] = {"prompt_tokens": 5, "completion_tokens": 6}  # type: ignore[assignment] # one more
    assert tokens(json.dumps(answer).encode()) == (5, 6)
    reordered = {"usage": answer.pop("usage"), **answer}
    assert tokens(json.dumps(reordered).encode()) == (5, 6)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"data: [DONE]",
        b'"usage"',
        b'"usage":',
        b'"usage":{',
        b'"usage":[1]',
        b'"usage":{"prompt_tokens":"12"}',
        b'"usage":{"prompt_tokens":-5,"completion_tokens":null}',
        b'"usage":{"prompt_tokens":' + b"9" * 5000 + b"}",
        b'"usage":{"prompt_tokens":' + b"[" * 8000,
        b"\xff\xfe\x00",
    ],
)
def test_an_answer_without_a_readable_usage_has_none(answer: bytes) -> None:
    assert tokens(answer) == (0, 0)


def test_no_more_than_a_tail_is_kept() -> None:
    reader = UsageReader(None)
    for _ in range(1000):
        reader.feed(b"x" * 5000)
    assert len(reader._tail) <= TAIL_BYTES
    reader.feed(STREAM)
    assert reader.tokens() == (12, 34)


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate", b"br", b"zstd", b"gzip, br", b"\xff"])
def test_nonsense_in_place_of_an_encoding_yields_nothing_and_raises_nothing(encoding: bytes) -> None:
    decoder = Decoder(encoding)
    assert [decoder.feed(piece) for piece in (b"not packed at all", b"", STREAM)] == [b"", b"", b""]


def test_a_bomb_is_read_no_further_than_its_first_bite() -> None:
    bomb = gzip.compress(bytes(50 << 20))
    decoder = Decoder(b"gzip")
    out = [len(decoder.feed(piece)) for piece in split(bomb, 10_000)]
    assert max(out) <= MOST_AT_ONCE
    assert sum(out) <= 2 * MOST_AT_ONCE + 20 * 10_000 * 1032
    assert decoder.feed(bomb) == b""


def test_a_stream_cut_in_the_middle_yields_what_was_whole() -> None:
    packed = gzip.compress(STREAM * 100)
    assert STREAM.startswith(Decoder(b"gzip").feed(packed[: len(packed) // 2])[:10])


def error(*chunks: bytes, encoding: bytes | None = None) -> int | None:
    reader = UsageReader(encoding)
    for chunk in chunks:
        reader.feed(chunk)
    frame = reader.error()
    return None if frame is None else frame.status


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("before", [b"", STREAM, STREAM * 50])
def test_an_error_at_the_end_of_a_stream_is_seen(size: int, before: bytes) -> None:
    frame = b'data: {"error":{"message":"full","code":503}}\n\n'
    assert error(*split(before + frame, size)) == 503
    assert error(gzip.compress(before + frame), encoding=b"gzip") == 503
    assert error(*split(before, size)) is None
    assert error(*split(frame + STREAM, size)) is None
