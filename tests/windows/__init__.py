"""The package on Windows, as far as Wine shows it.

Wine is not Windows. It runs the real interpreter, CPython for Windows, on functions of Windows that
are written anew for Linux. What Wine shows is that the code for Windows runs, and that files which
others hold open are dealt with: Wine refuses to rename or remove them as Windows 7 did. What only
Windows can show is in ``docs/windows.rst``.

:mod:`~tests.windows.wine` sets it up, from the package registries of Debian and of Python alone.
The scenes are programs that run on any system; ``python -m tests.windows`` runs them under Wine.
"""
