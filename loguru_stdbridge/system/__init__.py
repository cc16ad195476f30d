"""What the operating system does for us: locks that die with their process, forks, names of files.

Each module has one interface on every system. No other folder asks which system it is on.
"""
