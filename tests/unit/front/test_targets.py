from __future__ import annotations

import pytest

from lambda_home.direct_http import Head
from lambda_home.front.admin_actions import admin_action
from lambda_home.front.targets import Target, target_of


def head(path: str, host: str = "localhost:9000", service: str = "", **headers: str) -> Head:
    fields = [(b"host", host.encode())]
    if service:
        credential = f"AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/{service}/aws4_request, "
        fields.append((b"authorization", credential.encode() + b"SignedHeaders=host, Signature=0"))
    fields += [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    raw, _, query = path.encode().partition(b"?")
    return Head(b"GET", raw, query, dict(fields), 9000, fields)


@pytest.mark.parametrize(
    ("request_head", "target"),
    [
        (head("/2015-03-31/functions"), Target.LAMBDA),
        (head("/2015-03-31/functions", service="lambda"), Target.LAMBDA),
        (head("/2021-10-31/functions/f/url"), Target.LAMBDA),
        (head("/2015-03-31"), Target.PROXY),
        (head("/", service="sqs"), Target.COMPANION),
        (head("/bucket/2015-03-31/functions", service="s3"), Target.COMPANION),
        (head("/2015-03-31/functions", service="s3"), Target.COMPANION),
        (head("/api/admin/keys", service="s3"), Target.COMPANION),
        (
            head("/b/k?X-Amz-Algorithm=A&X-Amz-Credential=K%2F20260101%2Fr%2Fs3%2Faws4_request"),
            Target.COMPANION,
        ),
        (head("/", x_amz_target="DynamoDB_20120810.ListTables"), Target.COMPANION),
        (head("/", x_amz_target="Logs_20140328.GetLogEvents"), Target.LOGS),
        (head("/", service="logs", x_amz_target="Logs_20140328.PutLogEvents"), Target.LOGS),
        (head("/", service="logs", x_amz_target="Logs_20140328.StartQuery"), Target.COMPANION),
        (head("/", service="logs", x_amz_target="AWSEvents.PutLogEvents"), Target.COMPANION),
        (head("/", service="logs"), Target.COMPANION),
        (head("/", service="sqs", x_amz_target="Logs_20140328.GetLogEvents"), Target.COMPANION),
        (head("/healthz"), Target.HEALTH),
        (head("/api/healthz"), Target.HEALTH),
        (head("/healthz/x"), Target.PROXY),
        (head("/api/admin/keys"), Target.ADMIN),
        (head("/%61pi/admin/keys"), Target.ADMIN),
        (head("/api%2Fadmin%2Fkeys"), Target.ADMIN),
        (head("/admin/secrets"), Target.ADMIN),
        (head("/admin/secrets", service="lambda"), Target.ADMIN),
        (head("/apis"), Target.PROXY),
        (head("/api/code/abc?Signature=x"), Target.CODE),
        (head("/x", host="abc.lambda-url.us-east-1.localhost:9000"), Target.FUNCTION_URL),
        (head("/x", host="ABC.LAMBDA-URL.us-east-1.localhost"), Target.FUNCTION_URL),
        (
            head("/api/admin/keys", host="abc.lambda-url.us-east-1.localhost"),
            Target.FUNCTION_URL,
        ),
        (head("/lambda-url/abc/x"), Target.FUNCTION_URL),
        (head("/shop/cart"), Target.PROXY),
        (head("/shop/cart", service="execute-api"), Target.PROXY),
        (head("//api/admin/keys"), Target.PROXY),
        (head("/"), Target.PROXY),
    ],
    ids=lambda value: value.path.decode() if isinstance(value, Head) else str(value),
)
def test_each_request_is_for_one_of_them(request_head: Head, target: Target) -> None:
    assert target_of(request_head) is target


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("GET", "/api/admin/keys", "keys:read"),
        ("HEAD", "/api/admin/keys", "keys:read"),
        ("POST", "/api/admin/keys", "keys:write"),
        ("DELETE", "/api/admin/keys/AKIA", "keys:write"),
        ("OPTIONS", "/api/admin/keys", "keys:write"),
        ("GET", "/admin/secrets", "secrets:read"),
        ("POST", "/api/builds", "builds:write"),
        ("GET", "/api/builds/1/logs", "builds:read"),
        ("DELETE", "/api/builds/1", "builds:write"),
        ("GET", "/api/buildsx", "admin:any"),
        ("PUT", "/api/admin/api-gateway/routes/1", "routes:write"),
        ("PUT", "/api/admin/functions/f/rate-limit", "rate-limits:write"),
        ("GET", "/api/admin/keysx", "admin:any"),
        ("GET", "/api/admin/new", "admin:any"),
        ("GET", "/admin/", "admin:any"),
    ],
)
def test_a_path_of_the_admin_api_asks_for_an_action(method: str, path: str, action: str) -> None:
    assert admin_action(method, path) == action
