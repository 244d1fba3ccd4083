"""What keeps a server running for months: doctor, backup, restore, reset, data directories."""
