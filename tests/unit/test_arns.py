"""Names of functions: every form that AWS takes, seen from one account and region."""

from __future__ import annotations

import pytest

from lambda_home.arns import LATEST, FunctionRef, Scope, function_arn
from lambda_home.errors import (
    AccessDeniedException,
    InvalidParameterValueException,
    ResourceNotFoundException,
)

HERE = Scope("123456789012", "us-east-1")
ARN = "arn:aws:lambda:us-east-1:123456789012:function:"

FORMS = ["", "function:", "123456789012:function:", ARN]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["hello", "a", "function", "UPPER-lower_09", "123456789012"])
def test_every_form_of_a_name_means_the_same_function(form: str, name: str) -> None:
    assert FunctionRef.parse(HERE, form + name) == FunctionRef(HERE, name)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("qualifier", [LATEST, "$LATEST.PUBLISHED", "42", "live", "a-b_c"])
def test_every_form_carries_a_qualifier(form: str, qualifier: str) -> None:
    expected = FunctionRef(HERE, "hello", qualifier)
    assert FunctionRef.parse(HERE, f"{form}hello:{qualifier}") == expected
    assert FunctionRef.parse(HERE, f"{form}hello", qualifier) == expected
    assert FunctionRef.parse(HERE, f"{form}hello:{qualifier}", qualifier) == expected


@pytest.mark.parametrize("form", FORMS)
def test_a_qualifier_that_contradicts_the_name_is_refused(form: str) -> None:
    with pytest.raises(InvalidParameterValueException) as caught:
        FunctionRef.parse(HERE, f"{form}hello:1", "2")
    assert caught.value.body() == {
        "Type": "User",
        "message": "The derived qualifier from the function name does not match the specified"
        " qualifier.",
    }


def test_another_region_is_not_reachable() -> None:
    with pytest.raises(ResourceNotFoundException) as caught:
        FunctionRef.parse(HERE, "arn:aws:lambda:eu-west-1:123456789012:function:hello")
    assert caught.value.message == (
        "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')"
    )


@pytest.mark.parametrize(
    "name",
    ["999999999999:function:hello", "arn:aws:lambda:us-east-1:999999999999:function:hello"],
)
def test_another_account_is_refused_without_a_message(name: str) -> None:
    with pytest.raises(AccessDeniedException) as caught:
        FunctionRef.parse(HERE, name)
    assert caught.value.body() == {"Message": None}


def test_the_region_is_looked_at_before_the_account_and_both_before_the_qualifier() -> None:
    with pytest.raises(ResourceNotFoundException):
        FunctionRef.parse(HERE, "arn:aws:lambda:eu-west-1:999999999999:function:hello:1", "2")
    with pytest.raises(AccessDeniedException):
        FunctionRef.parse(HERE, "999999999999:function:hello:1", "2")


@pytest.mark.parametrize("name", ["", "a b", "a:b:c:d", "arn:aws:s3:::bucket", "hello\n", "héllo"])
def test_what_has_none_of_the_forms_is_taken_literally(name: str) -> None:
    assert FunctionRef.parse(HERE, name, "live") == FunctionRef(HERE, name, "live")


def test_arns_of_other_partitions_are_read() -> None:
    ref = FunctionRef.parse(HERE, "arn:aws-cn:lambda:us-east-1:123456789012:function:hello")
    assert ref.name == "hello"


def test_arns_are_written_as_aws_writes_them() -> None:
    assert function_arn(HERE, "hello") == f"{ARN}hello"
    assert function_arn(HERE, "hello", LATEST) == f"{ARN}hello:$LATEST"
    assert FunctionRef(HERE, "hello", "live").arn == f"{ARN}hello"
    assert FunctionRef(HERE, "hello", "live").qualified_arn == f"{ARN}hello:live"
    assert FunctionRef(HERE, "hello").qualified_arn == f"{ARN}hello"


@pytest.mark.parametrize("qualifier", [None, LATEST, "7", "live"])
def test_a_written_arn_reads_back(qualifier: str | None) -> None:
    ref = FunctionRef(HERE, "hello", qualifier)
    assert FunctionRef.parse(HERE, ref.qualified_arn) == ref
