"""What differs between operating systems: locks that die with their process, and forks.

Each module offers one interface on every system, so that no other folder asks which system it is on.
"""
