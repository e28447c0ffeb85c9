"""What a test suite or a demo needs to run without a Redis of its own."""

from .server import RedisServer

__all__ = ["RedisServer"]
