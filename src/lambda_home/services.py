"""Other AWS services: calls at the endpoints that the settings name.

Nothing is called that is not configured: without an endpoint a service does not exist for this
server. botocore is imported, and threads are started, only when the first call is made.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

from lambda_home.arns import Scope
from lambda_home.errors import LambdaHomeError

_THREADS = 4
_CONNECT_S = 5
_READ_S = 20


class ServiceCallError(LambdaHomeError):
    """A call of another service failed; the message says how.

    `code` and `detail` are the error's code and text where the service answered one, else empty.
    """

    def __init__(self, message: str, code: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.detail = detail


class Services(Protocol):
    """Calls of other services, each for an account in a region."""

    def reaches(self, service: str) -> bool:
        """Whether there is an endpoint for `service`, named as in ARNs ("sqs", "events")."""

    async def call(
        self, scope: Scope, service: str, operation: str, params: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Perform an operation, named as in AWS's model; raises ServiceCallError."""


class AwsServices:
    """`Services` by botocore's clients. The access key is the account: emulators go by it.

    With `names_accounts` each call also says it in the header that moto's server goes by, as what
    comes to a companion through this server does.
    """

    def __init__(
        self, endpoint_url: str, endpoints: Mapping[str, str], *, names_accounts: bool = False
    ) -> None:
        self._names_accounts = names_accounts
        self._default = endpoint_url
        self._endpoints = dict(endpoints)
        self._threads: ThreadPoolExecutor | None = None
        self._session: Any = None
        self._clients: dict[tuple[Scope, str], Any] = {}
        self._making = (
            threading.Lock()
        )  # clients serve several threads, a session makes them for one

    def reaches(self, service: str) -> bool:
        """True with an endpoint of its own or one for all services."""
        return bool(self._endpoints.get(service) or self._default)

    async def call(
        self, scope: Scope, service: str, operation: str, params: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Perform the call in a thread."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, "services")
        loop = asyncio.get_running_loop()
        arguments = (scope, service, operation, dict(params))
        return await loop.run_in_executor(self._threads, self._call, *arguments)

    def close(self) -> None:
        """Close connections; waits for calls that are going on."""
        if self._threads is not None:
            self._threads.shutdown()
        for client in self._clients.values():
            client.close()

    def _call(
        self, scope: Scope, service: str, operation: str, params: dict[str, Any]
    ) -> Mapping[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  is slow

        try:
            answer: Mapping[str, Any] = self._client(scope, service)._make_api_call(  # noqa: SLF001
                operation, params
            )
        except ClientError as error:
            answered = error.response.get("Error", {})
            code, detail = answered.get("Code", ""), answered.get("Message", "")
            raise ServiceCallError(str(error), code, detail) from error
        except BotoCoreError as error:
            raise ServiceCallError(str(error)) from error
        return answer

    def _client(self, scope: Scope, service: str) -> Any:
        key = (scope, service)
        with self._making:
            if key not in self._clients:
                self._clients[key] = self._make_client(scope, service)
            return self._clients[key]

    def _make_client(self, scope: Scope, service: str) -> Any:
        import botocore.session  # noqa: PLC0415  is slow, and most servers never need it
        from botocore.config import Config  # noqa: PLC0415

        if self._session is None:
            self._session = botocore.session.Session()
        client = self._session.create_client(
            service,
            region_name=scope.region,
            endpoint_url=self._endpoints.get(service) or self._default,
            aws_access_key_id=scope.account,
            aws_secret_access_key="lambda-home",  # noqa: S106  emulators do not check it
            config=Config(
                connect_timeout=_CONNECT_S,
                read_timeout=_READ_S,
                retries={"total_max_attempts": 1},  # whoever calls tries again by a clock
                s3={"addressing_style": "path"},
            ),
        )
        if self._names_accounts:
            name = partial(_name_account, account=scope.account)
            client.meta.events.register("request-created", name)
        return client


def _name_account(request: Any, account: str, **_: object) -> None:
    request.headers["x-moto-account-id"] = account
