// The conformance suite's function: does what the event says.
use lambda_runtime::streaming::{channel, Body, Response};
use lambda_runtime::{run, service_fn, Context, Error, FunctionResponse, LambdaEvent};
use serde_json::{json, Value};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

static CALLS: AtomicU32 = AtomicU32::new(0);

type Answer = FunctionResponse<Value, Body>;

async fn handle(call: LambdaEvent<Value>) -> Result<Answer, Error> {
    CALLS.fetch_add(1, Ordering::SeqCst);
    let value = call.payload["value"].clone();
    let told = match call.payload["do"].as_str().unwrap_or_default() {
        "context" => about(&call.context)?,
        "environment" => json!(std::env::vars().collect::<HashMap<_, _>>()),
        "fail" => return Err("as asked: ü".into()),
        "log" => {
            println!("out ü");
            eprintln!("err ü");
            Value::Null
        }
        "sleep" => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Value::Null
        }
        "exit" => std::process::exit(3),
        "read" => json!(std::fs::read_to_string(value.as_str().unwrap_or_default())?),
        "calls" => json!(CALLS.load(Ordering::SeqCst)),
        "pieces" => return Ok(pieces()),
        _ => value,
    };
    Ok(FunctionResponse::BufferedResponse(told))
}

fn pieces() -> Answer {
    let (mut sender, body) = channel();
    tokio::spawn(async move {
        for piece in ["one;", "two;"] {
            if sender.send_data(piece.into()).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    FunctionResponse::StreamingResponse(Response::from(body))
}

fn about(call: &Context) -> Result<Value, Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    let config = &call.env_config;
    Ok(json!({
        "id": call.request_id, "arn": call.invoked_function_arn, "name": config.function_name,
        "version": config.version, "memory": config.memory, "group": config.log_group,
        "stream": config.log_stream, "left": call.deadline - now,
        "custom": call.client_context.as_ref().map(|client| &client.custom),
        "identity": call.identity.as_ref().map(|identity| &identity.identity_id),
    }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    if std::env::var_os("BROKEN").is_some() {
        println!("broken: ü");
        std::process::exit(4);
    }
    run(service_fn(handle)).await
}
