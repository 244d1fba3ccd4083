"""What extensions are told about their environment: the Telemetry API and the older Logs API."""
