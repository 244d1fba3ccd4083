"""The CloudWatch Logs API: the log store as AWS's clients see it."""
