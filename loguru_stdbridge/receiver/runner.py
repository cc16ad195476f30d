"""Run a receiver in the foreground, and a command beside it, until one of them ends.

Owns the signals, the ready file and the order of the end. SIGTERM and SIGINT end the command, or
else the receiver; the command's end ends the receiver. SIGHUP reads the configuration again and
reopens the files, SIGUSR1 only reopens them, SIGUSR2 tells the state. What there is of them differs
between systems (:mod:`~loguru_stdbridge.system.signals`).

What makes it a good parent
---------------------------
* The command gets each signal once, also one that the terminal has sent to both
  (:mod:`~loguru_stdbridge.receiver.group_witness`).
* Ctrl-Z stops both, and ``fg`` continues both.
* A signal that was ignored from the start (``nohup``) is ignored by the command, too.
* The command's environment has the log's address and the spool directory, and none of the
  receiver's own options: a receiver that is started in it does not take them for its own.
* As the first process of a container, it waits for the processes that nobody else waits for.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Callable

from ..addresses import ADDRESS_VARIABLE, HANDED_ON_VARIABLE
from ..spool.directory import SPOOL_VARIABLE
from ..system.live_file import LiveFile
from ..system.signals import CONTINUE, STOP_SIGNALS, console_end, signal_numbers
from ..system.startup import inject
from ..system.supervisor import SUPERVISOR_VARIABLES, Supervisor
from .command import Command
from .service import Service

EXIT_FAILURE = 1
_FORWARDED = ("SIGQUIT", "SIGTTIN", "SIGTTOU", "SIGWINCH")


class Runner:
    """A service in the foreground, and the command beside it, if there is one."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        grace: float,
        report: Callable[[str], None],
        ready_file: str | None = None,
        own_variables: Iterable[str] = (),
        injects: bool = False,
        supervisor: Supervisor | None = None,
        read_again: Callable[[Service], None] = lambda service: None,
    ) -> None:
        """``grace`` is the seconds for the service's end; ``own_variables`` name the environment
        variables that are for this receiver alone. ``injects``: every Python process below the
        command has the bridge. ``supervisor`` is told of the start and the end.
        ``read_again`` has the service follow the configuration as it is now; called in its loop."""
        self._grace = grace
        self._report = report
        self._ready_file = LiveFile(ready_file) if ready_file else None
        self._own_variables = frozenset((*own_variables, *SUPERVISOR_VARIABLES))
        self._injects = injects
        self._read_again = read_again
        self._supervisor = Supervisor() if supervisor is None else supervisor
        self._command = Command(command, self._stop_service)
        self._service: Service | None = None
        self._ignored: list[int] = []  # signals that were ignored when the receiver started
        self.is_stopping = False
        """Whether a signal has called for the end."""

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Heed signals while the context lasts."""
        handlers: dict[str, Callable[[int, Any], None]] = {
            **dict.fromkeys(STOP_SIGNALS, self._on_stop),
            "SIGHUP": self._on_hangup,
            "SIGUSR1": self._on_reopen,
            "SIGUSR2": self._on_dump,
            "SIGCHLD": self._on_child,
        }
        if self._command.arguments:
            handlers.update(dict.fromkeys(_FORWARDED, self._on_other), SIGTSTP=self._on_suspend)
        before = {}
        for name, number in signal_numbers(handlers).items():
            before[number] = signal.signal(number, handlers[name])
            if before[number] == signal.SIG_IGN and name != "SIGCHLD":
                self._ignored.append(number)
        try:
            with console_end(self._end_with_console):
                yield
        finally:
            for number, earlier in before.items():
                signal.signal(number, earlier)

    def forget_old_ready_file(self) -> None:
        """Remove the ready file of a receiver that was killed: it names no address of this one."""
        if self._ready_file is not None:
            self._ready_file.remove_old()

    def run(self, service: Service) -> int:
        """Serve until the end; return the exit code."""
        self._service = service
        try:
            return self._run(service)
        finally:
            if self._ready_file is not None:
                self._ready_file.remove()
            self._command.close()

    def _run(self, service: Service) -> int:
        try:
            failed = self._begin(service)
        except BaseException:
            service.close()
            raise
        if failed is not None:
            service.close()
            return failed
        try:
            service.serve()
        except Exception as error:
            self._report(f"ended by {type(error).__name__}: {error}")
            self._command.send(signal.SIGTERM)  # no receiver would take its records
            return EXIT_FAILURE
        counts = ", ".join(f"{count} {name}" for name, count in service.counts.items())
        self._report(f"ended: {counts}")
        if self._injects and not service.counts["records"]:
            self._report(
                f"no process of {self._command.arguments[0]} has logged anything: --inject reaches "
                f"each Python of {sys.prefix}, and no other"
            )
        return self._command.status

    def _begin(self, service: Service) -> int | None:
        """Tell that clients can connect, start the command; return the exit code if that fails."""
        if self.is_stopping:  # a signal came while the sink was opened
            return 0
        addresses = [str(address) for address in service.addresses]
        if self._ready_file is not None:
            try:
                self._ready_file.write("".join(f"{address}\n" for address in addresses))
            except OSError as error:
                self._report(f"cannot write the ready file: {error}")
                return EXIT_FAILURE
        running = ""
        if self._command.arguments:
            failed = self._start_command(service)
            if failed is not None:
                return failed
            running = f", running {self._command.arguments[0]} (process {self._command.pid})"
        shown = ", ".join(map(str, service.status_addresses))
        shown = f", showing the status at {shown}" if shown else ""
        listening = f"listening on {', '.join(addresses)}"
        told = f"writing {service.log.path}, {listening}{shown}{running}"
        self._report(told)
        self._supervisor.ready(told)
        return None

    def _start_command(self, service: Service) -> int | None:
        address = str(service.log_address or service.addresses[0])
        environment = {k: v for k, v in os.environ.items() if k not in self._own_variables}
        environment.update({ADDRESS_VARIABLE: address, HANDED_ON_VARIABLE: address})
        if service.spool_dir is not None:
            environment[SPOOL_VARIABLE] = str(service.spool_dir)
        if self._injects:
            environment = inject(environment)
        try:
            started = self._command.start(
                environment, self._ignored, is_wanted=lambda: not self.is_stopping
            )
        except OSError as error:
            self._report(f"cannot run {self._command.arguments[0]}: {error.strerror}")
            return 127 if isinstance(error, FileNotFoundError) else 126
        return None if started else 0

    def _stop_service(self) -> None:
        self._supervisor.stopping()
        if self._service is not None:
            self._service.stop(self._grace)

    # -- signals

    def _on_stop(self, number: int, frame: object) -> None:
        self.is_stopping = True
        if self._command.forward(number):
            return  # its end ends the service
        if not self._command.arguments or self._command.pid is not None:
            self._stop_service()

    def _end_with_console(self) -> None:
        """Take what clients have sent, and end: the console is closed, for the command, too."""
        self.is_stopping = True
        self._stop_service()

    def _on_other(self, number: int, frame: object) -> None:
        self._command.forward(number)

    def _on_hangup(self, number: int, frame: object) -> None:
        service = self._service
        if service is not None:
            service.call(self._supervisor.reloading)
            service.call(lambda: self._read_again(service))
            service.reload()
            service.call(lambda: self._supervisor.ready("reloaded"))
        self._command.forward(number)

    def _on_reopen(self, number: int, frame: object) -> None:
        if self._service is not None:
            self._service.reopen()
        self._command.forward(number)

    def _on_dump(self, number: int, frame: object) -> None:
        if self._service is not None:
            self._service.dump()
        self._command.forward(number)

    def _on_child(self, number: int, frame: object) -> None:
        self._command.reap()

    def _on_suspend(self, number: int, frame: object) -> None:
        self._command.forward(number)
        handler = signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)  # here it stops; SIGCONT continues it
        signal.signal(number, handler)
        self._command.send(CONTINUE)
