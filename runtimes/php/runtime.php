<?php

declare(strict_types=1);

/*
 * The runtime API for PHP functions. A handler is `file.function` or `file.Class::method` (file.php defines
 * it), or the name of a file that returns a callable. It is called with the event, as arrays, and the
 * context; what it returns is sent as JSON. vendor/autoload.php is loaded first where the package has one.
 */

namespace LambdaHome;

/** What a handler gets as its second argument. */
final class Context
{
    public readonly string $awsRequestId;
    public readonly string $invokedFunctionArn;
    public readonly string $traceId;
    public readonly int $deadlineMs;
    public readonly string $functionName;
    public readonly string $functionVersion;
    public readonly int $memoryLimitInMB;
    public readonly string $logGroupName;
    public readonly string $logStreamName;
    public readonly ?array $clientContext;
    public readonly ?array $identity;

    public function __construct(array $headers)
    {
        $this->awsRequestId = $headers['lambda-runtime-aws-request-id'];
        $this->invokedFunctionArn = $headers['lambda-runtime-invoked-function-arn'] ?? '';
        $this->traceId = $headers['lambda-runtime-trace-id'] ?? '';
        $this->deadlineMs = (int) ($headers['lambda-runtime-deadline-ms'] ?? 0);
        $this->functionName = (string) getenv('AWS_LAMBDA_FUNCTION_NAME');
        $this->functionVersion = (string) getenv('AWS_LAMBDA_FUNCTION_VERSION');
        $this->memoryLimitInMB = (int) getenv('AWS_LAMBDA_FUNCTION_MEMORY_SIZE');
        $this->logGroupName = (string) getenv('AWS_LAMBDA_LOG_GROUP_NAME');
        $this->logStreamName = (string) getenv('AWS_LAMBDA_LOG_STREAM_NAME');
        $this->clientContext = self::document($headers['lambda-runtime-client-context'] ?? '');
        $this->identity = self::document($headers['lambda-runtime-cognito-identity'] ?? '');
    }

    /** Milliseconds until the invocation times out, never below 0. */
    public function getRemainingTimeInMillis(): int
    {
        return max(0, $this->deadlineMs - (int) (microtime(true) * 1000));
    }

    private static function document(string $text): ?array
    {
        $read = $text === '' ? null : json_decode($text, true);

        return is_array($read) ? $read : null;
    }
}

/** The runtime API over one connection. */
final class Client
{
    private const PREFIX = '/2018-06-01/runtime/';

    /** @var resource|null */
    private $stream = null;

    public function __construct(private readonly string $address)
    {
    }

    /** One exchange: status, headers (lower-case names), body. Reconnects once; ends the process after that. */
    public function exchange(string $method, string $path, string $body = '', array $headers = []): array
    {
        $head = "{$method} " . self::PREFIX . "{$path} HTTP/1.1\r\nHost: {$this->address}\r\n";
        foreach ($headers as $name => $value) {
            $head .= "{$name}: {$value}\r\n";
        }
        if ($method === 'POST') {
            $head .= 'Content-Length: ' . strlen($body) . "\r\n";
        }
        for ($attempt = 0; $attempt < 2; $attempt++) {
            if ($this->stream === null && !$this->connect()) {
                break;
            }
            if ($this->send("{$head}\r\n{$body}")) {
                $answer = $this->read();
                if ($answer !== null) {
                    return $answer;
                }
            }
            $this->stream = null;
        }
        exit(1);
    }

    private function connect(): bool
    {
        $stream = @stream_socket_client("tcp://{$this->address}", $number, $message, 10);
        if ($stream === false) {
            return false;
        }
        // The wait for an invocation has no end.
        stream_set_timeout($stream, PHP_INT_MAX >> 32);
        $this->stream = $stream;

        return true;
    }

    private function send(string $data): bool
    {
        while ($data !== '') {
            $sent = @fwrite($this->stream, $data);
            if ($sent === false || $sent === 0) {
                return false;
            }
            $data = substr($data, $sent);
        }

        return true;
    }

    private function read(): ?array
    {
        do {
            $line = fgets($this->stream);
            if ($line === false) {
                return null;
            }
            $status = (int) substr($line, 9, 3);
            $headers = [];
            while (($line = fgets($this->stream)) !== false && rtrim($line) !== '') {
                [$name, $value] = explode(':', $line, 2);
                $headers[strtolower($name)] = trim($value);
            }
        } while ($status < 200);
        if (!isset($headers['transfer-encoding'])) {
            $body = $this->exactly((int) ($headers['content-length'] ?? 0));

            return $body === null ? null : [$status, $headers, $body];
        }
        $body = '';
        while (($size = hexdec(trim((string) fgets($this->stream)))) > 0) {
            $piece = $this->exactly((int) $size);
            fgets($this->stream);
            if ($piece === null) {
                return null;
            }
            $body .= $piece;
        }
        fgets($this->stream);

        return [$status, $headers, $body];
    }

    private function exactly(int $size): ?string
    {
        $data = '';
        while (strlen($data) < $size) {
            $piece = fread($this->stream, $size - strlen($data));
            if ($piece === false || $piece === '') {
                return null;
            }
            $data .= $piece;
        }

        return $data;
    }
}

/** A callable for the function's handler; throws where there is none. */
function load(string $handler, string $root): callable
{
    chdir($root);
    if (is_file("{$root}/vendor/autoload.php")) {
        require_once "{$root}/vendor/autoload.php";
    }
    if (is_file("{$root}/{$handler}") || is_file("{$root}/{$handler}.php")) {
        $found = require is_file("{$root}/{$handler}") ? "{$root}/{$handler}" : "{$root}/{$handler}.php";
        if (!is_callable($found)) {
            throw new \RuntimeException("Handler file '{$handler}' does not return a callable");
        }

        return $found;
    }
    $dot = strrpos($handler, '.');
    if ($dot === false) {
        throw new \RuntimeException("Bad handler '{$handler}': neither a file nor of the form file.function");
    }
    $file = substr($handler, 0, $dot) . '.php';
    if (!is_file("{$root}/{$file}")) {
        throw new \RuntimeException("Handler file '{$file}' is not in the package");
    }
    require_once "{$root}/{$file}";
    $name = substr($handler, $dot + 1);
    if (!is_callable($name)) {
        throw new \RuntimeException("Handler '{$name}' is undefined or not callable in '{$file}'");
    }

    return $name;
}

/** An error as the runtime API takes it: its type, and the document. */
function described(\Throwable $error): array
{
    $lines = ["{$error->getFile()}:{$error->getLine()}"];
    foreach ($error->getTrace() as $frame) {
        if (($frame['file'] ?? __FILE__) !== __FILE__) {
            $lines[] = "{$frame['file']}:{$frame['line']} in " . ($frame['class'] ?? '') .
                ($frame['type'] ?? '') . "{$frame['function']}()";
        }
    }
    $told = ['errorMessage' => $error->getMessage(), 'errorType' => $error::class, 'stackTrace' => $lines];
    $body = json_encode($told, JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);
    echo "[ERROR] {$told['errorType']}: {$told['errorMessage']}\n", implode("\n", $lines), "\n";

    return [$told['errorType'], (string) $body];
}

/** Ends a request's part of the output. */
function fence(string $requestId): array
{
    while (ob_get_level() > 0) {
        ob_end_flush();
    }
    fwrite(\STDOUT, "\x1eFENCE {$requestId}\x1e\n");
    $peak = preg_match('/^VmHWM:\s*(\d+)/m', (string) @file_get_contents('/proc/self/status'), $found) ? $found[1] : 0;

    return ['Lambda-Home-Fence' => '1', 'Lambda-Home-Peak-Kib' => $peak, 'Content-Type' => 'application/json'];
}

function serve(Client $client, callable $handler, array $told): never
{
    while (true) {
        [$status, $headers, $body] = $client->exchange('GET', 'invocation/next', '', $told);
        if ($status !== 200) {
            exit(1);
        }
        $told = [];
        $context = new Context($headers);
        $id = $context->awsRequestId;
        putenv("_X_AMZN_TRACE_ID={$context->traceId}");
        try {
            $result = $handler(json_decode($body, true, 512, JSON_THROW_ON_ERROR), $context);
            $answer = json_encode($result, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);
            $client->exchange('POST', "invocation/{$id}/response", $answer, fence($id));
        } catch (\Throwable $error) {
            [$type, $document] = described($error);
            $type = preg_replace('/[^ -~]/', '?', $type);
            $client->exchange(
                'POST',
                "invocation/{$id}/error",
                $document,
                fence($id) + ['Lambda-Runtime-Function-Error-Type' => $type]
            );
        }
        unset($result, $answer, $body, $error);
    }
}

function main(): never
{
    $started = hrtime(true);
    $client = new Client((string) getenv('AWS_LAMBDA_RUNTIME_API'));
    try {
        $handler = load((string) getenv('_HANDLER'), (string) (getenv('LAMBDA_TASK_ROOT') ?: '/var/task'));
    } catch (\Throwable $error) {
        [$type, $document] = described($error);
        $client->exchange(
            'POST',
            'init/error',
            $document,
            fence('init') + ['Lambda-Runtime-Function-Error-Type' => $type]
        );
        exit(1);
    }
    $told = fence('init') + ['Lambda-Home-Init-Micros' => intdiv(hrtime(true) - $started, 1000)];
    serve($client, $handler, $told);
}

main();
