"""Browsers by the names that their owners know."""

from __future__ import annotations

from django import template

register = template.Library()

# The first that fits: a browser names those that it wants to be taken for as well.
BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
SYSTEMS = (
    *(("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows")),
    *(("Mac OS X", "macOS"), ("Linux", "Linux")),
)


@register.filter
def browser(agent: str) -> str:
    """Name the browser and the system of a User-Agent, as far as it tells them."""
    name = next((name for sign, name in BROWSERS if sign in agent), "A browser")
    system = next((name for sign, name in SYSTEMS if sign in agent), "")
    return f"{name} on {system}" if system else name
