"""InvokeAsync, the older way to invoke asynchronously."""
