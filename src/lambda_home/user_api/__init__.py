"""The 2015-03-31 user API that AWS SDKs call."""
