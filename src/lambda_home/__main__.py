"""`python -m lambda_home`."""

from lambda_home.cli import main

main()
