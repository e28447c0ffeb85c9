"""Make the permissions to change, to clear, and to see values."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("django_dripcache", "0001_initial")]

    operations = [
        migrations.AlterModelOptions(
            name="overview",
            options={
                "verbose_name": "overview",
                "verbose_name_plural": "overview",
                "managed": False,
                "default_permissions": ("view", "change"),
                "permissions": (
                    ("clear_overview", "Can clear caches"),
                    ("reveal_overview", "Can see the values of keys"),
                ),
            },
        ),
    ]
