"""How FLARE's server and client start a job's process: ours, so that it dies with its parent and speaks TLS 1.3."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from nvflare.apis.app_validation import AppValidationKey
from nvflare.apis.fl_constant import FLContextKey, FLMetaKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import JobMetaKey
from nvflare.apis.job_launcher_spec import JobHandleSpec, JobProcessArgs, JobReturnCode
from nvflare.app_common.job_launcher.process_launcher import ProcessHandle, ProcessJobLauncher
from nvflare.fuel.common.exit_codes import ProcessExitCode
from nvflare.utils.job_launcher_utils import get_client_job_args, get_credential_env, get_server_job_args

from wardround.federation.children import LIFELINE
from wardround.federation.flare.doorkeeper import report_refusal


class JobHandle(ProcessHandle):  # type: ignore[misc]  # nvflare has no types
    """A job's process and our end of its lifeline."""

    def __init__(self, process: subprocess.Popen[bytes], lifeline: int, folder: Path) -> None:
        super().__init__(process=process)
        self._process = process
        self._lifeline = lifeline
        self._folder = folder

    def wait(self) -> None:
        self._process.wait()
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1


class SiteJobHandle(JobHandle):
    """A site's job process, whose death is that site's own affair.

    FLARE fails a job for all sites when one site's process dies. A leg goes on with its quorum instead: the hub
    sees the connection go. Only a job that this site refused is reported as what it is, to the node as well.
    """

    def wait(self) -> None:
        super().wait()
        if self._process.returncode == ProcessExitCode.UNSAFE_COMPONENT:
            report_refusal(self._folder.name, "forbidden-class")

    def poll(self) -> Any:
        code = self._process.poll()
        if code is None:
            return JobReturnCode.UNKNOWN
        if code == ProcessExitCode.UNSAFE_COMPONENT:
            return code
        # FLARE believes this file before it believes the launcher.
        (self._folder / FLMetaKey.PROCESS_RC_FILE).unlink(missing_ok=True)
        return JobReturnCode.SUCCESS


class _Launcher(ProcessJobLauncher):  # type: ignore[misc]  # nvflare has no types
    role = ""
    handle: type[JobHandle] = JobHandle

    def launch_job(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> JobHandleSpec:
        if job_meta.get(AppValidationKey.BYOC):
            raise RuntimeError("a job that brings its own code is not started")
        process_args = fl_ctx.get_prop(FLContextKey.JOB_PROCESS_ARGS) or {}
        command = [sys.executable, "-m", "wardround.federation.flare.process", self.role]
        for name in self.arguments():
            if name in process_args:
                option, value = process_args[name]
                values = str(value).split() if name == JobProcessArgs.OPTIONS else [str(value)]
                command += [option, *values]
        theirs, ours = os.pipe()
        environment = {**os.environ, **get_credential_env(process_args), LIFELINE: str(theirs)}
        # A group of its own: FLARE ends a job by killing the job's whole process group.
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, pass_fds=(theirs,), process_group=0
        )
        os.close(theirs)
        folder = Path(process_args[JobProcessArgs.WORKSPACE][1]) / str(job_meta[JobMetaKey.JOB_ID.value])
        return self.handle(process, ours, folder)

    def arguments(self) -> list[str]:
        raise NotImplementedError

    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> str:
        raise NotImplementedError("jobs are launched without a shell-like command line")


class ServerJobLauncher(_Launcher):
    role = "server-job"

    def arguments(self) -> list[str]:
        return list(get_server_job_args(include_exe_module=False))


class SiteJobLauncher(_Launcher):
    role = "client-job"
    handle = SiteJobHandle

    def arguments(self) -> list[str]:
        return list(get_client_job_args(include_exe_module=False))
