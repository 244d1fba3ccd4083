"""moto's server in a thread of the tests: S3, EC2, IAM, SQS and others at one endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

ACCOUNT = "000000000000"


@contextmanager
def other_services() -> Iterator[str]:
    """Run it on a free port; gives its URL."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def service(name: str, url: str, account: str = ACCOUNT) -> Any:
    """A client of one of the services."""
    return boto3.client(
        name,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=account,
        aws_secret_access_key="test",
    )
