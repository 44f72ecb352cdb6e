"""The command line, installed as ``molmp_cli``: a command reads, calls, writes."""
