"""Event source mappings: what may be configured for which source, and what AWS shows of it."""
