"""The command line: one module a command. It parses, calls and prints; it decides nothing.

A command imports what it needs when it runs, so that ``wherry --version`` is instant.
"""
