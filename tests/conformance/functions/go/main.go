// The conformance suite's function: does what the event says.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Do    string          `json:"do"`
	Value json.RawMessage `json:"value"`
}

var calls = 0

func handle(ctx context.Context, e event) (any, error) {
	calls++
	switch e.Do {
	case "context":
		return about(ctx), nil
	case "environment":
		return environment(), nil
	case "fail":
		return nil, errors.New("as asked: ü")
	case "log":
		fmt.Println("out ü")
		fmt.Fprintln(os.Stderr, "err ü")
		return nil, nil
	case "sleep":
		time.Sleep(time.Minute)
	case "exit":
		os.Exit(3)
	case "read":
		var path string
		if err := json.Unmarshal(e.Value, &path); err != nil {
			return nil, err
		}
		content, err := os.ReadFile(path)
		return string(content), err
	case "calls":
		return calls, nil
	case "pieces":
		reader, writer := io.Pipe()
		go pieces(writer)
		return reader, nil
	}
	return e.Value, nil
}

func pieces(writer *io.PipeWriter) {
	io.WriteString(writer, "one;")
	time.Sleep(500 * time.Millisecond)
	io.WriteString(writer, "two;")
	writer.Close()
}

func about(ctx context.Context) map[string]any {
	call, _ := lambdacontext.FromContext(ctx)
	deadline, _ := ctx.Deadline()
	told := map[string]any{
		"id": call.AwsRequestID, "arn": call.InvokedFunctionArn,
		"name": lambdacontext.FunctionName, "version": lambdacontext.FunctionVersion,
		"memory": lambdacontext.MemoryLimitInMB, "group": lambdacontext.LogGroupName,
		"stream": lambdacontext.LogStreamName, "left": time.Until(deadline).Milliseconds(),
		"custom": call.ClientContext.Custom, "identity": nil,
	}
	if call.Identity.CognitoIdentityID != "" {
		told["identity"] = call.Identity.CognitoIdentityID
	}
	return told
}

func environment() map[string]string {
	found := map[string]string{}
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		found[name] = value
	}
	return found
}

func main() {
	if os.Getenv("BROKEN") != "" {
		fmt.Println("broken: ü")
		os.Exit(4)
	}
	lambda.Start(handle)
}
