"""The agent scheduler: the second process, not part of this release."""
