from __future__ import annotations

import pytest

from lambda_home.user_api.protocol import Match, match


@pytest.mark.parametrize("path", ["/2015-03-31/functions", "/2015-03-31/functions/"])
def test_a_trailing_slash_makes_no_difference(path: str) -> None:
    assert match("POST", path) == Match("CreateFunction", {})
    assert match("GET", path) == Match("ListFunctions", {})


def test_an_encoded_arn_is_one_segment() -> None:
    found = match("GET", "/2015-03-31/functions/arn%3Aaws%3Alambda%2Fx%3A1/aliases/a%20b")
    assert found == Match("GetAlias", {"FunctionName": "arn:aws:lambda/x:1", "Name": "a b"})


def test_an_arn_with_plain_colons_is_one_segment_too() -> None:
    found = match("GET", "/2015-03-31/functions/arn:aws:lambda:us-east-1:000000000000:function:f")
    assert found is not None
    assert found.path_params == {"FunctionName": "arn:aws:lambda:us-east-1:000000000000:function:f"}


@pytest.mark.parametrize(
    ("path", "query", "operation"),
    [
        ("/2018-10-31/layers", "", "ListLayers"),
        ("/2018-10-31/layers", "MaxItems=5", "ListLayers"),
        ("/2018-10-31/layers", "find=Other", "ListLayers"),
        ("/2018-10-31/layers", "find=LayerVersion&Arn=x", "GetLayerVersionByArn"),
        ("/2018-10-31/layers", "Arn=x&find=LayerVersion", "GetLayerVersionByArn"),
        ("/2018-10-31/layers/", "find=LayerVersion", "GetLayerVersionByArn"),
        (
            "/2019-09-30/functions/f/provisioned-concurrency",
            "List=ALL",
            "ListProvisionedConcurrencyConfigs",
        ),
        (
            "/2019-09-30/functions/f/provisioned-concurrency",
            "Qualifier=List",
            "GetProvisionedConcurrencyConfig",
        ),
    ],
)
def test_the_query_decides_between_operations_on_one_path(
    path: str, query: str, operation: str
) -> None:
    found = match("GET", path, query)
    assert found is not None
    assert found.operation_name == operation


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/"),
        ("GET", "//"),
        ("GET", "2015-03-31"),
        ("PATCH", "/2015-03-31/functions"),
        ("GET", "/2014-11-13/functions"),
        ("GET", "/2015-03-31/functionsX"),
        ("GET", "/2015-03-31/functions/f/nothing"),
        ("GET", "/2015-03-31/functions/f/aliases/a/b"),
        ("GET", "/2015%2D03-31/functions"),
    ],
)
def test_what_no_operation_has_matches_nothing(method: str, path: str) -> None:
    assert match(method, path) is None


def test_a_literal_segment_beats_a_parameter() -> None:
    found = match("GET", "/2015-03-31/functions/aliases/aliases/")
    assert found == Match("ListAliases", {"FunctionName": "aliases"})


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    found = match("GET", "/2015-03-31/functions/%FF")
    assert found == Match("GetFunction", {"FunctionName": "\N{REPLACEMENT CHARACTER}"})
