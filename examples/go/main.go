// Digests of a text; deploy it with `lambda-home deploy examples/go`.
// {"text": "hello"}
package main

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type request struct {
	Text string `json:"text"`
}

type answer struct {
	SHA256 string `json:"sha256"`
	MD5    string `json:"md5"`
	Bytes  int    `json:"bytes"`
}

func handle(ctx context.Context, asked request) (answer, error) {
	if asked.Text == "" {
		return answer{}, errors.New("give a text")
	}
	if call, ok := lambdacontext.FromContext(ctx); ok {
		log.Printf("%d bytes for %s", len(asked.Text), call.AwsRequestID)
	}
	long, short := sha256.Sum256([]byte(asked.Text)), md5.Sum([]byte(asked.Text))
	return answer{hex.EncodeToString(long[:]), hex.EncodeToString(short[:]), len(asked.Text)}, nil
}

func main() {
	lambda.Start(handle)
}
