"""The library of template tags, ``{% load dripcache %}``."""
