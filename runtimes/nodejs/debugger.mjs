// Node's inspector in an environment that the server wants debugged: it listens before any code of
// the function is loaded. Loaded only where _LAMBDA_HOME_DEBUG is set, the address to listen on.

import { createRequire } from "node:module";

const builtin = createRequire(import.meta.url);

export const begin = async (api, env) => {
  const host = env._LAMBDA_HOME_DEBUG.split(":")[0];
  delete env._LAMBDA_HOME_DEBUG;
  const inspector = builtin("node:inspector");
  inspector.open(0, host);
  const { port } = new URL(inspector.url());
  const root = env.LAMBDA_TASK_ROOT ?? "/var/task";
  await api.exchange(api.post("/lambda-home/debugger",
    `Lambda-Home-Debugger-Port: ${port}\r\nLambda-Home-Task-Root: ${root}\r\n`, ""));
};
