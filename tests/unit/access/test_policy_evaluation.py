"""What resource policies say: IAM's rules, in tables and with made-up policies."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_home.access.policy_evaluation import (
    ANYBODY,
    Decision,
    Principal,
    decide,
    function_arn_of,
)
from lambda_home.arns import FunctionRef, Scope

ARN = "arn:aws:lambda:us-east-1:111111111111:function:f"
ROOT = "arn:aws:iam::222222222222:root"
USER = "arn:aws:iam::222222222222:user/team/ann"
SESSION = "arn:aws:sts::222222222222:assumed-role/worker/s1"
ALLOW, DENY, NONE = Decision.ALLOW, Decision.DENY, Decision.NONE


def statement(**elements: Any) -> dict[str, Any]:
    """A statement that allows everybody to invoke ARN, changed; None takes an element away."""
    usual = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "lambda:InvokeFunction",
        "Resource": ARN,
    }
    return {name: value for name, value in {**usual, **elements}.items() if value is not None}


def say(*statements: Any, who: Principal = ANYBODY, **asked: Any) -> Decision:
    """What a policy of these statements says about invoking ARN."""
    policy = {"Version": asked.pop("version", "2012-10-17"), "Statement": list(statements)}
    context: Mapping[str, Any] = asked.pop("context", {})
    wanted = {"action": "lambda:InvokeFunction", "resource": ARN, **asked}
    return decide(policy, principal=who, context=context, **wanted)


def bare(policy: Any) -> Decision:
    """What a whole document says to anybody."""
    action = "lambda:InvokeFunction"
    return decide(policy, principal=ANYBODY, action=action, resource=ARN, context={})


def under(condition: object, **context: Any) -> Decision:
    """What a permission with a condition says; `_` in names of keys stands for `:`."""
    keys = {name.replace("_", ":", 1): value for name, value in context.items()}
    return say(statement(Condition=condition), context=keys)


@pytest.mark.parametrize(
    ("statements", "decision"),
    [
        ([], NONE),
        ([statement()], ALLOW),
        ([statement(Effect="Deny")], DENY),
        ([statement(), statement(Effect="Deny")], DENY),
        ([statement(Effect="Deny"), statement()], DENY),
        ([statement(Action="lambda:GetFunction"), statement()], ALLOW),
    ],
)
def test_a_denial_wins_and_silence_allows_nothing(statements: list[Any], decision: str) -> None:
    assert say(*statements) == decision


@pytest.mark.parametrize("policy", [None, {}, [], "x", {"Statement": 3}, {"Statement": [3, None]}])
def test_what_is_no_policy_says_nothing(policy: Any) -> None:
    assert bare(policy) == NONE


def test_one_statement_needs_no_list_around_it() -> None:
    assert bare({"Statement": statement()}) == ALLOW


PRINCIPALS = [
    ("*", "", ALLOW),
    ({"AWS": "*"}, "", ALLOW),
    ({"AWS": ["x", "*"]}, "", ALLOW),
    ("*", USER, ALLOW),
    ({"AWS": ROOT}, "", NONE),
    ({"AWS": ROOT}, USER, ALLOW),
    ({"AWS": "222222222222"}, USER, ALLOW),
    ({"AWS": "222222222222"}, ROOT, ALLOW),
    ({"AWS": "333333333333"}, USER, NONE),
    ({"AWS": USER}, USER, ALLOW),
    ({"AWS": USER}, ROOT, NONE),
    ({"AWS": [ROOT.replace("2", "3"), USER]}, USER, ALLOW),
    ({"AWS": USER[:-1] + "*"}, USER, NONE),  # IAM has no wildcards inside of principals
    ({"AWS": USER.upper()}, USER, NONE),
    ({"AWS": "arn:aws:iam::222222222222:role/worker"}, SESSION, ALLOW),
    ({"AWS": "arn:aws:iam::222222222222:role/a/path/worker"}, SESSION, ALLOW),
    ({"AWS": "arn:aws:iam::222222222222:role/work"}, SESSION, NONE),
    ({"AWS": "arn:aws:iam::333333333333:role/worker"}, SESSION, NONE),
    ({"AWS": SESSION}, SESSION, ALLOW),
    ({"AWS": SESSION}, SESSION[:-1] + "2", NONE),
    ({"Service": "s3.amazonaws.com"}, USER, NONE),
    ({"Service": "s3.amazonaws.com", "AWS": USER}, USER, ALLOW),
    ({"Federated": "cognito-identity.amazonaws.com"}, USER, NONE),
    ({"CanonicalUser": "ab"}, USER, NONE),
]


@pytest.mark.parametrize(("element", "arn", "decision"), PRINCIPALS)
def test_a_principal_is_everybody_an_account_or_an_identity(
    element: Any, arn: str, decision: str
) -> None:
    assert say(statement(Principal=element), who=Principal(arn)) == decision


@pytest.mark.parametrize(
    ("element", "decision"),
    [
        ({"Service": "s3.amazonaws.com"}, ALLOW),
        ({"Service": ["sns.amazonaws.com", "s3.amazonaws.com"]}, ALLOW),
        ({"Service": "sns.amazonaws.com"}, NONE),
        ({"AWS": "s3.amazonaws.com"}, NONE),
        ("*", ALLOW),
    ],
)
def test_a_service_is_named_as_such(element: Any, decision: str) -> None:
    asked = Principal(service="s3.amazonaws.com")
    assert say(statement(Principal=element), who=asked) == decision


@pytest.mark.parametrize(
    ("element", "arn", "effect", "decision"),
    [
        ({"AWS": USER}, USER, "Allow", NONE),
        ({"AWS": USER}, ROOT, "Allow", ALLOW),
        ({"AWS": ROOT}, USER, "Allow", NONE),
        ({"AWS": USER}, "", "Deny", DENY),
        ({"AWS": USER}, USER, "Deny", NONE),
        ({"AWS": ROOT}, ROOT, "Deny", NONE),
        ({"AWS": ROOT}, USER, "Deny", DENY),  # an exception to a denial names the identity
        ("*", USER, "Deny", NONE),
    ],
)
def test_not_principal_means_everybody_else(
    element: Any, arn: str, effect: str, decision: str
) -> None:
    one = statement(Effect=effect, Principal=None, NotPrincipal=element)
    assert say(one, who=Principal(arn)) == decision


@pytest.mark.parametrize(
    ("element", "arn", "effect", "decision"),
    [
        ({"AWS": ROOT}, USER, "Allow", NONE),
        ({"AWS": ROOT}, ROOT, "Allow", ALLOW),
        ({"AWS": USER}, USER, "Allow", ALLOW),
        ("*", USER, "Allow", ALLOW),
        ({"AWS": ROOT}, USER, "Deny", DENY),
    ],
)
def test_in_its_own_account_a_policy_leaves_the_account_to_decide(
    element: Any, arn: str, effect: str, decision: str
) -> None:
    own = Principal(arn, through_account=False)
    assert say(statement(Effect=effect, Principal=element), who=own) == decision


@pytest.mark.parametrize(
    ("elements", "decision"),
    [
        ({"Action": "*"}, ALLOW),
        ({"Action": "lambda:*"}, ALLOW),
        ({"Action": "LAMBDA:invokefunction"}, ALLOW),
        ({"Action": "lambda:Invoke?unction"}, ALLOW),
        ({"Action": "lambda:Invoke*"}, ALLOW),
        ({"Action": "lambda:InvokeFunctio"}, NONE),
        ({"Action": "lambda:InvokeFunction?"}, NONE),
        ({"Action": "lambda.InvokeFunction"}, NONE),
        ({"Action": "s3:*"}, NONE),
        ({"Action": ["s3:*", "lambda:*"]}, ALLOW),
        ({"Action": None, "NotAction": "lambda:Get*"}, ALLOW),
        ({"Action": None, "NotAction": ["s3:*", "lambda:Invoke*"]}, NONE),
        ({"Resource": "*"}, ALLOW),
        ({"Resource": "arn:aws:lambda:*:*:function:f"}, ALLOW),
        ({"Resource": f"{ARN}*"}, ALLOW),
        ({"Resource": f"{ARN}:*"}, NONE),
        ({"Resource": f"{ARN}:live"}, NONE),
        ({"Resource": ARN.upper()}, NONE),
        ({"Resource": [f"{ARN}:1", ARN]}, ALLOW),
        ({"Resource": "arn:aws:lambda:us-east-1:${aws:PrincipalAccount}:function:f"}, NONE),
        ({"Resource": None, "NotResource": f"{ARN}2"}, ALLOW),
        ({"Resource": None, "NotResource": "*"}, NONE),
    ],
)
def test_actions_have_no_case_resources_do_and_both_have_wildcards(
    elements: dict[str, Any], decision: str
) -> None:
    assert say(statement(**elements)) == decision


@pytest.mark.parametrize("qualifier", ["live", "7"])
def test_a_qualifier_is_part_of_the_resource(qualifier: str) -> None:
    ref = FunctionRef(Scope("111111111111", "us-east-1"), "f", qualifier)
    assert say(statement(), resource=function_arn_of(ref)) == NONE
    assert say(statement(Resource=f"{ARN}:{qualifier}"), resource=function_arn_of(ref)) == ALLOW
    assert say(statement(Resource=f"{ARN}:*"), resource=function_arn_of(ref)) == ALLOW


def test_latest_is_the_function_itself() -> None:
    latest = FunctionRef(Scope("111111111111", "us-east-1"), "f", "$LATEST")
    assert function_arn_of(latest) == ARN


CONDITIONS: list[tuple[str, Any, str | None, bool]] = [
    ("StringEquals", "a", "a", True),
    ("StringEquals", ["b", "a"], "a", True),
    ("StringEquals", "A", "a", False),
    ("StringEquals", "a*", "ab", False),
    ("StringEquals", "a", None, False),
    ("StringNotEquals", "a", "b", True),
    ("StringNotEquals", ["a", "b"], "b", False),
    ("StringNotEquals", "a", None, True),
    ("StringEqualsIgnoreCase", "A", "a", True),
    ("StringNotEqualsIgnoreCase", "A", "a", False),
    ("StringLike", "a*c?", "abbbcd", True),
    ("StringLike", "a*c", "abcd", False),
    ("StringLike", "", "", True),
    ("StringNotLike", "a*", "b", True),
    ("StringEqualsIfExists", "a", None, True),
    ("StringEqualsIfExists", "a", "b", False),
    ("StringNotEqualsIfExists", "a", "a", False),
    ("ArnEquals", "arn:aws:s3:::b", "arn:aws:s3:::b", True),
    ("ArnEquals", "arn:aws:s3:::*", "arn:aws:s3:::b", True),
    ("ArnLike", "arn:*:s3:::b", "arn:aws:s3:::b", True),
    ("ArnLike", "arn:*:b", "arn:aws:s3:::b", False),
    ("ArnLike", "arn:aws:sns:*:*:t*", "arn:aws:sns:us-east-1:1:topic:x", True),
    ("ArnLike", "*", "arn:aws:s3:::b", True),
    ("ArnLike", "arn:aws:s3:::b", "b", False),
    ("ArnNotLike", "arn:aws:s3:::*", "arn:aws:s3:::b", False),
    ("ArnNotEquals", "arn:aws:s3:::c", "arn:aws:s3:::b", True),
    ("Bool", "true", "true", True),
    ("Bool", True, "True", True),
    ("Bool", "false", "true", False),
    ("Bool", "true", None, False),
    ("BoolIfExists", "true", None, True),
    ("Null", "true", None, True),
    ("Null", "true", "x", False),
    ("Null", False, "x", True),
    ("Null", "false", None, False),
    ("IpAddress", "10.0.0.0/8", "10.1.2.3", True),
    ("IpAddress", "10.0.0.1", "10.0.0.1", True),
    ("IpAddress", ["::1/128", "127.0.0.0/8"], "::1", True),
    ("IpAddress", "10.0.0.0/8", "::ffff:10.1.2.3", True),
    ("IpAddress", "10.0.0.0/8", "11.1.2.3", False),
    ("IpAddress", "10.0.0.0/8", "somewhere", False),
    ("NotIpAddress", "10.0.0.0/8", "11.1.2.3", True),
    ("NotIpAddress", "10.0.0.0/8", None, True),
    ("NumericEquals", 3, "3.0", True),
    ("NumericNotEquals", "3", "4", True),
    ("NumericLessThan", "10", "9", True),
    ("NumericLessThan", "10", "10", False),
    ("NumericLessThanEquals", "10", "10", True),
    ("NumericGreaterThan", "-1", "0", True),
    ("NumericGreaterThanEquals", "1.5", "1", False),
    ("NumericEquals", "3", "three", False),
    ("DateLessThan", "2030-01-01T00:00:00Z", "2026-11-21T10:00:00Z", True),
    ("DateGreaterThan", "2030-01-01", "2026-11-21T10:00:00Z", False),
    ("DateEquals", "1970-01-01T00:01:40Z", "100", True),
    ("DateEquals", "2026", "2026-01-01T00:00:00Z", True),  # a year, not seconds
    ("DateEquals", "2001-09-09T01:46:40Z", "1000000000", True),
    ("DateLessThanEquals", "2026-11-21T10:00:00+00:00", "2026-11-21T10:00:00Z", True),
    ("DateGreaterThanEquals", "2026-11-21T10:00:00+01:00", "2026-11-21T09:00:00Z", True),
    ("DateNotEquals", "2026-11-21T10:00:00Z", "2026-11-21T10:00:01Z", True),
    ("BinaryEquals", "QmluYXJ5", "QmluYXJ5", True),
]


@pytest.mark.parametrize(("operator", "wanted", "value", "holds"), CONDITIONS)
def test_an_operator_compares_as_iam_does(
    operator: str, wanted: Any, value: str | None, *, holds: bool
) -> None:
    context = {} if value is None else {"aws:Key": value}
    one = statement(Condition={operator: {"aws:Key": wanted}})
    assert say(one, context=context) == (ALLOW if holds else NONE)


@pytest.mark.parametrize(
    ("operator", "values", "holds"),
    [
        ("ForAnyValue:StringEquals", ["a", "x"], True),
        ("ForAnyValue:StringEquals", ["x", "y"], False),
        ("ForAnyValue:StringEquals", [], False),
        ("ForAllValues:StringEquals", ["a", "b"], True),
        ("ForAllValues:StringEquals", ["a", "x"], False),
        ("ForAllValues:StringEquals", [], True),
        ("ForAnyValue:StringNotEquals", ["a", "x"], True),
        ("ForAnyValue:StringNotEquals", ["a", "b"], False),
        ("ForAnyValue:StringNotEquals", [], False),
        ("ForAllValues:StringNotLike", ["x", "y"], True),
        ("ForAllValues:StringNotLike", ["x", "a"], False),
        ("ForAnyValue:StringEqualsIfExists", [], True),
    ],
)
def test_keys_of_several_values_are_asked_for_any_or_for_all(
    operator: str, values: list[str], *, holds: bool
) -> None:
    decision = under({operator: {"aws:TagKeys": ["a", "b"]}}, aws_TagKeys=values)
    assert decision == (ALLOW if holds else NONE)


def test_all_conditions_must_hold_and_keys_have_no_case() -> None:
    both = {
        "StringEquals": {"AWS:SourceAccount": "1"},
        "ArnLike": {"aws:sourcearn": "arn:*:*:*:*:*"},
    }
    arn = "arn:aws:s3:::b"
    assert under(both, aws_SourceAccount="1", AWS_SOURCEARN=arn) == ALLOW
    assert under(both, aws_SourceAccount="2", AWS_SOURCEARN=arn) == NONE
    assert under(both, aws_SourceAccount="1") == NONE
    two = {"StringEquals": {"aws:A": "1", "aws:B": "2"}}
    assert under(two, aws_A="1", aws_B="2") == ALLOW
    assert under(two, aws_A="1", aws_B="3") == NONE


@pytest.mark.parametrize(
    ("wanted", "version", "decision"),
    [
        ("${aws:PrincipalAccount}", "2012-10-17", ALLOW),
        ("${AWS:principalaccount}", "2012-10-17", ALLOW),
        ("${aws:PrincipalAccount}", "2008-10-17", NONE),
        ("${aws:Missing}", "2012-10-17", NONE),
        ("${aws:Missing, '222222222222'}", "2012-10-17", ALLOW),
        ("2222222${*}", "2012-10-17", NONE),
        ("2222222*", "2012-10-17", ALLOW),
    ],
)
def test_variables_stand_for_what_the_request_says(
    wanted: str, version: str, decision: str
) -> None:
    one = statement(Condition={"StringLike": {"aws:PrincipalAccount": wanted}})
    assert say(one, who=Principal(USER), version=version) == decision


def test_a_wildcard_in_what_a_variable_stands_for_is_a_letter() -> None:
    one = {"StringLike": {"aws:Target": "x-${aws:Source}"}}
    assert under(one, aws_Target="x-*", aws_Source="*") == ALLOW
    assert under(one, aws_Target="x-y", aws_Source="*") == NONE


@pytest.mark.parametrize(
    ("who", "key", "value"),
    [
        (Principal(USER), "aws:PrincipalArn", USER),
        (Principal(SESSION), "aws:PrincipalArn", "arn:aws:iam::222222222222:role/worker"),
        (Principal(ROOT), "aws:PrincipalType", "Account"),
        (Principal(SESSION), "aws:PrincipalType", "AssumedRole"),
        (ANYBODY, "aws:PrincipalType", "Anonymous"),
        (Principal(service="s3.amazonaws.com"), "aws:PrincipalIsAWSService", "true"),
    ],
)
def test_who_asks_is_known_to_conditions(who: Principal, key: str, value: str) -> None:
    assert say(statement(Condition={"StringEquals": {key: value}}), who=who) == ALLOW


@pytest.mark.parametrize(
    "elements",
    [
        {"Principal": None},
        {"NotPrincipal": "*"},
        {"Principal": "222222222222"},
        {"Principal": {}},
        {"Principal": {"AWS": 3}},
        {"Principal": {"AWS": []}},
        {"Action": None},
        {"Action": 3},
        {"NotAction": "s3:*"},
        {"Resource": None},
        {"Resource": {"a": 1}},
        {"NotResource": "x"},
        {"Condition": []},
        {"Condition": {"StringEquals": "x"}},
        {"Condition": {"StringEquals": {}}},
        {"Condition": {"StringEquals": {"aws:Key": {}}}},
        {"Condition": {"StringEquals": {"aws:Key": []}}},
        {"Condition": {"StringIs": {"aws:Key": "v"}}},
        {"Condition": {"ForSomeValues:StringEquals": {"aws:Key": "v"}}},
        {"Condition": {"StringEquals": {"aws:Key": "v"}, "Nonsense": {"aws:Key": "v"}}},
        {"Condition": {"NullIfExists": {"aws:Gone": "true"}}},
        {"Condition": {"Bool": {"aws:Key": "perhaps"}}},
        {"Condition": {"BoolIfExists": {"aws:Gone": "perhaps"}}},
        {"Condition": {"NotIpAddress": {"aws:Key": "everywhere"}}},
        {"Condition": {"NumericNotEquals": {"aws:Key": ["1", "NaN"]}}},
        {"Condition": {"DateNotEquals": {"aws:Key": "tomorrow"}}},
    ],
)
def test_what_is_malformed_never_allows_and_never_lets_through(elements: dict[str, Any]) -> None:
    context = {"aws:Key": "v"}
    assert say(statement(**elements), context=context) == NONE
    assert say(statement(), statement(Effect="Deny", **elements), context=context) == DENY


@pytest.mark.parametrize("effect", ["allow", "ALLOW", "", None, 1, ["Allow"]])
def test_an_effect_is_written_exactly(effect: Any) -> None:
    assert say(statement(Effect=effect)) == NONE


def test_a_pattern_of_many_stars_takes_no_longer() -> None:
    began = time.perf_counter()
    assert say(statement(Resource="*a" * 40 + "!"), resource="a" * 2000) == NONE
    assert time.perf_counter() - began < 20


# ------------------------------------------------------------------------------- made-up policies

_TEXTS = st.sampled_from(
    ["*", "lambda:*", "lambda:InvokeFunction", ARN, f"{ARN}:*", USER, ROOT, ""]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXTS | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_TEXTS | st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)
_OPERATORS = st.sampled_from(["StringEquals", "ArnLike", "Null", "IpAddress", "Bool", "Odd"])
_STATEMENTS = st.fixed_dictionaries(
    {"Effect": st.sampled_from(["Allow", "Deny"])},
    optional={
        "Principal": st.just("*") | st.dictionaries(st.just("AWS"), _TEXTS) | _JSON,
        "Action": _TEXTS | _JSON,
        "Resource": _TEXTS | _JSON,
        "Condition": st.dictionaries(_OPERATORS, st.dictionaries(_TEXTS, _JSON, max_size=2))
        | _JSON,
    },
)


@given(st.lists(_STATEMENTS | _JSON, max_size=4), st.sampled_from(["", USER, ROOT, SESSION]))
def test_a_denial_is_never_undone_and_no_policy_breaks_the_rules(
    statements: list[Any], arn: str
) -> None:
    who = Principal(arn)
    alone = [say(one, who=who) for one in statements]
    expected = DENY if DENY in alone else ALLOW if ALLOW in alone else NONE
    assert say(*statements, who=who) == expected
    assert say(*reversed(statements), who=who) == expected
    assert say(*statements, statement(Effect="Deny"), who=who) == DENY


@given(
    st.sampled_from([("StringEquals", "StringNotEquals"), ("StringLike", "StringNotLike")]),
    st.lists(st.text("ab*?", max_size=4), min_size=1, max_size=3),
    st.none() | st.text("ab", max_size=4),
)
def test_a_negated_operator_holds_exactly_where_the_other_does_not(
    operators: tuple[str, str], wanted: list[str], value: str | None
) -> None:
    context = {} if value is None else {"aws:Key": value}
    found = {
        say(statement(Condition={name: {"aws:Key": wanted}}), context=context) for name in operators
    }
    assert found == {ALLOW, NONE}
