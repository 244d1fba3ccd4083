// Finds the function's handler as AWS does: `folder/module.export.nested` below LAMBDA_TASK_ROOT.

import Module, { createRequire } from "node:module";

import {
  CallbackHandlerDeprecated, HandlerNotFound, ImportModuleError, MAJOR, MODERN,
  MalformedHandlerName, MalformedStreamingHandler, UserCodeSyntaxError,
} from "./errors.mjs";

// import of a built-in builds a module around it: a millisecond each that require() does not take.
const builtin = createRequire(import.meta.url);
const { existsSync, readFileSync } = builtin("node:fs");
const { basename, delimiter, dirname, join, resolve } = builtin("node:path");
const { pathToFileURL } = builtin("node:url");

const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");
const HIGH_WATER_MARK = Symbol.for("aws.lambda.runtime.handler.streaming.highWaterMark");

const CALLBACK_REMOVED =
  "ERROR: AWS Lambda has removed support for callback-based function handlers starting with " +
  "Node.js 24. You need to modify this function to use a supported handler signature to use " +
  "Node.js 24 or later. For more information see " +
  "https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html.";

export const streamifyResponse = (handler, options) => {
  handler[STREAMING] = "response";
  if (typeof options?.highWaterMark === "number") {
    handler[HIGH_WATER_MARK] = Math.trunc(options.highWaterMark);
  }
  return handler;
};

// The folders of layers and of the runtime. AWS sets NODE_PATH so, and honours it for ES modules.
export const setModulePaths = async (env) => {
  const runtime = env.LAMBDA_RUNTIME_DIR ?? "/var/runtime";
  env.NODE_PATH ||= [
    `/opt/nodejs/node${MAJOR}/node_modules`, "/opt/nodejs/node_modules",
    `${runtime}/node_modules`, runtime, env.LAMBDA_TASK_ROOT,
  ].join(delimiter);
  Module._initPaths();
  const folders = env.NODE_PATH.split(delimiter).filter(
    (folder) => folder && folder !== runtime && folder !== env.LAMBDA_TASK_ROOT
      && existsSync(folder));
  if (folders.length > 0) await resolveImportsIn(folders);
};

// Only where such a folder exists: hooks cost milliseconds before Node 22.15 (a thread of their own).
const resolveImportsIn = async (folders) => {
  if (Module.registerHooks) {
    const { resolveSync } = await import("./node_path_hook.mjs");
    Module.registerHooks({ resolve: resolveSync(folders) });
  } else if (Module.register) {
    Module.register("./node_path_hook.mjs", import.meta.url, { data: folders });
  }
};

const parse = (handlerString) => {
  if (handlerString.includes("..")) {
    throw new MalformedHandlerName(
      `'${handlerString}' is not a valid handler name. Use absolute paths when specifying root ` +
      "directories in handler names.");
  }
  const last = basename(handlerString);
  const match = /^([^.]*)\.(.*)$/.exec(last);
  if (!match) throw new MalformedHandlerName("Bad handler");
  const folder = handlerString.slice(0, handlerString.indexOf(last));
  return { folder, module: match[1], path: match[2].split(".") };
};

const isModulePackage = (folder) => {
  for (let at = folder; !at.endsWith("/node_modules"); at = dirname(at)) {
    const file = join(at, "package.json");
    if (existsSync(file)) {
      try {
        return JSON.parse(readFileSync(file, "utf8"))?.type === "module";
      } catch (error) {
        console.warn(
          `${file} cannot be read, it will be ignored for ES module detection purposes.`, error);
        return false;
      }
    }
    if (at === "/") break;
  }
  return false;
};

// Up to Node 22: require() wherever it can be, import() for .mjs and packages of type "module".
const loadLegacy = async (require, root, folder, module) => {
  const file = resolve(root, folder, module);
  if (existsSync(file)) {
    const loaded = require(file);
    if (loaded) return loaded;
  }
  const script = `${file}.js`;
  if (existsSync(script)) {
    const loaded = isModulePackage(dirname(script))
      ? await import(pathToFileURL(script).href)
      : require(script);
    if (loaded) return loaded;
  }
  if (existsSync(`${file}.mjs`)) return import(pathToFileURL(`${file}.mjs`).href);
  if (existsSync(`${file}.cjs`)) return require(`${file}.cjs`);
  return require(require.resolve(module, { paths: [root, folder] }));
};

// From Node 24: import() for everything.
const loadModern = async (require, root, folder, module) => {
  const file = resolve(root, folder, module);
  for (const extension of ["", ".js", ".mjs", ".cjs"]) {
    if (existsSync(file + extension)) return import(pathToFileURL(file + extension).href);
  }
  return require(require.resolve(module, { paths: [root, join(root, folder)] }));
};

const load = async (env, folder, module) => {
  // Requiring from AWS's own entry file gives AWS's "Require stack" and finds its packages.
  const require = createRequire(join(env.LAMBDA_RUNTIME_DIR ?? "/var/runtime", "index.mjs"));
  try {
    return await (MODERN ? loadModern : loadLegacy)(require, env.LAMBDA_TASK_ROOT, folder, module);
  } catch (error) {
    if (error instanceof SyntaxError) {
      const wrapped = new UserCodeSyntaxError(error);
      if (MODERN) wrapped.stack = error.stack;
      throw wrapped;
    }
    if (error?.code === "MODULE_NOT_FOUND") throw new ImportModuleError(error);
    throw error;
  }
};

const walk = (module, path) => path.reduce((at, key) => (
  MODERN && typeof at !== "object" ? undefined : at && at[key]), module);

const checkedMetadata = (handler) => {
  const streaming = handler[STREAMING];
  if (streaming && streaming !== "response") {
    throw new MalformedStreamingHandler("Only response streaming is supported.");
  }
  if (MODERN && !streaming && handler.length >= 3) {
    throw new CallbackHandlerDeprecated(CALLBACK_REMOVED);
  }
  const mark = Number.parseInt(handler[HIGH_WATER_MARK], 10);
  return { streaming: Boolean(streaming), highWaterMark: Number.isNaN(mark) ? undefined : mark };
};

// The function named by `_HANDLER` and how it wants to be called. Raises the error AWS reports.
export const loadHandler = async (env) => {
  const name = env._HANDLER ?? "";
  const { folder, module, path } = parse(name);
  const loaded = await load(env, folder, module);
  let handler = walk(loaded, path);
  if (MODERN && !handler && loaded && typeof loaded === "object" && "default" in loaded) {
    handler = walk(loaded.default, path);
  }
  if (!handler) throw new HandlerNotFound(`${name} is undefined or not exported`);
  if (typeof handler !== "function") throw new HandlerNotFound(`${name} is not a function`);
  return { handler, ...checkedMetadata(handler) };
};
