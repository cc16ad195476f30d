"""What Windows does for us, behind the interfaces of the modules of ``system/``.

Loaded on Windows alone. Each module can be imported everywhere, and finds the functions of Windows
when it first needs one.
"""
