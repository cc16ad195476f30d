"""Call a function when a module has been imported, without importing it.

The bridge has to change a few modules that many programs never load (``multiprocessing.spawn``,
``subprocess``), and in a child process ``logging`` and ``loguru`` themselves. Loading them to do so
would cost each process some milliseconds. A child that never logs loads this module, so it imports
nothing but ``sys``.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes longer to load than all that a child loads of ours
    from typing import Any, Callable


class AfterImport:
    """A finder in front of ``sys.meta_path``: it finds nothing, and sees what is imported."""

    def __init__(self, actions: "dict[str, Callable[[Any], None]]") -> None:
        """``actions`` holds a function for each module's name; it is called with the module."""
        self._actions = dict(actions)

    def start(self) -> None:
        """Call the functions of modules that are loaded already; wait for the others."""
        sys.meta_path.insert(0, self)
        for name in list(self._actions):
            module = sys.modules.get(name)
            if module is not None:
                self._act(name, module)

    def stop(self) -> None:
        """Wait no longer."""
        self._actions.clear()
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        """Return what the finders behind this one find, with a loader that tells of its end."""
        if name not in self._actions:
            return None
        is_behind = False
        for finder in list(sys.meta_path):
            if finder is self:
                is_behind = True
            elif is_behind and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    self._follow(name, spec.loader)
                    return spec
        return None

    def _follow(self, name: str, loader: "Any") -> None:
        """Have the loader act once its module is executed; the loader is as it was by then."""
        execute = getattr(loader, "exec_module", None)
        if execute is None or isinstance(loader, type):  # one loader for many modules
            return

        def exec_module(module: "Any") -> None:
            loader.__dict__.pop("exec_module", None)
            execute(module)
            self._act(name, module)

        try:
            loader.exec_module = exec_module
        except AttributeError:
            return

    def _act(self, name: str, module: "Any") -> None:
        action = self._actions.pop(name, None)
        if action is not None:
            action(module)
