"""`python -m molmp_cli`, the same as `molmp`."""

from .main import main

main(prog_name="molmp")
