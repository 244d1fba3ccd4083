"""debugpy in an environment that the server wants debugged: it listens before any code of the function is loaded.

Loaded only where `_LAMBDA_HOME_DEBUG` is set, whose value is the address to listen on. The server hears the port by the runtime API.
"""

import os
import sys

VARIABLE = "_LAMBDA_HOME_DEBUG"
FOLDER = "lambda-home-debug"


def begin(client_type, output):
    """Listens for a debugger and tells the server where; a debugger that does not start is told in the log, and that is all."""
    address = os.environ.pop(VARIABLE)
    try:
        port = _listen(address.rpartition(":")[0])
    except Exception as error:
        output.log("[WARNING] lambda_home: no debugger: %s: %s" % (type(error).__name__, error))
        return
    _tell(client_type, output, port)


def _listen(host):
    # Files of the standard library come without their lines from frozen modules: nobody steps through those.
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    folder = os.path.join(os.environ.get("_LAMBDA_HOME_OPT", "/opt"), FOLDER)
    sys.path.insert(0, folder)
    try:
        import debugpy

        debugpy.configure(python=sys.executable, subProcess=False)
        return debugpy.listen((host, 0))[1]
    finally:
        sys.path.remove(folder)
        del os.environ["PYDEVD_DISABLE_FILE_VALIDATION"]


def _tell(client_type, output, port):
    client = client_type(os.environ["AWS_LAMBDA_RUNTIME_API"], output)
    client.connect()
    root = os.environ.get("LAMBDA_TASK_ROOT", "/var/task")
    told = "Lambda-Home-Debugger-Port: %d\r\nLambda-Home-Task-Root: %s\r\nContent-Length: 0\r\n\r\n" % (port, root)
    client.say("POST", "lambda-home/debugger", told.encode("utf-8"))
