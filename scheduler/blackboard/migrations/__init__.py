"""How databases become what ``tables`` says, one step per file in `versions/`."""
