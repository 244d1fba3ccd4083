from __future__ import annotations

import sys
import unicodedata

import pytest

from lambda_home.errors import ValidationException
from lambda_home.user_api.protocol.model import Shape, operation, operations
from lambda_home.user_api.protocol.patterns import compiled, java_text, lower_camel
from lambda_home.user_api.protocol.validation import validate, violations

ARN = "arn:aws:lambda:us-east-1:000000000000:function:f"


def test_all_missing_members_are_reported_together() -> None:
    assert violations("CreateFunction", {}) == [
        f"Value null at '{name}' failed to satisfy constraint: Member must not be null"
        for name in ("functionName", "role", "code")
    ]


def test_a_sensitive_value_is_left_out() -> None:
    found = violations(
        "UpdateFunctionConfiguration",
        {"FunctionName": "f", "Environment": {"Variables": {"1": "secret"}}},
    )
    assert found == [
        (
            "Value at 'environment.variables' failed to satisfy constraint: Map keys must satisfy"
            " constraint: [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]"
        )
    ]


def test_structures_in_lists_are_counted_from_one() -> None:
    filters = {"Filters": [{"Pattern": "{}"}, {"Pattern": "p" * 4097}]}
    found = violations("UpdateEventSourceMapping", {"UUID": "u" * 36, "FilterCriteria": filters})
    assert len(found) == 1
    assert "at 'filterCriteria.filters.2.member.pattern' failed" in found[0]
    assert found[0].endswith("Member must have length less than or equal to 4096")


def test_null_in_a_list_or_a_map_is_a_violation() -> None:
    assert violations("TagResource", {"Resource": ARN, "Tags": {"k": None}}) == [
        (
            "Value '{k=null}' at 'tags' failed to satisfy constraint: Map value must satisfy"
            " constraint: [Member must have length less than or equal to 256, Member must have"
            " length greater than or equal to 0, Member must satisfy regular expression pattern:"
            r" ([\p{L}\p{Z}\p{N}_.:/=+\-@]*), Member must not be null]"
        )
    ]
    [found] = violations("UntagResource", {"Resource": ARN, "TagKeys": [None]})
    assert found.startswith("Value '[null]' at 'tagKeys' failed")
    filters = {"Filters": [None]}
    [found] = violations("UpdateEventSourceMapping", {"UUID": "u" * 36, "FilterCriteria": filters})
    assert found == (
        "Value null at 'filterCriteria.filters.1.member' failed to satisfy constraint:"
        " Member must not be null"
    )


def test_a_map_of_lists_nests_its_constraints() -> None:
    found = violations(
        "CreateEventSourceMapping",
        {
            "FunctionName": "f",
            "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["no port"]}},
        },
    )
    assert len(found) == 1
    assert found[0].startswith(
        "Value '{KAFKA_BOOTSTRAP_SERVERS=[no port]}' at 'selfManagedEventSource.endpoints' failed"
        " to satisfy constraint: Map value must satisfy constraint: [Member must have length less"
        " than or equal to 10, Member must have length greater than or equal to 1, Member must"
        " satisfy constraint: [Member must have length less than or equal to 300,"
    )


def test_a_list_that_is_too_long_prints_its_structures() -> None:
    config = {"Arn": "x", "LocalMountPath": "/mnt/a"}
    found = violations(
        "UpdateFunctionConfiguration", {"FunctionName": "f", "FileSystemConfigs": [config, config]}
    )
    assert found[0].startswith("Value '[FileSystemConfig(arn=x, localMountPath=/mnt/a")
    assert "Member must have length less than or equal to 1" in found[0]


def test_unicode_letters_are_letters_in_tags() -> None:
    validate("TagResource", {"Resource": ARN, "Tags": {"Größe 日本": "٣\N{NO-BREAK SPACE}é"}})
    with pytest.raises(ValidationException):
        validate("TagResource", {"Resource": ARN, "Tags": {"Größe!": "x"}})
    with pytest.raises(ValidationException):
        validate("TagResource", {"Resource": ARN, "Tags": {"a\n": "x"}})


def test_categories_are_those_of_unicode() -> None:
    letters = compiled(r"\p{L}")
    for code in range(0, sys.maxunicode, 97):
        is_letter = unicodedata.category(chr(code)).startswith("L")
        assert (letters.fullmatch(chr(code)) is not None) is is_letter


def test_digits_are_ascii_and_dots_stop_at_every_line_end_as_in_java() -> None:
    assert compiled(r"\d").fullmatch("٣") is None
    assert compiled(".*").fullmatch("a\u2028b") is None
    assert compiled("[.]").fullmatch("\r") is None
    assert compiled(r"\.").fullmatch("a") is None


def test_every_pattern_of_the_model_compiles() -> None:
    shapes = [shape for each in operations().values() for shape in walk(each.input)]
    assert len({shape.name for shape in shapes}) > 150
    for shape in shapes:
        if shape.pattern is not None:
            compiled(shape.pattern, ascii_only=True)


def walk(shape: Shape, above: tuple[str, ...] = ()) -> list[Shape]:
    assert shape.name not in above, "recursive shapes need another build"
    inner = [member.shape for member in shape.members.values()]
    inner += [part for part in (shape.key, shape.element) if part is not None]
    path = (*above, shape.name)
    return [shape, *(found for part in inner for found in walk(part, path))]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (2, "2.0"),
        (-1.0, "-1.0"),
        (0.5, "0.5"),
        (0, "0.0"),
        (0.001, "0.001"),
        (0.0001, "1.0E-4"),
        (9999999.0, "9999999.0"),
        (12345678.0, "1.2345678E7"),
        (1e300, "1.0E300"),
    ],
)
def test_doubles_print_as_in_java(number: float, text: str) -> None:
    assert java_text(number, Shape("Weight", "double")) == text


def test_values_print_as_in_java() -> None:
    shape = operation("PutFunctionEventInvokeConfig").input.members["DestinationConfig"].shape
    assert java_text({"OnSuccess": {"Destination": "d"}}, shape) == (
        "DestinationConfig(onSuccess=OnSuccess(destination=d), onFailure=null)"
    )
    assert java_text(value=True, shape=Shape("Enabled", "boolean")) == "true"
    assert java_text(3.0, Shape("Timeout", "integer")) == "3"
    assert lower_camel("KMSKeyArn") == "kMSKeyArn"
