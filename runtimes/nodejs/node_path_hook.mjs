// Lets `import` of a bare package name look into NODE_PATH, after the ordinary places: AWS does so
// since nodejs18.x. Serves both kinds of module hooks, in the thread (Node 22.15) and outside it.

import { createRequire } from "node:module";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";

const BARE = /^(?![./]|[a-z]+:)/;

// Where to look for `specifier` when the ordinary places do not have it: as if a file next to the
// packages imported it (so "exports" count), and as require() finds it in folders of other names.
const places = (specifier, folders) => [
  ...folders.filter((folder) => basename(folder) === "node_modules")
    .map((folder) => (context) => [
      specifier, { ...context, parentURL: pathToFileURL(join(folder, "_.mjs")).href },
    ]),
  (context) => [
    pathToFileURL(createRequire(join(folders[0], "_.mjs")).resolve(specifier)).href, context,
  ],
];

const goesOn = (specifier, error) => BARE.test(specifier)
  && (error.code === "ERR_MODULE_NOT_FOUND" || error.code === "MODULE_NOT_FOUND");

let folders = [];

export const initialize = (data) => {
  folders = data;
};

export const resolve = async (specifier, context, nextResolve) => {
  try {
    return await nextResolve(specifier, context);
  } catch (error) {
    if (!goesOn(specifier, error)) throw error;
    for (const place of places(specifier, folders)) {
      try {
        return await nextResolve(...place(context));
      } catch (again) {
        if (!goesOn(specifier, again)) throw again;
      }
    }
    throw error;
  }
};

export const resolveSync = (inFolders) => (specifier, context, nextResolve) => {
  try {
    return nextResolve(specifier, context);
  } catch (error) {
    if (!goesOn(specifier, error)) throw error;
    for (const place of places(specifier, inFolders)) {
      try {
        return nextResolve(...place(context));
      } catch (again) {
        if (!goesOn(specifier, again)) throw again;
      }
    }
    throw error;
  }
};
