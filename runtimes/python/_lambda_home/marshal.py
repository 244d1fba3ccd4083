"""Events and responses as JSON, with the answers of AWS's runtime, which encodes with simplejson.

That differs from the standard `json`: a namedtuple (anything with `_asdict()`) is an object, bytes are UTF-8 text, a Decimal is a
number with all its digits, and from Python 3.12 on text is not escaped to ASCII. Plain documents, nearly all, are encoded by the
interpreter's C encoder alone; only what it would get wrong goes through `plain`.
"""

import marshal

import _json

WHITESPACE = " \t\n\r"
UNESCAPED = frozenset("AWS_Lambda_python3.%d" % minor for minor in (12, 13, 14, 15))


class Number(str):
    """A number already written as JSON."""

    __slots__ = ()


class _ScannerSettings:
    strict = True
    object_hook = object_pairs_hook = array_hook = None
    parse_float = float
    parse_int = int

    @staticmethod
    def parse_constant(name):
        """AWS refuses NaN and the infinities in an event."""
        raise ValueError("Expecting value: line 1 column 1 (char 0)")


_scan = _json.make_scanner(_ScannerSettings)


def loads(data):
    """The value of a JSON document; raises ValueError with AWS's text."""
    text = str(data, "utf-8")
    if text.startswith("\ufeff"):
        text = text[1:]
    start = 0
    if text[:1] in WHITESPACE:
        start = len(text) - len(text.lstrip(WHITESPACE))
    try:
        value, end = _scan(text, start)
    except StopIteration as stop:
        raise ValueError("Expecting value: " + _place(text, stop.value)) from None
    except SystemError:
        # Before Python 3.13 the C scanner can only describe a mistake when json.decoder has been imported.
        import json.decoder

        value, end = _scan(text, start)
    if end != len(text):
        rest = len(text) - len(text[end:].lstrip(WHITESPACE))
        if rest != len(text):
            first, last = (_place(text, at).partition(" (")[0] for at in (rest, len(text)))
            raise ValueError("Extra data: %s - %s (char %d - %d)" % (first, last, rest, len(text)))
    return value


def _place(text, position):
    line = text.count("\n", 0, position) + 1
    return "line %d column %d (char %d)" % (line, position - text.rfind("\n", 0, position), position)


class Encoder:
    """`encode(value)` is the JSON of a response as bytes; raises what the encoding of it raises."""

    def __init__(self, execution_env):
        self._escape = _json.encode_basestring if execution_env in UNESCAPED else _json.encode_basestring_ascii
        self._plain = self._make(self._escape, _refuse)

    def _make(self, escape, default):
        return _json.make_encoder({}, default, escape, None, ": ", ", ", False, False, True)

    def encode(self, value):
        """Fast for exact built-in types, which is what `marshal` accepts; careful for the rest."""
        try:
            marshal.dumps(value, 2)
            return "".join(self._plain(value, 0)).encode()
        except Exception:
            self._plain = self._make(self._escape, _refuse)
        return "".join(self._make(self._write, _refuse)(plain(value, set()), 0)).encode()

    def _write(self, text):
        return str(text) if type(text) is Number else self._escape(text)


def _refuse(value):
    raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)


def plain(value, parents):
    """`value` rebuilt from what the C encoder writes as AWS does; `parents` are the ids of the containers around it."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if not isinstance(value, (list, dict)):
        asdict = getattr(value, "_asdict", None)
        if callable(asdict) and not isinstance(value, type):
            value = asdict()
            if not isinstance(value, dict):
                raise TypeError("_asdict() must return a dict, not %s" % type(value).__name__)
    if not isinstance(value, (list, tuple, dict)):
        return _decimal(value)
    if id(value) in parents:
        raise ValueError("Circular reference detected")
    parents.add(id(value))
    if isinstance(value, dict):
        result = {_key(key): plain(item, parents) for key, item in value.items()}
    else:
        result = [plain(item, parents) for item in value]
    parents.discard(id(value))
    return result


def _key(key):
    if key is None or isinstance(key, (str, int, float)):
        return key
    if isinstance(key, bytes):
        return key.decode("utf-8")
    raise TypeError("keys must be str, int, float, bool or None, not %s" % type(key).__name__)


def _decimal(value):
    # A type's module tells without importing `decimal` where nobody has.
    if any(base.__name__ == "Decimal" and base.__module__ in ("decimal", "_decimal", "_pydecimal") for base in type(value).__mro__):
        return float("nan") if value.is_nan() else Number(value)
    return _refuse(value)
