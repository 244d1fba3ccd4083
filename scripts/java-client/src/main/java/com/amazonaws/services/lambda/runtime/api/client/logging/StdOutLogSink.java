package com.amazonaws.services.lambda.runtime.api.client.logging;

import com.amazonaws.services.lambda.runtime.logging.LogFormat;
import com.amazonaws.services.lambda.runtime.logging.LogLevel;
import java.util.Arrays;

/**
 * Stands before AWS's class of this name: where AWS's platform takes framed records, ours reads lines. Each
 * message of a LambdaLogger ends its line, as each is a log event of its own on AWS.
 */
public class StdOutLogSink implements LogSink {

    @Override
    public void log(byte[] message) {
        log(LogLevel.UNDEFINED, LogFormat.TEXT, message);
    }

    @Override
    public synchronized void log(LogLevel level, LogFormat format, byte[] message) {
        byte[] line = message;
        if (line.length == 0 || line[line.length - 1] != '\n') {
            line = Arrays.copyOf(message, message.length + 1);
            line[message.length] = '\n';
        }
        System.out.write(line, 0, line.length);
        System.out.flush();
    }

    @Override
    public void close() {
        // Standard output stays open.
    }
}
