"""Entry point of the Python runtime: connects to the runtime API, loads the function's handler and serves invocations.

Runs unchanged on Python 3.9 to 3.14 with nothing but the standard library, and imports as little of it as it can: `json`,
`logging` and `traceback` together cost more than starting the interpreter, so each is loaded when it is first needed. The
files of `_lambda_home` are loaded without a trace in `sys.modules` or `sys.path`: function code may have a module of any name.
"""

import os
import sys
import time

STARTED_NS = time.monotonic_ns()

from _frozen_importlib_external import SourceFileLoader  # noqa: E402  the clock starts before any import

# What most functions need of the standard library; AWS's runtime has imported all of it, too.
PRELOADED = ("json", "traceback")
SPARE = "_LAMBDA_HOME_SPARE"
DEBUG = "_LAMBDA_HOME_DEBUG"
LOADED = {}
PARTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_lambda_home")


def private_module(name):
    """One of this runtime's files as a module that `sys.modules` does not know; its bytecode is cached as usual."""
    if name in LOADED:
        return LOADED[name]
    path = os.path.join(PARTS, name + ".py")
    loader = SourceFileLoader(name, path)
    module = type(sys)(name)
    module.__file__ = path
    module.__loader__ = loader
    exec(loader.get_code(name), module.__dict__)
    LOADED[name] = module
    return module


def connect(output, client_module):
    """The first half of a start: what needs no function yet (a spare environment stops here and waits for one)."""
    client = client_module.RuntimeClient(os.environ["AWS_LAMBDA_RUNTIME_API"], output)
    client.connect()
    return client


def load_function(output, start_path):
    """The second half: takes the function's environment from `os.environ` and returns the function, loaded or at fault."""
    marshal_module = private_module("marshal")
    context_module = private_module("context")
    function_module = private_module("function")
    private_module("imports").enter(os.environ, start_path, lambda: private_module("logging"), output)
    if DEBUG in os.environ:
        private_module("debugger").begin(private_module("client").RuntimeClient, output)
    return function_module.load(os.environ, output, marshal_module, context_module, private_module)


def become(client):
    """A spare environment's wait for its function: takes over the function's environment, and the time when it came."""
    for name in PRELOADED:
        __import__(name)
    for name in ("marshal", "context", "function", "imports"):
        private_module(name)
    private_module("imports").read_ahead()
    variables = client.wait_for_function(os.listdir(os.environ["LAMBDA_TASK_ROOT"]))
    started = time.monotonic_ns()
    del os.environ[SPARE]
    os.environ.update(variables)
    time.tzset()
    return started


def main():
    """Serves invocations until the server goes away (exit code 1) or the function ends the process."""
    started = STARTED_NS
    start_path = sys.path[:]
    library = os.path.dirname(os.__file__)
    # Until the function's own path is set nothing but the standard library may be found.
    sys.path[:] = [p for p in start_path if p == library or p.startswith(library + "/lib-") or p.endswith(".zip")]
    output = private_module("output").Output()
    client_module = private_module("client")
    try:
        client = connect(output, client_module)
        if os.environ.get(SPARE):
            started = become(client)
        function = load_function(output, start_path)
        if function.fault is not None:
            client.report_init_error(function.fault.error_type, function.fault.report(output))
            sys.exit(1)
        if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
            private_module("snapstart").restore(function, client, started)
        function.serve(client, (time.monotonic_ns() - started) // 1000)
    except client_module.ServerGoneError:
        # Quietly, and at once: threads of the function must not hold back an environment nobody can reach.
        os._exit(1)


if __name__ == "__main__":
    main()
