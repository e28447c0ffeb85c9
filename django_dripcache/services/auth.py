"""Who is logged in: tokens that can be revoked at once, data of users, and OAuth states of one use."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from functools import lru_cache
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from django.conf import settings
from django.views.decorators.debug import sensitive_variables

from .._drive import arun, run
from ..codecs import MISS
from ..exceptions import CacheUnavailableError, InvalidKeyError
from ..flows import auth, values
from ..flows.auth import AuthStats, Token
from ..keys import escape_glob
from ..policy import to_milliseconds
from ..secrecy import digests
from ..signed import SignedJsonCodec
from .base import EncryptableService, get_user_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..near import Near
    from ..typing import Codec, Flow, Seconds

__all__ = ["AuthCache", "AuthStats", "Token"]

T = TypeVar("T")


class AuthCache(EncryptableService):
    """
    Tokens, data of users and OAuth states, over ``alias``; see EncryptableService for the arguments.

    Every entry is signed JSON, and holds until it is over, cleared, or its user or everything is. Tokens and states
    are stored as keyed digests. A ``user`` is an id, a text or an instance of a model, which stands for its pk.

    While Redis cannot be used, a token is neither accepted nor unknown: ``get_token()`` and ``consume_state()`` raise
    CacheUnavailableError, whatever ``on_outage`` says, and so does what could not be revoked or stored for sure:
    ``clear_token()``, ``clear()`` and ``create_state()``. What could not be revoked is revoked when Redis is back.
    Other verbs do as ``on_outage`` says: data is a miss, and what could not be written is False.
    """

    area: ClassVar[str] = "auth"

    # Tokens

    @sensitive_variables()
    def set_token(
        self, token: str, claims: Mapping[str, Any] | None = None, ttl: Seconds = 86400, *, user: object = None
    ) -> bool:
        """
        Accept ``token`` from now on, for ``ttl`` seconds, and return whether it was stored.

        ``claims`` is a mapping that JSON has a form for. With a ``user``, ``clear(user)`` revokes it as well. Raises
        InvalidKeyError for a token that is empty or no str, and SerializationError for claims that are no JSON.
        """
        return self._run(self._set_token(self._digests("tokens", token, new=True), claims, ttl, user), fallback=False)

    @sensitive_variables()
    async def aset_token(
        self, token: str, claims: Mapping[str, Any] | None = None, ttl: Seconds = 86400, *, user: object = None
    ) -> bool:
        """See set_token()."""
        return await self._arun(
            self._set_token(self._digests("tokens", token, new=True), claims, ttl, user), fallback=False
        )

    @sensitive_variables()
    def get_token(self, token: str, *, fresh: bool = False) -> Token | None:
        """
        Return what is known of a token that is accepted, or None for one that is not.

        With ``fresh``, Redis is asked even where the token is near. Raises CacheUnavailableError where that cannot be
        known.
        """
        return run(self._get_token(self._digests("tokens", token), fresh=fresh), self._link())

    @sensitive_variables()
    async def aget_token(self, token: str, *, fresh: bool = False) -> Token | None:
        """See get_token()."""
        return await arun(self._get_token(self._digests("tokens", token), fresh=fresh), self._link())

    @sensitive_variables()
    def clear_token(self, token: str) -> bool:
        """
        Revoke a token, in every process at once, and return whether it was there.

        Raises CacheUnavailableError if that did not work; it is then done when Redis is back.
        """
        return bool(run(values.delete(self._digests("tokens", token)), self._link()))

    @sensitive_variables()
    async def aclear_token(self, token: str) -> bool:
        """See clear_token()."""
        return bool(await arun(values.delete(self._digests("tokens", token)), self._link()))

    # Data of users

    def set(self, user: object, data: Any, ttl: Seconds = 300) -> bool:
        """Store what is known of a user, anything that JSON has a form for, and return whether it was stored."""
        return self._run(self._set(user, data, ttl), fallback=False)

    async def aset(self, user: object, data: Any, ttl: Seconds = 300) -> bool:
        """See set()."""
        return await self._arun(self._set(user, data, ttl), fallback=False)

    def get(self, user: object, default: Any = None) -> Any:
        """Return what is known of a user, or ``default``."""
        return self._run(self._get(user, default), default)

    async def aget(self, user: object, default: Any = None) -> Any:
        """See get()."""
        return await self._arun(self._get(user, default), default)

    def has(self, user: object) -> bool:
        """Return whether there is data of a user."""
        return self._run(self._get(user, MISS), MISS) is not MISS

    async def ahas(self, user: object) -> bool:
        """See has()."""
        return await self._arun(self._get(user, MISS), MISS) is not MISS

    def refresh(self, user: object, ttl: Seconds = 300) -> bool:
        """Begin the life of a user's data anew, of ``ttl`` seconds, and return whether there is some."""
        return self._run(self._refresh(user, ttl), fallback=False)

    async def arefresh(self, user: object, ttl: Seconds = 300) -> bool:
        """See refresh()."""
        return await self._arun(self._refresh(user, ttl), fallback=False)

    def clear(self, user: object = None) -> None:
        """
        Revoke all tokens of a user and remove the data; without a user, remove everything, states included.

        It is one command, however much there is, and holds in every process at once. Raises CacheUnavailableError if
        it did not work; it is then done when Redis is back.
        """
        run(values.delete(self._stamps(user)[-1:]), self._link())

    async def aclear(self, user: object = None) -> None:
        """See clear()."""
        await arun(values.delete(self._stamps(user)[-1:]), self._link())

    # OAuth states

    def create_state(self, data: Any = None, ttl: Seconds = 600) -> str:
        """
        Return a new state for one use within ``ttl`` seconds, 43 characters that nobody can guess.

        ``data`` is anything that JSON has a form for. Raises CacheUnavailableError if it could not be stored,
        SerializationError for data that is no JSON or too large, and ValueError for a ttl that is over at once.
        """
        state = token_urlsafe(32)
        run(self._add_state(state, data, ttl), self._link())
        return state

    async def acreate_state(self, data: Any = None, ttl: Seconds = 600) -> str:
        """See create_state()."""
        state = token_urlsafe(32)
        await arun(self._add_state(state, data, ttl), self._link())
        return state

    @sensitive_variables()
    def consume_state(self, state: str) -> Any:
        """
        Return the data of a state, ``{}`` if it has none, and None for a state that is unknown, over or was used.

        However many ask at the same time, one gets the data. Raises CacheUnavailableError where that cannot be known.
        """
        return run(self._consume(self._digests("states", state)), self._link())

    @sensitive_variables()
    async def aconsume_state(self, state: str) -> Any:
        """See consume_state()."""
        return await arun(self._consume(self._digests("states", state)), self._link())

    # Figures

    def get_stats(self) -> AuthStats:
        """Return how many tokens, users with data and states hold now. See AuthStats."""
        return self._run(self._count(), AuthStats(available=False))

    async def aget_stats(self) -> AuthStats:
        """See get_stats()."""
        return await self._arun(self._count(), AuthStats(available=False))

    # Names

    def _digests(self, part: str, secret: str, *, new: bool = False) -> Sequence[bytes]:
        if new and secret == "":
            message = "A token is empty. Allowed is a str that nobody can guess."
            raise InvalidKeyError(message)
        names = self._names(part)
        return [names.name(digest) for digest in digests(f"auth.{part}", secret)]

    def _stamps(self, user: object) -> list[bytes]:
        names = self._names("stamps")
        return [names.raw] if user is None else [names.raw, names.name(get_user_id(user))]

    @property
    def _near(self) -> Near | None:
        """The near cache, but not while Redis cannot be used, or has something that this process had to remove."""
        server = self._client.server
        return super()._near if server.available and not server.journal.dirty else None

    # Flows

    def _set_token(self, names: Sequence[bytes], claims: Any, ttl: Seconds, user: object) -> Flow[bool]:
        if claims is not None and not isinstance(claims, Mapping):
            message = f"The claims of a token are a mapping or None, not {type(claims).__name__}."
            raise TypeError(message)
        milliseconds = to_milliseconds(ttl)
        owner = None if user is None else get_user_id(user)
        token = Token.of(None if claims is None else dict(claims), owner, milliseconds)
        return auth.write(names, self._stamps(owner), self._sealed(_codec(Token)), token, milliseconds)

    def _get_token(self, names: Sequence[bytes], *, fresh: bool) -> Flow[Token | None]:
        found = yield from self._read(names, None, _codec(Token), fresh=fresh)
        over = found is MISS or found.expires <= datetime.now(timezone.utc)
        token: Token | None = None if over else self._trusted(found, found.user)
        return token

    def _set(self, user: object, data: Any, ttl: Seconds) -> Flow[bool]:
        name = self._names("users").name(get_user_id(user))
        return auth.write([name], self._stamps(user), self._sealed(_codec()), data, to_milliseconds(ttl))

    def _get(self, user: object, default: Any) -> Flow[Any]:
        name = self._names("users").name(get_user_id(user))
        found = yield from self._read([name], user, _codec())
        return default if found is MISS else self._trusted(found, user)

    def _refresh(self, user: object, ttl: Seconds) -> Flow[bool]:
        milliseconds = to_milliseconds(ttl)
        if milliseconds == 0:
            return bool((yield from values.delete([self._names("users").name(get_user_id(user))])))
        name = self._names("users").name(get_user_id(user))
        found = yield from auth.read([name], self._names("stamps").raw, self._sealed(_codec()), "touch", milliseconds)
        return found is not MISS and self._trusted(found, user) is not MISS

    def _read(self, names: Sequence[bytes], user: object, codec: Codec, *, fresh: bool = False) -> Flow[Any]:
        """Return what holds under the first of names that has something which does, or MISS; ``user`` if known."""
        stamps, near = self._stamps(user), self._near
        if near is None:
            return auth.read(names, stamps[0], self._sealed(codec))
        return auth.read_near(names, stamps, codec, near, fresh=fresh)

    def _add_state(self, state: str, data: Any, ttl: Seconds) -> Flow[None]:
        milliseconds = to_milliseconds(ttl)
        if milliseconds == 0:
            message = f"The ttl of a state is {ttl!r}. Allowed is more than 0 seconds."
            raise ValueError(message)
        name, *_ = self._digests("states", state)
        value = {} if data is None else data
        return auth.add(name, self._names("stamps").raw, self._sealed(_codec()), value, milliseconds)

    def _consume(self, names: Sequence[bytes]) -> Flow[Any]:
        found = yield from auth.read(names, self._names("stamps").raw, self._sealed(_codec()), "take")
        return None if found is MISS else found

    def _count(self) -> Flow[AuthStats]:
        kinds = [self._names(part).raw for part in ("tokens", "users", "states")]
        return auth.count(escape_glob(self._names().raw[:-1]) + b".*", kinds, self._names("stamps").raw)

    def _trusted(self, value: T, user: object) -> T:
        """Return what was read, or raise if this process was told to clear its user and still has to."""
        journal = self._client.server.journal
        if user is not None and journal.dirty and journal.covers(self._stamps(user)):
            reason = "what could not be revoked earlier is still to be revoked"
            raise CacheUnavailableError(reason)
        return value


def _codec(kind: Any = Any) -> Codec:
    return _make_codec((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS), kind)


@lru_cache(maxsize=8)
def _make_codec(secrets: tuple[str | bytes, ...], kind: Any) -> Codec:
    return SignedJsonCodec([secret if isinstance(secret, bytes) else secret.encode() for secret in secrets], kind)


auth_cache = AuthCache()
"""The tokens and the auth data of the alias ``default``; it may be imported before settings are ready."""
