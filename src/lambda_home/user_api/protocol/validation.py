"""AWS's model-driven validation: every broken constraint of a request, in AWS's words.

`1 validation error detected: Value 'x' at 'functionName' failed to satisfy constraint: Member
must …`; several are joined with `; `. Source: answers recorded on AWS.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cache
from typing import Any

from lambda_home import runtimes
from lambda_home.errors import InvalidParameterValueException, ValidationException
from lambda_home.user_api.protocol import deviations
from lambda_home.user_api.protocol.constraints import NOT_NULL, constraints
from lambda_home.user_api.protocol.model import Member, Shape, operation
from lambda_home.user_api.protocol.patterns import java_text, lower_camel

_Step = tuple[str, str, bool, Shape | None]


NO_END = date.min
"""A day on which no runtime had come to its end."""


def validate(operation_name: str, params: Mapping[str, Any], today: date | None = None) -> None:
    """Hold parsed parameters against the model, and runtimes against their ends.

    `today` is the day (UTC) for the latter; None: that of the catalogue, NO_END: they have none.

    Raises ValidationException that lists all violations together; where there are none,
    InvalidParameterValueException for the two members that AWS checks afterwards (a runtime it
    does not know or no longer supports, and the length of a new function's name).
    """
    shape = operation(operation_name).input
    if found := broken(shape, params):
        raise ValidationException(found)
    if (shape.name, "Runtime") in deviations.CHECKED_LATER:
        accepted = shape.members["Runtime"].shape.accepted
        creating = operation_name == "CreateFunction"
        day = runtimes.checked() if today is None else today
        _check_runtime(params.get("Runtime"), accepted, day, creating=creating)
    if operation_name == "CreateFunction":
        _check_new_name(params["FunctionName"])


def violations(operation_name: str, params: Mapping[str, Any]) -> list[str]:
    """The texts of all broken constraints, in AWS's order."""
    found: list[str] = []
    _check_structure(operation(operation_name).input, params, "", found)
    return found


def broken(shape: Shape, params: Mapping[str, Any]) -> str:
    """All broken constraints of a structure as one text of AWS's; empty where none is broken."""
    found: list[str] = []
    _check_structure(shape, params, "", found)
    return _joined(found) if found else ""


def _joined(found: list[str]) -> str:
    errors = "error" if len(found) == 1 else "errors"
    return f"{len(found)} validation {errors} detected: {'; '.join(found)}"


@cache
def _steps(shape: Shape) -> tuple[_Step, ...]:
    """The members of a structure that need a look: name, printed name, required, shape to check."""
    order = deviations.MEMBER_ORDER.get(shape.name, tuple(shape.members))

    def rank(member: Member) -> tuple[int, int]:
        place = order.index(member.name) if member.name in order else len(order)
        return deviations.LOCATION_ORDER.get(member.location, len(deviations.LOCATION_ORDER)), place

    steps = (
        (
            member.name,
            lower_camel(member.name),
            member.required,
            member.shape
            if (shape.name, member.name) not in deviations.CHECKED_LATER
            and _is_constrained(member.shape)
            else None,
        )
        for member in sorted(shape.members.values(), key=rank)
    )
    return tuple(step for step in steps if step[2] or step[3] is not None)


def _is_constrained(shape: Shape) -> bool:
    if shape.kind == "structure":
        return bool(_steps(shape))
    return bool(constraints(shape)) or (
        shape.element is not None and _is_constrained(shape.element)
    )


def _check_structure(shape: Shape, value: Mapping[str, Any], path: str, found: list[str]) -> None:
    for name, printed, required, checked in _steps(shape):
        member = value.get(name)
        if member is None:
            if required:
                found.append(_violation("Value null", path + printed, NOT_NULL))
        elif checked is not None:
            _check(checked, member, path + printed, found)


def _check(shape: Shape, value: Any, path: str, found: list[str]) -> None:
    if shape.kind == "structure":
        _check_structure(shape, value, f"{path}.", found)
        return
    found.extend(
        _violation(_subject(value, shape), path, text)
        for test, text in constraints(shape)
        if not test(value)
    )
    element = shape.element
    if element is None or element.kind != "structure":
        return
    items = value.items() if shape.key else enumerate(value, 1)
    for place, item in items:
        if item is None:
            found.append(_violation("Value null", f"{path}.{place}.member", NOT_NULL))
        else:
            _check_structure(element, item, f"{path}.{place}.member.", found)


def _violation(subject: str, path: str, text: str) -> str:
    return f"{subject} at '{path}' failed to satisfy constraint: {text}"


def _subject(value: object, shape: Shape) -> str:
    """How a violation begins; AWS leaves a sensitive value out."""
    hidden = shape.kind == "blob" or any(
        part.sensitive for part in (shape, shape.key, shape.element) if part
    )
    return "Value" if hidden else f"Value '{java_text(value, shape)}'"


def _check_runtime(
    name: str | None, accepted: frozenset[str], today: date, *, creating: bool
) -> None:
    """A function may be updated to a runtime longer than one can be created of it."""
    if name is None or name.startswith(deviations.RUNTIME_ARN_PREFIX):
        return
    found = runtimes.catalogue().get(name)
    if found and not (found.creatable(today) if creating else found.updatable(today)):
        raise InvalidParameterValueException(
            f"The runtime parameter of {name} is no longer supported for creating or updating"
            " AWS Lambda functions. We recommend you use a supported runtime while creating or"
            " updating functions."
        )
    if found is None and (name not in accepted or name in deviations.LISTED_ONLY_RUNTIMES):
        raise InvalidParameterValueException(
            _violation(f"Value {name}", "runtime", deviations.RUNTIME_CONSTRAINT)
        )


def _check_new_name(function_name: str) -> None:
    name = _bare_name(function_name)
    if len(name) > deviations.FUNCTION_NAME_LIMIT:
        text = f"Member must have length less than or equal to {deviations.FUNCTION_NAME_LIMIT}"
        raise InvalidParameterValueException(
            _joined([_violation(f"Value '{name}'", "functionName", text)])
        )


def _bare_name(function_name: str) -> str:
    """The name inside any of the forms that the pattern of a function name allows."""
    parts = function_name.split(":")
    if "function" in parts[:-1]:
        return parts[parts.index("function") + 1]
    return parts[0]
