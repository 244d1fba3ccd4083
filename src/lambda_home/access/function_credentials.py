"""Credentials of functions: each execution environment has its own, for as long as it lives.

On AWS they are those of the function's role. Source:
https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
"""

from __future__ import annotations

from collections.abc import Mapping

from lambda_home.access.keys import AccessKey, EnvironmentCredentials
from lambda_home.access.roles import Role
from lambda_home.arns import PARTITION
from lambda_home.functions import FunctionVersion


class FunctionCredentials:
    """The `scheduler.machinery.Credentials` of a server that verifies signatures."""

    def __init__(self, environments: EnvironmentCredentials, role: Role) -> None:
        self._environments = environments
        self._role = role
        self._given: dict[str, AccessKey] = {}

    def begin(self, environment_id: str, version: FunctionVersion) -> Mapping[str, str]:
        """The variables that hold the credentials of an environment, the same whenever asked."""
        key = self._given.get(environment_id)
        if key is None:
            key = self._environments.issue(version.scope.account, self._role, assumed_role(version))
            self._given[environment_id] = key
        return {
            "AWS_ACCESS_KEY_ID": key.id,
            "AWS_SECRET_ACCESS_KEY": key.secret,
            "AWS_SESSION_TOKEN": key.session_token or "",
        }

    def end(self, environment_id: str) -> None:
        """The environment is gone, and its credentials are good for nothing."""
        key = self._given.pop(environment_id, None)
        if key is not None:
            self._environments.revoke(key.id)


def assumed_role(version: FunctionVersion) -> str:
    """The principal that a function is on AWS: its role, in a session named as the function."""
    role = version.role.rpartition("/")[2] or "lambda-role"
    account = version.scope.account
    return f"arn:{PARTITION}:sts::{account}:assumed-role/{role}/{version.name}"
