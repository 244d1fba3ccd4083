// Calls the handler the way AWS's two generations of runtime do.
//
// Each function takes the handler, the event, the context and `finish`, with `finish.succeed(value)`
// and `finish.fail(error)`; exactly one of them is called, once, per invocation.

import { several } from "./current.mjs";
import { MODERN, serialise } from "./errors.mjs";

const TWICE =
  "Invocation has already been reported as done. Cannot call complete more than once per " +
  "invocation.";

const isPromise = (value) => value && typeof value.then === "function";

// From Node 24: what the handler returns, awaited.
export const callModern = async (handler, event, context, finish) => {
  let body;
  try {
    const result = await handler(event, context);
    await new Promise((done) => setImmediate(done)); // what is already due still runs, as on AWS
    body = serialise(result);
  } catch (error) {
    await new Promise((done) => setImmediate(done));
    return finish.fail(error);
  }
  return finish.succeed(body);
};

// What `beforeExit`, an empty event loop, means right now.
export const emptyLoop = {
  listener: () => {},
  reset() {
    this.listener = () => {};
  },
};

// Up to Node 22: promises, the callback, context.done/succeed/fail, or nothing (null once the
// event loop is empty).
export const callLegacy = (handler, event, context, finish) => {
  let over = false; // the handler has had its one say
  let completed = false;
  const complete = (result) => {
    if (completed) return console.error(TWICE);
    const body = serialise(result);
    completed = true;
    finish.succeed(body);
  };
  const settle = (error, result, wait) => {
    emptyLoop.reset();
    if (error !== undefined && error !== null) return finish.fail(error);
    // With several invocations at once the loop is never empty.
    if (!wait || several()) return complete(result);
    emptyLoop.listener = () => setImmediate(() => complete(result));
  };
  const once = (say) => (...args) => {
    if (over) return;
    say(...args); // may throw: then another say is allowed
    over = true;
  };
  let waits = true;
  const callback = once((error, result) => settle(error, result, waits));
  const done = once((error, result) => settle(error, result, false));
  const succeed = once((result) => settle(null, result, false));
  const fail = once((error) => settle(error ?? "handled", null, false));

  const full = {
    get callbackWaitsForEmptyEventLoop() {
      return waits;
    },
    set callbackWaitsForEmptyEventLoop(value) {
      waits = value;
    },
    succeed,
    fail,
    done,
  };
  emptyLoop.listener = () => {
    completed = true;
    emptyLoop.reset();
    finish.succeed("null");
  };
  try {
    const result = handler(event, Object.assign(full, context), callback);
    if (isPromise(result)) result.then(succeed, fail).catch(fail);
  } catch (error) {
    callback(error);
  }
};

// A streaming handler. Resolves when the handler and its answer are done; rejects with the error to
// report in the trailers.
export const callStreaming = async (handler, event, context, response) => {
  const problem = (reason) => (MODERN ? new Error(reason) : reason);
  const result = handler(event, response.stream, context);
  if (!isPromise(result)) throw problem("Streaming does not support non-async handlers.");
  if ((await result) !== undefined) console.warn("Streaming handlers ignore return values.");
  await response.closed;
  if (!response.stream.writableFinished) {
    throw response.stream.errored ?? problem("Response stream is not finished.");
  }
  await response.answered;
};
