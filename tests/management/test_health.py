"""``manage.py dripcache health``."""

from __future__ import annotations

from tests.conftest import use_server
from tests.processes import UNREACHABLE

from .asking import ask, ask_json


def test_health_tells_of_each_alias(broker):
    code, text = ask("health")
    assert code == 0
    assert text.split()[:2] == ["default", "healthy"]
    code, found = ask_json("health")
    assert code == 0
    assert found["default"]["status"] == "healthy"
    assert found["default"]["breaker"] == "closed"


def test_health_ends_with_1_where_a_server_does_not_answer():
    with use_server(UNREACHABLE):
        code, text = ask("health")
        assert code == 1
        assert "unhealthy" in text
        assert "no answer" in text
        assert ask_json("health")[1]["default"]["latency_ms"] is None
