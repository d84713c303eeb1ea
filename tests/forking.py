"""Processes of `_light.start`, forked from one that has loaded what they need: each starts at once.

What they do and how they are talked to is as in use. Workers of Dask and programs of tests start them as in use.
"""

import gc
import inspect
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
import types
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from dxflow.disk import process as _light

NEEDS = {
    "dxflow.copying.cut": (),
    "dxflow.copying.warm": (),
    "dxflow.hdf5.content": (),
    "dxflow.stores.hdf5.work": (
        "extra_data",
        "h5netcdf",
        "dxflow.stores.formats.cxi",
        "dxflow.stores.formats.nexus",
    ),
}
USUAL = _light.command("dxflow.hdf5.child")
"""The command line in use, before the name of the module whose functions are the work."""
LIMITS = (resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)
REQUEST = 2**17
"""The most bytes of one."""


# Here ----------------------------------------------------------------------------------------------


class Servers:
    """The processes that fork, started when first asked for; processes forked from this one use them, too."""

    def __init__(self):
        self._sockets, self._processes, self._lock = {}, [], threading.Lock()

    def of(self, module, environment):
        """Return the socket of the one for a module."""
        key = _key(module, environment)
        with self._lock:
            if key not in self._sockets:
                self._sockets[key] = self._start(module, environment)
            return self._sockets[key]

    def sockets(self):
        """Return those of all that run."""
        with self._lock:
            return dict(self._sockets)

    def _start(self, module, environment):
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = _light._PROGRAM.replace("sys.argv[2]).main()", "'dxflow.disk.process')\n" + _SERVER)
        command = [*USUAL[:3], program, USUAL[4], str(Path(__file__).parent), module, str(its.fileno())]
        with its:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
                start_new_session=True,
            )
        self._processes.append(process)
        return mine

    def close(self):
        """End them."""
        for mine in self._sockets.values():
            mine.close()
        for process in self._processes:
            process.kill()
            process.wait()


class Lent:
    """The servers of the process that started this one, as far as they run."""

    def __init__(self, sockets):
        self._sockets = sockets

    def of(self, module, environment):
        """Return the socket of the one for a module, None if there is none."""
        return self._sockets.get(_key(module, environment))


def _key(module, environment):
    """Return what processes must have in common; HDF5 looks at the environment when it is loaded."""
    return module, *sorted(item for item in environment.items() if item[0].startswith(("HDF5", "PYTHON")))


_SERVER = """
sys.path.insert(0, sys.argv[2])
import forking
sys.path.pop(0)
forking.serve(sys.argv[3], int(sys.argv[4]))
"""


def forked(servers):
    """Return what stands for the module `subprocess`, so that processes of `_light` are forked by servers."""
    return types.SimpleNamespace(**{**vars(subprocess), "Popen": popen(servers)})


def popen(servers):
    """Return a `subprocess.Popen` whose processes are forked by servers, if they are those of `_light`."""

    class Forked(subprocess.Popen):
        def _execute_child(self, *given):
            bound = inspect.signature(super()._execute_child).bind(*given).arguments
            command, server = bound["args"], None
            environment = dict(os.environ if bound["env"] is None else bound["env"])
            if command[:-1] == USUAL and command[-1] in NEEDS:
                server = servers.of(command[-1], environment)
            if server is None:
                self._told = None
                super()._execute_child(*given)
                return
            ends = [bound["p2cread"], bound["c2pwrite"], bound["errwrite"]]
            streams = [n if end == -1 else end for n, end in enumerate(ends)]
            self._told = _asked(server, command[-1], environment, streams)
            self.pid = int(self._told.recv(20))
            self._child_created = True
            pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
            self._close_pipe_fds(*(bound[name] for name in pipes))

        def _internal_poll(self, *given, **options):
            if self._told is None:
                return super()._internal_poll(*given, **options)
            if self.returncode is None and self._waitpid_lock.acquire(blocking=False):
                try:
                    self._end_seen(os.WNOHANG)
                finally:
                    self._waitpid_lock.release()
            return self.returncode

        def _try_wait(self, wait_flags):
            if self._told is None:
                return super()._try_wait(wait_flags)
            if wait_flags and not select.select([self._told], [], [], 0)[0]:
                return 0, 0
            with self._told as told:
                return self.pid, int(told.recv(20) or signal.SIGKILL)

        def _end_seen(self, wait_flags):
            if self.returncode is None:
                pid, status = self._try_wait(wait_flags)
                if pid == self.pid:
                    self._handle_exitstatus(status)

    return Forked


def _asked(server, module, environment, streams):
    """Ask for a process; return the socket at which its number and its end are told."""
    limits = [(n, *resource.getrlimit(n)) for n in LIMITS]
    request = json.dumps([module, environment, os.getcwd(), umask(), limits]).encode()
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        socket.send_fds(server, [request], [its.fileno(), *streams])
    return mine


def umask():
    line = next(t for t in Path("/proc/self/status").read_text().splitlines() if t.startswith("Umask"))
    return int(line.split()[1], 8)


# There ---------------------------------------------------------------------------------------------


def serve(module, number):
    """Fork a process for each request, and tell how it ended, until nobody is there to ask."""
    for name in (USUAL[5], module, *NEEDS[module]):
        import_module(name)
    os.fsync = lambda file: None
    gc.freeze()
    asked, children, look = socket.socket(fileno=number), {}, select.poll()
    look.register(asked, select.POLLIN)
    while True:
        for ready, _ in look.poll():
            if ready == number:
                content, streams, _, _ = socket.recv_fds(asked, REQUEST, 4)
                if not content:
                    return
                _forked(json.loads(content), streams, children, look)
            elif ready in children:
                _tell_end(ready, children, look)


def _forked(request, streams, children, look):
    told = socket.socket(fileno=streams[0])
    if not (pid := os.fork()):
        _work(request, streams[1:])
    for stream in streams[1:]:
        os.close(stream)
    told.send(str(pid).encode())
    end = os.pidfd_open(pid)
    children[end] = (pid, told)
    look.register(end, select.POLLIN)


def _tell_end(end, children, look):
    """Tell how a process ended."""
    pid, told = children.pop(end)
    status = os.waitpid(pid, 0)[1]
    with suppress(OSError):
        told.send(str(status).encode())
    look.unregister(end)
    os.close(end)
    told.close()


def _work(request, streams):
    """Be the process."""
    code = 1
    try:
        module, environment, folder, umask, limits = request
        # None of the three numbers is overwritten before it has been copied.
        for target, stream in enumerate([os.dup(s) for s in streams]):
            os.dup2(stream, target)
        os.closerange(3, 4096)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        os.umask(umask)
        for number, *limit in limits:
            resource.setrlimit(number, limit)
        sys.argv[1:] = [*USUAL[4:], module]
        import_module(USUAL[5]).main()
        code = 0
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else int(e.code is not None)
    except BaseException:  # noqa: BLE001 - as Python does at the end of a program
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
