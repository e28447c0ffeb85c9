"""Tokens, data of users and OAuth states: what is a question of rights is answered surely, or not at all."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from django_dripcache import AuthCache, CacheUnavailableError
from django_dripcache._drive import run
from django_dripcache.codecs import MISS
from django_dripcache.flows import auth as flows
from django_dripcache.services import auth as service

from ..verbs import Group, Raises, Spot, keep, verb

NOT_KNOWN: Final = Raises((CacheUnavailableError,))

CLAIMS: Final = {"role": "editor"}
OTHERS: Final = {"role": "reader"}


class _Auth(AuthCache):
    """It remembers the state that it made."""

    state = "of nobody"

    def store(self) -> None:
        """Put in tokens and data of two users, and a state."""
        keep(
            lambda: self.set_token("there", CLAIMS, user=1),
            lambda: self.set_token("other", OTHERS, user=2),
            lambda: self.set(1, "old"),
            lambda: self.set(2, "kept"),
            self.make_state,
        )

    def make_state(self) -> bool:
        """Make a state, and return whether that was done."""
        with suppress(CacheUnavailableError):
            self.state = self.create_state("of somebody")
        return self.state != _Auth.state

    def peek(self) -> Any:
        """Return what the state has, and leave it there."""
        names = self._digests("states", self.state)
        found = run(flows.read(names, self._names("stamps").raw, service._codec()), self._link())
        return None if found is MISS else found


def _claims(token: Any) -> Any:
    return None if token is None else token.claims


def _reads(auth: Any) -> dict[str, Any]:
    return {
        "token": lambda: _claims(auth.get_token("there")),
        "other token": lambda: _claims(auth.get_token("other")),
        "state": auth.peek,
        "data": lambda: auth.get(1),
        "other data": lambda: auth.get(2),
    }


_STORED: Final = {
    "token": CLAIMS,
    "other token": OTHERS,
    "state": "of somebody",
    "data": "old",
    "other data": "kept",
}

AUTH: Final = Group(
    title="auth_cache",
    make=lambda alias, _: _Auth(alias),
    store=_Auth.store,
    reads=_reads,
    stored=_STORED,
    spots=lambda auth: [
        Spot(auth._digests("tokens", "there")[0]),
        Spot(auth._digests("states", auth.state)[0]),
        Spot(auth._names("users").name("1")),
    ],
    spoiled=frozenset({"token", "state", "data"}),
    verbs={
        "get_token": verb(lambda c: c.get_token("there"), "reads", CLAIMS, NOT_KNOWN, None, None, None, see=_claims),
        "set_token": verb(
            lambda c: c.set_token("there", OTHERS, user=1),
            "grows",
            True,
            False,
            True,
            True,
            True,
            writes={"token": OTHERS},
        ),
        "clear_token": verb(
            lambda c: c.clear_token("there"), "removes", True, NOT_KNOWN, False, True, True, writes={"token": None}
        ),
        "set": verb(lambda c: c.set(1, "new"), "grows", True, False, True, True, True, writes={"data": "new"}),
        "get": verb(lambda c: c.get(1, "default"), "reads", "old", "default", "default", "default", "default"),
        "has": verb(lambda c: c.has(1), "reads", True, False, False, False, False),
        "refresh": verb(lambda c: c.refresh(1), "removes", True, False, False, False, False),
        "clear, user": verb(
            lambda c: c.clear(1), "removes", None, NOT_KNOWN, None, None, None, writes={"token": None, "data": None}
        ),
        "clear": verb(lambda c: c.clear(), "removes", None, NOT_KNOWN, None, None, None, writes=dict.fromkeys(_STORED)),
        "create_state": verb(lambda c: c.create_state(), "grows", 43, NOT_KNOWN, 43, 43, 43, see=len),
        "consume_state": verb(
            lambda c: c.consume_state(c.state),
            "removes",
            "of somebody",
            NOT_KNOWN,
            None,
            None,
            None,
            writes={"state": None},
            noted=False,
        ),
        "get_stats": verb(
            lambda c: c.get_stats(),
            "reads",
            (True, 2, 2, 1),
            (False, 0, 0, 0),
            (True, 0, 0, 0),
            (True, 1, 1, 0),
            (True, 1, 1, 0),
            see=lambda of: (of.available, of.tokens, of.users, of.states),
            exchanges=2,
        ),
    },
)
