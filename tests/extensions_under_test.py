"""External extensions for tests, in two languages, and layers that hold them."""

from __future__ import annotations

import io
import uuid
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

IN_PYTHON = """#!/usr/bin/env python3
import http.server, json, os, sys, threading, time, urllib.error, urllib.request

API = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"]
MODE = os.environ.get("MODE", "")
NAME = os.path.basename(__file__)

def say(*words):
    print("PY", *words, flush=True)

def call(path, body=None, method=None, **headers):
    request = urllib.request.Request(API + path, body, headers, method=method)
    with urllib.request.urlopen(request) as answer:
        return answer.headers, json.load(answer)

def subscribe(me, uri):
    wants = {"schemaVersion": "2022-12-13", "types": ["platform", "function", "extension"],
             "buffering": {"timeoutMs": 25}, "destination": {"protocol": "HTTP", "URI": uri}}
    try:
        return call("/2022-07-01/telemetry", json.dumps(wants).encode(), "PUT", **me)[1]
    except urllib.error.HTTPError as error:
        return json.load(error)["errorType"]

class Listener(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        for event in json.loads(self.rfile.read(int(self.headers["content-length"]))):
            if event["type"] != "extension":
                say("TOLD", json.dumps(event))
        self.send_response(200)
        self.end_headers()
    def log_message(self, *words):
        pass

if MODE == "exits":
    sys.exit(3)
body = json.dumps({"events": ["INVOKE", "SHUTDOWN"]}).encode()
headers, about = call("/2020-01-01/extension/register", body, **{
    "Lambda-Extension-Name": NAME, "Lambda-Extension-Accept-Feature": "accountId"})
me = {"Lambda-Extension-Identifier": headers["Lambda-Extension-Identifier"]}
say("registered for", about["functionName"], about["accountId"])
for uri in os.environ.get("URIS", "").split():
    say("subscription to", uri, subscribe(me, uri))
if MODE == "listens":
    server = http.server.ThreadingHTTPServer(("sandbox.localdomain", 4243), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    say("subscription", subscribe(me, "http://sandbox.localdomain:4243"))
while True:
    _, event = call("/2020-01-01/extension/event/next", **me)
    say(event["eventType"], event.get("requestId"), event.get("shutdownReason"))
    if event["eventType"] == "INVOKE" and MODE == "slow":
        time.sleep(0.7)
        say("done with", event["requestId"])
    if event["eventType"] == "SHUTDOWN":
        say("seconds left", event["deadlineMs"] / 1000 - time.time())
        while MODE == "hangs":
            say("alive at", time.time())
            time.sleep(0.02)
        time.sleep(0.1)
        say("last words")
        break
"""

IN_BASH = r"""#!/bin/bash
# An extension without any client: HTTP over bash's own sockets.
request() { # METHOD PATH HEADER BODY
    exec 3<>"/dev/tcp/${AWS_LAMBDA_RUNTIME_API%:*}/${AWS_LAMBDA_RUNTIME_API##*:}"
    printf '%s /2020-01-01/extension/%s HTTP/1.1\r\n' "$1" "$2" >&3
    printf 'Host: %s\r\n%s\r\n' "$AWS_LAMBDA_RUNTIME_API" "$3" >&3
    printf 'Content-Length: %d\r\n\r\n%s' "${#4}" "$4" >&3
    size=0
    while IFS=': ' read -r name value <&3; do
        value=${value%$'\r'}
        case ${name,,} in
            $'\r') break ;;
            content-length) size=$value ;;
            lambda-extension-identifier) identifier=$value ;;
        esac
    done
    IFS= read -r -N "$size" answer <&3
    exec 3>&-
}
request POST register "Lambda-Extension-Name: ${0##*/}" '{"events":["INVOKE","SHUTDOWN"]}'
echo "SH registered"
while :; do
    request GET event/next "Lambda-Extension-Identifier: $identifier" ""
    echo "SH $answer"
    case $answer in *'"SHUTDOWN"'*) exit 0 ;; esac
done
"""


def layer(client: LambdaClient, files: Mapping[str, tuple[str | bytes, int]]) -> str:
    """A layer with these files: content and mode by path; its ARN."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, (content, mode) in files.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = (0o100000 | mode) << 16
            archive.writestr(entry, content)
    made = client.publish_layer_version(
        LayerName=f"layer-{uuid.uuid4().hex[:8]}", Content={"ZipFile": packed.getvalue()}
    )
    return made["LayerVersionArn"]
