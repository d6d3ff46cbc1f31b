"""The version of this installation. Not in the package itself: looking it up costs every command 35 ms."""

from importlib.metadata import version

__version__ = version("clawpace")
