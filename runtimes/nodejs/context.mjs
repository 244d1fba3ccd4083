// The context object, and the other places AWS tells a function about its invocation.

import { current, several, within } from "./current.mjs";
import { MODERN } from "./errors.mjs";
import { HttpResponseStream } from "./stream.mjs";
import { streamifyResponse } from "./loader.mjs";

const parseJson = (text, name) => {
  if (!text) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`Cannot parse ${name} as json: ${error}`);
  }
};

// The fields that come with every invocation; `headers` are those of the polled reply.
export const buildContext = (headers, env) => {
  const deadline = Number.parseInt(headers["lambda-runtime-deadline-ms"], 10);
  const traceId = headers["lambda-runtime-trace-id"];
  // A variable of the process can speak for one invocation only.
  if (traceId && !several()) env._X_AMZN_TRACE_ID = traceId;
  else delete env._X_AMZN_TRACE_ID;
  const getRemainingTimeInMillis = () => deadline - Date.now();
  const ofInvocation = {
    clientContext: parseJson(headers["lambda-runtime-client-context"], "ClientContext"),
    identity: parseJson(headers["lambda-runtime-cognito-identity"], "CognitoIdentity"),
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    awsRequestId: headers["lambda-runtime-aws-request-id"],
    tenantId: headers["lambda-runtime-aws-tenant-id"],
  };
  const ofFunction = {
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
  };
  const functionName = env.AWS_LAMBDA_FUNCTION_NAME;
  const functionVersion = env.AWS_LAMBDA_FUNCTION_VERSION;
  return MODERN // the order, too, is AWS's
    ? {
        ...ofInvocation, xRayTraceId: traceId, getRemainingTimeInMillis,
        functionName, functionVersion, ...ofFunction,
      }
    : {
        functionVersion, functionName, ...ofFunction, ...ofInvocation,
        ...(several() ? { xRayTraceId: traceId } : {}), getRemainingTimeInMillis,
      };
};

const KEYS = Object.freeze({
  REQUEST_ID: Symbol.for("_AWS_LAMBDA_REQUEST_ID"),
  X_RAY_TRACE_ID: Symbol.for("_AWS_LAMBDA_X_RAY_TRACE_ID"),
  TENANT_ID: Symbol.for("_AWS_LAMBDA_TENANT_ID"),
});

// awslambda.InvokeStore, which AWS's SDK and tracing libraries read from Node 24 on.
class InvokeStore {
  static PROTECTED_KEYS = KEYS;
  getContext() {
    return current().context;
  }

  hasContext() {
    return current().context !== undefined;
  }

  get(key) {
    return current().context?.[key];
  }

  set(key, value) {
    if (Object.values(KEYS).includes(key)) {
      throw new Error(`Cannot modify protected Lambda context field: ${String(key)}`);
    }
    const own = current();
    own.context = { ...own.context, [key]: value };
  }

  run(context, work) {
    if (several()) return within(Object.assign(Object.create(current()), { context }), work);
    current().context = context;
    return work();
  }

  getRequestId() {
    return this.get(KEYS.REQUEST_ID) ?? "-";
  }

  getXRayTraceId() {
    return this.get(KEYS.X_RAY_TRACE_ID);
  }

  getTenantId() {
    return this.get(KEYS.TENANT_ID);
  }
}

const store = new InvokeStore();

// `awslambda`, the one global of AWS's runtime.
export const defineGlobals = (env) => {
  if (["1", "true"].includes(env.AWS_LAMBDA_NODEJS_NO_GLOBAL_AWSLAMBDA)) return;
  globalThis.awslambda = { streamifyResponse, HttpResponseStream };
  if (MODERN) globalThis.awslambda.InvokeStore = store;
};

export const enterInvocation = (context) => {
  if (!MODERN) return;
  current().context = {
    [KEYS.REQUEST_ID]: context.awsRequestId,
    [KEYS.X_RAY_TRACE_ID]: context.xRayTraceId,
    [KEYS.TENANT_ID]: context.tenantId,
  };
};
