"""The commands, by what they are about. Each file lists its own in COMMANDS, in the order of `--help`."""
