"""SnapStart: the hooks before the snapshot, the wait for the restore, the hooks after it.

Functions register hooks with `snapshot_restore_py`, their own copy or ours; those before the snapshot run from the last to
the first. Source: "Implement code before or after Lambda function snapshots" in AWS's Developer Guide.
"""

import sys
import time

BEFORE, AFTER = "Runtime.BeforeSnapshotError", "Runtime.AfterRestoreError"
FAILED = 64


def restore(function, client, started_ns):
    """Returns when the first invocation is about to come; ends the process where a hook fails."""
    hooks = sys.modules.get("snapshot_restore_py")
    if hooks is not None:
        before = hooks.get_before_snapshot()
        try:
            while before:
                run(before.pop())
        except Exception as error:
            give_up(function, client, error, BEFORE, "init")
    client.restore_next((time.monotonic_ns() - started_ns) // 1000)
    if hooks is not None:
        try:
            for hook in hooks.get_after_restore():
                run(hook)
        except Exception as error:
            give_up(function, client, error, AFTER, "restore")


def run(hook):
    """Calls what was registered with its arguments."""
    call, args, kwargs = hook
    call(*args, **kwargs)


def give_up(function, client, error, error_type, phase):
    """Tells the server, and ends."""
    client.report_init_error(error_type, function.failure(error, "").report(function.output), phase)
    sys.exit(FAILED)
