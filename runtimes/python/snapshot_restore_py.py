"""Registers what a function does before SnapStart's snapshot and after its restore, as the module of this name on AWS.

    @register_before_snapshot
    def close_connections(): ...

Both take arguments for the call, too. Source: AWS's Developer Guide, "Lambda SnapStart runtime hooks for Python".
"""

_before_snapshot = []
_after_restore = []


def register_before_snapshot(func, *args, **kwargs):
    """Has `func` called once the function is initialised; what was registered last comes first."""
    _before_snapshot.append((func, args, kwargs))
    return func


def register_after_restore(func, *args, **kwargs):
    """Has `func` called before the first invocation, in the order of registration."""
    _after_restore.append((func, args, kwargs))
    return func


def get_before_snapshot():
    """What is registered: function, arguments, keyword arguments."""
    return _before_snapshot


def get_after_restore():
    """What is registered: function, arguments, keyword arguments."""
    return _after_restore
