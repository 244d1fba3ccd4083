"""Policies as documents: AWS's elements, order and texts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambda_home.errors import (
    InvalidParameterValueException,
    PolicyLengthExceededException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lambda_home.user_api.policy_documents import (
    check_revision,
    compact,
    parsed,
    principal_element,
    statement_of,
    with_statement,
    without_statement,
)

ARN = "arn:aws:lambda:us-east-1:000000000000:function:f"
USER = "arn:aws:iam::123456789012:user/team/ann"
ROLE = "arn:aws-us-gov:iam::123456789012:role/service-role/x"
SESSION = "arn:aws:sts::123456789012:assumed-role/r/session@home"
WHO = "The provided principal was invalid. Please check the principal and try again."
REQUEST = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
ALLOW: dict[str, Any] = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": ARN}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("*", "*"),
        ("123456789012", {"AWS": "arn:aws:iam::123456789012:root"}),
        ("arn:aws:iam::123456789012:root", {"AWS": "arn:aws:iam::123456789012:root"}),
        (USER, {"AWS": USER}),
        (ROLE, {"AWS": ROLE}),
        (SESSION, {"AWS": SESSION}),
        ("s3.amazonaws.com", {"Service": "s3.amazonaws.com"}),
        ("logs.eu-west-1.amazonaws.com", {"Service": "logs.eu-west-1.amazonaws.com"}),
        ("s3.amazonaws.com.cn", {"Service": "s3.amazonaws.com.cn"}),
        ("alexa-appkit.amazon.com", {"Service": "alexa-appkit.amazon.com"}),
    ],
)
def test_principals_are_written_as_aws_writes_them(given: str, expected: Any) -> None:
    assert principal_element(given) == expected


@pytest.mark.parametrize(
    "principal",
    [
        *("", "s3", "invalid.nonaws.com", "amazonaws.com", "s3.amazonaws.com.evil.org", "12345"),
        *("arn:aws:iam::123456789012:group/x", "arn:aws:s3:::bucket", "**", USER + "\n"),
    ],
)
def test_other_principals_are_refused(principal: str) -> None:
    with pytest.raises(InvalidParameterValueException, match=WHO):
        principal_element(principal)


@pytest.mark.parametrize(
    ("member", "value", "condition"),
    [
        ("SourceArn", "arn:aws:s3:::b", {"ArnLike": {"AWS:SourceArn": "arn:aws:s3:::b"}}),
        ("SourceAccount", "1" * 12, {"StringEquals": {"AWS:SourceAccount": "1" * 12}}),
        ("EventSourceToken", "t", {"StringEquals": {"lambda:EventSourceToken": "t"}}),
        ("FunctionUrlAuthType", "NONE", {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}),
        ("PrincipalOrgID", "o-1", {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}),
        ("OrganizationId", "o-1", {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}),
        ("InvokedViaFunctionUrl", True, {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}),
    ],
)
def test_members_become_conditions(member: str, value: Any, condition: Any) -> None:
    assert statement_of({**REQUEST, member: value}, ARN)["Condition"] == condition


def test_a_statement_has_its_elements_in_the_order_of_aws() -> None:
    statement = statement_of(
        {**REQUEST, "SourceArn": "arn:aws:s3:::é", "SourceAccount": "1" * 12}, ARN
    )
    assert compact(statement) == (
        '{"Sid":"s","Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},'
        f'"Action":"lambda:InvokeFunction","Resource":"{ARN}","Condition":{{"StringEquals":'
        '{"AWS:SourceAccount":"111111111111"},"ArnLike":{"AWS:SourceArn":"arn:aws:s3:::é"}}}'
    )
    assert "Condition" not in statement_of(REQUEST, ARN)


def test_statements_keep_their_order_and_the_last_takes_the_policy_with_it() -> None:
    policy = None
    for sid in ("b", "a", "c"):
        policy = with_statement(policy, {"Sid": sid})
    expected = {"Version": "2012-10-17", "Id": "default"}
    assert policy == {**expected, "Statement": [{"Sid": "b"}, {"Sid": "a"}, {"Sid": "c"}]}
    policy = without_statement(policy, "a")
    assert policy == {**expected, "Statement": [{"Sid": "b"}, {"Sid": "c"}]}
    policy = without_statement(policy, "b")
    assert policy is not None
    assert without_statement(policy, "c") is None


def test_a_statement_is_added_to_one_that_stands_without_a_list() -> None:
    policy = with_statement({"Statement": ALLOW}, {"Sid": "s"})
    assert policy == {"Statement": [ALLOW, {"Sid": "s"}]}


def test_a_statement_id_is_used_once() -> None:
    policy = with_statement(None, {"Sid": "s"})
    with pytest.raises(ResourceConflictException) as refused:
        with_statement(policy, {"Sid": "s"})
    assert refused.value.message == (
        "The statement id (s) provided already exists. Please provide a new statement id, or"
        " remove the existing statement."
    )


def test_a_statement_that_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(ResourceNotFoundException, match="Statement x is not found"):
        without_statement({"Statement": [ALLOW]}, "x")


def test_a_policy_has_20480_bytes_at_most() -> None:
    empty = len(compact(with_statement(None, {"Sid": ""})))
    with_statement(None, {"Sid": "s" * (20_480 - empty)})
    with pytest.raises(PolicyLengthExceededException) as refused:
        with_statement(None, {"Sid": "s" * (20_479 - empty) + "é"})
    message = "The final policy size (20481) is bigger than the limit (20480)."
    assert refused.value.message == message


def test_a_revision_id_is_compared_where_one_is_given() -> None:
    check_revision(None, "now", "GetPolicy")
    check_revision("now", "now", "GetPolicy")
    with pytest.raises(PreconditionFailedException) as refused:
        check_revision("old", "now", "GetPolicy")
    assert refused.value.message == (
        "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to"
        " retrieve the latest Revision Id"
    )


@pytest.mark.parametrize(
    "policy",
    [
        {"Statement": ALLOW},
        {"Version": "2008-10-17", "Id": "x", "Statement": [{**ALLOW, "Sid": "a"}, ALLOW]},
        {"Statement": [{**ALLOW, "Effect": "Deny", "Principal": {"AWS": ["*", USER]}}]},
        {"Statement": [{**ALLOW, "Principal": {"Service": "s3.amazonaws.com"}}]},
        {
            "Statement": [
                {"Effect": "Deny", "NotPrincipal": "*", "NotAction": "*", "Resource": [ARN]}
            ]
        },
        {"Statement": [{**ALLOW, "Condition": {"Bool": {"k": True}, "S": {"k": ["a", "b"]}}}]},
    ],
)
def test_policy_documents_by_the_grammar_of_iam_are_taken_as_they_are(policy: Any) -> None:
    assert parsed(json.dumps(policy, indent=1)) == policy


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "it is not valid JSON"),
        ("[" * 20_000, "it is not valid JSON"),
        ('{"Statement": NaN}', "it is not valid JSON"),
        (r'{"Id": "\ud800"}', "it is not valid JSON"),
        ("[]", "it must be a JSON object"),
        ("{}", "Statement is missing"),
        ('{"Statement": []}', "Statement is missing"),
        ('{"Statement": "x"}', "Statement is missing"),
        ('{"Statement": ["x"]}', "a statement must be a JSON object"),
        ('{"Statement": [{}]}', "Effect must be Allow or Deny"),
        ('{"Version": "2020-01-01"}', "Version must be 2012-10-17 or 2008-10-17"),
        ('{"Version": []}', "Version must be 2012-10-17 or 2008-10-17"),
        ('{"Id": 1}', "Id must be a string"),
        ('{"Statements": []}', "Statements is not a known element"),
    ],
)
def test_texts_that_are_no_policy_are_refused(text: str, why: str) -> None:
    with pytest.raises(InvalidParameterValueException) as refused:
        parsed(text)
    assert refused.value.message == f"The provided policy document is not valid: {why}."


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"Effect": []}, "Effect must be Allow or Deny"),
        ({"Action": 1}, "Action must be a string or a list of strings"),
        ({"Resource": [None]}, "Resource must be a string or a list of strings"),
        ({"NotAction": "*"}, "a statement must have either Action or NotAction"),
        ({"Sid": 1}, "Sid must be a string"),
        ({"Extra": 1}, "Extra is not a known element"),
        ({"Principal": {"Who": "*"}}, "Who is not a known element"),
        ({"Condition": []}, "Condition must be a JSON object"),
        ({"Condition": {"Bool": "x"}}, "Bool must be a JSON object"),
        ({"Condition": {"Bool": {"k": {}}}}, "k must be a string or a list of strings"),
    ],
)
def test_statements_that_break_the_grammar_are_refused(change: Any, why: str) -> None:
    with pytest.raises(InvalidParameterValueException) as refused:
        parsed(json.dumps({"Statement": [{**ALLOW, **change}]}))
    assert refused.value.message == f"The provided policy document is not valid: {why}."


@pytest.mark.parametrize(
    "principal",
    ["x", {}, 1, {"AWS": "s3.amazonaws.com"}, {"Service": "*"}, {"AWS": []}, {"Federated": 1}],
)
def test_documents_name_principals_by_the_same_rules(principal: Any) -> None:
    with pytest.raises(InvalidParameterValueException, match=WHO):
        parsed(json.dumps({"Statement": [{**ALLOW, "Principal": principal}]}))


def test_statement_ids_of_a_document_are_unique() -> None:
    twice = [{**ALLOW, "Sid": "a"}, {**ALLOW, "Sid": "a"}]
    with pytest.raises(InvalidParameterValueException, match="statement ids must be unique"):
        parsed(json.dumps({"Statement": twice}))
