"""
The errors of django-dripcache.

Each one also inherits the builtin that a caller would expect, and carries its facts as attributes::

    DripcacheError
      ConfigurationError      (ImproperlyConfigured)
      InvalidKeyError         (ValueError)
      SerializationError      (ValueError)
      CacheUnavailableError   (ConnectionError)
      LoaderTimeoutError      (TimeoutError)
      LockTimeoutError        (TimeoutError)
      RateLimitExceededError
      DuplicateTaskError
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from .rates import Decision


class DripcacheError(Exception):
    """The base of every error that this package raises on purpose."""


class ConfigurationError(DripcacheError, ImproperlyConfigured):
    """
    A setting is wrong. The message says what was received, what is allowed and where to fix it.

    ``check`` is the id of the system check that reports it.
    """

    def __init__(self, message: str, *, check: str = "dripcache.E003") -> None:
        super().__init__(message)
        self.check = check


class InvalidKeyError(DripcacheError, ValueError):
    """A key or a name cannot be used. ``key`` is what was received."""

    def __init__(self, message: str, *, key: object = None) -> None:
        super().__init__(message)
        self.key = key


class SerializationError(DripcacheError, ValueError):
    """A value cannot be stored in the asked form. ``kind`` is the name of the value's type."""

    def __init__(self, message: str, *, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


class CacheUnavailableError(DripcacheError, ConnectionError):
    """
    Redis did not answer, or refused to serve.

    ``reason`` is a short text without secrets, ``answered`` whether there was an answer: a refusal, or a closed
    connection.
    """

    def __init__(self, reason: str, answered: bool = False) -> None:  # noqa: FBT001, FBT002 - pickles know no names
        super().__init__(f"The cache's Redis cannot be used: {reason}")
        self.reason = reason
        self.answered = answered

    def __reduce__(self) -> tuple[type[CacheUnavailableError], tuple[str, bool]]:
        return type(self), (self.reason, self.answered)


class LoaderTimeoutError(DripcacheError, TimeoutError):
    """A loader took longer than its ``hard_timeout``. It goes on. ``name`` is that of its key in Redis."""

    def __init__(self, name: bytes, seconds: float) -> None:
        super().__init__(
            f"The value of {name.decode('utf-8', 'replace')!r} was not computed within {seconds:g} seconds."
        )
        self.name = name
        self.seconds = seconds


class LockTimeoutError(DripcacheError, TimeoutError):
    """
    A lock, or a place in a funnel, could not be acquired in time.

    ``name`` is its name, ``wait`` for how many seconds it was waited for. Where that was since Redis cannot be used,
    the cause is the CacheUnavailableError.
    """

    def __init__(self, message: str, *, name: str = "", wait: float = 0) -> None:
        super().__init__(message)
        self.name = name
        self.wait = wait


class RateLimitExceededError(DripcacheError):
    """A hit was denied by a rate limit. ``decision`` is the Decision."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(f"The limit of {decision.rate} is reached. Try again in {decision.retry_after:.3g} seconds.")
        self.decision = decision

    def __reduce__(self) -> tuple[type[RateLimitExceededError], tuple[Decision]]:
        """Pickle it with its decision, as Celery does."""
        return type(self), (self.decision,)


class DuplicateTaskError(DripcacheError):
    """A task with the same arguments is queued or runs. ``task`` is its name and ``holder`` its id."""

    def __init__(self, task: str, holder: str) -> None:
        super().__init__(f"{task} with these arguments is queued or runs already, as {holder}.")
        self.task = task
        self.holder = holder

    def __reduce__(self) -> tuple[type[DuplicateTaskError], tuple[str, str]]:
        """Pickle it with what it is about, as Celery does."""
        return type(self), (self.task, self.holder)
