"""The fixtures of whole runs of pytest. They take a minute, and so have a command of their own: ``make plugin``."""

from __future__ import annotations

from tests.testing.conftest import project

__all__ = ["project"]
