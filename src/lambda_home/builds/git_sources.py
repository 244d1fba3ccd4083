"""Sources in a git repository: what may be fetched, and the commands that fetch it; pure.

Commands are lists of words. git heeds no configuration but what they say, asks for nothing, runs no
hooks, and speaks no protocol that they do not name. Sources: git(1), gitprotocol-common(5), and
`GIT_ALLOW_PROTOCOL` and `protocol.allow` in git-config(1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from lambda_home.builds.trees import PlanError

_SCHEMES: Final = ("https", "ssh")
_SCP_FORM = re.compile(r"(?:[A-Za-z0-9_.-]+@)?(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*):(?P<path>[^:].*)")
_REF = re.compile(r"(?!-)(?!.*\.\.)(?!.*@\{)[A-Za-z0-9_][A-Za-z0-9_./+@-]{0,254}")
_HOST = re.compile(r"[A-Za-z0-9\[:](?:[A-Za-z0-9.:\]-]*)")
_LONGEST = 2048

VARIABLES: Final[Mapping[str, str]] = {
    "GIT_ALLOW_PROTOCOL": ":".join(_SCHEMES),
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_PROTOCOL_FROM_USER": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new",
}


@dataclass(frozen=True, slots=True)
class GitSource:
    """A repository; `ref` is a branch, tag or commit, empty for what its HEAD is."""

    url: str
    ref: str = ""


def checked_source(url: str, ref: str = "") -> GitSource:
    """A repository that may be fetched over the network. Raises PlanError."""
    if len(url) > _LONGEST or not url.isprintable() or " " in url or url.startswith("-"):
        raise PlanError("The URL of the repository is none.")
    if "::" in url.partition("/")[0]:  # ext::sh -c ..., and other helpers of git
        raise PlanError("Only https and ssh repositories are fetched, no other transports of git.")
    if "://" in url:
        _check_parts(url)
    elif not _is_scp_form(url):
        raise PlanError("Only https and ssh repositories are fetched: send a folder as an archive.")
    if ref and not _REF.fullmatch(ref):
        raise PlanError(f"{ref[:80]!r} is no branch, tag or commit.")
    return GitSource(url, ref)


def local_source(url: str, ref: str = "") -> GitSource:
    """A repository that git fetches for whoever calls it: a folder of the machine, too.

    Raises PlanError.
    """
    if url.startswith("file:///") and url.isprintable():
        if ref and not _REF.fullmatch(ref):
            raise PlanError(f"{ref[:80]!r} is no branch, tag or commit.")
        return GitSource(url, ref)
    return checked_source(url, ref)


def is_git_url(text: str) -> bool:
    """Whether a command's argument means a repository, not a folder."""
    return "://" in text or "::" in text or (_is_scp_form(text) and text.startswith("git@"))


def fetch_commands(source: GitSource, folder: str) -> tuple[tuple[str, ...], ...]:
    """The commands that make a folder of the sources, without their history."""
    git = ("git", "-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never")
    here = (*git, "-C", folder)
    fetch = (*here, "fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules")
    return (
        (*git, "init", "--quiet", "--template=", "--", folder),
        (*fetch, "--end-of-options", source.url, source.ref or "HEAD"),
        (*here, "checkout", "--quiet", "--detach", "FETCH_HEAD"),
        (*here, "rev-parse", "HEAD"),
    )


def shown_url(url: str) -> str:
    """The URL without a password: it is written down and shown."""
    if "://" not in url:
        return url
    scheme, _, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    return f"{scheme}://{place.rpartition('@')[2]}{slash}{path.partition('?')[0]}"


def password_in(url: str) -> str:
    """What must not be written down of a URL; empty for nothing."""
    try:
        parts = urlsplit(url) if "://" in url else None
    except ValueError:
        return ""
    return (
        (parts.password or (parts.username if parts.scheme == "https" else "") or "")
        if parts
        else ""
    )


def _check_parts(url: str) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError as error:
        raise PlanError("The URL of the repository is none.") from error
    if parts.scheme not in _SCHEMES:
        raise PlanError(
            f"Only https and ssh repositories are fetched, not {parts.scheme[:20] or 'this'}: send"
            " a folder as an archive."
        )
    if not _HOST.fullmatch(host) or (parts.username or "").startswith("-"):
        raise PlanError("The URL of the repository names no host.")


def _is_scp_form(url: str) -> bool:
    match = _SCP_FORM.fullmatch(url)
    return match is not None and "/" not in url.partition(":")[0]
