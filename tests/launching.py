"""Runs many calls of launch scripts in one process that has imported what they need: each in a fork of its own, with
its own flags, streams and exit code, as `python -m` would."""

import json
import os
import runpy
import sys
import tempfile


def call(module: str, arguments: list[str]) -> dict:
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = os.fork()
        if not child:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.argv = [module, *arguments]
            code = 1
            try:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            except SystemExit as stop:
                code = stop.code or 0
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        err.seek(0)
        return {"code": status, "out": out.read(), "err": err.read()}


if __name__ == "__main__":
    import ecgjax.evaluation.summary  # noqa: F401  (imported, but no device touched: forks are safe)
    from launch import cli  # noqa: F401

    print(json.dumps([call(module, arguments) for module, *arguments in json.load(sys.stdin)]))
