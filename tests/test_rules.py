"""Rules are read strictly, and no other spelling of a request evades them."""

from __future__ import annotations

import dataclasses

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from django.urls import include, path, re_path, resolve
from hypothesis import given
from hypothesis import strategies as st

from django_dripcache import rules
from django_dripcache.exceptions import ConfigurationError
from django_dripcache.rates import ALGORITHMS, Rate
from django_dripcache.routes import get_forms
from django_dripcache.rules import KEYS, METHODS, OUTAGES, Rule, find_by_path, find_by_view, get_rules

RULE = {"name": "one", "rate": "5/m", "key": "ip"}


def by_plan(request):
    return request.headers.get("X-Plan")


def view(request, **kwargs):
    return HttpResponse()


no_function = "text"
urlpatterns = [
    path("login/", view, name="login"),
    path("shop/", include(([path("buy/", view, name="buy")], "shop"))),
    re_path(r"^(?i:any)/?$", view, name="any"),
    re_path(r"(?is)^files/(?P<rest>.*)$", view, name="files"),
    path("<path:rest>", view, name="rest"),
]


def configured(*given):
    return override_settings(DRIPCACHE={"RATE_LIMITS": list(given)})


def read(**given):
    with configured({**RULE, **given}):
        found = get_rules()
    assert len(found.by_path) + len(found.by_view) == 1
    return (found.by_path or found.by_view)[0]


def refused(*given):
    with configured(*given), pytest.raises(ConfigurationError) as caught:
        get_rules()
    assert caught.value.check == "dripcache.E003"
    return str(caught.value)


def matches(rule, target, method="GET", **headers):
    """Return whether a rule is about a request, as the middleware asks."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    asked = RequestFactory().generic(method, "/", headers=names)
    asked.path_info = target
    with configured({**RULE, **rule}):
        return bool(find_by_path(asked))


# Reading


def test_there_are_no_rules_without_the_setting():
    assert get_rules() == ((), ())


def test_a_rule_has_defaults_for_what_is_left_out():
    rule = read()
    assert rule == Rule(name="one", rate="5/m", key="ip")
    assert (rule.path, rule.view, rule.methods, rule.exempt, rule.cost) == (None, None, frozenset(), (), 1)
    assert (rule.algorithm, rule.on_outage) == ("sliding-window", "local")
    assert rule.rates == (Rate(5, 60),)


def test_none_is_as_good_as_left_out():
    assert read(path=None, view=None, methods=None, algorithm=None, on_outage=None, exempt=None) == read()


def test_a_rule_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().rate = "9/s"


def test_rules_are_read_once_until_the_setting_changes():
    with configured(RULE):
        assert get_rules() is get_rules()
        assert [rule.name for rule in get_rules().by_path] == ["one"]
        with configured({**RULE, "name": "two"}), override_settings(USE_TZ=settings.USE_TZ):
            assert [rule.name for rule in get_rules().by_path] == ["two"]
        assert [rule.name for rule in get_rules().by_path] == ["one"]
    assert get_rules().by_path == ()


def test_rules_by_path_and_by_view_are_told_apart_and_keep_their_order():
    given = [
        {**RULE, "name": "a"},
        {**RULE, "name": "b", "view": "login"},
        {**RULE, "name": "c", "path": "/x/"},
    ]
    with configured(*given):
        assert [[rule.name for rule in part] for part in get_rules()] == [["a", "c"], ["b"]]


@pytest.mark.parametrize(
    ("field", "given", "kept"),
    [
        ("name", 'a "b" \\ c', 'a "b" \\ c'),
        ("rate", "1000/h, 10/s", "1000/h, 10/s"),
        ("key", "header:X-Api-Key", "header:X-Api-Key"),
        ("key", f"{__name__}.by_plan", by_plan),
        ("key", by_plan, by_plan),
        ("path", "/Login/", "/login"),
        ("path", "/login", "/login"),
        ("path", "/", "/"),
        ("path", "/api/*", "/api/*"),
        ("path", "/export-*", "/export-*"),
        ("path", "/*", "/*"),
        ("path", "/Straße/", "/strasse"),
        ("view", "shop:buy", "shop:buy"),
        ("methods", ["POST", "HEAD"], frozenset({"POST", "GET"})),
        ("methods", ("DELETE",), frozenset({"DELETE"})),
        ("exempt", "staff", ("staff",)),
        ("exempt", ["staff", f"{__name__}.by_plan"], ("staff", by_plan)),
        *(("algorithm", one, one) for one in ALGORITHMS),
        *(("on_outage", one, one) for one in OUTAGES),
        *(("key", one, one) for one in KEYS),
    ],
)
def test_what_a_field_may_be(field, given, kept):
    assert getattr(read(**{field: given}), field) == kept


@pytest.mark.parametrize(
    ("field", "given", "told"),
    [
        ("name", "", "1 to 100 signs"),
        ("name", "a:b", "without ':'"),
        ("name", "grün", "ASCII"),
        ("name", "a\nb", "ASCII"),
        ("name", 5, "ASCII"),
        ("rate", "5 a minute", "cannot be read"),
        ("rate", 5, "A rate is a text"),
        ("rate", "5/m, 9/m", "two limits"),
        ("key", "IP", "'ip', 'user', 'user_or_ip', 'header:X-Api-Key'"),
        ("key", "usr", "did you mean 'user'?"),
        ("key", "header:", "after 'header:'"),
        ("key", "header:X Api Key", "the name of a header"),
        ("key", "shop.nowhere.key", "cannot be imported"),
        ("key", f"{__name__}.nothing", "cannot be imported"),
        ("key", f"{__name__}.no_function", "path of a function"),
        ("key", 5, "path of a function"),
        ("key", ["ip"], "path of a function"),
        ("path", "login/", "plain form"),
        ("path", "", "plain form"),
        ("path", "*", "plain form"),
        ("path", "/a/*/b", "plain form"),
        ("path", "/a//b", "plain form"),
        ("path", "/a/../b", "plain form"),
        ("path", "/a/./b", "plain form"),
        ("path", "/a%20b", "plain form"),
        ("path", "/a;b", "plain form"),
        ("path", "\\a", "plain form"),
        ("path", 5, "plain form"),
        ("view", "", "the name of a URL"),
        ("view", view, "the name of a URL"),
        ("methods", "POST", "is a list"),
        ("methods", [], "is a list"),
        ("methods", ["post"], "GET, HEAD, POST"),
        ("methods", ["PSOT"], "GET, HEAD, POST"),
        ("methods", [["POST"]], "GET, HEAD, POST"),
        ("algorithm", "token-bucket", "'fixed-window', 'sliding-window', 'gcra'"),
        ("on_outage", "raise", "'local', 'open', 'closed'"),
        ("exempt", "staf", "did you mean 'staff'?"),
        ("exempt", ["staff", 5], "'authenticated', 'staff', 'superuser'"),
    ],
)
def test_what_a_field_may_not_be_is_told_with_its_place_and_what_is_allowed(field, given, told):
    message = refused({**RULE, "name": "zero"}, {**RULE, field: given})
    assert f"DRIPCACHE['RATE_LIMITS'][1][{field!r}]" in message
    assert told in message


def test_an_unknown_field_is_refused_with_the_nearest_one():
    assert "[0] has no 'algoritm'. Did you mean 'algorithm'?" in refused({**RULE, "algoritm": "gcra"})
    assert "[0] has no 'METHODS'. Did you mean 'methods'?" in refused({**RULE, "METHODS": ["GET"]})
    assert "has no 'cost'. Allowed are: algorithm, exempt," in refused({**RULE, "cost": 2})


@pytest.mark.parametrize("field", ["name", "rate", "key"])
def test_a_field_that_every_rule_needs(field):
    assert f"[0] has no {field!r}" in refused({name: value for name, value in RULE.items() if name != field})
    assert f"[0] has no {field!r}" in refused({**RULE, field: None})


def test_two_rules_of_one_name_are_refused():
    assert "[1] has the name of another rule, 'one'" in refused(RULE, {**RULE, "rate": "9/h"})


def test_a_rule_is_about_a_path_or_a_view():
    assert "has a 'path' and a 'view'" in refused({**RULE, "path": "/a", "view": "a"})


@pytest.mark.parametrize("given", [None, "one", 5, ["name"]])
def test_a_rule_is_a_dict(given):
    assert f"[0] is {given!r}. Allowed is a dict" in refused(given)


def test_a_refusal_is_not_remembered():
    refused({**RULE, "rate": "x"})
    assert rules._read == {}


@pytest.mark.parametrize(
    ("given", "asks"),
    [
        ({"key": "ip"}, False),
        ({"key": "user"}, True),
        ({"key": "user_or_ip"}, True),
        ({"key": by_plan}, False),
        ({"exempt": "staff"}, True),
        ({"exempt": [by_plan]}, False),
    ],
)
def test_a_rule_knows_whether_it_asks_for_the_user(given, asks):
    assert read(**given).asks_user is asks


# Paths

SPELLINGS = [
    "/login/",
    "/login",
    "/LOGIN/",
    "//login/",
    "/login//",
    "/./login/",
    "/login/.",
    "/login;jsessionid=1/",
    "/login/;x",
    "/%6cogin/",
    "/%2flogin/",
    "/login/%2e",
    "/x/../login/",
    "/login/\n",
    "\\login",
    "/log%25%36%39n/",
    "/\uff4cogin/",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("rule", ["/login/", "/login", "/LOGIN/", "/login/*", "/log*"])
def test_a_path_has_one_bucket_however_it_is_spelled(rule, spelling):
    assert matches({"path": rule}, spelling)


@pytest.mark.parametrize("other", ["/", "/login2/", "/logi", "/login/x", "/x/login/", "/log/in"])
def test_another_path_is_another_one(other):
    assert not matches({"path": "/login/"}, other)


@pytest.mark.parametrize(
    ("rule", "target", "about"),
    [
        ("/api/*", "/api/", True),
        ("/api/*", "/api", True),
        ("/api/*", "/api/users/7/", True),
        ("/api/*", "/API//Users", True),
        ("/api/*", "/apis/", False),
        ("/api/*", "/ap", False),
        ("/api/*", "/x/api/", False),
        ("/api*", "/apis/", True),
        ("/api*", "/ap", False),
        ("/api*", "/", False),
        ("/*", "/", True),
        ("/*", "/anything", True),
        ("/", "/", True),
        ("/", "//", True),
        ("/", "/a", False),
    ],
)
def test_a_star_is_all_that_begins_so(rule, target, about):
    assert matches({"path": rule}, target) is about


@pytest.mark.parametrize(
    "evasion", ["/api/../admin", "/api/%2e%2e/admin", "/api/..;/admin", "/api/x/../../admin", "/api/\u0301x"]
)
def test_a_step_up_leads_out_of_no_rule(evasion):
    assert matches({"path": "/api/*"}, evasion)


@override_settings(ROOT_URLCONF=__name__)
@pytest.mark.parametrize("spelling", ["/any", "/any/", "/ANY/", "/aNy"])
def test_what_django_routes_to_one_view_is_one_path(spelling):
    assert resolve(spelling).url_name == "any"
    assert matches({"path": "/any/"}, spelling)


PARTS = st.sampled_from(
    [
        "/",
        "//",
        ".",
        "..",
        "%2f",
        "%2e",
        "%252e",
        ";x",
        "\\",
        " ",
        "\n",
        "\x00",
        "\u0301",
        "\uff0f",
        "A",
        "b",
        "\u00df",
        "%",
    ]
)


@override_settings(ROOT_URLCONF=__name__)
@given(
    st.sampled_from(["/files/", "/FILES/", "/Files/"]),
    st.lists(PARTS, max_size=8),
    st.sampled_from(["/files/*", "/file*"]),
)
def test_nothing_that_django_routes_below_a_path_is_missed(start, parts, rule):
    target = start + "".join(parts)
    assert resolve(target).url_name == "files"
    assert Rule(name="one", rate="5/m", key="ip", path=rule).has_path(get_forms(target))


def test_a_rule_without_a_path_is_about_all():
    assert matches({}, "/whatever")


# Methods


@pytest.mark.parametrize(
    ("methods", "method", "headers", "about"),
    [
        (["POST"], "POST", {}, True),
        (["POST"], "GET", {}, False),
        (["GET"], "HEAD", {}, True),
        (["HEAD"], "GET", {}, True),
        (["GET"], "OPTIONS", {}, False),
        (["POST"], "GET", {"x_http_method_override": "POST"}, True),
        (["POST"], "GET", {"x_http_method_override": " post "}, True),
        (["POST"], "GET", {"x_http_method": "POST"}, True),
        (["POST"], "GET", {"x_method_override": "POST"}, True),
        (["POST"], "POST", {"x_http_method_override": "GET"}, True),
        (["GET"], "POST", {"x_http_method_override": "HEAD"}, True),
        (["DELETE"], "POST", {"x_http_method_override": ""}, False),
        (METHODS, "PROPFIND", {}, False),
        (None, "PROPFIND", {}, True),
    ],
)
def test_a_method_counts_however_it_is_asked_for(methods, method, headers, about):
    assert matches({"methods": methods}, "/", method, **headers) is about


# Views


@override_settings(ROOT_URLCONF=__name__)
@pytest.mark.parametrize(
    ("name", "target", "about"),
    [
        ("login", "/login/", True),
        ("login", "/login", False),  # which is another view, by <path:rest>
        ("shop:buy", "/shop/buy/", True),
        ("buy", "/shop/buy/", False),
        (f"{__name__}.view", "/shop/buy/", True),
        (f"{__name__}.view", "/anything", True),
        ("any", "/ANY/", True),
        ("rest", "/any", False),
    ],
)
def test_a_rule_by_view_is_about_what_django_has_found(name, target, about):
    asked = RequestFactory().get(target)
    asked.resolver_match = resolve(target)
    with override_settings(DRIPCACHE={"RATE_LIMITS": [{**RULE, "view": name}]}):
        assert bool(find_by_view(asked)) is about
        assert not find_by_path(asked)


@override_settings(ROOT_URLCONF=__name__)
def test_a_rule_by_view_has_methods_too():
    asked = RequestFactory().post("/login/")
    asked.resolver_match = resolve("/login/")
    for methods, count in ((["GET"], 0), (["POST"], 1)):
        with configured({**RULE, "view": "login", "methods": methods}):
            assert len(find_by_view(asked)) == count
