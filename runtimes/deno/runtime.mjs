// The runtime API for functions on Deno or Bun. A handler is `file.export`, of file.ts, .mts, .js, .mjs or
// .cjs (a default export with a method of that name will do, too). It is called with the event and the
// context, as on AWS's Node.js runtimes; what it returns, or what its promise becomes, is sent as JSON.

import { existsSync, readFileSync, writeSync } from "node:fs";
import http from "node:http";
import path from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

const PREFIX = "/2018-06-01/runtime";
const started = performance.now();
const env = process.env;
const [host, port] = env.AWS_LAMBDA_RUNTIME_API.split(/:(?=\d+$)/);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

const exchange = (method, where, headers, body) => new Promise((done, fail) => {
  const length = body === undefined ? {} : { "Content-Length": Buffer.byteLength(body) };
  const request = http.request(
    { agent, host, port, method, path: PREFIX + where, headers: { ...headers, ...length } },
    (reply) => {
      const parts = [];
      reply.on("data", (part) => parts.push(part));
      reply.on("error", fail);
      reply.on("end", () => done({
        status: reply.statusCode, headers: reply.headers, body: Buffer.concat(parts).toString(),
      }));
    },
  );
  request.on("error", fail);
  request.end(body);
});

// Once more on a connection of its own; a server that is gone ends the process.
const reliably = async (...request) => {
  try {
    return await exchange(...request);
  } catch {
    return exchange(...request).catch(() => process.exit(1));
  }
};

const peakKib = () => {
  try {
    return /^VmHWM:\s*(\d+)/m.exec(readFileSync("/proc/self/status", "latin1"))[1];
  } catch {
    return "0";
  }
};

const fence = (id) => {
  writeSync(1, `\x1eFENCE ${id}\x1e\n`);
  return { "Content-Type": "application/json", "Lambda-Home-Fence": "1", "Lambda-Home-Peak-Kib": peakKib() };
};

const describe = (error) => {
  const known = error instanceof Error;
  const told = {
    errorType: known ? error.name : typeof error,
    errorMessage: known ? error.message : String(error),
    trace: known ? String(error.stack ?? "").split("\n") : [],
  };
  writeSync(2, `Invoke Error\t${JSON.stringify(told)}\n`);
  const type = told.errorType.replace(/[^\x20-\x7e]/g, "?");
  return [{ "Lambda-Runtime-Function-Error-Type": type }, JSON.stringify(told)];
};

const fault = (name, message) => Object.assign(new Error(message), { name });

const load = async (handler, root) => {
  const dot = handler.lastIndexOf(".");
  if (dot < 1) throw fault("Runtime.MalformedHandlerName", `Bad handler '${handler}'`);
  const base = path.join(root, handler.slice(0, dot));
  const file = ["ts", "mts", "mjs", "js", "cjs"].map((end) => `${base}.${end}`).find(existsSync);
  if (!file) throw fault("Runtime.ImportModuleError", `Cannot find module '${handler.slice(0, dot)}'`);
  const module = await import(pathToFileURL(file).href);
  const name = handler.slice(dot + 1);
  const found = module[name] ?? module.default?.[name];
  if (typeof found !== "function") {
    throw fault("Runtime.HandlerNotFound", `${handler} is undefined or not exported`);
  }
  return found.bind(module.default ?? module);
};

const contextOf = (headers) => {
  const deadline = Number(headers["lambda-runtime-deadline-ms"]);
  const read = (text) => (text ? JSON.parse(text) : undefined);
  return {
    awsRequestId: headers["lambda-runtime-aws-request-id"],
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: read(headers["lambda-runtime-client-context"]),
    identity: read(headers["lambda-runtime-cognito-identity"]),
    callbackWaitsForEmptyEventLoop: true,
    getRemainingTimeInMillis: () => Math.max(0, deadline - Date.now()),
  };
};

const answer = async (handler, { headers, body }) => {
  const id = headers["lambda-runtime-aws-request-id"];
  env._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"] ?? "";
  let result;
  try {
    result = JSON.stringify(await handler(JSON.parse(body), contextOf(headers))) ?? "null";
  } catch (error) {
    const [type, document] = describe(error);
    return reliably("POST", `/invocation/${id}/error`, { ...type, ...fence(id) }, document);
  }
  return reliably("POST", `/invocation/${id}/response`, fence(id), result);
};

let handler;
try {
  handler = await load(env._HANDLER ?? "", env.LAMBDA_TASK_ROOT ?? "/var/task");
} catch (error) {
  const [type, document] = describe(error);
  await reliably("POST", "/init/error", { ...type, ...fence("init") }, document);
  process.exit(1);
}
let told = { ...fence("init"), "Lambda-Home-Init-Micros": String(Math.round((performance.now() - started) * 1000)) };
for (;;) {
  const invocation = await reliably("GET", "/invocation/next", told);
  if (invocation.status !== 200) process.exit(1);
  told = {};
  await answer(handler, invocation);
}
