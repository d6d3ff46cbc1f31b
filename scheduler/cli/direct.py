"""The board on its database: no daemon needed, and no token. Whoever can write the file may do everything."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from scheduler.blackboard.store import Store
from scheduler.cli.ways import Credentials, Place, as_told
from scheduler.verbs import Caller, Holder, Operator, perform
from scheduler.wire import event_json
from shared.clock import wall

if TYPE_CHECKING:
    from scheduler.blackboard.artifacts import Received
    from scheduler.cli.upload import Upload

POLL_SECONDS: Final = 0.5


class DirectBoard:
    def __init__(self, store: Store, max_attempts: int) -> None:
        self._store = store
        self._max_attempts = max_attempts

    @property
    def shown(self) -> str:
        """Where it is, for people; without a password."""
        return self._store.url_shown

    def ask(
        self,
        verb: str,
        task: str | None,
        body: Mapping[str, object],
        credentials: Credentials,
        *,
        upload: "Upload | None" = None,
    ) -> Any:
        claim = credentials.claim_for(verb)
        caller = Operator(credentials.name) if claim is None else Holder(claim)
        with as_told():
            if upload is None:
                return self._perform(verb, task, body, caller)
            with self._store.receiver() as receiver:
                for piece in upload.pieces():
                    receiver.write(piece)
                return self._perform(verb, task, body, caller, receiver.finish())

    def _perform(
        self,
        verb: str,
        task: str | None,
        body: Mapping[str, object],
        caller: Caller,
        received: "Received | None" = None,
    ) -> Any:
        return perform(
            self._store, verb, task, body, caller, wall(), received=received, max_attempts=self._max_attempts
        )

    def output_places(self, card: Mapping[str, Any]) -> list[str]:
        with as_told():
            return [str(self._store.output_file(output)) for output in self._store.outputs(card["id"])]

    def short_output(
        self, card: Mapping[str, Any], index: int, most: int, credentials: Credentials
    ) -> bytes | None:
        with suppress(OSError), as_told():
            with self._store.output_file(self._store.outputs(card["id"])[index]).open("rb") as stream:
                content = stream.read(most + 1)
            return content if len(content) <= most else None
        return None  # its file is gone, which its place shows

    def changes(self, credentials: Credentials) -> Iterator[list[Mapping[str, Any]]]:
        """Other processes write too, and nobody tells us: a look at one number, twice a second."""
        with as_told():
            seen = self._store.last_event()
            while True:
                if page := self._store.events_after(seen):
                    seen = page[-1][0]
                    yield [{"number": number, **event_json(event)} for number, event in page]
                else:
                    time.sleep(POLL_SECONDS)


@contextmanager
def opened(place: Place) -> Iterator[DirectBoard]:
    """Raises ToldError where the board cannot be had."""
    with as_told():
        store = _open(place)
    try:
        yield DirectBoard(store, place.located.max_attempts)
    finally:
        store.close()


def _open(place: Place) -> Store:
    return Store.open(
        place.url,
        artifacts=place.artifacts,
        create=place.may_create,
        pool_size=place.located.pool_size,
        max_overflow=place.located.max_overflow,
        high_risk=place.located.high_risk,
    )
