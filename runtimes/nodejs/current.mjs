// Which invocation runs now. One at a time needs a variable; where the environment takes several at
// once (AWS_LAMBDA_MAX_CONCURRENCY) the asynchronous context tells, which costs more.

import { createRequire } from "node:module";

import { MODERN } from "./errors.mjs";

// import of a built-in builds a module around it: a millisecond each that require() does not take.
const builtin = createRequire(import.meta.url);

const newOutput = () => ({ wrote: false, rest: [], restSize: 0 });

// The invocation of an environment that has one at a time, and whatever belongs to none.
const only = {
  id: MODERN ? "-" : undefined, // AWS prints these before the first invocation
  tenantId: undefined,
  active: false, // has not been answered: an error that nobody caught can be reported
  response: null, // of a streaming handler
  context: undefined, // of InvokeStore
  output: newOutput(), // `wrote`: anything since the last fence; `rest`: a line's beginning
};

let storage = null;
const opened = new Set();

export const several = () => storage !== null;

export const expectSeveral = () => {
  const { AsyncLocalStorage } = builtin("node:async_hooks");
  storage = new AsyncLocalStorage();
};

export const current = () => storage?.getStore() ?? only;

// Runs `work` as a part of the invocation `own`.
export const within = (own, work) => (storage ? storage.run(own, work) : work());

export const open = (id, tenantId) => {
  const fresh = { id, tenantId, active: true, response: null };
  if (!storage) return Object.assign(only, fresh);
  const own = { ...fresh, context: undefined, output: newOutput() };
  opened.add(own);
  return own;
};

export const close = (own) => {
  own.active = false;
  opened.delete(own);
};

// Everything that may hold the beginning of a line.
export const holders = () => [...opened, only];
