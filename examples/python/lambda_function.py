"""Greets whoever is named; deploy it with `lambda-home deploy examples/python`."""

import os


def lambda_handler(event, context):
    """Answer with a greeting; `GREETING` of the environment says which."""
    greeting = os.environ.get("GREETING", "hello")
    name = event.get("name", "world")
    print(f"greeting {name}")
    return {"message": f"{greeting}, {name}", "request": context.aws_request_id}
