"""What exists: functions, versions and settings, durable in SQLite."""
