"""The translations: they have every text of the source, and say what it says."""

from __future__ import annotations

import gettext
import io
import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest
from babel.messages.extract import extract
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from django.http import HttpRequest
from django.utils import translation
from django.utils.translation.template import templatize

import django_dripcache
from django_dripcache.rates import Decision, parse
from django_dripcache.refusals import Standing, refuse

PACKAGE = Path(django_dripcache.__file__).parent
DJANGO = Path(find_spec("django").submodule_search_locations[0])
CODES = ["de", "fr"]
KEYWORDS = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "npgettext_lazy": ((1, "c"), 2, 3),
}
LANGUAGES = pytest.mark.parametrize("code", CODES)


def texts():
    """Yield the context and the text, or the texts of singular and plural, of all that can be translated."""
    for path in PACKAGE.rglob("*.py"):
        yield from extracted(path.read_text())
    for path in (PACKAGE / "templates").rglob("*.html"):
        yield from extracted(" ".join(templatize(path.read_text()).splitlines()))


def extracted(source):
    for _line, text, _comments, context in extract("python", io.BytesIO(source.encode()), KEYWORDS):
        yield context, text


def file_of(code, ending="po"):
    return PACKAGE / "locale" / code / "LC_MESSAGES" / f"django.{ending}"


def catalog(code):
    with file_of(code).open("rb") as file:
        return read_po(file, locale=code, abort_invalid=True)


def messages(code):
    return [message for message in catalog(code) if message.id]


def both(text):
    return list(text) if isinstance(text, (tuple, list)) else [text]


def told(message):
    context = message.context.decode() if isinstance(message.context, bytes) else message.context
    return context, tuple(both(message.id)), tuple(both(message.string))


def pairs(code):
    """Yield each text with its translation; the plural is what all forms but the first translate."""
    for message in messages(code):
        ids, strings = both(message.id), both(message.string)
        for place, string in enumerate(strings):
            yield ids[min(place, len(ids) - 1)], string


def test_the_source_has_texts_of_all_kinds():
    found = set(texts())
    assert (None, "Hit rate") in found
    assert (None, ("%(n)s day", "%(n)s days")) in found
    assert ("unit", "KiB") in found
    assert ("of values", "Tags") in found
    assert (None, ("opened %(times)s time here", "opened %(times)s times here")) in found
    assert len(found) > 300


@LANGUAGES
def test_every_text_of_the_source_is_translated(code):
    known = {(message.context, message.id) for message in messages(code)}
    assert set(texts()) - known == set()


@LANGUAGES
def test_nothing_is_fuzzy_or_empty_or_left_behind(code):
    assert not [message.id for message in messages(code) if message.fuzzy]
    assert not [source for source, string in pairs(code) if not string or string != string.strip()]
    assert not catalog(code).obsolete
    assert not catalog(code).fuzzy


@LANGUAGES
def test_every_plural_has_all_its_forms(code):
    for message in messages(code):
        assert len(both(message.string)) == (catalog(code).num_plurals if message.pluralizable else 1), message.id


@LANGUAGES
def test_a_translation_has_the_same_placeholders_and_the_same_markup(code):
    for source, string in pairs(code):
        for pattern in (r"%\(\w+\)[\d.]*[a-z]|%%", r"<[^>]*>", r"dripcache\.[\w.]+|[A-Z]{2,}_[A-Z_]+|--[a-z-]+"):
            assert Counter(re.findall(pattern, source)) == Counter(re.findall(pattern, string)), string


@LANGUAGES
def test_what_is_compiled_is_what_is_written(code):
    with file_of(code, "mo").open("rb") as file:
        compiled = [message for message in read_mo(file) if message.id]
    assert set(map(told, compiled)) == set(map(told, messages(code)))
    with file_of(code, "mo").open("rb") as file:
        assert gettext.GNUTranslations(file).info()["plural-forms"] == dict(catalog(code).mime_headers)["Plural-Forms"]


@LANGUAGES
def test_what_django_translates_too_is_translated_as_django_does(code):
    """Catalogs are merged: one of ours would be read in Django's own pages, or Django's in ours."""
    shared = 0
    for path in DJANGO.glob(f"**/locale/{code}/LC_MESSAGES/django.mo"):
        with path.open("rb") as file:
            theirs = gettext.GNUTranslations(file)
        for message in messages(code):
            if isinstance(message.id, str) and message.context is None:
                string = theirs.gettext(message.id)
                if string != message.id:
                    shared += 1
                    assert message.string == string, path
    assert shared > 5


def test_quotes_and_spaces_are_those_of_the_language():
    for _source, string in pairs("de"):
        plain = re.sub(r"<code>.*?</code>", "", string)
        assert plain.count("„") == plain.count("“"), string
        assert "”" not in plain
    for _source, string in pairs("fr"):
        plain = re.sub(r"<[^>]*>|\* ou \?", "", string)
        assert not re.search(r"(?<!\xa0)[:;!?»%](?=\s|$)|«(?!\xa0)|[“”']\w*[“”]", plain.replace("%%", "%")), string


@LANGUAGES
def test_a_file_tells_of_the_project_alone(code):
    text = file_of(code).read_text()
    assert '"Last-Translator: \\n"' in text
    assert "@" not in text
    assert not re.search(r"^#: *\.?/|:\d+$", text, re.MULTILINE)
    assert "Glossary" in text


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("de", "Zu viele Anfragen. Versuchen Sie es in 7 Sekunden erneut.\n"),
        ("fr", "Trop de requêtes. Réessayez dans 7 secondes.\n"),
    ],
)
def test_who_is_denied_is_told_in_their_language(code, answer):
    (rate,) = parse("1/m")
    decision = Decision(allowed=False, limit=1, count=1, remaining=0, reset_after=7.0, retry_after=7.0, rate=rate)
    with translation.override(code):
        assert refuse(HttpRequest(), [Standing("login", rate, decision)]).content.decode() == answer
