"""What a request of the admin API asks for, as an action that a role has or has not; pure."""

from __future__ import annotations

from typing import Final

_AREAS: Final = (
    ("/api/admin/api-gateway/routes", "routes"),
    ("/admin/api-gateway/routes", "routes"),
    ("/api/builds", "builds"),
    ("/api/admin/secrets", "secrets"),
    ("/admin/secrets", "secrets"),
    ("/api/admin/keys", "keys"),
    ("/api/admin/functions", "rate-limits"),
    ("/api/admin/debug", "functions"),
    ("/api/admin/hot-reload", "functions"),
    ("/api/admin/audit", "audit"),
    ("/api/admin/spares", "stats"),
    ("/api/admin/logs", "logs"),
    ("/api/admin/log-level", "log-level"),
    *(
        (path, "stats")
        for name in ("warm-pool", "docker-stats", "lambda-service-stats", "metrics")
        for path in (f"/{name}", f"/api/{name}", f"/admin/{name}", f"/api/admin/{name}")
    ),
    ("/api/admin/reset", "reset"),
)
_READS: Final = frozenset({"GET", "HEAD"})
SESSION_PATH: Final = "/api/admin/session"


def admin_action(method: str, path: str) -> str:
    """The action of a request; one that no role but admin's has for what is not listed."""
    for prefix, area in _AREAS:
        if path == prefix or path.startswith(prefix + "/"):
            return f"{area}:{'read' if method in _READS else 'write'}"
    return "admin:any"
