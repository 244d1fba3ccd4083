"""The root logger's handler, loaded when the function (or anything it uses) first imports `logging`.

Reference: https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html
"""

import time

TEXT_FORMAT = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"
# Attributes every record has; in JSON format anything else came from `extra` and becomes a field.
KNOWN = frozenset(
    "name msg args levelname levelno pathname filename module exc_info exc_text stack_info lineno funcName created msecs "
    "relativeCreated thread threadName processName process taskName aws_request_id tenant_id _frame_type".split()
)


def configure(logging, environ, output):
    """Adds AWS's handler to the root logger and sets the level of AWS_LAMBDA_LOG_LEVEL."""
    logging.Formatter.converter = time.gmtime

    class LambdaLoggerFilter(logging.Filter):
        """Gives each record the ids of the running invocation."""

        def filter(self, record):
            record.aws_request_id = output.request_id or ""
            record.tenant_id = output.tenant_id
            return True

    class LambdaLoggerHandler(logging.Handler):
        """Writes records as log events, past `sys.stdout`."""

        log_sink = output

        def emit(self, record):
            output.log(self.format(record))

    handler = LambdaLoggerHandler()
    if environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON":
        handler.setFormatter(json_formatter(logging))
    else:
        handler.setFormatter(logging.Formatter(TEXT_FORMAT, "%Y-%m-%dT%H:%M:%S"))
    handler.addFilter(LambdaLoggerFilter())
    root = logging.getLogger()
    level = environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
    level = "DEBUG" if level == "TRACE" else level
    if level in logging._nameToLevel:
        root.setLevel(level)
    root.addHandler(handler)


def json_formatter(logging):
    """One JSON object a record, with the fields of AWS's JSON log format."""
    import json
    import traceback

    encode = json.JSONEncoder(ensure_ascii=False, default=str).encode

    class JsonFormatter(logging.Formatter):
        """Formats a record as one line of JSON."""

        def format(self, record):
            record.levelno = min(50, max(0, record.levelno)) // 10 * 10
            record.levelname = logging.getLevelName(record.levelno)
            structured = isinstance(record.msg, dict) and not record.args
            document = {
                "timestamp": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"),
                "level": record.levelname,
                "message": record.msg if structured else record.getMessage(),
                "logger": record.name,
            }
            if record.exc_info:
                kind, error, trace = record.exc_info
                document["stackTrace"] = traceback.format_tb(trace)
                document["errorType"] = kind.__name__ if kind else None
                document["errorMessage"] = str(error)
            document["requestId"] = getattr(record, "aws_request_id", None)
            if record.exc_info:
                document["location"] = "%s:%s:%s" % (record.pathname, record.funcName, record.lineno)
            document["tenantId"] = getattr(record, "tenant_id", None)
            for key, value in record.__dict__.items():
                if key not in KNOWN and key not in document:
                    document[key] = value
            return encode({k: v for k, v in document.items() if v is not None}) + "\n"

    return JsonFormatter()
