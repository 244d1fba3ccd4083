// The runtime API over one raw keep-alive connection. An answer and the request for the next
// invocation leave in one write; replies come back in the order of the requests.

import { createRequire } from "node:module";

// import of a built-in builds a module around it: a millisecond each that require() does not take.
const builtin = createRequire(import.meta.url);
const { connect } = builtin("node:net");

const BASE = "/2018-06-01/runtime";
const HEAD_END = Buffer.from("\r\n\r\n");
const EMPTY = Buffer.alloc(0);

// Reads HTTP/1.1 replies out of pieces of any size.
class ReplyParser {
  #rest = EMPTY;
  #reply = null; // head read, body not complete
  #onReply;

  constructor(onReply) {
    this.#onReply = onReply;
  }

  // `data` is only lent: what is kept is copied.
  push(data) {
    if (this.#rest.length > 0) {
      data = Buffer.concat([this.#rest, data]);
      this.#rest = EMPTY;
    }
    let at = 0;
    while (at < data.length) {
      const before = at;
      at = this.#reply ? this.#readBody(data, at) : this.#readHead(data, at);
      if (at === before) break;
    }
    if (at < data.length) this.#rest = Buffer.from(data.subarray(at));
  }

  #readHead(data, at) {
    const end = data.indexOf(HEAD_END, at);
    if (end < 0) return at;
    const [statusLine, ...lines] = data.toString("utf8", at, end).split("\r\n");
    const headers = Object.create(null);
    for (const line of lines) {
      const colon = line.indexOf(":");
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    const status = Number(statusLine.slice(9, 12));
    const chunked = headers["transfer-encoding"]?.toLowerCase() === "chunked";
    const length = chunked || status === 204 ? 0 : Number(headers["content-length"] ?? 0);
    this.#reply = { status, headers, body: EMPTY, chunked, length, parts: [], have: 0 };
    return this.#readBody(data, end + 4);
  }

  #readBody(data, at) {
    const reply = this.#reply;
    if (reply.chunked) return this.#readChunk(data, at);
    const piece = data.subarray(at, at + reply.length - reply.have);
    if (reply.have === 0 && piece.length === reply.length) {
      reply.body = piece.toString("utf8"); // the usual case: all of it at once, nothing to copy
      return this.#finish(at + piece.length);
    }
    if (reply.have === 0) reply.parts = Buffer.allocUnsafe(reply.length);
    piece.copy(reply.parts, reply.have);
    reply.have += piece.length;
    if (reply.have < reply.length) return at + piece.length;
    reply.body = reply.parts.toString("utf8");
    return this.#finish(at + piece.length);
  }

  #readChunk(data, at) {
    const line = data.indexOf("\r\n", at);
    if (line < 0) return at;
    const size = Number.parseInt(data.toString("latin1", at, line), 16);
    const end = line + 2 + size;
    if (data.length < end + 2) return at;
    if (size > 0) {
      this.#reply.parts.push(Buffer.from(data.subarray(line + 2, end)));
      return end + 2;
    }
    this.#reply.body = Buffer.concat(this.#reply.parts).toString("utf8");
    return this.#finish(end + 2);
  }

  #finish(at) {
    const { status, headers, body } = this.#reply;
    this.#reply = null;
    this.#onReply({ status, headers, body: body === EMPTY ? "" : body });
    return at;
  }
}

export class RuntimeApi {
  #address;
  #host;
  #socket = null;
  #waiting = []; // requests sent and not yet answered, oldest first
  #reconnected = false;
  #idle = true; // only a poll keeps the process alive, as on AWS
  #onGone;

  // `onGone` is called when the server cannot be reached any more.
  constructor(address, onGone) {
    const colon = address.lastIndexOf(":");
    this.#address = {
      host: address.slice(0, colon).replace(/^\[|\]$/g, ""),
      port: Number(address.slice(colon + 1)),
    };
    this.#host = address;
    this.#onGone = onGone;
  }

  connect() {
    const parser = new ReplyParser((reply) => this.#take(reply));
    const socket = connect({
      ...this.#address,
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafe(65536),
        callback: (size, buffer) => {
          if (socket === this.#socket) parser.push(buffer.subarray(0, size));
          return true;
        },
      },
    });
    socket.setNoDelay(true);
    socket.on("error", () => {}); // "close" follows
    socket.on("close", () => this.#lost(socket));
    if (this.#idle) socket.unref();
    this.#socket = socket;
  }

  // The next invocation's reply. `answer` is a request from `post` that leaves in the same write.
  next(headers = "", answer = "") {
    const poll = `GET ${BASE}/invocation/next HTTP/1.1\r\nHost: ${this.#host}\r\n${headers}\r\n`;
    this.#hold();
    return new Promise((resolve) => {
      if (answer) this.#waiting.push({ text: answer, resolve: null });
      this.#waiting.push({ text: poll, resolve });
      this.#send(answer + poll);
    });
  }

  // Asks for something and waits for it.
  ask(path, headers) {
    return this.exchange(`GET ${BASE}${path} HTTP/1.1\r\nHost: ${this.#host}\r\n${headers}\r\n`);
  }

  // Sends one request alone and waits for its reply.
  exchange(text) {
    this.#hold();
    return new Promise((resolve) => {
      this.#waiting.push({ text, resolve });
      this.#send(text);
    });
  }

  post(path, headers, body) {
    return `${this.#open(path, headers)}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
  }

  // Starts a chunked request. Its pieces are written in order; `end` resolves with the reply.
  stream(path, headers) {
    this.#hold();
    if (!this.#socket) this.connect();
    const socket = this.#socket;
    let ended = false;
    let over = false; // nobody reads any more
    const replied = new Promise((resolve) => {
      const take = (reply) => {
        over = true;
        // Refused in the middle: what follows on this connection would be read as the rest of it.
        if (!ended) socket.destroy();
        resolve(reply);
      };
      this.#waiting.push({ text: null, resolve: take });
    });
    socket.write(`${this.#open(path, headers)}Transfer-Encoding: chunked\r\n\r\n`);
    return {
      write: (bytes, done) => {
        if (over) return done(new Error("write EPIPE: nobody reads the response any more"));
        socket.cork();
        socket.write(`${bytes.length.toString(16)}\r\n`);
        socket.write(bytes);
        socket.write("\r\n", done);
        socket.uncork();
      },
      end: (trailers) => {
        ended = true;
        if (!over) socket.write(`0\r\n${trailers}\r\n`);
        return replied;
      },
    };
  }

  // A second connection, for what cannot wait until the poll on this one is answered.
  another() {
    return new RuntimeApi(this.#host, this.#onGone);
  }

  // While an invocation runs, only the function's own work keeps the process alive.
  release() {
    this.#idle = true;
    this.#socket?.unref();
  }

  hold() {
    this.#hold();
  }

  #hold() {
    this.#idle = false;
    this.#socket?.ref();
  }

  #open(path, headers) {
    return `POST ${BASE}${path} HTTP/1.1\r\nHost: ${this.#host}\r\n${headers}`;
  }

  #send(text) {
    if (!this.#socket) this.connect();
    this.#socket.write(text);
  }

  #take(reply) {
    this.#reconnected = false;
    this.#waiting.shift()?.resolve?.(reply);
  }

  // Once more with what has no reply yet; a second loss in a row means the server is gone.
  #lost(socket) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    const again = [];
    for (const request of this.#waiting) {
      if (request.text === null) request.resolve(null); // a stream cannot be repeated
      else again.push(request);
    }
    this.#waiting = again;
    if (again.length === 0) return;
    if (this.#reconnected) return this.#onGone();
    this.#reconnected = true;
    this.#send(again.map((request) => request.text).join(""));
  }
}
