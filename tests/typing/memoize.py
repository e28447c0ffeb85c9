# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
# ruff: noqa: INP001 - type checkers read it, nobody imports it
"""What type checkers see of memoized functions; an ignored error that is none is an error, too."""

from __future__ import annotations

from typing import Any

from typing_extensions import assert_type

from django_dripcache import CacheClient, memoize


@memoize(60, tags=["sums"], grace=5)
def add(a: int, b: int = 2, *, unit: str = "") -> float:
    return a + b + len(unit)


@memoize()
async def fetch(url: str) -> bytes | None:
    return url.encode()


assert_type(add(1), float)
assert_type(add(1, b=2, unit="s"), float)
assert_type(add.key(1), str)
assert_type(add.peek(1), float | None)
assert_type(add.refresh(1, unit="s"), float)
assert_type(add.invalidate(1, 2), bool)

add("1")  # type: ignore[arg-type]
add.peek(b="2", a=1)  # type: ignore[arg-type]
add.refresh()  # type: ignore[call-arg]
add.invalidate(1, 2, "s")  # type: ignore[call-arg]
memoize(60, gracious=5)  # type: ignore[call-arg]


async def ask() -> None:
    assert_type(await fetch("url"), bytes | None)
    assert_type(await fetch.refresh("url"), bytes | None)
    assert_type(await fetch.arefresh("url"), bytes | None)
    assert_type(await fetch.apeek("url"), bytes | None)
    assert_type(await fetch.ainvalidate("url"), bool)
    assert_type(fetch.peek("url"), bytes | None)
    assert_type(fetch.invalidate("url"), bool)
    assert_type(await add.arefresh(1), float)
    assert_type(await add.apeek(1), float | None)
    await fetch(1)  # type: ignore[arg-type]


def page_key(name: str) -> str:
    return f"page:{name}"


@CacheClient(prefix="shop").memoize(60, key=page_key)
def page(name: str) -> dict[str, Any]:
    return {"name": name}


assert_type(page("a"), dict[str, Any])


class Product:
    @memoize(60)
    def price(self, count: int) -> float:
        return count * 1.5

    @memoize(60)
    async def stock(self, place: str) -> int:
        return len(place)

    @memoize(60)
    @classmethod
    def build(cls, name: str) -> int:
        return len(name)

    @classmethod
    @memoize(60)
    def make(cls, name: str) -> int:
        return len(name)


class Book(Product):
    """What it inherits is bound to it."""


def buy(product: Product) -> None:
    assert_type(product.price(2), float)
    assert_type(product.price.peek(2), float | None)
    assert_type(product.price.refresh(count=2), float)
    assert_type(product.price.invalidate(2), bool)
    assert_type(Product.build("a"), int)
    assert_type(Book.build.peek("a"), int | None)
    assert_type(Book.make("a"), int)
    assert_type(product.make.invalidate("a"), bool)
    product.price("2")  # type: ignore[arg-type]
    product.price.peek()  # type: ignore[call-arg]
    Book.build(2)  # type: ignore[arg-type]


async def count(book: Book) -> None:
    assert_type(await book.stock("here"), int)
    assert_type(await book.stock.arefresh("here"), int)
