package app;

import com.amazonaws.services.lambda.runtime.ClientContext;
import com.amazonaws.services.lambda.runtime.CognitoIdentity;
import com.amazonaws.services.lambda.runtime.Context;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.LinkedHashMap;
import java.util.Map;

/** The conformance suite's function: does what the event says. */
public class App {
    private static int calls = 0;

    static {
        if (System.getenv("BROKEN") != null) throw new IllegalStateException("broken: \u00fc");
    }

    public Object handle(Map<String, Object> event, Context context) throws Exception {
        calls++;
        switch (String.valueOf(event.get("do"))) {
            case "context": return about(context);
            case "environment": return System.getenv();
            case "fail": throw new IllegalStateException("as asked: \u00fc");
            case "log":
                System.out.println("out \u00fc");
                System.err.println("err \u00fc");
                return null;
            case "sleep": Thread.sleep(60000); return null;
            case "exit": Runtime.getRuntime().halt(3); return null;
            case "read":
                byte[] read = Files.readAllBytes(Paths.get(String.valueOf(event.get("value"))));
                return new String(read, StandardCharsets.UTF_8);
            case "calls": return calls;
            default: return event.get("value");
        }
    }

    private static Map<String, Object> about(Context context) {
        ClientContext client = context.getClientContext();
        CognitoIdentity identity = context.getIdentity();
        Map<String, Object> told = new LinkedHashMap<>();
        told.put("id", context.getAwsRequestId());
        told.put("arn", context.getInvokedFunctionArn());
        told.put("name", context.getFunctionName());
        told.put("version", context.getFunctionVersion());
        told.put("memory", context.getMemoryLimitInMB());
        told.put("group", context.getLogGroupName());
        told.put("stream", context.getLogStreamName());
        told.put("left", context.getRemainingTimeInMillis());
        told.put("custom", client == null ? null : client.getCustom());
        told.put("identity", identity == null ? null : identity.getIdentityId());
        return told;
    }
}
