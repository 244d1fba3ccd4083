// The conformance suite's function for Deno and Bun: does what the event says.
import { readFileSync } from "node:fs";
import process from "node:process";

type Event = { do?: string; value?: unknown };

if (process.env.BROKEN) throw new RangeError("broken: ü");

const about = (context: any) => ({
  id: context.awsRequestId,
  arn: context.invokedFunctionArn,
  name: context.functionName,
  version: context.functionVersion,
  memory: Number(context.memoryLimitInMB),
  group: context.logGroupName,
  stream: context.logStreamName,
  left: context.getRemainingTimeInMillis(),
  custom: context.clientContext?.custom ?? null,
  identity: context.identity?.cognitoIdentityId ?? null,
});
let calls = 0;

export const handler = async (event: Event, context: any): Promise<unknown> => {
  calls++;
  switch (event?.do) {
    case "context": return about(context);
    case "environment": return { ...process.env };
    case "fail": throw new RangeError("as asked: ü");
    case "log":
      console.log("out ü");
      console.error("err ü");
      return null;
    case "sleep": return new Promise((done) => setTimeout(done, 60_000));
    case "exit": return process.exit(3);
    case "read": return readFileSync(String(event.value), "utf8");
    case "calls": return calls;
    default: return event.value;
  }
};
