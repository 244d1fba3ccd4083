// The conformance suite's function: does what the event says.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import process from "node:process";

if (process.env.BROKEN) throw new RangeError("broken: ü");

const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const about = (context) => ({
  id: context.awsRequestId,
  arn: context.invokedFunctionArn,
  name: context.functionName,
  version: context.functionVersion,
  memory: Number(context.memoryLimitInMB),
  group: context.logGroupName,
  stream: context.logStreamName,
  left: context.getRemainingTimeInMillis(),
  custom: (context.clientContext?.custom ?? context.clientContext?.Custom) ?? null,
  identity: context.identity?.cognitoIdentityId ?? null,
});
let calls = 0;

export const handler = async (event, context) => {
  calls++;
  switch (event?.do) {
    case "context": return about(context);
    case "environment": return { ...process.env };
    case "fail": throw new RangeError("as asked: ü");
    case "log":
      console.log("out ü");
      console.error("err ü");
      return null;
    case "library": return createRequire(import.meta.url)("conformance_layer").text;
    case "sleep": return wait(60_000);
    case "exit": return process.exit(3);
    case "read": return readFileSync(event.value, "utf8");
    case "calls": return calls;
    default: return event.value;
  }
};

export const pieces = globalThis.awslambda?.streamifyResponse(async (_event, stream) => {
  stream.write("one;");
  await wait(500);
  stream.write("two;");
  stream.end();
});
