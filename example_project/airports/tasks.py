"""Work that a page leaves to Celery."""

from __future__ import annotations

from typing import Any

from celery import shared_task
from django.db import OperationalError, transaction
from django.db.models import F

from airports.models import Airport, Visit


@shared_task(bind=True, autoretry_for=(OperationalError,), retry_backoff=True, max_retries=5)
def record_visit(self: Any, code: str) -> None:
    """Count a look at an airport's page; a task that is delivered twice counts once, for its id is the visit's key."""
    with transaction.atomic():
        _, created = Visit.objects.get_or_create(pk=self.request.id, defaults={"airport_id": code})
        if created:
            Airport.objects.filter(pk=code).update(visits=F("visits") + 1)
