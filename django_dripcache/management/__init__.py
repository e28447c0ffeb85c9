"""What ``manage.py dripcache`` can do: one module a subcommand."""
