"""The environment variables of an execution environment, as AWS defines them.

Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
AWS_LAMBDA_RUNTIME_API is added by the sandbox, which alone knows the address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lambda_home.functions import SECRET_REFERENCE, FunctionVersion
from lambda_home.runtimes import StartedBy, preloads, runtime

RESERVED = frozenset(
    {
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_LAMBDA_RUNTIME_API",
        "LAMBDA_TASK_ROOT",
        "LAMBDA_RUNTIME_DIR",
    }
)

SPARE = "_LAMBDA_HOME_SPARE"
"""Set in a spare: its runtime waits for a function instead of loading one."""

DEBUGGER = "_LAMBDA_HOME_DEBUG"
"""Set in an environment that is debugged: the address that its debugger listens on."""

_EARLY = re.compile(
    r"(LD_|PYTHON|NODE_(?!ENV$)|RUBY|GEM_|BUNDLE_|MALLOC_|GLIBC_|GCONV_|LC_|LANG|OPENSSL_|SSL_|UV_|V8_|PATH$"
    r"|AWS_LAMBDA_EXEC_WRAPPER$|AWS_LAMBDA_MAX_CONCURRENCY$)"
)
_OF_IMAGES = frozenset({"LANG", "LD_LIBRARY_PATH", "PATH", "SHLVL"})
_NODE_VERSION = re.compile(r"nodejs(\d+)\.x")
_RUBY_VERSION = re.compile(r"ruby(\d+\.\d+)")


def log_group_of(version: FunctionVersion) -> str:
    """The log group the version writes to: its LoggingConfig's, else AWS's default."""
    logging = version.documents.get("LoggingConfig")
    if isinstance(logging, dict) and logging.get("LogGroup"):
        return str(logging["LogGroup"])
    return f"/aws/lambda/{version.name}"


def variables(
    version: FunctionVersion, *, stream: str, initialization_type: str = "on-demand"
) -> dict[str, str]:
    """Everything a runtime and its function find in their environment; the user's come on top.

    A user can override PATH, TZ and the like, as on AWS, but none of RESERVED.
    """
    own = {
        **({} if version.is_image else {"_HANDLER": version.handler}),
        "AWS_ACCESS_KEY_ID": version.scope.account,
        "AWS_SECRET_ACCESS_KEY": "lambda-home",
        "AWS_SESSION_TOKEN": "lambda-home",
        "AWS_DEFAULT_REGION": version.scope.region,
        "AWS_REGION": version.scope.region,
        "AWS_LAMBDA_FUNCTION_NAME": version.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(version.memory_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": version.version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": initialization_type,
        "AWS_LAMBDA_LOG_GROUP_NAME": log_group_of(version),
        "AWS_LAMBDA_LOG_STREAM_NAME": stream,
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
    }
    if version.is_snap_started:  # a snapshot is older than the log that it writes to
        del own["AWS_LAMBDA_LOG_GROUP_NAME"], own["AWS_LAMBDA_LOG_STREAM_NAME"]
    if not version.is_image and _names_itself(version.runtime):
        own["AWS_EXECUTION_ENV"] = f"AWS_Lambda_{version.runtime}"
    defaults = {} if version.is_image else _defaults(version.runtime)
    logging = version.documents.get("LoggingConfig")
    if isinstance(logging, dict) and logging.get("LogFormat") == "JSON":
        defaults["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        defaults["AWS_LAMBDA_LOG_LEVEL"] = str(logging.get("ApplicationLogLevel", "INFO"))
    hidden = {*RESERVED, SPARE}
    users = {n: v for n, v in (version.environment or {}).items() if n not in hidden}
    return {**defaults, **users, **own}


def with_image_variables(
    whole: Mapping[str, str], of_image: Sequence[tuple[str, str]]
) -> dict[str, str]:
    """`whole`, and below it what a container image sets, and below that AWS's defaults.

    PATH, LANG and the like are the image's own affair.
    """
    defaults = {name: value for name, value in _defaults("").items() if name not in _OF_IMAGES}
    hidden = {*RESERVED, SPARE}
    image = {name: value for name, value in of_image if name not in hidden}
    return {**defaults, **image, **whole}


def secret_references(version: FunctionVersion) -> dict[str, str]:
    """The variables whose value is a reference to a secret, and the names of those secrets."""
    return {
        variable: value.removeprefix(SECRET_REFERENCE)
        for variable, value in (version.environment or {}).items()
        if value.startswith(SECRET_REFERENCE) and variable not in RESERVED and variable != SPARE
    }


def _names_itself(name: str) -> bool:
    """Whether functions are told their runtime: AWS does not where it is only an OS."""
    found = runtime(name)
    return found is None or (
        not found.family.brings_program or found.started_by is not StartedBy.BOOTSTRAP
    )


def _defaults(name: str) -> dict[str, str]:
    """What AWS sets for a runtime and a user can override."""
    node = _NODE_VERSION.fullmatch(name)
    defaults = {
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1:2000",
        "_AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1",
        "_AWS_XRAY_DAEMON_PORT": "2000",
        "LANG": "en_US.UTF-8",
        "LD_LIBRARY_PATH": (
            "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:"
            "/var/task:/var/task/lib:/opt/lib"
        ),
        "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "SHLVL": "0",
        "TZ": ":UTC",
    }
    if node:
        defaults["NODE_PATH"] = (
            f"/opt/nodejs/node{node[1]}/node_modules:/opt/nodejs/node_modules:"
            "/var/runtime/node_modules:/var/runtime:/var/task"
        )
    if ruby := _RUBY_VERSION.fullmatch(name):
        series = f"{ruby[1]}.0"
        defaults["GEM_PATH"] = (
            f"/var/task/vendor/bundle/ruby/{series}:/opt/ruby/gems/{series}:"
            f"/var/runtime:/var/runtime/ruby/{series}"
        )
        defaults["RUBYLIB"] = "/var/task:/var/runtime/lib:/opt/ruby/lib"
    return defaults


def spare_variables(name: str, memory_mb: int) -> dict[str, str]:
    """What a spare of a runtime is started with: all that is read before there is a function."""
    return {
        **_defaults(name),
        SPARE: "1",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{name}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb),
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
    }


def fits_spare(version: FunctionVersion) -> bool:
    """Whether a spare can become this version's environment.

    Not if the function sets what the loader or an interpreter reads only while it starts, or if
    its runtime has no bootstrap of ours.
    """
    defaults = _defaults(version.runtime)
    users = version.environment or {}
    early = (name for name in users if _EARLY.match(name) and users[name] != defaults.get(name))
    return preloads(version.runtime) and not any(early)
