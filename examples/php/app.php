<?php
// Makes the part of a URL that names a page of its title; deploy it with `lambda-home deploy examples/php`.
// {"title": "What's new?"}

function handler(array $event, LambdaHome\Context $context): array
{
    $title = $event['title'] ?? throw new InvalidArgumentException('give a title');
    $words = preg_split('/[^a-z0-9]+/', strtolower($title), -1, PREG_SPLIT_NO_EMPTY);
    echo "a slug for {$context->awsRequestId}\n";

    return ['slug' => implode('-', $words), 'title' => htmlspecialchars($title)];
}
