// Lets `import` of a bare package name look into NODE_PATH, after the ordinary places: AWS does so
// since nodejs18.x. Serves both kinds of module hooks, in the thread (Node 22.15) and outside it.

const BARE = /^(?![./]|[a-z]+:)/;

const missing = (error) =>
  error.code === "ERR_MODULE_NOT_FOUND" || error.code === "MODULE_NOT_FOUND";

let parents = [];

export const initialize = (data) => {
  parents = data;
};

export const resolve = async (specifier, context, nextResolve) => {
  try {
    return await nextResolve(specifier, context);
  } catch (error) {
    if (!missing(error) || !BARE.test(specifier)) throw error;
    for (const parentURL of parents) {
      try {
        return await nextResolve(specifier, { ...context, parentURL });
      } catch (again) {
        if (!missing(again)) throw again;
      }
    }
    throw error;
  }
};

export const nodePathResolver = (folders) => (specifier, context, nextResolve) => {
  try {
    return nextResolve(specifier, context);
  } catch (error) {
    if (!missing(error) || !BARE.test(specifier)) throw error;
    for (const parentURL of folders) {
      try {
        return nextResolve(specifier, { ...context, parentURL });
      } catch (again) {
        if (!missing(again)) throw again;
      }
    }
    throw error;
  }
};
