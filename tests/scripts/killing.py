"""Processes that end themselves with a kill, at a moment that was chosen beforehand."""

import os
import signal
import traceback

MOMENTS = ("in the middle of writing", "before it is on the disk", "before it takes its place", "when it is in place")


def die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(moment):
    """From now on, die when a file is written by made.files.write_whole."""
    if moment == "in the middle of writing":  # the system kills a process that makes a file too large
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
    elif moment == "before it is on the disk":
        os.fsync = die
    elif moment == "before it takes its place":
        os.replace = die
    else:
        replace = os.replace
        os.replace = lambda *arguments: die(replace(*arguments))


def forked(function, *arguments):
    """Start a function in a fork; returns its process number."""
    child = os.fork()
    if child == 0:
        try:
            function(*arguments)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return child


def waited(child):
    """Wait for a process to end. Returns how: "done", "killed" or "failed"."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {0: "done", -signal.SIGKILL: "killed", -signal.SIGXFSZ: "killed"}.get(code, "failed")
