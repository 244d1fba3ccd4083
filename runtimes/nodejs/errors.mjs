// Errors the runtime itself raises, and the two ways AWS's runtimes write an error down.
//
// AWS ships two generations of its Node runtime: up to nodejs22.x (runtime interface client 3) and
// from nodejs24.x on (client 4). They name, format and log errors differently; `MODERN` chooses.

export const MAJOR = Number.parseInt(process.versions.node, 10);
export const MODERN = MAJOR >= 24;

// The legacy client sets the name on the prototype, so it also heads the stack; the modern one
// sets it after construction, so the stack starts with plain "Error:".
const named = (legacyClass, modernClass, code) => {
  const type = MODERN
    ? class extends Error {
        constructor(message) {
          super(message);
          this.name = code;
        }
      }
    : class extends Error {};
  if (!MODERN) type.prototype.name = code;
  Object.defineProperty(type, "name", { value: MODERN ? modernClass : legacyClass });
  return type;
};

export const ImportModuleError = named(
  "ImportModuleError", "ImportModuleError", "Runtime.ImportModuleError");
export const UserCodeSyntaxError = named(
  "UserCodeSyntaxError", "UserCodeSyntaxError", "Runtime.UserCodeSyntaxError");
export const HandlerNotFound = named(
  "HandlerNotFound", "HandlerNotFoundError", "Runtime.HandlerNotFound");
export const MalformedHandlerName = named(
  "MalformedHandlerName", "MalformedHandlerNameError", "Runtime.MalformedHandlerName");
export const MalformedStreamingHandler = named(
  "MalformedStreamingHandler", "MalformedStreamingHandler", "Runtime.MalformedStreamingHandler");
export const InvalidStreamingOperation = named(
  "InvalidStreamingOperation", "InvalidStreamingOperation", "Runtime.InvalidStreamingOperation");
export const CallbackHandlerDeprecated = named(
  "CallbackHandlerDeprecated", "CallbackHandlerDeprecatedError",
  "Runtime.CallbackHandlerDeprecated");
const JSONStringifyError = named(
  "JSONStringifyError", "JSONStringifyError", "Runtime.JSONStringifyError");

export const UnhandledPromiseRejection = named(
  "UnhandledPromiseRejection", "UnhandledPromiseRejection", "Runtime.UnhandledPromiseRejection");

export const unhandledRejection = (reason, promise) => {
  const error = new UnhandledPromiseRejection(reason);
  error.reason = reason;
  error.promise = promise;
  return error;
};

// The body of a result. Functions and symbols have none.
export const serialise = (value) => {
  let body;
  try {
    body = JSON.stringify(value === undefined ? null : value);
  } catch {
    const type = MODERN ? JSONStringifyError : Error;
    throw new type("Unable to stringify response body");
  }
  if (body === undefined) throw new TypeError("Wrong arguments");
  return body;
};

const clean = (text) => text?.replaceAll("\x7F", "%7F");

const looksLikeError = (value) =>
  value && [value.name, value.message, value.stack].every((s) => s && typeof s === "string");

// What /error and /init/error carry.
export const toAnswer = (error) => {
  const unreadable = {
    errorType: "handled",
    errorMessage:
      "callback called with Error argument, but there was a problem while retrieving one or " +
      "more of its message, name, and stack",
  };
  try {
    if (error instanceof Error || (!MODERN && looksLikeError(error))) {
      return {
        errorType: clean(error.name),
        errorMessage: clean(error.message),
        trace: MODERN ? clean(error.stack)?.split("\n") || [] : clean(error.stack).split("\n"),
      };
    }
    return {
      errorType: typeof error,
      errorMessage: MODERN ? String(error) : error.toString(),
      trace: [],
    };
  } catch {
    return MODERN ? { ...unreadable, trace: [] } : unreadable;
  }
};

export const intoError = (value) =>
  value instanceof Error ? value : new Error(MODERN ? String(value) : value);

// What the log line of an error carries after its title.
export const toLogged = (error) => {
  const spread = (_key, value) => {
    if (!(value instanceof Error)) return value;
    const fields = {
      errorType: value.name, errorMessage: value.message, code: value.code, ...value,
    };
    if (typeof value.stack === "string") fields.stack = value.stack.split("\n");
    return fields;
  };
  try {
    return `\t${JSON.stringify(error, spread)}`;
  } catch {
    return `\t${JSON.stringify(toAnswer(error))}`;
  }
};
