"""A real SLURM of one node on this machine, of Debian's packages slurm-wlm and munge, without systemd."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

_CONF = Path("/etc/slurm/slurm.conf")  # srun inside a job reads no SLURM_CONF
_MARK = "# Of the tests of skillmix-tasks.\n"
_FOLDERS = ("/run/munge", "/var/log/munge", "/var/lib/munge")


def why_not() -> str | None:
    """Why a SLURM cannot be started here; None if it can."""
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if shutil.which(name) is None]
    if missing:
        return f"{missing[0]} is not installed (Debian: slurm-wlm, munge)"
    if os.geteuid() != 0:
        return "only root can start SLURM"
    if _CONF.exists() and not _CONF.read_text(encoding="utf-8").startswith(_MARK):
        return f"{_CONF} is another cluster's"
    return None


class Slurm:
    """Use as a context manager; its processes end with it."""

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="skillmix-slurm-"))
        self._running: list[subprocess.Popen[bytes]] = []
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._running):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if _CONF.exists() and _CONF.read_text(encoding="utf-8").startswith(_MARK):
            _CONF.unlink()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        for folder in _FOLDERS:
            Path(folder).mkdir(parents=True, exist_ok=True)
            shutil.chown(folder, "munge", "munge")
        _CONF.parent.mkdir(exist_ok=True)
        _CONF.write_text(_MARK + self._conf(), encoding="utf-8")
        self._run("munged", "--foreground", user="munge")
        self._run("slurmctld", "-D")
        self._run("slurmd", "-D")
        deadline = time.monotonic() + 60
        while "idle" not in self.command("sinfo", "-h", "-o", "%T"):
            if time.monotonic() > deadline or any(one.poll() is not None for one in self._running):
                raise RuntimeError(f"SLURM did not start: {self._log()}")
            time.sleep(0.5)

    def command(self, *words: str) -> str:
        """What a command of SLURM's prints."""
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False).stdout

    def cancel_all(self) -> None:
        """End all jobs at once, and wait until none is left."""
        self.command("scancel", "--signal=KILL", "--full", "--state=RUNNING", "--user", "root")
        self.command("scancel", "--user", "root")
        deadline = time.monotonic() + 60
        while self.command("squeue", "-h").strip():
            if time.monotonic() > deadline:
                raise RuntimeError("SLURM's jobs did not end")
            time.sleep(0.5)

    def _run(self, name: str, *options: str, user: str | None = None) -> None:
        path = shutil.which(name)
        assert path
        log = (self._folder / f"{name}.txt").open("wb")
        self._running.append(
            subprocess.Popen([path, *options], stdout=log, stderr=subprocess.STDOUT, user=user, group=user)
        )
        time.sleep(0.5)

    def _log(self) -> str:
        return "\n".join(file.read_text(errors="replace")[-2000:] for file in sorted(self._folder.glob("*.txt")))

    def _conf(self) -> str:
        host = socket.gethostname()
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        return f"""
ClusterName=skillmix
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
StateSaveLocation={self._folder}/state
SlurmdSpoolDir={self._folder}/spool
SlurmctldPidFile={self._folder}/slurmctld.pid
SlurmdPidFile={self._folder}/slurmd.pid
SchedulerParameters=sched_interval=1,sched_min_interval=100000
NodeName={host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} RealMemory={memory} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
