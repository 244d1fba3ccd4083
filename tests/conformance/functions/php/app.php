<?php
// The conformance suite's function: does what the event says.
if (getenv('BROKEN')) {
    throw new DomainException('broken: ü');
}

$calls = 0;

function about(LambdaHome\Context $context): array
{
    return [
        'id' => $context->awsRequestId, 'arn' => $context->invokedFunctionArn, 'name' => $context->functionName,
        'version' => $context->functionVersion, 'memory' => $context->memoryLimitInMB,
        'group' => $context->logGroupName, 'stream' => $context->logStreamName,
        'left' => $context->getRemainingTimeInMillis(), 'custom' => $context->clientContext['custom'] ?? null,
        'identity' => $context->identity['cognitoIdentityId'] ?? null,
    ];
}

function noted(): null
{
    echo "out ü\n";
    fwrite(STDERR, "err ü\n");

    return null;
}

function handler(array $event, LambdaHome\Context $context): mixed
{
    global $calls;
    $calls++;

    return match ($event['do'] ?? '') {
        'context' => about($context),
        'environment' => getenv(),
        'fail' => throw new DomainException('as asked: ü'),
        'log' => noted(),
        'sleep' => sleep(60),
        'exit' => exit(3),
        'read' => file_get_contents($event['value']),
        'calls' => $calls,
        default => $event['value'] ?? null,
    };
}
