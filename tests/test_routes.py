"""The forms of a path, and the names of a view."""

from __future__ import annotations

from functools import partial

import pytest
from django.http import HttpResponse
from django.test import override_settings
from django.urls import include, path, resolve
from django.utils.decorators import method_decorator
from django.views import View
from hypothesis import example, given
from hypothesis import strategies as st

from django_dripcache.routes import get_all_names, get_forms, get_match_names, get_view_name


def view(request):
    return HttpResponse()


class Page(View):
    def get(self, request):
        return HttpResponse()


class Feed:
    def __call__(self, request):
        return HttpResponse()

    def items(self, request):
        return HttpResponse()


within = [path("a/", view, name="a"), path("page/", Page.as_view()), path("feed/", Feed(), name="feed")]
urlpatterns = [
    path("login/", view, name="login"),
    path("shop/", include((within, "shop"))),
    path("shop-eu/", include((within, "shop"), namespace="eu")),
    path("deep/", include(([path("er/", include((within, "inner")))], "outer"))),
    path("partly/", partial(view)),
]
HERE = __name__


# Paths


@pytest.mark.parametrize("spelling", ["/a", "/a/", "/A", "//a", "/a//", "/./a", "/a/.", "\\a", "/a;x=1", "/%61", "/a "])
def test_a_path_has_one_plain_form(spelling):
    assert "/a" in get_forms(spelling)


@pytest.mark.parametrize(
    ("spelling", "plain"),
    [
        ("/", "/"),
        ("//", "/"),
        ("/..", "/"),
        ("/a%2fb", "/a/b"),
        ("/a%252Fb", "/a/b"),
        ("/a%25252Fb", "/a/b"),
        ("/a%5cb", "/a/b"),
        ("/a%3Bx/b", "/a/b"),
        ("/a/%2e/b", "/a/b"),
        ("/a/\x00b\n", "/a/b"),
        ("/\uff41/b", "/a/b"),
        ("/a\uff0fb", "/a/b"),
        ("/Stra\u00dfe", "/strasse"),
    ],
)
def test_what_is_encoded_twice_or_written_wide_is_plain_too(spelling, plain):
    assert plain in get_forms(spelling)


def test_a_step_up_is_taken_and_not_taken():
    assert get_forms("/api/../login") == {"/api/../login", "/api/login", "/login"}


@pytest.mark.parametrize("plain", ["/a/b/", "/a-b/c_d.js", "/a/1.0/b"])
def test_a_plain_path_has_one_form(plain):
    assert get_forms(plain) == {plain.removesuffix("/")}


@given(st.text("ab/.;% \\AB2f%5c\n\u0301\uff0f", max_size=20))
@example("/a/../b")
def test_a_form_of_a_path_is_never_without_what_django_sees(text):
    forms = get_forms(f"/{text}")
    assert all(form.startswith("/") for form in forms)
    raw = f"/{text}".casefold()
    assert raw in forms or forms == {raw.removesuffix("/") or "/"}
    assert all("//" not in form and not form.endswith("/.") for form in forms - {raw})


# Views


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (view, f"{HERE}.view"),
        (partial(partial(view), None), f"{HERE}.view"),
        (Page.as_view(), f"{HERE}.Page"),
        (Feed(), f"{HERE}.Feed"),
        (Feed().items, f"{HERE}.Feed.items"),
    ],
)
def test_a_view_has_the_name_of_its_function_or_class(made, name):
    assert get_view_name(made) == name


def test_a_method_that_django_decorates_has_the_name_of_the_class_that_it_is_called_on():
    seen = []

    def note(method):
        seen.append(get_view_name(method))
        return method

    @method_decorator(note, name="dispatch")
    class Other(Page):
        pass

    seen.clear()
    Other.as_view()(type("Request", (), {"method": "GET"})())
    assert seen == [f"{HERE}.{Other.__qualname__}.dispatch"]


@override_settings(ROOT_URLCONF=HERE)
def test_a_match_has_the_names_of_its_url_and_its_view():
    assert get_match_names(resolve("/login/")) == {"login", f"{HERE}.view"}
    assert get_match_names(resolve("/shop/a/")) == {"shop:a", f"{HERE}.view"}
    assert get_match_names(resolve("/shop-eu/a/")) == {"eu:a", "shop:a", f"{HERE}.view"}
    assert get_match_names(resolve("/shop/page/")) == {f"{HERE}.Page"}
    assert get_match_names(resolve("/deep/er/feed/")) == {"outer:inner:feed", f"{HERE}.Feed"}
    assert get_match_names(resolve("/partly/")) == {f"{HERE}.view"}


@override_settings(ROOT_URLCONF=HERE)
def test_all_names_are_those_of_all_matches():
    paths = ["/login/", "/partly/"] + [
        f"{start}/{end}/" for start in ("/shop", "/shop-eu", "/deep/er") for end in ("a", "page", "feed")
    ]
    assert get_all_names() == set().union(*(get_match_names(resolve(one)) for one in paths))
