"""Functions whose results are kept in the cache."""

from __future__ import annotations

import functools
import inspect
import logging
import re
from string import Formatter
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from asgiref.sync import async_to_sync, iscoroutinefunction, markcoroutinefunction, sync_to_async

from . import tasks
from ._drive import arun, run
from .arguments import canonical
from .exceptions import InvalidKeyError
from .flows import fill
from .flows.fill import Sendable
from .freshness import Freshness
from .policy import to_milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator

    from typing_extensions import Self

    from .client import CacheClient
    from .freshness import Options
    from .typing import Seconds

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")
V = TypeVar("V")

logger = logging.getLogger("django_dripcache")

_told: set[str] = set()
"""The functions of which the log has told that a worker cannot be asked for all their results."""

# Before Python 3.12, inspect.iscoroutinefunction() knows no marks, and looks at the code.
_METADATA = (*functools.WRAPPER_ASSIGNMENTS, "__code__", "__defaults__", "__kwdefaults__")


class Memoize(Protocol):
    """What ``memoize()`` returns: a decorator."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, V]], /) -> Memoized[P, Coroutine[Any, Any, V], V]: ...

    @overload
    def __call__(self, function: Callable[P, V], /) -> Memoized[P, V, V]: ...


class Memoized(Generic[P, R, V]):
    """
    A function whose results are kept, as ``memoize()`` returns it. It is called as the function is.

    ``key``, ``peek``, ``refresh`` and ``invalidate`` take the function's own arguments; all but ``key`` have an async
    twin, whether the function is a coroutine function or not.
    """

    def __init__(
        self,
        manager: CacheClient,
        function: Callable[P, R],
        ttl: Seconds | None,
        key: str | Callable[..., str] | None,
        tags: Iterable[str],
        kind: Any,
        options: Options,
    ) -> None:
        placed: Any = type(function)
        within: Any = function.__func__ if isinstance(function, (classmethod, staticmethod)) else function
        _check(within, named=key is not None)
        if isinstance(tags, str):
            message = f"tags={tags!r} is one text. Allowed are several, as in tags=[{tags!r}]."
            raise TypeError(message)
        Freshness.of(None if ttl is None else to_milliseconds(ttl), **options)  # what is out of range is told at once
        noted = getattr(within, "__dict__", {})
        self.__dict__.update({name: noted[name] for name in noted if not hasattr(type(self), name)})
        functools.update_wrapper(self, within, _METADATA, updated=())
        self._awaited = iscoroutinefunction(within)
        if self._awaited:
            markcoroutinefunction(self)
        self._manager, self._function, self._name = manager, within, getattr(within, "__qualname__", "")
        self._placed = placed
        self._before: tuple[Any, ...] = ()
        self._ttl, self._kind, self._options = ttl, kind, options
        self._template, self._tags = key, tuple(tags)
        self.__signature__ = self._signature = inspect.signature(within)
        parameters = [*self._signature.parameters.values()]
        self._rest = self._signature.replace(parameters=parameters[1:])
        by_place = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
        self._names = [one.name for one in parameters] if {one.kind for one in parameters} <= by_place else None
        self._defaults = tuple(one.default for one in parameters if one.default is not one.empty)
        self._path = ""
        if options.get("refresh") == "celery":
            self._path = tasks.get_path(within, method="." in self._name and placed is not staticmethod)
        for template in self._tags if key is None or callable(key) else (key, *self._tags):
            _check_template(template, self._signature.parameters)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the result that is kept; without one, call the function and keep what it returns."""
        return cast("R", self._ask("aget_or_set" if self._awaited else "get_or_set", args, kwargs))

    @overload
    def __get__(
        self: Memoized[Concatenate[type[S], Q], R, V], instance: object, owner: type[S], /
    ) -> Memoized[Q, R, V]: ...

    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...

    @overload
    def __get__(self: Memoized[Concatenate[Any, Q], R, V], instance: object, owner: type, /) -> Memoized[Q, R, V]: ...

    def __get__(self, instance: Any, owner: Any = None, /) -> Any:
        """Bind a method, with ``peek`` and the others, to its instance, or a class method to its class."""
        first = owner if self._placed is classmethod else instance
        if first is None or self._before or self._placed is staticmethod:
            return self
        bound = object.__new__(type(self))
        bound.__dict__.update(self.__dict__, __self__=first, _before=(first,), __signature__=self._rest)
        return bound

    def __reduce__(self) -> Any:
        """Pickle and copy it as a function or a method: by its name."""
        return (getattr, (*self._before, self._name.rpartition(".")[2])) if self._before else self._name

    def key(self, /, *args: P.args, **kwargs: P.kwargs) -> str:
        """
        Return the key of a call.

        Raises TypeError for arguments that do not fit the function, or that no key can be made of without ``key=``.
        """
        return self._key(self._bind(args, kwargs))

    def peek(self, /, *args: P.args, **kwargs: P.kwargs) -> V | None:
        """Return the result that is kept, or None; the function is not called."""
        return cast("V | None", self._manager.get(self.key(*args, **kwargs), type=self._kind))

    async def apeek(self, /, *args: P.args, **kwargs: P.kwargs) -> V | None:
        """See peek()."""
        return cast("V | None", await self._manager.aget(self.key(*args, **kwargs), type=self._kind))

    def refresh(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """
        Call the function and keep what it returns, in the place of what is kept.

        Of a coroutine function, it is awaited as a call is.
        """
        return cast("R", self._ask("arefresh" if self._awaited else "refresh", args, kwargs))

    async def arefresh(self, /, *args: P.args, **kwargs: P.kwargs) -> V:
        """See refresh()."""
        return cast("V", await self._ask("arefresh", args, kwargs))

    def invalidate(self, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget the result of a call, and return whether there was one. What is being computed is not kept."""
        return self._manager.delete(self.key(*args, **kwargs))

    async def ainvalidate(self, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """See invalidate()."""
        return await self._manager.adelete(self.key(*args, **kwargs))

    def run_queued(self, args: Iterable[Any], kwargs: dict[str, Any]) -> bool:
        """Compute what a worker was asked for, and return whether that was left to do: this is what the task calls."""
        call = {**self._call(args, kwargs), "kind": self._kind, "flow": fill.compute_queued}
        link = self._manager._link()  # noqa: SLF001 - no verb of a site's, and of no other
        flow = self._manager._get_or_set(**call)  # noqa: SLF001
        return bool(async_to_sync(arun)(flow, link) if self._awaited else run(flow, link))

    def _ask(self, verb: str, args: Any, kwargs: Any) -> Any:
        return getattr(self._manager, verb)(**self._call(args, kwargs), type=self._kind)

    def _call(self, args: Any, kwargs: Any) -> dict[str, Any]:
        bound = self._bind(args, kwargs)
        key = self._key(bound)

        def load() -> Any:  # it has no parameter, or it would be given a Context
            return self._function(*self._before, *args, **kwargs)

        return {
            "key": key,
            "loader": Sendable(load, self._sender(key, args, kwargs)) if self._path else load,
            "ttl": self._ttl,
            "tags": [tag.format_map(bound.arguments) for tag in self._tags],
            **self._options,
        }

    def _sender(self, key: str, args: Any, kwargs: Any) -> Callable[[], Any]:
        def send() -> bool:
            call = tasks.pack(args, kwargs)
            if call is None or not self._means(key, call):
                if self._path not in _told:
                    _told.add(self._path)
                    logger.warning("%s is computed here, since not all its arguments can be sent as JSON.", self._path)
                return False
            tasks.send(self._path, call)
            return True

        return sync_to_async(send, thread_sensitive=False) if self._awaited else send

    def _means(self, key: str, call: str) -> bool:
        """Return whether the arguments are the same when they have been sent: a tuple is a list then."""
        try:
            return self._key(self._bind(*tasks.unpack(call))) == key
        except (TypeError, AttributeError, LookupError):
            return False

    def _bind(self, args: Any, kwargs: Any) -> inspect.BoundArguments:
        values = (*self._before, *args)
        left = -1 if self._names is None else len(self._names) - len(values)
        if kwargs or not 0 <= left <= len(self._defaults):
            bound = self._signature.bind(*values, **kwargs)
            bound.apply_defaults()
        else:  # the same, for the call that most are, in a fraction of the time
            values += self._defaults[len(self._defaults) - left :]
            arguments: Any = dict(zip(self._names or (), values, strict=True))
            bound = inspect.BoundArguments(self._signature, arguments)
        first = next(iter(bound.arguments), None)
        if first == "cls" and "." in self._name and not isinstance(bound.arguments[first], type):
            message = f"{self._name} is a class method without its class. Write @memoize above @classmethod."
            raise TypeError(message)
        return bound

    def _key(self, bound: inspect.BoundArguments) -> str:
        if callable(self._template):
            return self._template(*bound.args, **bound.kwargs)
        if self._template is not None:
            return self._template.format_map(bound.arguments)
        arguments = [f"{name}={canonical(name, value)}" for name, value in bound.arguments.items()]
        return f"{self.__module__}.{self._name}({', '.join(arguments)})"


def _check(function: Any, *, named: bool) -> None:
    """Raise TypeError for what is no function, or one whose results cannot be kept, or be told from another's."""
    if isinstance(function, type) or not callable(function):
        kind = type(function).__name__
        message = f"memoize() is for functions and methods, not for a {kind}. Write it below @property and the like."
        raise TypeError(message)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        message = f"{name} is a generator function, and what is yielded cannot be kept. Let it return a list."
        raise TypeError(message)
    bound = not inspect.ismodule(getattr(function, "__self__", inspect))
    nameless = "<" in name or name.rpartition(".")[2] == "_" or not hasattr(function, "__qualname__")
    if not named and (bound or nameless):
        message = (
            f"{name} has no name of its own, and others of that name would share its results. Give memoize() a key= "
            "that tells them apart, such as 'report:{user.pk}', or let it be a function of a module or a class."
        )
        raise TypeError(message)


def _check_template(template: str, parameters: Iterable[str]) -> None:
    """Raise InvalidKeyError for a template with a field that begins with no parameter."""
    for field in _fields(template):
        root = re.split(r"[.\[]", field, maxsplit=1)[0]
        if root not in parameters:
            allowed = ", ".join(parameters) or "none"
            message = f"The template {template!r} has a field {root!r}. Allowed are the parameters: {allowed}."
            raise InvalidKeyError(message, key=template)


def _fields(template: str) -> Iterator[str]:
    for _, field, spec, _ in Formatter().parse(template):
        if field is not None:
            yield field
            yield from _fields(spec or "")
