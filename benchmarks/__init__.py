"""How fast this package is beside others, and what it costs: see README.rst."""
