"""Other AWS services at the same endpoint."""
