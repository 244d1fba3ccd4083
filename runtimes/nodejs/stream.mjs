// Response streaming: the stream a streaming handler writes to, and HttpResponseStream.

import { createRequire } from "node:module";

import { InvalidStreamingOperation, toAnswer } from "./errors.mjs";

// import of a built-in builds a module around it: a millisecond each that require() does not take.
const builtin = createRequire(import.meta.url);
const { Writable } = builtin("node:stream");

const INTEGRATION_RESPONSE = "application/vnd.awslambda.http-integration-response";
const TYPE = "Lambda-Runtime-Function-Error-Type";
const BODY = "Lambda-Runtime-Function-Error-Body";

// A header value may not hold line ends or anything else that is not printable.
export const headerSafe = (value) => String(value).replace(/[^\x20-\x7e]/g, "?");

// Servers bound the size of a header; trailers are read like headers.
const LONGEST_MESSAGE = 4096;
const LONGEST_TRACE = 16;

const errorTrailers = (error) => {
  const answer = toAnswer(error);
  answer.errorMessage = answer.errorMessage?.slice(0, LONGEST_MESSAGE);
  answer.trace = answer.trace?.slice(0, LONGEST_TRACE).map((line) => line.slice(0, 400));
  const body = Buffer.from(JSON.stringify(answer)).toString("base64");
  return `${TYPE}: ${headerSafe(answer.errorType)}\r\n${BODY}: ${body}\r\n`;
};

// `begin(contentType)` opens the chunked answer and returns its `write(bytes, done)` and
// `end(trailers)`. Returns the handler's stream, `closed` (it takes no more), `answered` (the server
// replied) and `fail(error)`, which ends the answer with the error in its trailers.
export const createResponseStream = (begin, highWaterMark) => {
  let contentType = "application/octet-stream";
  let exchange = null;
  let trailers = "";
  let replied;
  const answered = new Promise((done) => { replied = done; });
  const opened = () => (exchange ??= begin(contentType));
  let terminated = false;
  const terminate = () => {
    if (terminated) return;
    terminated = true;
    opened().end(trailers).then(replied);
  };

  const stream = new Writable({
    highWaterMark,
    write(chunk, _encoding, done) {
      if (chunk.length === 0) return done(); // an empty chunk would end the answer
      opened().write(chunk, done);
    },
    final(done) {
      terminate();
      done();
    },
  });
  const firstWrite = () => {
    const before = stream._onBeforeFirstWrite;
    stream._onBeforeFirstWrite = undefined;
    if (typeof before === "function") before((chunk) => writeRaw(chunk));
  };
  let started = false;
  const writeRaw = (chunk, ...rest) => Writable.prototype.write.call(stream, chunk, ...rest);
  stream.setContentType = (type) => {
    if (started) throw new InvalidStreamingOperation("Cannot set content-type, too late.");
    contentType = headerSafe(type);
  };
  // Who waits for "drain" alone would wait for ever once nobody reads any more.
  const comeBack = () => process.nextTick(() => stream.emit("drain"));
  stream.write = (chunk, ...rest) => {
    if (stream.destroyed) comeBack();
    if (!started) {
      started = true;
      firstWrite();
    }
    const plain = typeof chunk === "string" || chunk instanceof Uint8Array;
    return writeRaw(plain ? chunk : JSON.stringify(chunk), ...rest);
  };
  stream.end = (chunk, ...rest) => {
    if (typeof chunk === "function") [chunk, rest] = [undefined, [chunk]];
    // AWS's client forgets the prelude when nothing was written before end(); here it is sent.
    if (!started && !stream.writableEnded) {
      started = true;
      firstWrite();
    }
    if (chunk !== undefined && chunk !== null) stream.write(chunk);
    return Writable.prototype.end.call(stream, ...rest.filter((f) => typeof f === "function"));
  };
  const closed = new Promise((done) => {
    stream.once("finish", done);
    stream.once("close", done);
    stream.on("error", comeBack); // reported when the handler is done
  });

  const fail = (error) => {
    if (stream.writableFinished || (stream.writableEnded && !stream.destroyed)) return; // too late
    trailers = errorTrailers(error);
    if (stream.destroyed) return terminate();
    stream._onBeforeFirstWrite = undefined;
    Writable.prototype.end.call(stream);
  };
  return { stream, closed, answered, fail };
};

export class HttpResponseStream {
  // The status, headers and cookies of an HTTP answer, ahead of its body.
  static from(underlyingStream, prelude) {
    underlyingStream.setContentType(INTEGRATION_RESPONSE);
    const metadata = JSON.stringify(prelude);
    underlyingStream._onBeforeFirstWrite = (write) => {
      write(metadata);
      write(new Uint8Array(8));
    };
    return underlyingStream;
  }
}
