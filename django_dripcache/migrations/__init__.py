"""The one migration makes the permission, and no table."""
