"""Which server the commands talk to, and as whom: flags before the environment; pure.

Source of the AWS_ names: https://docs.aws.amazon.com/sdkref/latest/guide/environment-variables.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from lambda_home.commands.failures import WrongUse

DEFAULT_ENDPOINT = "http://127.0.0.1:9000"
DEFAULT_REGION = "us-east-1"
ENDPOINT_VARIABLE = "LAMBDA_HOME_ENDPOINT_URL"
TOKEN_VARIABLE = "LAMBDA_HOME_TOKEN"  # noqa: S105  a name, not a token
_ENDPOINTS = (ENDPOINT_VARIABLE, "AWS_ENDPOINT_URL")
_NOBODY = "lambda-home"
_DEFAULT_ACCOUNT = "000000000000"
_REGION = re.compile(r"[a-z0-9-]+")
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")


@dataclass(frozen=True, slots=True)
class Access:
    """A server and the credentials for it; without any, requests are not signed.

    `token` is `KEY_ID:SECRET` for an Authorization of the kind Bearer, empty for a signature.
    """

    endpoint: str
    region: str
    key_id: str = ""
    secret: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    ca_bundle: str = ""

    @property
    def is_as_anybody(self) -> bool:
        """Whether requests without credentials, by curl, mean the same account and region."""
        is_nobody = not self.token and self.key_id in {"", _NOBODY, _DEFAULT_ACCOUNT}
        return is_nobody and self.region == DEFAULT_REGION


def access_of(
    environment: Mapping[str, str], endpoint: str | None = None, region: str | None = None
) -> Access:
    """What flags and environment say. Raises WrongUse."""
    key_id = environment.get("AWS_ACCESS_KEY_ID", "")
    secret = environment.get("AWS_SECRET_ACCESS_KEY", "")
    if bool(key_id) != bool(secret):
        missing = "AWS_SECRET_ACCESS_KEY" if key_id else "AWS_ACCESS_KEY_ID"
        raise WrongUse(
            f"{missing} is not set, though the other half of the key is: set both or none."
        )
    token = environment.get(TOKEN_VARIABLE, "")
    if token and ":" not in token:
        raise WrongUse(f"{TOKEN_VARIABLE} is not KEY_ID:SECRET, as an access key's is.")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", TOKEN_VARIABLE):
        value = environment.get(name, "")
        if not value.isascii() or not value.isprintable() or " " in value:
            raise WrongUse(f"{name} has characters that no credentials have: set it anew.")
    named = region or _first(environment, _REGIONS)
    region = named or DEFAULT_REGION
    if not _REGION.fullmatch(region):
        raise WrongUse(f"{region!r} is not a region as {DEFAULT_REGION}: correct --region.")
    if named and not key_id and not token:
        # Only a signature says which region is meant; this name is no account's.
        key_id = secret = _NOBODY
    return Access(
        endpoint=_checked(endpoint or _first(environment, _ENDPOINTS) or DEFAULT_ENDPOINT),
        region=region,
        key_id=key_id,
        secret=secret,
        session_token=environment.get("AWS_SESSION_TOKEN", ""),
        token=token,
        ca_bundle=environment.get("AWS_CA_BUNDLE", ""),
    )


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((value for name in names if (value := environment.get(name))), "")


def _checked(endpoint: str) -> str:
    try:
        parts = urlsplit(endpoint)
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname)
        is_good = is_good and (parts.port is None or parts.port > 0)
    except ValueError:
        is_good = False
    if not is_good or any(mark in endpoint for mark in "?# \t\n"):
        raise WrongUse(
            f"The endpoint {endpoint!r} is not a URL as {DEFAULT_ENDPOINT}: correct --endpoint-url"
            f" or {ENDPOINT_VARIABLE}."
        )
    return endpoint.rstrip("/")
