"""What a target of an EventBridge rule gets: the event, a part of it, or a text made of it; pure.

Sources: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html,
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_Target.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

_STEP = re.compile(r"\.([^.\[\]\s]+)|\[(\d+)\]|\['([^']+)'\]")
_VARIABLE = re.compile(r"<([A-Za-z0-9._:-]+)>")
_MISSING: Final = object()


def input_of(target: Mapping[str, Any], event: Mapping[str, Any], rule_arn: str) -> str:
    """The payload for a target, as JSON; the whole event if the target says nothing.

    A text that is no JSON is sent as a JSON string.
    """
    if (constant := target.get("Input")) is not None:
        return _as_json(constant)
    if (path := target.get("InputPath")) is not None:
        found = at_path(event, path)
        return json.dumps(None if found is _MISSING else found)
    transformer = target.get("InputTransformer")
    if transformer is None:
        return json.dumps(event)
    values = {
        "aws.events.rule-arn": rule_arn,
        "aws.events.rule-name": rule_arn.rpartition("/")[2],
        "aws.events.event.ingestion-time": event.get("time"),
        "aws.events.event": event,
        "aws.events.event.json": event,
    }
    for name, path in (transformer.get("InputPathsMap") or {}).items():
        values[name] = at_path(event, path)
    return _as_json(_filled(transformer.get("InputTemplate", ""), values))


def at_path(event: Mapping[str, Any], path: str) -> Any:
    """The value at `$.detail.items[0].name`; a value of its own kind where there is none."""
    found: Any = event
    if not path.startswith("$"):
        return _MISSING
    position = 1
    while position < len(path):
        step = _STEP.match(path, position)
        if step is None:
            return _MISSING
        position = step.end()
        key: str | int = int(step[2]) if step[2] is not None else step[1] or step[3]
        try:
            found = found[key]
        except (KeyError, IndexError, TypeError):
            return _MISSING
    return found


def _filled(template: str, values: Mapping[str, Any]) -> str:
    """Put in values: inside of quotes as text, else as JSON."""
    parts = []
    position = 0
    quoted = False
    for variable in _VARIABLE.finditer(template):
        before = template[position : variable.start()]
        quoted ^= _quotes(before) % 2 == 1
        parts.append(before)
        value = values.get(variable[1], variable[0])
        parts.append(_inside(value) if quoted else _outside(value))
        position = variable.end()
    return "".join([*parts, template[position:]])


def _quotes(text: str) -> int:
    return len(re.findall(r'(?<!\\)"', text))


def _inside(value: Any) -> str:
    if value is _MISSING or value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    return json.dumps(text)[1:-1]


def _outside(value: Any) -> str:
    return '""' if value is _MISSING else json.dumps(value)


def _as_json(text: str) -> str:
    """`text` if it is JSON, else as a JSON string."""
    try:
        json.loads(text)
    except ValueError:
        return json.dumps(text)
    return text
