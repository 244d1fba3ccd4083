"""From an uploaded ZIP to something a sandbox can run."""
