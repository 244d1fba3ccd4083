// Everything the function prints: one ordered stream on fd 1, written synchronously (a process
// that exits or is killed loses nothing), AWS's console format, and the fence after each invocation.

import { createRequire, syncBuiltinESMExports } from "node:module";

import { current, holders, several } from "./current.mjs";
import { MODERN, intoError, toLogged } from "./errors.mjs";

// import of a built-in builds a module around it: a millisecond each that require() does not take.
const builtin = createRequire(import.meta.url);
const fs = builtin("node:fs");
const { format, inspect } = builtin("node:util");

const { closeSync, fstatSync, openSync, writeSync } = fs; // as they are now, not as patched later

const LEVELS = { TRACE: 1, DEBUG: 2, INFO: 3, WARN: 4, ERROR: 5, FATAL: 6 };

const LINE_END = 10;
// Up to this many bytes the kernel keeps a write to a pipe in one piece, also beside other writers.
const PIPE_BUF = 4096;
const LONGEST_LINE = 256 * 1024;

let options = { json: false, minimum: LEVELS.TRACE };

const pause = new Int32Array(new SharedArrayBuffer(4));

const put = (bytes) => {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      // Someone made the pipe non-blocking (process.stdout does): wait for its reader.
      if (error.code === "EAGAIN") Atomics.wait(pause, 0, 0, 1);
      else if (error.code !== "EINTR") return; // nobody reads any more
    }
  }
};

// Whole lines, each with the name of its invocation in front.
const putTagged = (own, lines) => {
  const tag = Buffer.from(own.active ? `\x1eFROM ${own.id}\x1e` : "");
  let batch = [];
  let size = 0;
  for (let at = 0; at < lines.length; ) {
    const end = lines.indexOf(LINE_END, at) + 1;
    const length = tag.length + end - at;
    if (size > 0 && size + length > PIPE_BUF) {
      put(Buffer.concat(batch));
      [batch, size] = [[], 0];
    }
    batch.push(tag, lines.subarray(at, end));
    size += length;
    at = end;
  }
  put(Buffer.concat(batch));
};

const endLine = (own) => {
  if (own.output.restSize === 0) return;
  const line = Buffer.concat([...own.output.rest, Buffer.from("\n")]);
  [own.output.rest, own.output.restSize] = [[], 0];
  putTagged(own, line);
};

const hold = (own, bytes) => {
  own.output.rest.push(Buffer.from(bytes));
  own.output.restSize += bytes.length;
  if (own.output.restSize > LONGEST_LINE) endLine(own);
};

const putLines = (own, bytes) => {
  const end = bytes.lastIndexOf(LINE_END) + 1;
  if (end > 0) {
    const lines = Buffer.concat([...own.output.rest, bytes.subarray(0, end)]);
    [own.output.rest, own.output.restSize] = [[], 0];
    putTagged(own, lines);
  }
  if (end < bytes.length) hold(own, bytes.subarray(end));
};

const emit = (bytes) => {
  const own = current();
  own.output.wrote = true;
  if (several()) putLines(own, bytes);
  else put(bytes);
};

const write = (text) => emit(Buffer.from(text));

// Ends the output of one invocation. "1" if a fence line was written, "0" if there was no output and
// it was not asked for `always`.
export const fence = (id, always = false) => {
  const own = current();
  if (!own.output.wrote && !always) return "0";
  endLine(own);
  own.output.wrote = false;
  put(Buffer.from(`\x1eFENCE ${id}\x1e\n`));
  return "1";
};

// fd 2 becomes a duplicate of fd 1, so that native code and child processes keep the order too.
const joinStderr = () => {
  try {
    const [out, err] = [fstatSync(1), fstatSync(2)];
    if (out.ino === err.ino && out.dev === err.dev) return;
    const probe = openSync("/proc/self/fd/1", "a"); // not possible for sockets and foreign pipes
    closeSync(2);
    openSync("/proc/self/fd/1", "a"); // takes the lowest free number
    closeSync(probe);
  } catch {
    // process.stderr is redirected below all the same
  }
};

// Replaces the write of process.stdout and process.stderr when they are first touched: creating
// these streams costs a millisecond most functions never need.
const divertStream = (name) => {
  const { get } = Object.getOwnPropertyDescriptor(process, name);
  let stream;
  const patched = () => {
    if (stream) return stream;
    stream = get.call(process);
    stream.write = function write(chunk, encoding, callback) {
      if (typeof encoding === "function") [encoding, callback] = [undefined, encoding];
      if (typeof chunk !== "string" && !ArrayBuffer.isView(chunk)) {
        throw new TypeError("The \"chunk\" argument must be of type string or an instance of " +
          `Buffer, TypedArray, or DataView. Received ${chunk === null ? "null" : typeof chunk}`);
      }
      emit(typeof chunk === "string"
        ? Buffer.from(chunk, encoding)
        : new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength));
      if (typeof callback === "function") process.nextTick(callback);
      return true;
    };
    return stream;
  };
  Object.defineProperty(process, name, { configurable: true, enumerable: true, get: patched });
};

// The bytes that fs.write(fd, ...args) stands for.
const written = (data, args) => {
  if (typeof data === "string") {
    return Buffer.from(data, typeof args[1] === "string" ? args[1] : "utf8");
  }
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const { offset = 0, length } = typeof args[0] === "object" && args[0] !== null
    ? args[0] : { offset: args[0] ?? 0, length: args[1] };
  const start = typeof offset === "number" ? offset : 0;
  return bytes.subarray(start, typeof length === "number" ? start + length : undefined);
};

// With several invocations at once what is written to the descriptor needs their names, too.
const tagDescriptorWrites = (name, original) => function write_(fd, data, ...args) {
  if ((fd !== 1 && fd !== 2) || !(typeof data === "string" || ArrayBuffer.isView(data))) {
    return original.call(this, fd, data, ...args);
  }
  const bytes = written(data, args);
  emit(bytes);
  if (name === "writeSync") return bytes.length;
  const callback = args.at(-1);
  if (typeof callback === "function") process.nextTick(callback, null, bytes.length, data);
  return undefined;
};

export const tagLines = () => {
  for (const name of ["write", "writeSync"]) {
    const original = fs[name];
    fs[name] = Object.defineProperties(
      tagDescriptorWrites(name, original), Object.getOwnPropertyDescriptors(original));
  }
  syncBuiltinESMExports();
  process.on("exit", () => holders().forEach(endLine));
};

// Loggers such as pino write to the descriptor itself: notice them, change nothing.
const noticeDescriptorWrites = () => {
  for (const name of ["write", "writeSync"]) {
    const original = fs[name];
    const noticing = {
      [name](fd, ...rest) {
        if (fd === 1 || fd === 2) current().output.wrote = true;
        return original.call(this, fd, ...rest);
      },
    }[name];
    fs[name] = Object.defineProperties(noticing, Object.getOwnPropertyDescriptors(original));
  }
  syncBuiltinESMExports();
};

const withErrors = (_key, value) =>
  value instanceof Error
    ? {
        errorType: value.constructor?.name ?? "UnknownError",
        errorMessage: value.message,
        stackTrace: typeof value.stack === "string" ? value.stack.split("\n") : value.stack,
        ...value,
      }
    : value;

const jsonLine = (level, message, params) => {
  const { id, tenantId } = current();
  const line = { timestamp: new Date().toISOString(), level, requestId: id };
  if (tenantId) line.tenantId = tenantId;
  if (params.length === 0) {
    line.message = message;
    try {
      return JSON.stringify(line, withErrors);
    } catch {
      line.message = format(message);
      return JSON.stringify(line);
    }
  }
  line.message = format(message, ...params);
  const candidates = MODERN ? params : [message, ...params];
  const error = candidates.find((candidate) => candidate instanceof Error);
  if (error) {
    line.errorType = error.constructor?.name ?? "UnknownError";
    line.errorMessage = error.message;
    line.stackTrace = typeof error.stack === "string" ? error.stack.split("\n") : [];
  }
  return JSON.stringify(line);
};

const log = (level, message, params) => {
  const line = options.json
    ? jsonLine(level, message, params)
    : `${new Date().toISOString()}\t${current().id}\t${level}\t${format(message, ...params)}`;
  // As AWS does for a plain pipe: one log event is one line, inner line ends become \r.
  write(`${line.replaceAll("\n", "\r")}\n`);
};

const METHODS = {
  trace: "TRACE", debug: "DEBUG", info: "INFO", warn: "WARN", error: "ERROR", fatal: "FATAL",
};

const patchConsole = () => {
  for (const [method, level] of Object.entries(METHODS)) {
    console[method] = LEVELS[level] >= options.minimum || (!MODERN && level === "FATAL")
      ? (message, ...params) => log(level, message, params)
      : () => {};
  }
  console.log = console.info;
};

// Before any function code: takes over the descriptors. Needs nothing of the function.
export const takeOutput = () => {
  joinStderr();
  divertStream("stdout");
  divertStream("stderr");
  noticeDescriptorWrites();
};

// The function's own logging settings (AWS_LAMBDA_LOG_FORMAT, AWS_LAMBDA_LOG_LEVEL).
export const configureLogging = (env) => {
  options = {
    json: env.AWS_LAMBDA_LOG_FORMAT?.toUpperCase() === "JSON",
    minimum: LEVELS[env.AWS_LAMBDA_LOG_LEVEL?.toUpperCase()] ?? LEVELS.TRACE,
  };
  patchConsole();
};

// An error the runtime reports, e.g. "Invoke Error \t{...}".
export const logError = (title, error) => {
  if (options.json) console.error(intoError(error));
  else console.error(title, toLogged(intoError(error)));
};

// What Node itself prints when an error ends the process.
export const printFatal = (error) => {
  write(`${inspect(error)}\n\nNode.js ${process.version}\n`);
};
