"""What a request of the user API's port is for, and the way it takes."""
