from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from zips import Item, hand_made

from lambda_home.arns import Scope
from lambda_home.errors import AccessDeniedException, InvalidParameterValueException
from lambda_home.functions import Code, Layer
from lambda_home.packager.store import CodeStore
from lambda_home.registry.layers import LayerRef, LayerVersion
from lambda_home.services import ServiceCallError
from lambda_home.user_api.layer_access import find, grants, identity, version_of
from lambda_home.user_api.layers_of_functions import check_size
from lambda_home.user_api.operations import Backend
from lambda_home.user_api.policy_documents import statement_of, with_statement

OWNER, CALLER = "111111111111", "222222222222"
HERE = Scope(CALLER, "us-east-1")
THEIRS = LayerRef(Scope(OWNER, "us-east-1"), "tools", 1)
ORGANIZATION, OTHER = "o-aaaaaaaaaa", "o-bbbbbbbbbb"


def policy(*grantees: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] | None = None
    for number, grantee in enumerate(grantees):
        members = {"StatementId": f"s{number}", "Action": "lambda:GetLayerVersion", **grantee}
        made = with_statement(made, statement_of(members, THEIRS.arn))
    return {"Policy": made, "RevisionId": "r"}


EVERYBODY = {"Principal": "*"}
MEMBERS = {"Principal": "*", "OrganizationId": ORGANIZATION}


@pytest.mark.parametrize(
    ("given", "to"),
    [
        (None, None),
        (policy({"Principal": OWNER}), None),
        (policy(EVERYBODY), frozenset()),
        (policy({"Principal": CALLER}), frozenset()),
        (policy({"Principal": f"arn:aws:iam::{CALLER}:root"}), frozenset()),
        (policy({"Principal": OWNER}, {"Principal": CALLER}), frozenset()),
        (policy(MEMBERS), {ORGANIZATION}),
        (policy({**MEMBERS, "OrganizationId": OTHER}, MEMBERS), {OTHER, ORGANIZATION}),
        (policy(MEMBERS, {"Principal": CALLER}), frozenset()),
        (policy({**MEMBERS, "Principal": OWNER}), None),
    ],
)
def test_a_policy_gives_to_everybody_an_account_or_organizations(
    given: Mapping[str, Any] | None, to: frozenset[str] | None
) -> None:
    assert grants(given, CALLER) == to


class Organizations:
    """The service that knows of which organization an account is."""

    def __init__(self, of: str | None, *, there: bool = True) -> None:
        self._of = of
        self._there = there

    def reaches(self, service: str) -> bool:
        return self._there and service == "organizations"

    async def call(
        self, scope: Scope, service: str, operation: str, params: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        assert (scope, service, operation, params) == (
            HERE,
            "organizations",
            "DescribeOrganization",
            {},
        )
        if self._of is None:
            raise ServiceCallError("no", "AWSOrganizationsNotInUseException", "no")
        return {"Organization": {"Id": self._of}}


def got(services: Organizations, given: Mapping[str, Any] | None) -> LayerVersion | None:
    version = LayerVersion(THEIRS, Code("k", "s", 1), {}, given)
    layers = SimpleNamespace(get={THEIRS: version}.get)
    backend = cast("Backend", SimpleNamespace(layers=layers, services=services))
    return asyncio.run(find(backend, HERE, THEIRS))


@pytest.mark.parametrize(
    ("services", "fine"),
    [
        (Organizations(ORGANIZATION), True),
        (Organizations(OTHER), False),
        (Organizations(None), False),
        (Organizations(None, there=False), True),
    ],
)
def test_an_organization_is_looked_up_where_there_is_one_to_ask(
    services: Organizations, *, fine: bool
) -> None:
    if fine:
        assert got(services, policy(MEMBERS)) is not None
    else:
        with pytest.raises(AccessDeniedException, match="not authorized"):
            got(services, policy(MEMBERS))


def test_no_service_is_asked_about_a_policy_that_says_no() -> None:
    with pytest.raises(AccessDeniedException, match=f"iam::{CALLER}:root is not authorized"):
        got(Organizations(None, there=False), policy({"Principal": OWNER}))


class Sts:
    """Says who calls."""

    def __init__(self, account: str) -> None:
        self._answer = {"Account": account, "Arn": f"arn:aws:iam::{account}:user/me"}

    def reaches(self, service: str) -> bool:
        return service == "sts"

    async def call(self, *_: Any) -> Mapping[str, Any]:
        return self._answer


@pytest.mark.parametrize(
    ("account", "arn"),
    [(CALLER, f"arn:aws:iam::{CALLER}:user/me"), ("9" * 12, f"arn:aws:iam::{CALLER}:root")],
)
def test_who_calls_is_asked_where_somebody_knows(account: str, arn: str) -> None:
    backend = cast("Backend", SimpleNamespace(services=Sts(account)))
    assert asyncio.run(identity(backend, HERE)) == arn


def test_the_layers_that_aws_had_are_none_of_an_account() -> None:
    assert version_of("arn:aws:lambda:::awslayer:AmazonLinux1803") is None
    assert version_of(THEIRS.arn) == THEIRS
    with pytest.raises(InvalidParameterValueException, match="Layer Version Cannot be less than 1"):
        version_of(f"{THEIRS.layer_arn}:0")


LIMIT = 262_144_000
COMBINED = (
    "Function code combined with layers exceeds the maximum allowed size of 262144000 bytes."
    " The actual size is 262144010 bytes."
)


@pytest.mark.parametrize(
    ("layers", "code", "text"),
    [
        ([LIMIT - 1], 1, ""),
        ([100, LIMIT - 100], None, ""),
        ([], LIMIT + 1, ""),
        ([1, LIMIT], None, "Layers consume more than the available size of 262144000 bytes"),
        ([1, LIMIT], 1, "Layers consume more than the available size of 262144000 bytes"),
        (
            [LIMIT - 100, 50],
            60,
            COMBINED,
        ),
    ],
)
def test_code_and_layers_have_one_limit_unzipped(
    tmp_path: Any, layers: list[int], code: int | None, text: str
) -> None:
    store = CodeStore(tmp_path)

    def keep(size: int) -> Code:
        return store.put(hand_made([Item("half", size=size // 2), Item("r", size=-(-size // 2))]))

    kept = [Layer("arn", keep(size).key, 1) for size in layers]
    checking = check_size(
        cast("Backend", SimpleNamespace(store=store)), kept, None if code is None else keep(code)
    )
    if not text:
        asyncio.run(checking)
        return
    with pytest.raises(InvalidParameterValueException) as refused:
        asyncio.run(checking)
    assert refused.value.message == text


def test_an_image_has_no_size_to_count(tmp_path: Any) -> None:
    store = CodeStore(tmp_path)
    kept = store.put(hand_made([Item("a", size=LIMIT)]))
    backend = cast("Backend", SimpleNamespace(store=store))
    image = Code("", "sha", 0, "image")
    asyncio.run(check_size(backend, [Layer("arn", kept.key, 1)], image))
