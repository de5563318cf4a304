"""The ground both daemons stand on: the snapshot contract, how it travels, and the edges they share."""

__version__ = "0.1.0"
