"""The companion as a caller, known by a host name of its own."""

from __future__ import annotations

import pytest

from lambda_home.access.callers import Callers
from lambda_home.access.gate import Entry
from lambda_home.access.roles import Role
from lambda_home.arns import Scope
from lambda_home.companion.calling import WithCompanion, new_host
from lambda_home.direct_http import FieldList, Head
from lambda_home.errors import AccessDeniedException

HOST = f"{'0a' * 16}.companion.lambda-home.internal"
SIGNED = b"AWS4-HMAC-SHA256 Credential=111122223333/20261121/eu-west-1/lambda/aws4_request"


class Nobody:
    """Knows nobody else."""

    def check_host(self, head: Head) -> None:
        del head
        raise AccessDeniedException("No execution environment has this host name.")

    def check_origin(self, head: Head) -> None:
        del head
        raise AccessDeniedException("No page may come here.")

    def cors_headers(self, head: Head) -> FieldList:
        del head
        return [(b"vary", b"origin")]

    def preflight(self, head: Head) -> FieldList | None:
        del head
        return None

    def identify(self, head: Head) -> Entry:
        self.check_host(head)
        raise AssertionError


def head(host: str) -> Head:
    fields = [(b"host", host.encode()), (b"authorization", SIGNED)]
    return Head(b"POST", b"/", b"", dict(fields), 9001, fields)


KNOWN = WithCompanion(Nobody(), HOST, Callers(Scope("000000000000", "us-east-1")))


def test_it_invokes_as_the_account_that_it_says_and_does_nothing_else() -> None:
    KNOWN.check_host(head(HOST))
    caller = KNOWN.identify(head(HOST)).caller
    assert caller is not None
    assert (caller.scope, caller.role) == (Scope("111122223333", "eu-west-1"), Role.INVOKER)


@pytest.mark.parametrize("host", ["", HOST[1:], HOST.upper(), f"{HOST}:9001", f"x.{HOST}"])
def test_all_others_are_for_who_was_asked_before(host: str) -> None:
    with pytest.raises(AccessDeniedException):
        KNOWN.check_host(head(host))
    with pytest.raises(AccessDeniedException):
        KNOWN.identify(head(host))


def test_pages_are_refused_and_names_are_never_the_same() -> None:
    with pytest.raises(AccessDeniedException):
        KNOWN.check_origin(head(HOST))
    assert KNOWN.preflight(head(HOST)) is None
    assert KNOWN.cors_headers(head(HOST)) == [(b"vary", b"origin")]
    assert new_host() != new_host()
