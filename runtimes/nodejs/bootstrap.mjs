// Runs one function on Node 18 to 26 as AWS's Node runtime does: take over the output and connect
// (`prepare`, which needs no function), take the function (`takeFunction`), serve its invocations.

import { createRequire } from "node:module";

import { RuntimeApi } from "./client.mjs";
import { close, current, expectSeveral, open, several, within } from "./current.mjs";
import { buildContext, defineGlobals, enterInvocation } from "./context.mjs";
import { MODERN, toAnswer, unhandledRejection } from "./errors.mjs";
import { callLegacy, callModern, callStreaming, emptyLoop } from "./invocation.mjs";
import { loadHandler, setModulePaths } from "./loader.mjs";
import {
  configureLogging, fence, logError, printFatal, tagLines, takeOutput,
} from "./output.mjs";
import { createResponseStream, headerSafe } from "./stream.mjs";

// import of a built-in builds a module around it: a millisecond each that require() does not take.
const builtin = createRequire(import.meta.url);
const { existsSync, readFileSync, readdirSync } = builtin("node:fs");

// AWS's exit codes up to Node 22; from Node 24 on errors end the process as Node does, with 1.
const EXIT_UNHANDLED_REJECTION = 128;
const EXIT_UNCAUGHT_EXCEPTION = 129;
const LAST_WORDS_MS = 1000;

// The kernel lets a process inherit the peak of the one that started it: that part is not ours.
const inheritedKib = process.resourceUsage().maxRSS;

const peakKib = () => {
  const peak = process.resourceUsage().maxRSS;
  if (peak > inheritedKib) return peak;
  try {
    return Number(/VmHWM:\s*(\d+)/.exec(readFileSync("/proc/self/status", "latin1"))[1]);
  } catch {
    return peak;
  }
};

const homeHeaders = (fenced) =>
  `Lambda-Home-Fence: ${fenced}\r\nLambda-Home-Peak-Kib: ${peakKib()}\r\n`;

const errorRequest = (api, path, id, error) => {
  const answer = toAnswer(error);
  const type = headerSafe(answer.errorType || "Unhandled");
  return api.post(path, "Content-Type: application/json\r\n" +
    `Lambda-Runtime-Function-Error-Type: ${type}\r\n${homeHeaders(fence(id))}`,
  JSON.stringify(answer));
};

const pathOf = (id, what) => `/invocation/${encodeURIComponent(id)}/${what}`;

let served = false;
let dying = false;

const exitSoon = async (code, said) => {
  setTimeout(() => process.exit(code), LAST_WORDS_MS);
  await said;
  process.exit(code);
};

// An error outside of the handler's own promise, up to Node 22.
const die = (api, title, error, code) => {
  if (dying) return;
  dying = true; // no answer and no poll may follow
  logError(title, error);
  const { active, id, response } = current();
  if (active && response) {
    response.fail(error);
    fence(id, true);
    return exitSoon(code, response.answered);
  }
  if (active) {
    // With several invocations at once the first connection may be waiting for work.
    const other = several() ? api.another() : api;
    return exitSoon(code, other.exchange(errorRequest(other, pathOf(id, "error"), id, error)));
  }
  if (served) process.exit(code); // between invocations there is nobody to tell
  const other = api.another(); // the first connection may be waiting for work
  return exitSoon(code, other.exchange(errorRequest(other, "/init/error", "init", error)));
};

const watchForErrors = (api) => {
  process.on("uncaughtException", (error) => {
    die(api, "Uncaught Exception", error, EXIT_UNCAUGHT_EXCEPTION);
  });
  process.on("unhandledRejection", (reason, promise) => {
    const error = unhandledRejection(reason, promise);
    die(api, "Unhandled Promise Rejection", error, EXIT_UNHANDLED_REJECTION);
  });
  process.on("beforeExit", () => emptyLoop.listener());
};

const invokeStreaming = async (api, fn, id, event, context) => {
  const begin = (contentType) => api.stream(
    pathOf(id, "response"), `Content-Type: ${contentType}\r\n` +
    "Lambda-Runtime-Function-Response-Mode: streaming\r\n" +
    "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n" +
    homeHeaders("1")); // the headers leave before the output is known: always a fence
  const response = createResponseStream(begin, fn.highWaterMark);
  current().response = response;
  api.hold(); // an unfinished answer waits, for the timeout if need be
  try {
    await callStreaming(fn.handler, event(), context(), response);
  } catch (error) {
    logError("Invoke Error", error);
    response.fail(error);
    await response.answered;
  }
  fence(id, true);
};

const untilLoopIsEmpty = (api, context) => {
  if (MODERN || several() || !context.callbackWaitsForEmptyEventLoop) return null;
  api.release();
  return new Promise((done) => {
    emptyLoop.listener = () => {
      emptyLoop.reset();
      setImmediate(done);
    };
  });
};

const invokeBuffered = (api, fn, id, event, context) => new Promise((done) => {
  const own = current();
  // A callback may come from a connection or a queue that invocations share.
  const finish = {
    succeed: (body) => within(own, () => {
      done(api.post(pathOf(id, "response"),
        `Content-Type: application/json\r\n${homeHeaders(fence(id))}`, body));
      close(own);
    }),
    fail: (error) => within(own, () => {
      logError("Invoke Error", error);
      done(errorRequest(api, pathOf(id, "error"), id, error));
      close(own);
    }),
  };
  try {
    (MODERN ? callModern : callLegacy)(fn.handler, event(), context(), finish);
  } catch (error) {
    finish.fail(error); // a payload or a context header that is not JSON
  }
});

// Runs the handler once. Resolves with the request that carries its answer, "" if it was streamed.
const run = async (api, fn, { headers, body }) => {
  const { id } = current();
  const event = () => JSON.parse(body);
  if (!fn.streaming) {
    if (!several()) api.release();
    const context = () => entered(buildContext(headers, process.env));
    return invokeBuffered(api, fn, id, event, context);
  }
  const waits = { callbackWaitsForEmptyEventLoop: true };
  const context = () => entered(
    Object.assign(MODERN ? {} : waits, buildContext(headers, process.env)));
  await invokeStreaming(api, fn, id, event, context);
  await untilLoopIsEmpty(api, waits);
  close(current());
  return "";
};

const invoke = (api, fn, reply) => {
  const { headers } = reply;
  const own = open(
    headers["lambda-runtime-aws-request-id"], headers["lambda-runtime-aws-tenant-id"]);
  return within(own, () => run(api, fn, reply));
};

const entered = (context) => {
  enterInvocation(context);
  return context;
};

// Takes over the descriptors and connects: all that can be done before there is a function.
export const prepare = (address) => {
  takeOutput();
  const api = new RuntimeApi(address, () => process.exit(1));
  api.connect();
  return api;
};

// Loads the function that `env` describes. Never returns if it cannot be loaded: reports and exits.
export const takeFunction = async (api, env) => {
  configureLogging(env);
  if (!MODERN) watchForErrors(api);
  try {
    if (existsSync(env.LAMBDA_TASK_ROOT)) process.chdir(env.LAMBDA_TASK_ROOT);
    defineGlobals(env);
    await setModulePaths(env);
    return await loadHandler(env);
  } catch (error) {
    logError(MODERN ? "Init Error" : "Uncaught Exception", error);
    if (MODERN) printFatal(error);
    setTimeout(() => process.exit(1), LAST_WORDS_MS);
    await api.exchange(errorRequest(api, "/init/error", "init", error));
    return process.exit(MODERN ? 1 : EXIT_UNCAUGHT_EXCEPTION);
  }
};

const poll = async (api, fn, headers) => {
  let reply = await api.next(headers);
  while (reply.status === 200) {
    served = true;
    const answer = await invoke(api, fn, reply);
    if (dying) return;
    reply = await api.next("", answer);
  }
  process.exit(1);
};

// Polls and answers until the server is gone, on as many connections as there may be invocations at
// once. `startedAt` counts as performance.now() does.
export const serve = async (api, fn, startedAt) => {
  const micros = Math.round((performance.now() - startedAt) * 1000);
  const headers = `Lambda-Home-Init-Micros: ${micros}\r\nLambda-Home-Fence: ${fence("init")}\r\n`;
  const slots = Number(process.env.AWS_LAMBDA_MAX_CONCURRENCY);
  if (!(slots > 1)) return poll(api, fn, headers);
  expectSeveral();
  tagLines();
  const apis = [api, ...Array.from({ length: slots - 1 }, () => api.another())];
  return Promise.all(apis.map((each) => poll(each, fn, headers)));
};

// A spare environment waits for its function here: takes over the function's environment.
const become = async (api, env) => {
  const { handler } = MODERN ? await import("./warm.cjs") : builtin("./warm.cjs");
  await handler(JSON.parse("{}"));
  const sees = readdirSync(env.LAMBDA_TASK_ROOT).join().slice(0, 1000);
  const { status, body } = await api.ask("/lambda-home/function", `Lambda-Home-Sees: ${sees}\r\n`);
  if (status !== 200) process.exit(1);
  const startedAt = performance.now();
  delete env._LAMBDA_HOME_SPARE;
  Object.assign(env, JSON.parse(body).environment);
  return startedAt;
};

const api = prepare(process.env.AWS_LAMBDA_RUNTIME_API);
const startedAt = process.env._LAMBDA_HOME_SPARE ? await become(api, process.env) : 0;
if (process.env._LAMBDA_HOME_DEBUG) {
  const { begin } = await import("./debugger.mjs");
  await begin(api, process.env);
}
const taken = takeFunction(api, process.env);
// As on AWS: when nothing is left to do, code that never finishes loading ends the process with
// Node's 13 up to Node 22 and with 0 from Node 24 on.
if (!MODERN) await taken;
taken.then((fn) => serve(api, fn, startedAt));
