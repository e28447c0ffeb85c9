"""Template tags: what is kept, flags, values of the visitor, what is left of rate limits, and figures."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

from django.template import Library, Node, NodeList, TemplateSyntaxError, Variable, VariableDoesNotExist
from django.template.base import token_kwargs
from django.utils.safestring import SafeString

from ..client import CacheClient
from ..fragments import fragment_of, fragments
from ..manager import CacheManager
from ..services.flags import FeatureFlags
from ..services.users import UserCache
from ..watch import PASSING, Watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.template.base import FilterExpression, Parser, Token
    from django.template.context import Context

    from .. import context as loading
    from ..rates import Decision
    from ..refusals import Standing
    from ..stats import CacheStats
    from ..typing import Loader

register = Library()

_CACHED: Final = ("tags", "using", "grace", "jitter", "beta", "lease", "wait", "backoff")
_FLAG: Final = ("default", "using")
_OF_REQUEST: Final = object()


@register.tag
def cached(parser: Parser, token: Token) -> Node:
    """
    Keep what is between this tag and ``{% endcached %}``: ``{% cached ttl name vary... tags= grace= using= %}``.

    ``ttl`` is in seconds, ``None`` the default of the alias. What it varies by, the language and the time zone have
    fragments of their own. ``tags`` are a list, or a text with commas. See get_or_set() for the other options.
    """
    arguments, options = _arguments(parser, token, _CACHED)
    if len(arguments) < 2:  # noqa: PLR2004
        message = "'cached' takes a ttl and a name, as in {% cached 600 \"sidebar\" user.pk %}."
        raise TemplateSyntaxError(message)
    nodelist = parser.parse(("endcached",))
    parser.delete_first_token()
    return CachedNode(arguments, options, nodelist)


class CachedNode(Node):
    """A fragment that is kept."""

    def __init__(
        self, arguments: list[FilterExpression], options: dict[str, FilterExpression], nodelist: NodeList
    ) -> None:
        self.arguments, self.options, self.nodelist = arguments, options, nodelist

    def render(self, context: Context) -> SafeString:
        """
        Return the fragment that is kept, or render it.

        It has all of the context, and what it sets there ends with it, as it would if it was not rendered.
        """
        ttl, name, *vary = [_resolve(argument, context) for argument in self.arguments]
        options = {option: _resolve(value, context) for option, value in self.options.items()}
        manager = fragments(options.pop("using", "default"))
        place = fragment_of(name, vary)
        tags = [*place.tags, *_split(options.pop("tags", ()))]
        if _on_event_loop():
            options.setdefault("wait", 0)  # who waits here lets all other tasks wait
        own: list[SafeString] = []
        errors: list[Exception] = []

        def load(told: loading.Context) -> SafeString | None:
            try:
                with Watch(getattr(context, "request", None)) as watch, context.push():
                    text = self.nodelist.render(context)
            except Exception as error:
                errors.append(error)
                raise
            own.append(text)
            if watch.within - {"session"}:
                told.set(ttl=PASSING)
                return None  # it is for one visitor, and others may be waiting
            return text

        loader = cast("Loader", load)
        kept = manager.get_or_set(place.key, loader, ttl, type=SafeString | None, tags=tags, **options)
        if errors and (kept is None or (context.template is not None and context.template.engine.debug)):
            raise errors[0]
        if own:
            return own[0]
        if kept is not None:
            return kept  # type: ignore[no-any-return]
        with context.push():
            return self.nodelist.render(context)


@register.tag
def flag(parser: Parser, token: Token) -> Node:
    """Render what follows if a flag is on, else what is between ``{% else %}`` and ``{% endflag %}``."""
    arguments, options = _arguments(parser, token, _FLAG)
    if len(arguments) != 1:
        message = "'flag' takes one name, as in {% flag \"new_ui\" default=True %}."
        raise TemplateSyntaxError(message)
    enabled, disabled = parser.parse(("else", "endflag")), NodeList()
    if parser.next_token().contents == "else":
        disabled = parser.parse(("endflag",))
        parser.delete_first_token()
    return FlagNode(arguments[0], options, enabled, disabled)


class FlagNode(Node):
    """A part of a page that a flag switches."""

    child_nodelists = ("enabled", "disabled")

    def __init__(
        self, name: FilterExpression, options: dict[str, FilterExpression], enabled: NodeList, disabled: NodeList
    ) -> None:
        self.name, self.options, self.enabled, self.disabled = name, options, enabled, disabled

    def render(self, context: Context) -> SafeString:
        """Return the one part or the other."""
        options = {option: _resolve(value, context) for option, value in self.options.items()}
        flags = FeatureFlags(options.get("using", "default"))
        is_on = flags.get(_resolve(self.name, context), bool(options.get("default", False)))
        return (self.enabled if is_on else self.disabled).render(context)


@register.simple_tag(takes_context=True)
def user_cache(context: Context, key: str, default: Any = None, user: Any = _OF_REQUEST, using: str = "default") -> Any:
    """
    Return a value of ``user_cache``, by default of the request's user; ``default`` where there is none.

    A visitor who is not signed in has no values.
    """
    if user is _OF_REQUEST:
        request = getattr(context, "request", None) or context.get("request")
        # A view may have given the name "user" to another one, whose page this is.
        user = context.get("user") if request is None else getattr(request, "user", None)
    if user in (None, "") or getattr(user, "is_anonymous", False):
        return default
    return UserCache(using).get(user, key, default)


@register.simple_tag
def cache_stats(using: str = "default") -> CacheStats:
    """Return the figures of the cache of an alias, and of its server: ``{% cache_stats as stats %}``."""
    return CacheClient(CacheManager(using)).get_stats()


@register.simple_tag(takes_context=True)
def rate_limit(context: Context, name: str = "") -> Decision | None:
    """
    Return what was decided about this request by the limit ``name``, by default by the one of which least is left.

    It is a Decision, with ``remaining`` and ``reset_after``: ``{% rate_limit "search" as limit %}``. Without ``as`` it
    says "7 of 10". None, where no such limit is about the request.
    """
    request = getattr(context, "request", None) or context.get("request")
    standings: Sequence[Standing] = getattr(request, "rate_limits", ())
    found = [one.decision for one in standings if not name or one.name.partition(":")[0] == name]
    return min(found, key=lambda decision: decision.remaining / decision.limit, default=None)


def _arguments(
    parser: Parser, token: Token, allowed: tuple[str, ...]
) -> tuple[list[FilterExpression], dict[str, FilterExpression]]:
    """Return the arguments of a tag, and its options by name."""
    tag, *bits = token.split_contents()
    arguments: list[FilterExpression] = []
    options: dict[str, FilterExpression] = {}
    for bit in bits:
        named = token_kwargs([bit], parser)
        for option in named:
            if option not in allowed:
                message = f"{tag!r} got the option {option!r}. Allowed are: {', '.join(allowed)}."
                raise TemplateSyntaxError(message)
            if option in options:
                message = f"{tag!r} got the option {option!r} twice."
                raise TemplateSyntaxError(message)
        options.update(named)
        if not named:
            arguments.append(parser.compile_filter(bit))
    return arguments, options


def _resolve(expression: FilterExpression, context: Context) -> Any:
    """
    Return the value of an expression.

    Raises TemplateSyntaxError for a name that the context does not have: what varies by nothing is one for all.
    """
    if isinstance(expression.var, Variable) and "default" not in _filters(expression):
        try:
            value = expression.var.resolve(context)
        except VariableDoesNotExist as error:
            message = (
                f"{expression.token} is not in the context. Give it a value there, or a default here: "
                f'{expression.token}|default:"".'
            )
            raise TemplateSyntaxError(message) from error
        if not expression.filters:
            return value
    return expression.resolve(context)


def _filters(expression: FilterExpression) -> list[str]:
    return [getattr(function, "_filter_name", "") for function, _ in expression.filters]


def _split(tags: Any) -> list[str]:
    if isinstance(tags, str):
        return [tag.strip() for tag in tags.split(",") if tag.strip()]
    return [*tags]


def _on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
