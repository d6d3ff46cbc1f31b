"""A form with an output, received: its file on the disk, its fields in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from scheduler.api.forms import Form
from scheduler.api.incoming import Incoming
from scheduler.blackboard.board import Board
from scheduler.blackboard.queries import Received

MOST_UPLOAD_BYTES: Final = 1024 * 1024 * 1024
WRITE_BYTES: Final = 512 * 1024
"""So much is gathered before a thread writes it: a hop costs more than a small write."""


@asynccontextmanager
async def received_form(
    incoming: Incoming, content_type: str, board: Board
) -> AsyncIterator[tuple[dict[str, object], Received | None]]:
    """The fields, and the file if there is one; what nobody has given a place is gone afterwards.

    Raises HttpError, HungUpError, BoardUnavailable (the disk is full).
    """
    incoming.allow(MOST_UPLOAD_BYTES)
    form = Form(content_type)
    receiver = await trio.to_thread.run_sync(board.store.receiver)
    with receiver:
        gathered = bytearray()
        while (piece := await incoming.piece()) is not None:
            gathered += b"".join(form.feed(piece))
            if len(gathered) >= WRITE_BYTES:
                await trio.to_thread.run_sync(receiver.write, bytes(gathered))
                gathered.clear()
        fields = form.fields()
        if form.filename is None:
            yield fields, None
            return
        await trio.to_thread.run_sync(receiver.write, bytes(gathered))
        if form.filename:
            fields.setdefault("name", form.filename)
        yield fields, await trio.to_thread.run_sync(receiver.finish)
