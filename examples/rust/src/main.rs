//! Prime numbers up to a limit; deploy it with `lambda-home deploy examples/rust`.
//! {"limit": 1000}

use lambda_runtime::{run, service_fn, Error, LambdaEvent};
use serde::Deserialize;
use serde_json::{json, Value};

const MOST: usize = 10_000_000;

#[derive(Deserialize)]
struct Asked {
    limit: usize,
}

fn primes(limit: usize) -> Vec<usize> {
    let mut is_prime = vec![true; limit + 1];
    let mut found = Vec::new();
    for number in 2..=limit {
        if is_prime[number] {
            found.push(number);
            (number * number..=limit)
                .step_by(number)
                .for_each(|multiple| is_prime[multiple] = false);
        }
    }
    found
}

async fn handle(call: LambdaEvent<Asked>) -> Result<Value, Error> {
    let limit = call.payload.limit;
    if limit > MOST {
        return Err(format!("the limit is {MOST} at most").into());
    }
    let found = primes(limit);
    println!("{} primes for {}", found.len(), call.context.request_id);
    Ok(json!({ "count": found.len(), "largest": found.last() }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(handle)).await
}
