"""A form with a file (`multipart/form-data`), read as it comes: fields into memory, the file past it.

The parser is python-multipart's; the form classes on top of it would keep the file in memory or in a second
temporary file. Here its bytes are handed on piece by piece, so that a gigabyte costs the memory of a piece.
"""

from collections.abc import Callable
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from scheduler.api.errors import HttpError

FILE_FIELD: Final = "file"
MOST_FIELDS: Final = 20
MOST_FIELD_BYTES: Final = 64 * 1024

_YES_AND_NO: Final = {"true": True, "1": True, "on": True, "false": False, "0": False, "": False}


class Form:
    """One form. Owner of what has been read of it: whoever feeds it."""

    def __init__(self, content_type: str) -> None:
        """Raises HttpError (400) for a type without a boundary."""
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._headers: dict[bytes, bytes] = {}
        self._field = ""
        self._value = bytearray()
        self._fields: dict[str, str] = {}
        self._file_pieces: list[bytes] = []
        self.filename: str | None = None
        """of the file's part, once it has begun; '' where the client gave none"""
        self.ended = False
        """the last boundary has come"""
        callbacks: dict[str, Callable[..., None]] = {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._know_part,
            "on_part_data": self._take,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }
        try:
            if not boundary:
                raise _malformed("It has no boundary.")
            self._parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]  # a plain mapping will do
        except FormParserError:
            raise _malformed("Its boundary is too long.") from None

    def feed(self, piece: bytes) -> list[bytes]:
        """Read on; what of `piece` belongs to the file. Raises HttpError."""
        try:
            self._parser.write(piece)
        except FormParserError:
            raise _malformed("It is not what its boundary says.") from None
        pieces, self._file_pieces = self._file_pieces, []
        return pieces

    def fields(self) -> dict[str, object]:
        """What was said beside the file, at the end. Raises HttpError where the end has not come."""
        if not self.ended:
            raise _malformed("It ends before its last boundary.")
        fields: dict[str, object] = dict(self._fields)
        final = self._fields.get("final")
        if final is not None:  # a form has no truth values; what is none of these is refused where it is read
            fields["final"] = _YES_AND_NO.get(final.lower(), final)
        return fields

    def _begin_part(self) -> None:
        self._headers = {}
        self._value = bytearray()

    def _end_header(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _know_part(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        self._field = _text(options.get(b"name", b""))
        if self._field == FILE_FIELD:
            if self.filename is not None:
                raise HttpError(422, "invalid", "file: one at a time")
            self.filename = _text(options.get(b"filename", b""))
        elif self._field in self._fields or len(self._fields) >= MOST_FIELDS:
            raise HttpError(422, "invalid", "The form has a field twice, or too many of them.")

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self._field == FILE_FIELD:
            self._file_pieces.append(data[start:end])
            return
        if len(self._value) + end - start > MOST_FIELD_BYTES:
            raise HttpError(413, "body_too_large", "A field of the form is too large: send it as the file.")
        self._value.extend(data[start:end])

    def _end_part(self) -> None:
        if self._field != FILE_FIELD:
            self._fields[self._field] = _text(bytes(self._value))

    def _end(self) -> None:
        self.ended = True


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise HttpError(422, "invalid", "The names and fields of the form must be UTF-8.") from None


def _malformed(why: str) -> HttpError:
    return HttpError(400, "invalid_request", f"The form cannot be read. {why}")
