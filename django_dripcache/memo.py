"""Functions whose results are kept in the cache."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, overload

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

from .arguments import canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import Self

    from .freshness import Options
    from .manager import CacheManager
    from .typing import Seconds

P = ParamSpec("P")
R = TypeVar("R")


class Memoized(Generic[P, R]):
    """
    A function whose results are kept, as ``memoize()`` returns it. It is called as the function is.

    ``peek``, ``refresh`` and ``invalidate`` take the function's own arguments; each has an async twin.
    """

    def __init__(
        self,
        manager: CacheManager,
        function: Callable[P, R],
        ttl: Seconds | None,
        key: str | Callable[..., str] | None,
        tags: Iterable[str],
        kind: Any,
        options: Options,
    ) -> None:
        functools.update_wrapper(self, function)
        self._manager, self._function, self._ttl = manager, function, ttl
        self._template, self._tags, self._kind, self._options = key, tuple(tags), kind, options
        self._signature = inspect.signature(function)
        if iscoroutinefunction(function):
            markcoroutinefunction(self)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the result that is kept; without one, call the function and keep what it returns."""
        called = self._call(args, kwargs)
        get = self._manager.aget_or_set if iscoroutinefunction(self._function) else self._manager.get_or_set
        found = get(
            self.key(*args, **kwargs),
            lambda: self._function(*args, **kwargs),
            self._ttl,
            type=self._kind,
            tags=self._named(called),
            **self._options,
        )
        return cast("R", found)

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> Callable[..., R]: ...

    def __get__(self, instance: object | None, owner: type) -> Any:
        """Bind a method to its instance, with peek() and the others."""
        return self if instance is None else _Bound(self, instance)

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """
        Return the key of a call.

        Raises TypeError for arguments that do not fit the function, or that no key can be made of without ``key=``.
        """
        if callable(self._template):
            return self._template(*args, **kwargs)
        arguments = self._call(args, kwargs)
        if self._template is not None:
            return self._template.format_map(arguments)
        name = f"{self._function.__module__}.{self._function.__qualname__}"
        return f"{name}({', '.join(f'{name}={canonical(name, value)}' for name, value in arguments.items())})"

    def peek(self, *args: P.args, **kwargs: P.kwargs) -> R | None:
        """Return the result that is kept, or None; the function is not called."""
        found: R | None = self._manager.get(self.key(*args, **kwargs), type=self._kind)
        return found

    async def apeek(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """See peek()."""
        return await self._manager.aget(self.key(*args, **kwargs), type=self._kind)

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function and keep what it returns, in the place of what was kept."""
        value = self._function(*args, **kwargs)
        self._manager.set(self.key(*args, **kwargs), value, self._ttl, **self._with(args, kwargs))
        return value

    async def arefresh(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """See refresh()."""
        value = self._function(*args, **kwargs)
        value = (await value) if inspect.isawaitable(value) else value
        await self._manager.aset(self.key(*args, **kwargs), value, self._ttl, **self._with(args, kwargs))
        return value

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget the result of a call, and return whether there was one."""
        return self._manager.delete(self.key(*args, **kwargs))

    async def ainvalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """See invalidate()."""
        return await self._manager.adelete(self.key(*args, **kwargs))

    def _call(self, args: Any, kwargs: Any) -> dict[str, Any]:
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    def _named(self, arguments: dict[str, Any]) -> list[str]:
        return [tag.format_map(arguments) for tag in self._tags]

    def _with(self, args: Any, kwargs: Any) -> dict[str, Any]:
        return {"tags": self._named(self._call(args, kwargs)), "grace": self._options.get("grace", 0)}


class _Bound:
    """A memoized method of an instance."""

    def __init__(self, memoized: Memoized[..., Any], instance: object) -> None:
        self._memoized, self._instance = memoized, instance
        functools.update_wrapper(self, memoized)
        if iscoroutinefunction(memoized):
            markcoroutinefunction(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._memoized(self._instance, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return functools.partial(getattr(self._memoized, name), self._instance)
