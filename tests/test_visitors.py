"""Who asks: one client is one address, however it spells it, and a secret is never told."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import SynchronousOnlyOperation
from django.test import AsyncRequestFactory, RequestFactory, override_settings
from django.utils.asyncio import async_unsafe
from django.utils.functional import SimpleLazyObject
from hypothesis import given
from hypothesis import strategies as st

from django_dripcache._drive import arun, run
from django_dripcache.exceptions import ConfigurationError
from django_dripcache.secrecy import digest
from django_dripcache.visitors import HERE, ON_LOOP, get_client_address, identify, is_exempt

PROXY = "10.0.0.9"


def request(remote=PROXY, **headers):
    made = RequestFactory().get("/", headers={name.replace("_", "-"): value for name, value in headers.items()})
    if remote is None:
        del made.META["REMOTE_ADDR"]
    else:
        made.META["REMOTE_ADDR"] = remote
    return made


def address(remote=PROXY, proxies=0, header="X-Forwarded-For", **headers):
    with override_settings(DRIPCACHE={"TRUSTED_PROXIES": proxies, "TRUSTED_PROXY_HEADER": header}):
        return get_client_address(request(remote, **headers))


# The other end of the connection


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7:51234", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]:443", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::ffff:cb00:7107", "203.0.113.7"),
        ("[::ffff:203.0.113.7]:80", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("[fe80::1%25eth0]:80", "fe80::/64"),
    ],
)
def test_an_address_is_counted_in_one_form(remote, expected):
    assert address(remote) == expected


@pytest.mark.parametrize(
    "remote", ["", None, "unix:", "/run/site.sock", "localhost", "010.0.0.1", "1.2.3.4.5", "::1::"]
)
def test_who_has_no_address_shares_one_bucket(remote):
    assert address(remote) == "unknown"


def test_a_thousand_addresses_of_one_64_are_one():
    hosts = [str(ip_network("2001:db8:1:2::/64")[number * 7_919_777_333]) for number in range(1000)]
    assert len(set(hosts)) == 1000
    assert {address(host) for host in hosts} == {"2001:db8:1:2::/64"}
    assert address("2001:db8:1:3::1") != "2001:db8:1:2::/64"


# What proxies tell


def test_by_default_nobody_is_believed():
    told = {"x_forwarded_for": "1.1.1.1", "forwarded": "for=1.1.1.1", "x_real_ip": "1.1.1.1"}
    assert address("203.0.113.7", **told) == "203.0.113.7"


def test_a_hundred_spoofed_headers_are_one_client():
    spoofed = [", ".join([f"198.51.100.{number}"] * (number % 5 + 1)) for number in range(100)]
    assert {address(proxies=1, x_forwarded_for=f"{one}, 203.0.113.7") for one in spoofed} == {"203.0.113.7"}
    two = {address(proxies=2, x_forwarded_for=f"{one}, 203.0.113.7, 10.0.0.1") for one in spoofed}
    assert two == {"203.0.113.7"}


@pytest.mark.parametrize("proxies", [1, 2, 3])
def test_the_nth_from_the_right_is_the_client(proxies):
    assert address(proxies=proxies, x_forwarded_for="9.9.9.3, 9.9.9.2,9.9.9.1") == f"9.9.9.{proxies}"


@pytest.mark.parametrize("header", ["", "203.0.113.7", "  ", ","])
def test_with_fewer_hops_than_proxies_it_is_the_other_end(header):
    assert address(proxies=3, x_forwarded_for=header) == PROXY
    assert address(proxies=3) == PROXY


def test_a_hop_that_a_proxy_left_empty_is_not_taken_from_the_client():
    assert address(proxies=2, x_forwarded_for="6.6.6.6, , 10.0.0.1") == PROXY


@pytest.mark.parametrize(
    ("hop", "expected"),
    [
        ("203.0.113.7:1234", "203.0.113.7"),
        ("[2001:db8::7]:1234", "2001:db8::/64"),
        ("2001:db8::7", "2001:db8::/64"),
        ('"203.0.113.7"', "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("unknown", PROXY),
        ("_hidden", PROXY),
        ("garbage", PROXY),
        ("203.0.113.7 evil", PROXY),
        ("203.0.113.256", PROXY),
        ("203.0.113.7\n", PROXY),
        ("٣.٣.٣.٣", PROXY),
        ("1" * 5000, PROXY),
        ("203.0.113.7:", PROXY),
        ('"', PROXY),
    ],
)
def test_a_hop_is_read_in_every_form_and_garbage_is_the_other_end(hop, expected):
    assert address(proxies=1, x_forwarded_for=f"6.6.6.6, {hop}") == expected


@given(st.text(max_size=60), st.integers(1, 3))
def test_whatever_a_header_holds_an_address_comes_out(text, proxies):
    with override_settings(DRIPCACHE={"TRUSTED_PROXIES": proxies}):
        asked = request()
        asked.META["HTTP_X_FORWARDED_FOR"] = f"{text}, 203.0.113.7"
        found = get_client_address(asked)
    assert found == "203.0.113.7" if proxies == 1 else found


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("for=203.0.113.7", "203.0.113.7"),
        ("For=203.0.113.7;proto=https", "203.0.113.7"),
        ("proto=https; for=203.0.113.7 ; by=10.0.0.9", "203.0.113.7"),
        ('for="203.0.113.7:80"', "203.0.113.7"),
        ('for="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::/64"),
        ("for=6.6.6.6, for=203.0.113.7", "203.0.113.7"),
        ('for="6.6.6.6, for=203.0.113.7', "203.0.113.7"),
        ('for=6.6.6.6;host="\\", for=203.0.113.7', "203.0.113.7"),
        ("for=unknown", PROXY),
        ("for=_secret", PROXY),
        ("by=203.0.113.7", PROXY),
        ("for=6.6.6.6;for=203.0.113.7", PROXY),
        ('for=203.0.113.7;host="a;for=6.6.6.6"', PROXY),
        ("203.0.113.7", PROXY),
        ("", PROXY),
    ],
)
def test_forwarded_is_read_as_rfc_7239_writes_it(header, expected):
    assert address(proxies=1, header="Forwarded", forwarded=header) == expected


def test_only_the_header_that_the_settings_name_is_read():
    both = {"x_forwarded_for": "1.1.1.1", "forwarded": "for=2.2.2.2", "cf_connecting_ip": "3.3.3.3"}
    assert address(proxies=1, **both) == "1.1.1.1"
    assert address(proxies=1, header="forwarded", **both) == "2.2.2.2"
    assert address(proxies=1, header="CF-Connecting-IP", **both) == "3.3.3.3"
    assert address(proxies=1, header="Forwarded", x_forwarded_for="1.1.1.1") == PROXY
    assert address(proxies=1, forwarded="for=2.2.2.2") == PROXY


def test_behind_a_unix_socket_the_proxy_is_believed_and_nobody_else():
    assert address("", proxies=1, x_forwarded_for="203.0.113.7") == "203.0.113.7"
    assert address("", proxies=1) == "unknown"


# By what a request is counted


class Fake:
    """A user, and the requests that have it: looked up on the event loop, or not."""

    is_authenticated, is_staff, is_superuser, pk = True, False, False, 7


@pytest.fixture(params=["sync", "async"])
def ask(request):
    """Return a function that runs ``identify`` or ``is_exempt``, in this thread or on an event loop."""
    if request.param == "sync":
        return lambda flow, *asked: run(flow(*asked, HERE), None)
    return lambda flow, *asked: asyncio.run(arun(flow(*asked, ON_LOOP), None))


def of(user, **headers):
    made = request("203.0.113.7", **headers)
    made.user = user
    return made


@async_unsafe("no database on a loop")
def look_up(asked):
    return "from the database"


def plain(asked):
    return asked.headers.get("X-Plan")


async def waiting(asked):
    await asyncio.sleep(0)
    return "awaited"


class Waiting:
    async def __call__(self, asked):
        return await waiting(asked)


def test_each_key_counts_by_what_it_says(ask):
    anonymous, user = of(AnonymousUser()), of(User(pk=42))
    assert ask(identify, anonymous, "ip") == "ip:203.0.113.7"
    assert ask(identify, user, "ip") == "ip:203.0.113.7"
    assert ask(identify, anonymous, "user") is None
    assert ask(identify, user, "user") == "user:42"
    assert ask(identify, anonymous, "user_or_ip") == "ip:203.0.113.7"
    assert ask(identify, user, "user_or_ip") == "user:42"


def test_what_a_header_holds_is_told_as_a_digest(ask):
    found = ask(identify, of(Fake(), x_api_key=" s3cret "), "header:X-Api-Key")
    assert found == f"header:{digest('limits', 's3cret')}"
    assert "s3cret" not in found
    assert found != ask(identify, of(Fake(), x_api_key="S3cret"), "header:X-Api-Key")


@pytest.mark.parametrize("headers", [{}, {"x_api_key": ""}, {"x_api_key": "  "}])
def test_without_the_header_a_request_is_not_counted(ask, headers):
    assert ask(identify, of(Fake(), **headers), "header:X-Api-Key") is None


def test_a_function_of_the_site_is_asked_wherever_it_can_be(ask):
    assert ask(identify, of(Fake(), x_plan="gold"), plain) == "key:gold"
    assert ask(identify, of(Fake()), plain) is None
    assert ask(identify, of(Fake()), look_up) == "key:from the database"
    assert ask(identify, of(Fake()), waiting) == "key:awaited"
    assert ask(identify, of(Fake()), Waiting()) == "key:awaited"
    assert ask(identify, of(Fake()), lambda asked: "") == "key:"


@pytest.mark.parametrize("wrong", [lambda asked: 7, lambda asked: b"key", lambda asked: False])
def test_a_key_that_is_no_text_is_an_error(ask, wrong):
    with pytest.raises(ConfigurationError, match="Allowed are a str and None"):
        ask(identify, of(Fake()), wrong)


def test_what_a_function_raises_is_the_callers(ask):
    def fail(asked):
        raise LookupError

    with pytest.raises(LookupError):
        ask(identify, of(Fake()), fail)


def test_a_request_without_a_user_is_an_error_that_says_what_to_do(ask):
    with pytest.raises(ConfigurationError, match="Put AuthenticationMiddleware before RateLimitMiddleware") as caught:
        ask(identify, request(), "user")
    assert caught.value.check == "dripcache.E007"


def test_groups_of_users_and_functions_are_exempt(ask):
    staff, root = of(Fake()), of(Fake())
    staff.user, root.user = (
        type("Staff", (Fake,), {"is_staff": True})(),
        type("Root", (Fake,), {"is_superuser": True})(),
    )
    nobody = of(AnonymousUser())
    assert [ask(is_exempt, one, ["staff"]) for one in (staff, root, of(Fake()), nobody)] == [True, False, False, False]
    assert [ask(is_exempt, one, ["superuser"]) for one in (staff, root, nobody)] == [False, True, False]
    assert [ask(is_exempt, one, ["authenticated"]) for one in (staff, nobody)] == [True, False]
    assert ask(is_exempt, nobody, ["staff", plain]) is False
    assert ask(is_exempt, of(AnonymousUser(), x_plan="gold"), ["staff", plain]) is True
    assert ask(is_exempt, nobody, [look_up]) is True
    assert ask(is_exempt, nobody, [waiting]) is True
    assert ask(is_exempt, nobody, []) is False


def test_a_user_without_a_flag_is_not_exempt(ask):
    assert ask(is_exempt, of(type("Bare", (), {"is_authenticated": True, "pk": 1})()), ["staff", "superuser"]) is False


# The user is not looked up for nothing


def exploding():
    raise AssertionError


def test_a_key_that_needs_no_user_looks_for_none(ask):
    asked = of(SimpleLazyObject(exploding), x_api_key="key", x_plan="gold")
    for key in ("ip", "header:X-Api-Key", plain):
        assert ask(identify, asked, key)


def test_on_a_loop_a_user_is_asked_of_django_without_a_thread():
    asked = AsyncRequestFactory().get("/")
    asked.user = SimpleLazyObject(exploding)

    async def auser():
        return Fake()

    asked.auser = auser
    assert asyncio.run(arun(identify(asked, "user", ON_LOOP), None)) == "user:7"


def test_on_a_loop_a_user_that_only_a_thread_can_look_up_is_looked_up_in_one():
    @async_unsafe("no database on a loop")
    def look():
        return Fake()

    asked = AsyncRequestFactory().get("/")
    asked.user = SimpleLazyObject(look)
    assert asyncio.run(arun(identify(asked, "user_or_ip", ON_LOOP), None)) == "user:7"

    async def directly():
        asked.user = SimpleLazyObject(look)
        with pytest.raises(SynchronousOnlyOperation):
            str(asked.user)

    asyncio.run(directly())
