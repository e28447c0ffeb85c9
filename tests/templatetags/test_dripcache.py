"""Fragments that are kept, parts that flags switch, and what the other tags answer."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.messages.storage.base import BaseStorage
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.template import Context, Engine, RequestContext, TemplateSyntaxError, engines
from django.test import AsyncClient, Client, RequestFactory
from django.urls import path
from django.utils import timezone, translation
from django.utils.functional import SimpleLazyObject
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from django_dripcache import (
    CacheStats,
    CacheUnavailableError,
    InvalidKeyError,
    cache,
    flags,
    fragments,
    on_outage,
    user_cache,
)
from django_dripcache.fragments import ainvalidate_fragment, invalidate_fragment
from django_dripcache.limiting import rate_limit
from django_dripcache.templatetags import dripcache

from ..processes import UNREACHABLE, in_threads, site, wait_for

LIBRARY = {"dripcache": "django_dripcache.templatetags.dripcache"}


class BrokenError(Exception):
    """What a variable raises."""


class Counter:
    """Counts how often it is written to a page."""

    def __init__(self):
        self.count = 0

    def __str__(self):
        self.count += 1
        return str(self.count)


def make_engine(templates=(), *, debug=False):
    loaders = [("django.template.loaders.locmem.Loader", dict(templates))]
    return Engine(libraries=LIBRARY, builtins=[LIBRARY["dripcache"]], loaders=loaders, debug=debug)


def show(text, context=None, *, engine=None, request=None, **more):
    """Render a text; the tags need not be loaded."""
    context = {**(context or {}), **more}
    made = Context(context) if request is None else RequestContext(request, context)
    return (engine or make_engine()).from_string(text).render(made)


@pytest.fixture
def here(redis_server, raw):
    """A patient site over the server of this process."""
    with site(redis_server.url):
        yield raw


@pytest.fixture
def counter(here):
    return Counter()


def shown(text, counter, *contexts, **more):
    """Render a text in each context, and again; return what was shown first, if it is the same again."""
    first = [show(text, context, counter=counter, **more) for context in contexts]
    assert [show(text, context, counter=counter, **more) for context in contexts] == first
    return first


# A fragment


def test_a_fragment_is_rendered_once(counter):
    text = '{% cached 600 "sidebar" %}<b>{{ counter }}</b>{% endcached %}'
    assert [show(text, counter=counter) for _ in range(3)] == ["<b>1</b>"] * 3
    assert counter.count == 1


def test_it_has_to_be_loaded(here):
    text = '{% load dripcache %}{% cached 600 "sidebar" %}a{% endcached %}{% flag "b" %}b{% else %}c{% endflag %}'
    assert engines["django"].from_string(text).render() == "ac"


def test_what_was_escaped_is_not_escaped_again(counter):
    text = '{% cached 600 "sidebar" %}{{ name }}<br>{{ counter }}{% endcached %}'
    for _ in range(2):
        assert show(text, name="<script>&", counter=counter) == "&lt;script&gt;&amp;<br>1"


@pytest.mark.parametrize("text", ["", "ü\n日本 \0", "x" * 1_500_000], ids=["nothing", "any text", "much"])
def test_any_text_comes_back(here, text):
    template = '{% cached 600 "sidebar" %}{{ value }}{{ counter }}{% endcached %}'
    counter = Counter()
    for _ in range(2):
        assert show(template, value=SafeString(text), counter=counter) == f"{text}1"


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [("600", 600), ("0.5", 0.5), ("ttl", 30), ("None", 300)],
)
def test_a_ttl_is_a_number_or_a_variable_or_the_default(counter, here, ttl, seconds):
    show(f'{{% cached {ttl} "sidebar" %}}a{{% endcached %}}', ttl=timedelta(seconds=30))
    (name,) = here.scan_iter("dripcache:c:*")
    assert (seconds - 5) * 1000 < here.pttl(name) <= seconds * 1000


def test_a_fragment_ends_with_its_ttl(counter):
    text = '{% cached 0.02 "sidebar" %}{{ counter }}{% endcached %}'
    show(text, counter=counter)
    wait_for(lambda: show(text, counter=counter) != "1")


def test_every_key_of_a_fragment_ends(counter, here):
    show('{% cached 600 "sidebar" 7 tags="a" %}{{ counter }}{% endcached %}', counter=counter)
    names = list(here.scan_iter())
    assert len(names) == 4  # itself, its two tags and the one that it was given
    assert all(here.pttl(name) > 0 for name in names)


# What it varies by

ROW = User(pk=7)


@pytest.mark.parametrize(
    "parts",
    [
        [("a", "b"), ("ab",), ("a, b",), ("a'", "b"), ("b", "a"), ("a",), (), ("",), ("", "")],
        [(7,), ("7",), (7.0,), (True,), (Decimal(7),), (ROW,), (None,), ("None",), ([7],), ((7,),), ({"a": 7},)],
        [(date(2026, 1, 1),), ("2026-01-01",), (ROW, 1), (User(pk=8), 1), ([1, [2]],), ([[1], 2],)],
        [("x" * 10_000,), ("x" * 10_001,), ("\0",), ("\ud800",), ("ü",), ("u",), ("*",), ("{x}",), (":",)],
    ],
)
def test_other_parts_are_another_fragment(counter, parts):
    names = [[f"p{index}" for index in range(len(values))] for values in parts]
    answers = [
        [
            show(
                f'{{% cached 600 "sidebar" {" ".join(keys)} %}}{{{{ counter }}}}{{% endcached %}}',
                dict(zip(keys, values, strict=True)),
                counter=counter,
            )
            for keys, values in zip(names, parts, strict=True)
        ]
        for _ in range(2)
    ]
    assert answers[0] == answers[1] == [str(number) for number in range(1, len(parts) + 1)]


@pytest.mark.parametrize(
    "equal",
    [
        ["a", SafeString("a"), gettext_lazy("a"), format_html("{}", "a")],
        [ROW, SimpleLazyObject(lambda: User(pk=7)), User(pk=7, username="another")],
        [None, AnonymousUser(), SimpleLazyObject(AnonymousUser)],
    ],
)
def test_what_stands_for_the_same_is_the_same_fragment(counter, equal):
    text = '{% cached 600 "sidebar" part %}{{ counter }}{% endcached %}'
    assert shown(text, counter, *[{"part": part} for part in equal]) == ["1"] * len(equal)


def test_names_are_not_parts(counter):
    texts = ['"a" "b"', '"ab"', '"a"', '"a:b"', '"a" "b" "c"', '"b" "a"']
    texts = [f"{{% cached 600 {arguments} %}}{{{{ counter }}}}{{% endcached %}}" for arguments in texts]
    assert [show(text, counter=counter) for text in texts * 2] == [str(number) for number in range(1, 7)] * 2


def test_languages_and_time_zones_have_fragments_of_their_own(counter):
    text = '{% cached 600 "sidebar" %}{{ counter }}{% endcached %}'
    answers = []
    for language, zone in [("en", "UTC"), ("de", "UTC"), ("en", "Europe/Zurich")] * 2:
        with translation.override(language), timezone.override(zone):
            answers.append(show(text, counter=counter))
    assert answers == ["1", "2", "3"] * 2


@pytest.mark.parametrize("part", [object(), RequestFactory().get("/"), User(), [object()]])
def test_what_no_key_can_be_made_of_is_told(here, part):
    with pytest.raises(TypeError, match=r"The fragment 'sidebar' cannot vary by a \w+ like this\. Allowed are texts"):
        show('{% cached 600 "sidebar" part %}a{% endcached %}', part=part)


@pytest.mark.parametrize(
    "tag",
    [
        'cached 600 "sidebar" usr.pk',
        'cached 600 "sidebar" user.pkk',
        'cached 600 "sidebar" usr.pk|lower',
        'cached 600 "sidebar" name|add:usr.pk',
        "cached 600 sidebar",
        'cached usr "sidebar"',
        'cached 600 "sidebar" tags=usr',
        'cached 600 "sidebar" grace=usr',
        'cached 600 "sidebar" using=usr',
    ],
)
@pytest.mark.parametrize("invalid", ["", "INVALID"])
def test_a_name_that_is_not_in_the_context_is_no_fragment_for_all(here, tag, invalid):
    engine = Engine(builtins=[LIBRARY["dripcache"]], string_if_invalid=invalid)
    with pytest.raises(Exception, match=r"(usr|user\.pkk|sidebar).*not in the context|Failed lookup for key \[usr\]"):
        show(f"{{% {tag} %}}a{{% endcached %}}", engine=engine, user=ROW, name="a")
    assert here.keys("*") == []


def test_a_default_stands_for_what_is_not_in_the_context(counter):
    text = '{% cached 600 "sidebar" request.GET.page|default:"" %}{{ counter }}{% endcached %}'
    contexts = [{}, {"request": RequestFactory().get("/?page=2")}, {"request": RequestFactory().get("/")}]
    assert shown(text, counter, *contexts) == ["1", "2", "1"]


@pytest.mark.parametrize("name", ["", None, 7, ["a"]])
def test_what_is_no_name_is_told(here, name):
    with pytest.raises(InvalidKeyError, match=r"The name of a fragment is .* Allowed is a text"):
        show("{% cached 600 name %}a{% endcached %}", name=name)


def test_what_it_varies_by_cannot_be_read_in_redis(counter, here):
    show('{% cached 600 "a bar" part %}{{ counter }}{% endcached %}', part="a-secret", counter=counter)
    (name,) = here.scan_iter("dripcache:c:*")
    assert name.startswith(b"dripcache:c:fragment:a%20bar:")
    assert not any(b"secret" in name for name in here.scan_iter())


# Options


@pytest.mark.parametrize(
    "tags",
    [["airports", "airport:7"], ("airports", "airport:7"), "airports, airport:7,", {"airports": 1, "airport:7": 2}],
)
def test_tags_void_a_fragment(counter, tags):
    text = '{% cached 600 "sidebar" tags=tags %}{{ counter }}{% endcached %}'
    for count, tag in enumerate(["airports", "airport:7"], 1):
        assert show(text, tags=tags, counter=counter) == str(count)
        assert cache.invalidate_tags(tag) == 1


def test_tags_may_be_a_text_in_the_template(counter):
    text = '{% cached 600 "sidebar" tags="airports,airport:7" grace=3600 %}{{ counter }}{% endcached %}'
    show(text, counter=counter)
    cache.invalidate_tags("airport:7")
    assert show(text, counter=counter) == "2"


def test_a_stale_fragment_is_shown_while_another_is_rendered_and_where_that_fails(here, caplog):
    text = '{% cached 0.02 "sidebar" grace=60 %}{{ value }}{% endcached %}'
    assert show(text, value="old") == "old"
    time.sleep(0.05)
    assert show(text, value=Raising()) == "old"
    assert "its last value is served" in caplog.text
    assert show(text, value="new") == "old"  # the backoff is not over


class Raising:
    def __str__(self):
        raise BrokenError("why")


def test_in_debug_an_error_is_shown_in_the_place_of_a_stale_fragment(here):
    text = '{% cached 0.02 "sidebar" grace=60 %}\n\n{{ value }}{% endcached %}'
    engine = make_engine(debug=True)
    show(text, value="old", engine=engine)
    time.sleep(0.05)
    with pytest.raises(BrokenError) as raised:
        show(text, value=Raising(), engine=engine)
    assert raised.value.template_debug["line"] == 3


def test_every_option_is_passed_on(here, monkeypatch):
    given = {}

    def get_or_set(self, key, loader, ttl, **options):
        given.update(options)
        return SafeString("kept")

    monkeypatch.setattr(fragments.CacheClient, "get_or_set", get_or_set)
    options = 'grace=1 jitter=0.5 beta=2 lease=3 wait=wait backoff=5|add:1 tags="a"'
    assert show(f'{{% cached 600 "sidebar" {options} %}}a{{% endcached %}}', wait=timedelta(seconds=4)) == "kept"
    assert {name: given[name] for name in ("grace", "jitter", "beta", "lease", "wait", "backoff")} == {
        "grace": 1,
        "jitter": 0.5,
        "beta": 2,
        "lease": 3,
        "wait": timedelta(seconds=4),
        "backoff": 6,
    }
    assert given["tags"] == ["fragment:sidebar", "a"]


def test_a_fragment_may_live_in_another_alias(counter, settings, redis_server):
    settings.CACHES = {
        **settings.CACHES,
        "other": {**settings.CACHES["default"], "KEY_PREFIX": "other", "TIMEOUT": 60},
    }
    text = '{% cached None "sidebar" using=alias %}{{ counter }}{% endcached %}'
    assert show(text, alias="other", counter=counter) == "1"
    assert invalidate_fragment("sidebar", using="other")
    with pytest.raises(ImproperlyConfigured, match="elsewhere"):
        show(text, alias="elsewhere", counter=counter)


@pytest.mark.parametrize(
    ("tag", "told"),
    [
        ('cached 600 "sidebar" graze=5', r"'cached' got the option 'graze'\. Allowed are: tags, using, grace, jitter"),
        ('cached 600 "sidebar" refresh="thread"', "got the option 'refresh'"),
        ('cached 600 "sidebar" soft_timeout=1', "got the option 'soft_timeout'"),
        ('cached 600 "sidebar" grace=1 grace=2', "'grace' twice"),
        ("cached 600", "takes a ttl and a name"),
        ("cached", "takes a ttl and a name"),
        ('cached 600 "sidebar"|nothing', "Invalid filter"),
        ('flag "a" "b"', "'flag' takes one name"),
        ("flag", "'flag' takes one name"),
        ('flag "a" defualt=True', r"'flag' got the option 'defualt'\. Allowed are: default, using"),
        ("cache_stats of=1 as stats", "unexpected keyword argument"),
    ],
)
def test_a_tag_that_is_written_wrongly_is_told_when_the_template_is_read(tag, told):
    end = "end" + tag.split()[0]
    with pytest.raises(TemplateSyntaxError, match=told):
        make_engine().from_string(f"{{% {tag} %}}a{{% {end} %}}")


@pytest.mark.parametrize("text", ['{% cached 600 "a" %}', '{% flag "a" %}', '{% flag "a" %}{% else %}'])
def test_a_tag_that_does_not_end_is_told(text):
    with pytest.raises(TemplateSyntaxError, match="Unclosed tag"):
        make_engine().from_string(text)


@pytest.mark.parametrize(
    ("options", "error"),
    [("jitter=2 ", ValueError), ('grace="a"', TypeError), ("lease=0", ValueError), ("tags=7", TypeError)],
)
def test_an_option_that_is_out_of_range_is_told(here, options, error):
    with pytest.raises(error):
        show(f'{{% cached 600 "sidebar" {options} %}}a{{% endcached %}}')


@pytest.mark.parametrize("ttl", ['"600"', "name", "True"])
def test_a_ttl_that_is_no_number_is_told(here, ttl):
    with pytest.raises(TypeError, match="A ttl is a number of seconds"):
        show(f'{{% cached {ttl} "sidebar" %}}a{{% endcached %}}', name="soon")


# Its context


def test_it_has_the_context_of_where_it_is(counter):
    text = (
        "{% for letter in letters %}{% with other=letter|upper %}"
        '{% cached 600 "row" letter %}{{ forloop.counter }}{{ letter }}{{ other }}{{ counter }} {% endcached %}'
        "{% endwith %}{% endfor %}"
    )
    assert shown(text, counter, {"letters": "abab"}) == ["1aA1 2bB2 1aA1 2bB2 "]


def test_what_it_sets_ends_with_it_whether_it_was_rendered_or_not(counter):
    text = '{% cached 600 "a" %}{% firstof "inner" as name %}{{ name }}{{ counter }}{% endcached %}{{ name }}'
    assert shown(text, counter, {"name": "outer"}) == ["inner1outer"]


def test_fragments_may_be_within_fragments(counter):
    text = (
        '{% cached 600 "outer" tags="outer" %}<{% cached 600 "inner" tags="inner" %}{{ counter }}{% endcached %}'
        "{{ counter }}>{% endcached %}"
    )
    assert shown(text, counter, {}) == ["<12>"]
    cache.invalidate_tags("outer")
    assert shown(text, counter, {}) == ["<13>"]
    cache.invalidate_tags("inner")
    assert shown(text, counter, {}) == ["<13>"]


def test_a_fragment_within_itself_does_not_wait_for_itself(counter):
    text = '{% cached 600 "a" %}{% cached 600 "a" %}{{ counter }}{% endcached %}{% endcached %}'
    began = time.monotonic()
    assert show(text, counter=counter) == "1"
    assert time.monotonic() - began < 3


def test_fragments_may_be_in_blocks_and_in_what_is_included(counter):
    engine = make_engine(
        {
            "base": '{% cached 600 "base" %}{% block body %}base{% endblock %}{% endcached %}',
            "part": '{% cached 600 "part" part %}{{ part }}{{ counter }}{% endcached %}',
        }
    )
    parts = '{% include "part" with part="a" %}{% include "part" with part="b" %}'
    text = f'{{% extends "base" %}}{{% block body %}}{parts}{{% endblock %}}'
    assert shown(text, counter, {}, engine=engine) == ["a1b2"]


def test_a_loop_within_goes_on_as_without(counter):
    text = '{% cached 600 "a" %}{% for n in "abc" %}{% cycle "x" "y" %}{{ counter }}{% endfor %}{% endcached %}'
    assert shown(text, counter, {}) == ["x1y2x3"]


# Errors


@pytest.mark.parametrize("debug", [False, True])
def test_what_a_fragment_raises_is_told_with_its_line_and_is_not_kept(here, debug):
    engine = make_engine(debug=debug)
    text = 'first\n{% cached 600 "sidebar" %}\n  {{ value }}\n{% endcached %}'
    for _ in range(2):
        with pytest.raises(BrokenError, match="why") as raised:
            show(text, value=Raising(), engine=engine)
        if debug:
            found = raised.value.template_debug
            assert (found["line"], found["during"]) == (3, "{{ value }}")
    assert here.keys("dripcache:c:*") == []
    assert show(text, value="well", engine=engine) == "first\n\n  well\n"


def test_an_error_leaves_the_context_as_it_was(here):
    context = Context({"value": Raising(), "name": "outer"})
    template = make_engine().from_string(
        '{% cached 600 "a" %}{% with name="inner" %}{{ value }}{% endwith %}{% endcached %}'
    )
    depth = len(context.dicts)
    with pytest.raises(BrokenError):
        template.render(context)
    assert (len(context.dicts), context["name"]) == (depth, "outer")


# One visitor's


def test_a_fragment_with_a_token_is_not_kept_and_each_visitor_gets_their_own(here):
    text = '{% cached 600 "form" %}<form>{% csrf_token %}</form>{% endcached %}'
    engine = engines["django"]
    answers = []
    for _ in range(3):
        request = RequestFactory().get("/")
        answers.append(engine.from_string("{% load dripcache %}" + text).render({}, request))
        assert request.META["CSRF_COOKIE_NEEDS_UPDATE"]
        assert "csrfmiddlewaretoken" in answers[-1]
    assert len(set(answers)) == 3


def test_who_waits_is_not_given_the_token_of_another(here):
    template = engines["django"].from_string(
        '{% load dripcache %}{% cached 600 "form" %}{{ slow }}{{ who }} {% csrf_token %}{% endcached %}'
    )
    asked = []

    class Slow:
        def __str__(self):
            wait_for(lambda: len(asked) == 8)
            time.sleep(0.1)
            return ""

    def ask(number):
        request = RequestFactory().get("/")
        asked.append(number)
        return template.render({"who": f"visitor {number}", "slow": Slow()}, request)

    for number, answer in enumerate(in_threads(8, ask)):
        assert answer.startswith(f"visitor {number} <input")


def test_a_token_that_was_used_before_a_fragment_does_not_count_and_is_still_sent(counter):
    request = RequestFactory().get("/")
    get_token(request)
    for _ in range(2):
        assert show('{% cached 600 "a" %}{{ counter }}{% endcached %}', request=request, counter=counter) == "1"
        assert request.META["CSRF_COOKIE_NEEDS_UPDATE"]


def test_a_token_in_an_inner_fragment_is_one_of_the_outer(here):
    text = '{% cached 600 "a" %}{% cached 600 "b" %}{{ token }}{% endcached %}{% endcached %}'
    for number in "123":
        request = RequestFactory().get("/")
        token = SimpleLazyObject(lambda request=request, number=number: get_token(request) and number)
        assert show(text, request=request, token=token) == number


def test_a_nonce_that_is_used_in_a_fragment_is_not_kept(here):
    for number in "123":
        request = RequestFactory().get("/")

        def nonce(request=request, number=number):
            request._csp_nonce = number
            return number

        assert show('{% cached 600 "a" %}{{ nonce }}{% endcached %}', request=request, nonce=nonce) == number


def test_what_is_not_kept_is_rendered_once_for_each_and_ends_with_its_fragment(counter):
    text = '{% cached 600 "a" %}{{ token }}{% firstof counter as name %}{{ name }}{% endcached %}{{ name }}'
    for number in "123":
        request = RequestFactory().get("/")
        token = SimpleLazyObject(lambda request=request: get_token(request) and "token ")
        context = {"token": token, "name": "outer"}
        assert show(text, context, request=request, counter=counter) == f"token {number}outer"


def test_an_error_after_what_was_not_kept_is_told_and_it_is_rendered_once(here, monkeypatch):
    monkeypatch.setattr(dripcache, "PASSING", 0.02)
    text = '{% cached 600 "a" grace=60 %}{{ counter }}{{ value }}{% endcached %}'
    request, counter = RequestFactory().get("/"), Counter()
    show(text, request=request, counter=counter, value=SimpleLazyObject(lambda: get_token(request)))
    time.sleep(0.05)
    with pytest.raises(BrokenError):
        show(text, counter=counter, value=Raising())
    assert counter.count == 2


class Waiting(BaseStorage):
    """Messages that were left by an earlier request."""

    def __init__(self, request, *texts):
        super().__init__(request)
        self.texts = texts

    def _get(self, *args, **kwargs):
        return list(self.texts), True

    def _store(self, *args, **kwargs):
        return []


def test_messages_in_a_fragment_are_for_their_visitor_alone(here):
    text = '{% cached 600 "a" %}{% for message in messages %}{{ message }}{% endfor %}{% endcached %}'
    answers = []
    for waiting in (["Saved."], [], []):
        request = RequestFactory().get("/")
        request._messages = Waiting(request, *waiting)
        answers.append(show(text, request=request, messages=request._messages))
    assert answers == ["Saved.", "", ""]


def test_a_fragment_that_this_site_has_not_signed_is_none(counter, here):
    text = '{% cached 600 "a" %}{{ counter }}{% endcached %}'
    show(text, counter=counter)
    (name,) = here.scan_iter("dripcache:c:*")
    for count, junk in enumerate([b'"<script>"', b'["<script>"]', b"7", b"\xdc" * 60], 2):
        here.set(name, junk, px=60_000)
        assert show(text, counter=counter) == str(count)
    cache.set("fragment:" + name.decode().split("fragment:")[1], "<script>")  # a text, but none that is safe
    assert show(text, counter=counter) == "6"


# Waiting


def test_threads_that_need_a_fragment_at_once_render_it_once(here):
    asked, rendered = [], []

    class Slow:
        def __str__(self):
            rendered.append(1)
            wait_for(lambda: len(asked) == 8)
            time.sleep(0.1)
            return "slow"

    def ask(number):
        asked.append(number)
        return show('{% cached 600 "a" %}{{ slow }}{% endcached %}', slow=Slow())

    assert in_threads(8, ask) == ["slow"] * 8
    assert len(rendered) == 1


def test_nobody_waits_on_an_event_loop(counter, here):
    text = '{% cached 600 "a" wait=wait %}{{ counter }}{% endcached %}'
    show(text.replace(" wait=wait", ""), counter=counter)
    (name,) = here.scan_iter("dripcache:c:*")
    here.delete(name)
    here.set(name.replace(b":c:", b":l:"), "another process", px=60_000)

    async def main():
        return show(text.replace(" wait=wait", ""), counter=counter)

    began = time.monotonic()
    assert asyncio.run(main()) == "2"
    assert time.monotonic() - began < 3
    threading.Timer(0.2, lambda: here.delete(name.replace(b":c:", b":l:"))).start()
    assert show(text, counter=counter, wait=5) == "3"


def test_an_async_view_renders_fragments(counter, settings):
    text = '{% cached 9 "a" %}{{ counter }}{% flag "b" %}b{% else %}c{% endflag %}{% endcached %}'
    template = engines["django"].from_string("{% load dripcache %}" + text)

    async def view(request):
        return HttpResponse(template.render({"counter": counter}, request))

    settings.ROOT_URLCONF = (path("", view),)

    async def main():
        return [(await AsyncClient().get("/")).content for _ in range(2)]

    assert asyncio.run(main()) == [b"1c"] * 2


# Voiding from code


@pytest.mark.parametrize("verb", [invalidate_fragment, lambda *args: asyncio.run(ainvalidate_fragment(*args))])
def test_a_fragment_is_voided_by_what_it_varies_by_in_every_language(counter, verb):
    text = '{% cached 600 "card" row "b" %}{{ counter }}{% endcached %}'

    def both():
        answers = []
        for language in ("en", "de"):
            with translation.override(language):
                answers += [show(text, row=row, counter=counter) for row in (ROW, User(pk=8))]
        return answers

    assert both() == both() == ["1", "2", "3", "4"]
    with translation.override("fr"):
        assert verb("card", ROW, "b") is True
    assert both() == ["5", "2", "6", "4"]
    assert verb("card") is True
    assert both() == ["7", "8", "9", "10"]
    assert verb("card", ROW) is False
    assert verb("other") is False
    assert both() == ["7", "8", "9", "10"]


def test_a_fragment_that_is_being_rendered_when_it_is_voided_is_not_kept(counter):
    class Voiding:
        def __str__(self):
            invalidate_fragment("a", 7)
            return "old"

    text = '{% cached 600 "a" 7 %}{{ value }}{% endcached %}'
    assert show(text, value=Voiding()) == "old"
    assert show(text, value="new") == show(text, value="newer") == "new"


# Without Redis


def test_without_redis_everything_is_rendered():
    counter = Counter()
    text = (
        '{% cached 600 "a" 7 tags="b" grace=5 %}{{ counter }}{% endcached %}{% flag "c" default=True %}c{% endflag %}'
        '{% user_cache "d" default="d" user=7 %}{% cache_stats as stats %}{{ stats.available }}'
    )
    with site(UNREACHABLE, {}):
        assert [show(text, counter=counter) for _ in range(2)] == ["1cdFalse", "2cdFalse"]
        assert invalidate_fragment("a") is False
        with on_outage("raise"), pytest.raises(CacheUnavailableError):
            show(text, counter=counter)


# Flags


def test_a_flag_switches_a_part_of_a_page(here):
    text = '{% flag "new_ui" %}new{% else %}old{% endflag %} {% flag "new_ui" %}only{% endflag %}'
    assert show(text) == "old "
    flags.set("new_ui", True)
    assert show(text) == "new only"
    flags.set("new_ui", False)
    assert show(text) == "old "


@pytest.mark.parametrize(
    ("default", "expected"), [("True", "on"), ("False", "off"), ("yes", "on"), ("None", "off"), ('"a"', "on")]
)
def test_a_flag_that_is_not_set_has_a_default(here, default, expected):
    text = f'{{% flag "new_ui" default={default} %}}on{{% else %}}off{{% endflag %}}'
    assert show(text, yes=True) == expected
    flags.set("new_ui", expected == "off")
    assert show(text, yes=True) != expected


def test_the_name_of_a_flag_may_be_a_variable(here):
    flags.set("a b:7", True)
    text = "{% flag name %}{{ value }}{% else %}off{% endflag %}"
    assert show(text, name="a b:7", value="<") == "&lt;"
    assert show(text, name=SafeString("a b:7"), value="on") == "on"


@pytest.mark.parametrize("name", ["", None, 7, "x" * 201])
def test_what_is_no_name_of_a_flag_is_told(here, name):
    with pytest.raises(InvalidKeyError, match="The name of a flag"):
        show("{% flag name %}on{% endflag %}", name=name)
    with pytest.raises(TemplateSyntaxError, match="nowhere is not in the context"):
        show("{% flag nowhere %}on{% endflag %}")


def test_flags_may_be_within_flags_and_fragments(counter):
    text = (
        '{% flag "a" default=True %}{% flag "b" %}{% else %}{% cached 600 "c" %}{% flag "b" %}{% else %}{{ counter }}'
        "{% endflag %}{% endcached %}{% endflag %}{% endflag %}"
    )
    assert shown(text, counter, {}) == ["1"]


def test_tests_find_the_nodes_of_both_parts():
    template = make_engine().from_string(
        '{% flag "a" %}{{ a }}{% else %}{{ b }}{% endflag %}{% cached 1 "a" %}{{ c }}{% endcached %}'
    )
    variables = template.nodelist.get_nodes_by_type(type(make_engine().from_string("{{ a }}").nodelist[0]))
    assert [str(node.filter_expression) for node in variables] == ["a", "b", "c"]


# Values of users

PREFERENCES = '{% user_cache "preferences" as p %}{{ p.theme }}'


def of(user):
    request = RequestFactory().get("/")
    if user is not None:
        request.user = user
    return request


def test_a_value_of_the_user_of_the_request_is_there(here):
    user_cache.set(7, "preferences", {"theme": "<dark>"})
    assert show(PREFERENCES, request=of(ROW)) == "&lt;dark&gt;"
    assert show(PREFERENCES, {"request": of(ROW)}) == "&lt;dark&gt;"
    assert show(PREFERENCES, request=of(SimpleLazyObject(lambda: ROW))) == "&lt;dark&gt;"
    assert show(PREFERENCES, {"user": ROW}) == "&lt;dark&gt;"
    assert show(PREFERENCES, request=of(User(pk=8))) == ""


@pytest.mark.parametrize("user", [None, AnonymousUser(), SimpleLazyObject(AnonymousUser)])
def test_who_is_not_signed_in_has_the_default(here, user):
    for request in (of(user), None):
        text = '{% user_cache "preferences" default="none" as p %}{{ p }}'
        assert show(text, {"user": user} if request is None else {}, request=request) == "none"
    assert show('{% user_cache "a" as p %}{{ p }}', request=of(user)) == "None"


def test_a_value_is_that_of_the_visitor_and_not_of_whom_the_page_is_about(here):
    user_cache.set(7, "preferences", {"theme": "mine"})
    user_cache.set(8, "preferences", {"theme": "theirs"})
    assert show(PREFERENCES, {"user": User(pk=8)}, request=of(ROW)) == "mine"
    assert show(PREFERENCES, {"user": User(pk=8)}, request=of(AnonymousUser())) == ""
    text = '{% user_cache "preferences" user=user as p %}{{ p.theme }}'
    assert show(text, {"user": User(pk=8)}, request=of(ROW)) == "theirs"


@pytest.mark.parametrize("user", ["missing", "None", '""', "anonymous"])
def test_a_user_who_is_nobody_has_the_default_and_not_what_the_visitor_has(here, user):
    user_cache.set(7, "preferences", {"theme": "mine"})
    text = f'{{% user_cache "preferences" user={user} default="none" as p %}}{{{{ p }}}}'
    assert show(text, {"anonymous": AnonymousUser()}, request=of(ROW)) == "none"


def test_a_value_that_is_written_at_once_is_escaped(here):
    user_cache.set(7, "name", "<b>")
    assert show('{% user_cache "name" %}', request=of(ROW)) == "&lt;b&gt;"
    assert show('{% user_cache "nothing" name user=7 %}', name="<") == "&lt;"


def test_what_is_no_user_is_told(here):
    with pytest.raises(InvalidKeyError, match="A user is an id"):
        show('{% user_cache "name" user=user %}', user=object())


def test_a_user_of_a_site_has_values(here, settings):
    settings.ROOT_URLCONF = (path("", lambda request: render(request, "page.html", {"user": User(pk=8)})),)
    templates = {"page.html": "{% load dripcache %}" + PREFERENCES}
    settings.TEMPLATES = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {"loaders": [("django.template.loaders.locmem.Loader", templates)]},
        }
    ]
    settings.MIDDLEWARE = [f"{__name__}.identifying"]
    user_cache.set(7, "preferences", {"theme": "mine"})
    assert Client().get("/").content == b"mine"


def identifying(get_response):
    def call(request):
        request.user = ROW
        return get_response(request)

    return call


# What is left of a rate limit


def limited(*rates):
    """Return a request that limits of these names and rates have let through."""
    request = RequestFactory().get("/")

    def view(request):
        return HttpResponse()

    for name, rate in rates:
        view = rate_limit(rate, key="ip", group=name)(view)
    view(request)
    return request


def test_what_is_left_of_a_limit_is_shown(here):
    request = limited(("tag", "10/m"))
    assert show('{% rate_limit "tag" %}', request=request) == "9 of 10"
    assert show('{% rate_limit "tag" as limit %}{{ limit.remaining }}', request=request) == "9"


def test_without_a_name_it_is_the_limit_of_which_least_is_left(here):
    request = limited(("wide", "1000/m"), ("tight", "4/m, 1000/h"))
    assert show("{% rate_limit %}", request=request) == "3 of 4"
    assert show('{% rate_limit "tight" %}', request=request) == "3 of 4"
    assert show('{% rate_limit "wide" %}', request=request) == "999 of 1000"


@pytest.mark.parametrize("request_", [None, RequestFactory().get("/")])
def test_without_a_limit_there_is_none(request_):
    assert show("{% rate_limit as limit %}{{ limit }}", request=request_) == "None"
    assert show('{% rate_limit "none" as limit %}{% if limit %}some{% endif %}', request=request_) == ""


# Figures


def test_the_figures_of_the_cache_are_there(here):
    cache.set("a", 1)
    seen = []
    text = "{% cache_stats as stats %}{{ stats.keys }} {{ stats.available }} {{ stats|seen }}"
    engine = make_engine()
    engine.template_builtins[-1].filters["seen"] = lambda stats: seen.append(stats) or ""
    assert show(text, engine=engine) == "1 True "
    assert isinstance(seen[0], CacheStats)
    del engine.template_builtins[-1].filters["seen"]


def test_the_figures_of_another_alias_may_be_asked_for(here):
    with pytest.raises(ImproperlyConfigured, match="elsewhere"):
        show('{% cache_stats using="elsewhere" as stats %}')


def test_every_tag_is_there():
    assert set(dripcache.register.tags) == {"cached", "flag", "user_cache", "rate_limit", "cache_stats"}
    assert not dripcache.register.filters
