from typing import Any, Final

COMMANDS: Final[tuple[Any, ...]] = ()
