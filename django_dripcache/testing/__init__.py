"""
What a site's own tests need: a place of their own for its caches, assertions about them, and a Redis to run on.

Nothing of it is imported before it is asked for: pytest imports this package in every run, for the sake of its plugin.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .sandbox import Sandbox
    from .server import RedisServer
    from .testcase import DripcacheTestMixin

__all__ = ["DripcacheTestMixin", "RedisServer", "Sandbox"]

_MODULES = {"DripcacheTestMixin": "testcase", "RedisServer": "server", "Sandbox": "sandbox"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
