"""Names in Redis: every text is a key, no two keys share a name, and no pattern reaches over its prefix."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from django_dripcache.exceptions import ConfigurationError, InvalidKeyError
from django_dripcache.keys import MAX_KEY_BYTES, Keyspace, area, escape, escape_glob, root, unescape

NASTY = "~%{}:*?[]\\^-/ \t\n\x00\x1f\x7f\x80\xff\u00e9\u20ac\u2028\ud800\udbff\udc00\udfff\U0001f600%2525AEae0"
CHARACTERS = st.characters() | st.sampled_from(NASTY)
TEXTS = st.text(CHARACTERS, max_size=60)
LONG_TEXTS = st.builds(
    lambda part, times: part * times, st.text(CHARACTERS, min_size=1, max_size=12), st.integers(1, 90)
)
GLOBS = st.text(st.sampled_from("ab:*?[]\\^-"), max_size=8)
PLAIN_KEYS = st.text(st.sampled_from("ab:*?[]\\^-"), min_size=1, max_size=6)

SPACE = Keyspace("dripcache:d:")


def glob_of(key):
    """Write a glob that means one key, as a careful caller would."""
    return re.sub(r"([*?\[\]\\^-])", r"\\\1", key)


def matching(raw, pattern):
    return set(raw.scan_iter(match=pattern, count=1000))


# Escaping


@given(TEXTS)
def test_escaping_is_undone_exactly(text):
    assert unescape(escape(text)) == text


@given(TEXTS)
def test_an_escaped_key_has_no_character_that_means_something(text):
    assert not re.search(r"[\x00-\x20{}~\x7f\ud800-\udfff]", escape(text))
    escape(text).encode()


@given(st.text(st.characters(min_codepoint=0x21, exclude_categories=["Cs"], exclude_characters="%{}~\x7f")))
def test_an_ordinary_key_stays_as_it_is(text):
    assert escape(text) == text


def test_a_pair_of_surrogates_is_another_key_than_the_character_it_would_make():
    assert escape("\ud83d\ude00") != escape("\U0001f600")
    assert unescape(escape("\ud83d\ude00")) == "\ud83d\ude00"
    assert unescape("%\udca6") == "%\udca6"


@given(TEXTS, TEXTS)
def test_two_texts_never_escape_to_the_same(one, other):
    assume(one != other)
    assert escape(one) != escape(other)


@given(TEXTS)
def test_an_escaped_key_used_as_a_key_is_another_key(text):
    assume(escape(text) != text)
    assert escape(escape(text)) != escape(text)


# Names


@given(TEXTS | LONG_TEXTS, TEXTS | LONG_TEXTS)
def test_two_keys_never_share_a_name(one, other):
    assume(one != other)
    assert SPACE.name(one) != SPACE.name(other)


@given(LONG_TEXTS, CHARACTERS, CHARACTERS)
def test_two_long_keys_that_differ_at_the_end_have_two_names(text, one, other):
    assume(one != other)
    start = text + "x" * MAX_KEY_BYTES
    assert SPACE.name(start + one) != SPACE.name(start + other)
    assert SPACE.name(start + one) != SPACE.name(start + one + other)


@given(LONG_TEXTS)
def test_the_name_of_a_long_key_cannot_be_chosen_by_a_short_one(text):
    long_key = text + "x" * MAX_KEY_BYTES
    name = SPACE.name(long_key)
    tail = name.removeprefix(SPACE.raw).decode(errors="ignore")
    assert SPACE.name(tail) != name
    assert SPACE.name(unescape(tail) if "%" not in tail else tail) != name


@given(TEXTS | LONG_TEXTS)
def test_a_name_is_bounded_and_begins_with_its_prefix(text):
    name = SPACE.name(text)
    assert name.startswith(SPACE.raw)
    assert len(name) <= len(SPACE.raw) + MAX_KEY_BYTES


@pytest.mark.parametrize("character", ["x", "\u00e9", "\u20ac", "\U0001f600"])
@pytest.mark.parametrize("offset", range(-4, 5))
def test_a_key_around_the_longest_keeps_its_text_or_gets_a_digest(character, offset):
    key = character * ((MAX_KEY_BYTES + offset) // len(character.encode()))
    name = SPACE.name(key).removeprefix(SPACE.raw)
    if len(key.encode()) <= MAX_KEY_BYTES:
        assert name == key.encode()
    else:
        kept, digest = name.split(b"~")
        assert key.encode().startswith(kept)
        assert 253 <= len(kept) <= 256
        assert re.fullmatch(rb"[0-9a-f]{48}", digest)


@given(TEXTS)
def test_a_name_tells_its_key(text):
    assume(len(escape(text).encode()) <= MAX_KEY_BYTES)
    assert SPACE.key(SPACE.name(text)) == text


@given(LONG_TEXTS)
@example("\ud800" * 100)
@example("x" + "\udfff" * 100)
def test_the_name_of_a_long_key_still_reads_as_a_key(text):
    assert isinstance(SPACE.key(SPACE.name(text)), str)


@pytest.mark.parametrize("character", ["\u00e9", "\u20ac", "\U0001f600", " ", "\ud800"])
@pytest.mark.parametrize("start", ["", "x", "xx", "xxx"])
def test_a_long_key_is_cut_between_characters(character, start):
    # django-redis' verbs (lock, sadd, hset ...) take a name as text.
    name = SPACE.name(start + character * 600).decode()
    assert name.startswith(SPACE.prefix + escape(start + character))


@given(st.binary(max_size=40) | st.from_regex(rb"(%[0-9A-F]{2}|[a-z]){1,20}", fullmatch=True))
def test_a_name_that_somebody_else_put_below_our_prefix_still_reads_as_text(tail):
    assert isinstance(SPACE.key(SPACE.raw + tail), str)


@pytest.mark.parametrize("key", [None, 1, 1.5, b"a", ["a"], ("a",), object()])
def test_a_key_that_is_no_text_is_refused_with_what_was_received(key):
    with pytest.raises(InvalidKeyError) as caught:
        SPACE.name(key)
    assert caught.value.key is key
    assert type(key).__name__ in str(caught.value)


def test_a_key_of_a_subclass_of_text_is_that_text():
    class Text(str):
        __slots__ = ()

    assert SPACE.name(Text("a b")) == SPACE.name("a b")


def test_the_empty_key_is_a_key():
    assert SPACE.name("") == SPACE.raw
    assert SPACE.key(SPACE.raw) == ""


# Patterns, as the server itself reads them


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=8, unique=True))
def test_a_pattern_that_spells_out_a_key_matches_that_key_alone(raw, texts):
    raw.flushdb()
    names = {text: SPACE.name(text) for text in texts}
    raw.mset(dict.fromkeys(names.values(), b"1"))
    for text in texts:
        if len(escape(text).encode()) <= MAX_KEY_BYTES:
            assert matching(raw, SPACE.pattern(glob_of(text))) == {names[text]}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(names=st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=8, unique=True))
def test_an_escaped_name_as_a_pattern_matches_that_name_alone(raw, names):
    raw.flushdb()
    raw.mset(dict.fromkeys(names, b"1"))
    for name in names:
        assert matching(raw, escape_glob(name)) == {name}


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(texts=st.lists(PLAIN_KEYS, min_size=1, max_size=10, unique=True), glob=GLOBS)
def test_a_glob_means_what_it_means_to_redis(raw, texts, glob):
    raw.flushdb()
    raw.mset({SPACE.name(text): b"1" for text in texts})
    raw.mset({b"plain:" + text.encode(): b"1" for text in texts})
    ours = {name.removeprefix(SPACE.raw) for name in matching(raw, SPACE.pattern(glob))}
    assert ours == {name.removeprefix(b"plain:") for name in matching(raw, b"plain:" + glob.encode())}


@pytest.mark.parametrize(
    ("prefix", "alike"),
    [
        ("a*b:", "aXb:"),
        ("a?b:", "aXb:"),
        ("a[xy]b:", "axb:"),
        ("a[^x]b:", "ayb:"),
        ("a[x-z]b:", "ayb:"),
        ("a\\b:", "ab:"),
        ("a\\\\b:", "a\\b:"),
        ("*", "X"),
        ("[", "X"),
    ],
)
def test_the_prefix_is_matched_to_the_letter(raw, prefix, alike):
    space, other = Keyspace(prefix), Keyspace(alike)
    raw.mset({space.name("key"): 1, other.name("key"): 1, b"key": 1, prefix.encode()[:-1]: 1})
    assert matching(raw, space.pattern("*")) == {space.name("key")}
    assert matching(raw, space.pattern("key")) == {space.name("key")}


def test_no_pattern_reaches_over_its_prefix(raw):
    foreign = [
        b"celery",
        b"_kombu.binding.celery",
        b"unacked",
        b"dripcache",
        b"dripcache:",
        b"dripcache:d",
        b"dripcache:x:a",
    ]
    raw.mset(dict.fromkeys(foreign, b"1"))
    raw.set(SPACE.name("a"), 1)
    for glob in ["*", "**", "?*", "[^z]*", "\\*", "*celery*", "..*", "", "[", "]", "\\", "%", "{*}", "\n*", "*\x00*"]:
        assert matching(raw, SPACE.pattern(glob)) <= {SPACE.name("a")}


@pytest.mark.parametrize("key", ["a b", "{a}", "50%", "~home", "tab\there", "del\x7f", "half \ud800 half"])
def test_a_glob_with_a_character_that_is_escaped_in_names_finds_the_key(raw, key):
    raw.mset({SPACE.name(key): 1, SPACE.name("other"): 1})
    assert matching(raw, SPACE.pattern(key)) == {SPACE.name(key)}
    assert matching(raw, SPACE.pattern(key[:-1] + "*")) == {SPACE.name(key)}
    assert matching(raw, SPACE.pattern("*" + key[1:])) == {SPACE.name(key)}


def test_the_beginning_of_a_long_key_takes_part_in_a_match(raw):
    long_key = "start-" + "x" * MAX_KEY_BYTES
    raw.set(SPACE.name(long_key), 1)
    assert matching(raw, SPACE.pattern("start-*")) == {SPACE.name(long_key)}


# Areas


def areas_of(site, names):
    spaces = {("d", None): area(site, "d")}
    for letter, name in itertools.product("cx", [None, *names]):
        spaces[letter, name] = area(site, letter, name)
    return spaces


@given(st.sets(TEXTS, max_size=4))
def test_no_area_of_a_site_lies_within_another(names):
    spaces = areas_of("dripcache:", names)
    for one, other in itertools.permutations(spaces.values(), 2):
        assert not one.raw.startswith(other.raw)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(names=st.sets(TEXTS, max_size=3))
def test_the_pattern_of_an_area_finds_that_area_alone(raw, names):
    raw.flushdb()
    spaces = areas_of("dripcache:", names)
    own = {which: space.name("c:d:x:key") for which, space in spaces.items()}
    raw.mset(dict.fromkeys(own.values(), b"1"))
    for which, space in spaces.items():
        assert matching(raw, space.pattern("*")) == {own[which]}


@pytest.mark.parametrize("name", ["", ".", "a.b", "a:b", ":", "c:", "a%3Ab", "{u}", "d", "\ud800", "*"])
def test_a_namespace_of_a_manager_may_be_any_text(name):
    space = area("dripcache:", "c", name)
    assert space.raw.startswith(b"dripcache:c.")
    assert space.raw.count(b":") == 2
    assert space.raw.endswith(b":")


SITES = ["a", "a:c", "a:d", "a:x", "a:c.b", "a:b", "a:b:c", "c", "d", "x", "c:d"]


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(SITES, 2)))
def test_no_area_of_a_site_takes_in_another_site(one, other):
    try:
        sites = root(one), root(other)
    except ConfigurationError:
        return  # a name that would be ambiguous may also be refused
    for space in areas_of(sites[0], ["b"]).values():
        for foreign in areas_of(sites[1], ["b"]).values():
            assert not foreign.raw.startswith(space.raw)


# Roots


@pytest.mark.parametrize("namespace", ["dripcache", "a", "A.b_c-d/e", "9", "x" * 100])
def test_a_root_is_the_namespace_and_a_colon(namespace):
    assert root(namespace) == f"{namespace}:"


def test_a_root_ends_with_one_colon():
    assert root("shop:") == root("shop") == "shop:"


def test_the_prefix_that_celery_uses_stays_in_front():
    assert root("shop", "{team}") == "{team}shop:"
    assert root("shop", "team:") == "team:shop:"


@pytest.mark.parametrize(
    "namespace",
    [
        "",
        ":",
        ":::",
        " ",
        "a b",
        "a*",
        "a?",
        "[a]",
        "a\\",
        "{a}",
        "a%",
        "a~",
        "\u00e9",
        "a\n",
        "\x00",
        "x" * 101,
        "\ud800",
    ],
)
def test_a_namespace_of_other_characters_is_refused(namespace):
    with pytest.raises(ConfigurationError) as caught:
        root(namespace)
    assert repr(namespace) in str(caught.value)
    assert caught.value.check == "dripcache.E003"


@pytest.mark.parametrize(
    "namespace",
    ["celery", "celery:", "celeryev", "celery-task-meta-", "_kombu", "_kombu.binding.x", "unacked", "unacked_index"],
)
@pytest.mark.parametrize("global_keyprefix", ["", "team:"])
def test_a_namespace_that_celery_uses_is_refused(namespace, global_keyprefix):
    with pytest.raises(ConfigurationError, match="Celery keeps its own keys"):
        root(namespace, global_keyprefix)
