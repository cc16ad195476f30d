"""What differs between operating systems: locks that die with their process, and forks.

Each module has one interface on every system. No other folder asks which system it is on.
"""
