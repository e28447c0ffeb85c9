"""Tags that follow the database: invalidated when a transaction commits, and when a model's rows change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models.signals import m2m_changed, post_delete, post_save

from .shortcuts import cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.db.models import Model

    from .manager import CacheManager


def invalidate_on_commit(*tags: str, manager: CacheManager = cache, using: str | None = None) -> None:
    """
    Invalidate tags when the transaction commits: at once without one, never if it is rolled back.

    A reader in between sees the old rows, and what it stores is void by then. ``using`` is the database.
    """
    transaction.on_commit(lambda: manager.invalidate_tags(*tags), using=using)


def connect_model(
    model: type[Model], tags: Iterable[str] | Callable[[Any], Iterable[str]], *, manager: CacheManager = cache
) -> Callable[[], None]:
    """
    Invalidate tags whenever a row of ``model`` is saved or deleted, or its many-to-many relations change, on commit.

    ``tags`` are templates over the instance, such as ``"airport:{instance.pk}"``, or a callable that takes it. What
    Django sends no signal for, such as ``QuerySet.update()`` and ``bulk_create()``, needs invalidate_on_commit().
    Returns a function that ends it.
    """
    if isinstance(tags, str):
        message = f"connect_model(tags={tags!r}) is one text. Allowed are several, as in tags=[{tags!r}]."
        raise TypeError(message)
    follower = _Follower(model, tags if callable(tags) else _templates(tuple(tags)), manager)
    relations = list(follower.relations)
    for signal in (post_save, post_delete):
        signal.connect(follower.changed, sender=model, weak=False)
    for through in relations:
        m2m_changed.connect(follower.related, sender=through, weak=False)

    def disconnect() -> None:
        for signal in (post_save, post_delete):
            signal.disconnect(follower.changed, sender=model)
        for through in relations:
            m2m_changed.disconnect(follower.related, sender=through)

    return disconnect


def _templates(templates: tuple[str, ...]) -> Callable[[Any], list[str]]:
    return lambda instance: [template.format(instance=instance) for template in templates]


class _Follower:
    """Hears of changes of a model."""

    def __init__(self, model: type[Model], tags: Callable[[Any], Iterable[str]], manager: CacheManager) -> None:
        self._model, self._tags, self._manager = model, tags, manager
        self.relations: dict[Any, Any] = {field.remote_field.through: field for field in model._meta.many_to_many}

    def changed(self, instance: Model, using: str | None, **_: object) -> None:
        """Invalidate the tags of an instance that was saved or deleted; it still has its primary key."""
        invalidate_on_commit(*self._tags(instance), manager=self._manager, using=using)

    def related(self, sender: type[Model], instance: Model, action: str, **about: Any) -> None:
        """Invalidate the tags of the instances at our end of a relation that has changed, or is about to be cleared."""
        using, keys = about["using"], about["pk_set"]
        if not about["reverse"]:
            if action.startswith("post_"):
                self.changed(instance, using)
            return
        if action == "pre_clear":
            # Afterwards, nobody knows which ones they were.
            field = self.relations[sender]
            rows = sender._default_manager.using(using).filter(**{field.m2m_reverse_field_name(): instance})
            keys = list(rows.values_list(field.m2m_field_name(), flat=True))
        elif action not in {"post_add", "post_remove"}:
            return
        for ours in self._model._default_manager.using(using).filter(pk__in=keys or ()):
            self.changed(ours, using)
