"""Functions compiled from source for tests: built once for each run of the tests, in a cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

CACHE = Path(tempfile.gettempdir()) / f"lambda-home-tests-{os.getuid()}"


def built(tool: str, files: Mapping[str, str], command: list[str], result: str) -> bytes:
    """What a tool makes of those files, in an empty folder of its own; skips where it is missing.

    The result is kept for the next run with the same sources. `command` names the tool first.
    """
    program = shutil.which(tool)
    if program is None:
        pytest.skip(f"{tool} is not installed")
    text = "\0".join((*files, *files.values(), *command))
    kept = CACHE / f"{tool}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if not kept.exists():
        CACHE.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            for name, content in files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
            done = subprocess.run(
                [program, *command[1:]],
                check=False,
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=900,
                env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod"},
            )
            assert done.returncode == 0, done.stderr[-4000:]
            made = Path(folder, result).rename(Path(folder, ".made"))
            made.replace(kept)
    return kept.read_bytes()


GO = {
    "go.mod": "module function\n\ngo 1.21\n\nrequire github.com/aws/aws-lambda-go v1.47.0\n",
    "main.go": """
package main

import (
    "context"
    "encoding/json"
    "errors"
    "fmt"
    "os"
    "time"

    "github.com/aws/aws-lambda-go/lambda"
    "github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
    Do   string          `json:"do"`
    Echo json.RawMessage `json:"echo"`
}

var calls = 0

func handle(ctx context.Context, e event) (any, error) {
    calls++
    switch e.Do {
    case "fail":
        return nil, errors.New("as asked")
    case "exit":
        os.Exit(3)
    case "sleep":
        time.Sleep(time.Minute)
    }
    fmt.Println("said on output")
    fmt.Fprintln(os.Stderr, "said on error")
    about, _ := lambdacontext.FromContext(ctx)
    deadline, _ := ctx.Deadline()
    folder, _ := os.Getwd()
    return map[string]any{
        "echo": e.Echo, "calls": calls, "request": about.AwsRequestID,
        "arn": about.InvokedFunctionArn, "left_ms": time.Until(deadline).Milliseconds(),
        "memory": lambdacontext.MemoryLimitInMB, "folder": folder,
        "handler": os.Getenv("_HANDLER"), "mine": os.Getenv("MINE"),
    }, nil
}

func main() { lambda.Start(handle) }
""",
}
RUST = {
    "Cargo.toml": """
[package]
name = "bootstrap"
version = "0.1.0"
edition = "2021"

[dependencies]
lambda_runtime = { version = "0.13", default-features = false }
serde_json = "1"
tokio = { version = "1", features = ["macros", "rt"] }

[profile.release]
opt-level = 1
""",
    "src/main.rs": """
use lambda_runtime::{run, service_fn, Error, LambdaEvent};
use serde_json::{json, Value};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

static CALLS: AtomicU32 = AtomicU32::new(0);

async fn handle(call: LambdaEvent<Value>) -> Result<Value, Error> {
    let calls = CALLS.fetch_add(1, Ordering::SeqCst) + 1;
    match call.payload["do"].as_str() {
        Some("fail") => return Err("as asked".into()),
        Some("exit") => std::process::exit(3),
        Some("sleep") => std::thread::sleep(Duration::from_secs(60)),
        _ => {}
    }
    println!("said on output");
    eprintln!("said on error");
    let about = &call.context;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    Ok(json!({
        "echo": call.payload["echo"], "calls": calls, "request": about.request_id,
        "arn": about.invoked_function_arn, "left_ms": about.deadline - now,
        "memory": variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").parse::<u32>()?,
        "folder": std::env::current_dir()?.to_string_lossy(),
        "handler": variable("_HANDLER"), "mine": variable("MINE"),
    }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(handle)).await
}
""",
}


def go_function() -> bytes:
    """A Linux program with AWS's Go library, without C libraries."""
    command = ["go", "build", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", "bootstrap", "."]
    return built("go", GO, command, "bootstrap")


def rust_function() -> bytes:
    """A Linux program with AWS's crate."""
    return built(
        "cargo", RUST, ["cargo", "build", "--release", "--quiet"], "target/release/bootstrap"
    )
