"""How FLARE's server and client start a job's process: out of a nursery of ours, so that it is there at once and dies
with its parent."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from nvflare.apis.app_validation import AppValidationKey
from nvflare.apis.fl_constant import FLContextKey, FLMetaKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import JobMetaKey
from nvflare.apis.job_launcher_spec import JobHandleSpec, JobProcessArgs, JobReturnCode
from nvflare.app_common.job_launcher.process_launcher import JOB_RETURN_CODE_MAPPING as CODES
from nvflare.app_common.job_launcher.process_launcher import ProcessJobLauncher
from nvflare.fuel.common.exit_codes import ProcessExitCode
from nvflare.utils.job_launcher_utils import get_client_job_args, get_credential_env, get_server_job_args

from wardround.federation.flare.doorkeeper import report_refusal
from wardround.federation.flare.nursery import Child, Nursery


class JobHandle(JobHandleSpec):  # type: ignore[misc]  # nvflare has no types
    """A job's process. `folder`: the job's own."""

    def __init__(self, child: Child, folder: Path) -> None:
        super().__init__()
        self._child = child
        self._folder = folder

    def terminate(self) -> None:
        self._child.kill()

    def poll(self) -> Any:
        code = self._child.poll()
        return JobReturnCode.UNKNOWN if code is None else CODES.get(code, JobReturnCode.EXECUTION_ERROR)

    def wait(self) -> None:
        self._child.wait()


class SiteJobHandle(JobHandle):
    """A site's job process, whose death is that site's own affair.

    FLARE fails a job for all sites when one site's process dies. A leg goes on with its quorum instead: the hub
    sees the connection go. Only a job that this site refused is reported as what it is, to the node as well.
    """

    def wait(self) -> None:
        if self._child.wait() == ProcessExitCode.UNSAFE_COMPONENT:
            report_refusal(self._folder.name, "forbidden-class")

    def poll(self) -> Any:
        code = self._child.poll()
        if code is None:
            return JobReturnCode.UNKNOWN
        if code == ProcessExitCode.UNSAFE_COMPONENT:
            return code
        # FLARE believes this file before it believes the launcher.
        (self._folder / FLMetaKey.PROCESS_RC_FILE).unlink(missing_ok=True)
        return JobReturnCode.SUCCESS


class Launcher(ProcessJobLauncher):  # type: ignore[misc]  # nvflare has no types
    """Starts jobs. `nursery`: this process's own, set before any job can come."""

    nursery: ClassVar[Nursery]
    handle: type[JobHandle] = JobHandle

    def launch_job(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> JobHandleSpec:
        if job_meta.get(AppValidationKey.BYOC):
            raise RuntimeError("a job that brings its own code is not started")
        process_args = fl_ctx.get_prop(FLContextKey.JOB_PROCESS_ARGS) or {}
        arguments: list[str] = []
        for name in self.arguments():
            if name in process_args:
                option, value = process_args[name]
                values = str(value).split() if name == JobProcessArgs.OPTIONS else [str(value)]
                arguments += [option, *values]
        folder = Path(process_args[JobProcessArgs.WORKSPACE][1]) / str(job_meta[JobMetaKey.JOB_ID.value])
        # A group of its own, as a nursery's children have: FLARE ends a job by killing the job's whole process group.
        return self.handle(self.nursery.bear(arguments, get_credential_env(process_args)), folder)

    def arguments(self) -> list[str]:
        raise NotImplementedError

    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> str:
        raise NotImplementedError("jobs are launched without a shell-like command line")


class ServerJobLauncher(Launcher):
    def arguments(self) -> list[str]:
        return list(get_server_job_args(include_exe_module=False))


class SiteJobLauncher(Launcher):
    handle = SiteJobHandle

    def arguments(self) -> list[str]:
        return list(get_client_job_args(include_exe_module=False))
