"""The shape of the package, read from its source: which module may know which, and what every verb must have."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from django.core.cache.backends.base import BaseCache
from django_redis.client import DefaultClient

import django_dripcache
from django_dripcache import shortcuts
from django_dripcache.backend import DripCache
from django_dripcache.client import CacheClient
from django_dripcache.manager import CacheManager
from django_dripcache.redis_client import DripClient

PACKAGE = Path(django_dripcache.__file__).parent
MAX_LINES = 300

# From the bottom up: a module may import from its own layer and from those below.
LAYERS = {
    "pure": (
        "address areas beside codecs compression contents context counts deadline encryption entry events "
        "eviction exceptions flight freshness globs groups histogram journal keys measures nearness outcomes policy "
        "rates signed tally typing"
    ),
    "flows": "flows flows.*",
    "driver": "_counted _drive _encoding _replay _replies",
    "wiring": (
        "breaker broker conf connections lending lent multiplexer near outage pools secrecy server signals sockets "
        "stats tracker transport wire"
    ),
    "domain": (
        "advice arguments backend batch bulk client fragments inspection invalidation kept later limiter locks manager "
        "members memo namespace pages recorder redis_base redis_client roles routes rules services services.* "
        "shortcuts tasks testing testing.* traffic upkeep visitors watch whom"
    ),
    "edges": (
        "admin admin.* apps checks contrib contrib.* decorators limiting management management.* middleware migrations "
        "migrations.* models refusals templatetags templatetags.* urls views"
    ),
    "package": "__init__",
}
ORDER = list(LAYERS)

MAKERS = {"batch", "funnel", "lock", "memoize"}
"""What only makes an object whose own calls are verbs."""

SHARED = {"CacheClient", "cache", "memoize"}

# What is not the standard library's, and who may import it.
BARRED = {"asgiref", "celery", "django", "django_redis", "kombu", "redis"}
ALLOWED = {
    "exceptions": {"django.core.exceptions"},
    "_drive": {"redis.exceptions"},
    "_encoding": {"asgiref.sync", "django.core.exceptions"},
    "_replies": {"redis.exceptions"},
}


@cache
def modules():
    """Return the path of every module, by its name without the package's."""
    paths = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts if len(parts) == 1 or parts[-1] != "__init__" else parts[:-1])
        paths[name] = path
    return paths


@cache
def layer(module):
    found = [
        name
        for name, members in LAYERS.items()
        for member in members.split()
        if module == member or (member.endswith(".*") and module.startswith(member[:-1]))
    ]
    assert len(found) == 1, f"{module} is in the layers {found}; give it one in LAYERS"
    return found[0]


def is_type_checking(node):
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def walk(tree, *, typing):
    """Yield every node, those for type checkers alone only if asked."""
    for node in ast.iter_child_nodes(tree):
        if is_type_checking(node) and not typing:
            continue
        yield node
        yield from walk(node, typing=typing)


@cache
def imports(module, *, typing=True):
    """Return what a module imports: modules of the package as ``.name``, others by their whole name."""
    path = modules()[module]
    package = module if path.name == "__init__.py" and module != "__init__" else module.rpartition(".")[0]
    found = set()
    for node in walk(ast.parse(path.read_text()), typing=typing):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".") if package else []
                above = above[: len(above) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
                found |= {f".{name}" for name in targets(base, node.names)}
            else:
                found.add(base)
    ours = {f".{name.removeprefix('django_dripcache.')}" for name in found if name.startswith("django_dripcache.")}
    return frozenset({name for name in found if not name.startswith("django_dripcache.")} | ours)


def targets(base, names):
    """Return the modules that ``from base import names`` needs: names may be modules themselves."""
    for alias in names:
        below = f"{base}.{alias.name}" if base else alias.name
        yield below if below in modules() else base


def own(module, *, typing=True):
    return {name[1:] for name in imports(module, typing=typing) if name.startswith(".")}


MODULES = pytest.mark.parametrize("module", list(modules()))


# Layers


@MODULES
def test_every_module_has_one_layer(module):
    assert layer(module) in ORDER


@MODULES
def test_what_a_module_imports_of_ours_is_there(module):
    assert own(module) <= set(modules())


@MODULES
def test_a_module_knows_nothing_of_the_layers_above_it(module):
    above = {name for name in own(module) if ORDER.index(layer(name)) > ORDER.index(layer(module))}
    assert not above


def test_no_modules_import_each_other():
    done, path = set(), []

    def visit(module):
        assert module not in path, f"a circle: {' -> '.join([*path[path.index(module) :], module])}"
        if module in done:
            return
        path.append(module)
        for name in sorted(own(module, typing=False)):
            visit(name)
        path.pop()
        done.add(module)

    for module in modules():
        visit(module)


@MODULES
def test_cache_logic_is_pure_and_only_the_driver_meets_redis(module):
    if ORDER.index(layer(module)) > ORDER.index("driver"):
        return
    barred = {name for name in imports(module) if name.partition(".")[0] in BARRED}
    assert barred <= ALLOWED.get(module, set())


@MODULES
def test_a_flow_knows_only_flows_and_what_is_pure(module):
    if layer(module) == "flows":
        assert {layer(name) for name in own(module)} <= {"pure", "flows"}


def test_the_reader_of_imports_sees_them():
    assert {"flows.values", "flows.scan", "_drive", "codecs", "redis_base"} <= own("redis_client")
    assert "typing" in own("flows.values")
    assert "typing" not in own("flows.values", typing=False)
    assert "flows.steps" in own("flows.values")
    assert "redis.exceptions" in imports("_drive")
    assert {"checks", "contrib.celery"} <= own("apps")


# Size and form


@MODULES
def test_no_module_is_over_300_lines(module):
    assert len(modules()[module].read_text().splitlines()) <= MAX_LINES


@MODULES
def test_every_module_says_what_it_is_for(module):
    if layer(module) != "edges" or not module.startswith("migrations"):
        assert ast.get_docstring(ast.parse(modules()[module].read_text()))


# Verbs


def verbs(cls):
    members = inspect.getmembers(cls, inspect.isfunction)
    return {name: member for name, member in members if not name.startswith("_")}


def is_asynchronous(function):
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


VERBS = [
    pytest.param(cls, name, id=f"{cls.__name__}.{name}")
    for cls in (CacheManager, CacheClient)
    for name, verb in verbs(cls).items()
    if not is_asynchronous(verb) and name not in MAKERS
]


def test_the_managers_have_the_verbs_of_the_design():
    promised = (
        "get set delete has get_or_set get_many set_many delete_many incr decr expire touch ttl clear delete_pattern "
        "get_stats test_connection"
    )
    assert set(promised.split()) <= set(verbs(CacheManager))
    assert {"get_json", "set_json"} <= set(verbs(CacheClient))


@pytest.mark.parametrize(("cls", "name"), VERBS)
def test_every_verb_has_a_twin_of_the_same_parameters_that_refers_to_it(cls, name):
    verb, twin = getattr(cls, name), getattr(cls, f"a{name}")
    assert is_asynchronous(twin)
    assert inspect.signature(twin).parameters == inspect.signature(verb).parameters
    assert inspect.signature(twin).return_annotation == inspect.signature(verb).return_annotation
    assert inspect.getdoc(twin).startswith(f"See {name}().")
    assert inspect.getdoc(verb)


@pytest.mark.parametrize("cls", [CacheManager, CacheClient])
def test_every_twin_is_the_twin_of_a_verb(cls):
    for name, verb in verbs(cls).items():
        if is_asynchronous(verb):
            assert name.startswith("a")
            assert name[1:] in verbs(cls)


DJANGO = [name for name in dir(BaseCache) if name.startswith("a") and name[1:] in dir(BaseCache)]


@pytest.mark.parametrize("name", DJANGO)
def test_a_twin_of_djangos_contract_is_our_own_and_takes_what_django_gives(name):
    ours, djangos = getattr(DripCache, name), getattr(BaseCache, name)
    assert name in vars(DripCache), "Django's own would hop to a thread"
    assert inspect.iscoroutinefunction(ours)
    given = inspect.signature(djangos).parameters
    taken = inspect.signature(ours).parameters
    assert [(p.name, p.kind, p.default) for p in list(taken.values())[: len(given)]] == [
        (p.name, p.kind, p.default) for p in given.values()
    ]
    for parameter in list(taken.values())[len(given) :]:
        assert parameter.default is not parameter.empty or parameter.kind is parameter.VAR_KEYWORD


@pytest.mark.parametrize("name", [name[1:] for name in DJANGO if name not in {"aadd", "aclose"}])
def test_a_verb_of_djangos_contract_takes_what_its_twin_takes(name):
    client = DripClient if hasattr(DripClient, name) else DripCache
    verb = inspect.signature(getattr(client, name)).parameters
    twin = inspect.signature(getattr(DripCache, f"a{name}")).parameters
    for parameter in twin.values():
        if parameter.kind is not parameter.VAR_KEYWORD:
            assert parameter.name in verb
            assert parameter.default == verb[parameter.name].default


def test_every_shortcut_has_its_twin():
    names = [name for name in django_dripcache.__all__ if hasattr(shortcuts, name) and name not in SHARED]
    assert names
    for name in names:
        assert name[1:] in names or f"a{name}" in names


@pytest.mark.parametrize("name", django_dripcache.__all__)
def test_every_public_name_is_there_and_can_be_imported(name):
    assert getattr(django_dripcache, name) is not None


def test_the_package_can_be_imported_before_there_are_settings():
    code = "import django_dripcache; from django.conf import settings; assert not settings.configured"
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=PACKAGE.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


# Commands that would reach over our prefix

FORBIDDEN = {"KEYS", "FLUSHDB", "FLUSHALL", "RANDOMKEY", "SWAPDB"}


@MODULES
def test_no_module_sends_a_command_that_reaches_over_our_prefix(module):
    tree = ast.parse(modules()[module].read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            assert text.strip().upper() not in FORBIDDEN or text.islower(), f"line {node.lineno}"
        if isinstance(node, ast.Attribute):
            assert node.attr.lower() not in {"flushdb", "flushall", "randomkey", "swapdb"}, f"line {node.lineno}"


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, method in inspect.getmembers(DefaultClient, inspect.isfunction)
        if re.search(r"flushdb|flushall|\.keys\(|scan_iter", inspect.getsource(method)) and not name.startswith("s")
    ],
)
def test_a_verb_of_django_redis_that_would_do_so_is_not_inherited(name):
    assert getattr(DripClient, name).__module__.startswith("django_dripcache.")


def test_django_redis_still_has_such_verbs():
    assert "flushdb" in inspect.getsource(DefaultClient.clear)


# Scripts

SCRIPTS = sorted(path.stem for path in PACKAGE.joinpath("lua").iterdir())


def test_there_are_scripts_and_nothing_else_beside_them():
    assert SCRIPTS
    assert {path.suffix for path in PACKAGE.joinpath("lua").iterdir()} == {".lua"}


def used_scripts():
    for path in modules().values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Script":
                assert isinstance(node.args[0], ast.Constant), f"{path}:{node.lineno} hides the name of its script"
                yield node.args[0].value


def test_every_script_is_used_and_every_script_that_is_used_is_there():
    assert {*used_scripts(), "auth", "entry", "limit"} == set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_understood_by_the_server(raw, name):
    text = PACKAGE.joinpath("lua", f"{name}.lua").read_text()
    assert len(raw.script_load(text)) == 40
    assert text.startswith("--"), "a script says what it does"
    assert not re.search(rf"call\(\s*['\"](?:{'|'.join(FORBIDDEN)})\b", text, re.IGNORECASE)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_leaves_no_global_behind(raw, name):
    # Redis refuses globals when a script runs, not when it is loaded.
    text = PACKAGE.joinpath("lua", f"{name}.lua").read_text()
    for variable in re.findall(r"^\s*([A-Za-z_]\w*)\s*=[^=]", text, re.MULTILINE):
        assert re.search(rf"\blocal\s+(?:\w+\s*,\s*)*{variable}\b", text), variable
