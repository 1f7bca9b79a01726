"""A real SLURM on one machine: slurmctld and some nodes, each a slurmd with its own processes, /dev/shm and host name.

Needs root. All of it lives in one process namespace, and every node in one of its own: whatever ends this program, the
kernel ends with it what was started here; and a node is killed as by a power failure, with all that runs on it.
"""

import ctypes
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "unshare", "mpirun")
CPUS_PER_NODE = 2
GPUS_PER_NODE = 2
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE")

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5
SlurmctldPort={port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
TmpFS={folder}/tmp.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1
SlurmdParameters=config_overrides
MpiDefault=pmix
ReturnToService=2
SlurmdTimeout=300
KillWait=2
JobRequeue=1
GresTypes=gpu
"""
# Runs as the first process of the whole: starts the daemons, and a node again once it may be up.
SUPERVISOR = """
slurmctld -D -c -f "$1/slurm.conf" &
for node in $2; do
  while true; do
    unshare --pid --fork --kill-child --mount-proc --mount --uts bash -c "$3" node "$1" "$node"
    while true; do [[ -e $1/down.$node ]] || break; sleep 0.1; done
  done &
done
wait
"""
# Runs as the first process of a node; its end is that of the node.
NODE = """
mount -t tmpfs tmpfs /dev/shm
hostname "$2"
slurmd -D -N "$2" -f "$1/slurm.conf" &
wait
"""


def reason_to_skip():
    """Why SLURM cannot be started here, or an empty text."""
    if os.geteuid() != 0:
        return "SLURM's daemons need root"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed; see cluster/install_deps.sh"
    made = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "--mount", "--uts", "mount", "-t", "tmpfs", "tmpfs", "/dev/shm"],
                          capture_output=True, text=True)
    return "" if made.returncode == 0 else f"no right to make namespaces here: {made.stderr.strip()}"


def free_port(count):
    """The first of some ports that nobody listens on."""
    for first in range(47817, 60000, count):
        sockets = [socket.socket() for _ in range(count)]
        try:
            for i, one in enumerate(sockets):
                one.bind(("127.0.0.1", first + i))
            return first
        except OSError:
            continue
        finally:
            for one in sockets:
                one.close()
    raise RuntimeError("no free ports")


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Slurm:
    def __init__(self, folder, nodes=4):
        self.folder = pathlib.Path(folder)
        self.nodes = [f"n{i + 1}" for i in range(nodes)]
        port, host = free_port(nodes + 1), socket.gethostname().split(".")[0]
        text = CONFIGURATION.format(folder=folder, host=host, port=port)
        for i, node in enumerate(self.nodes):
            text += (f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port + 1 + i} CPUs={CPUS_PER_NODE} "
                     f"RealMemory=1000 Gres=gpu:{GPUS_PER_NODE} State=UNKNOWN\n")
            for name in (f"spool.{node}", f"tmp.{node}"):
                (self.folder / name).mkdir()
        text += "PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"
        (self.folder / "state").mkdir()
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        # Devices that do nothing, under the names that GPUs have.
        for i in range(GPUS_PER_NODE):
            os.mknod(self.folder / f"nvidia{i}", 0o20666, os.makedev(1, 3))
        (self.folder / "gres.conf").write_text(f"Name=gpu File={folder}/nvidia[0-{GPUS_PER_NODE - 1}]\n")
        (self.folder / "mpi").mkdir()  # what a killed Open MPI leaves behind
        self.environment = {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf"),
                            "OMPI_MCA_orte_tmpdir_base": str(self.folder / "mpi")}
        with open(self.folder / "daemons.log", "wb") as log:
            self.process = subprocess.Popen(
                ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", SUPERVISOR, "slurm", str(folder),
                 " ".join(self.nodes), NODE],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent, env=self.environment)
        self.wait_until(lambda: set(self.node_states().values()) == {"idle"}, 120, "the nodes to be idle")

    def stop(self):
        # With the first process of the namespace all others end, and `unshare` after them.
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        self.process.wait(timeout=30)

    def command(self, *words, check=True, **environment):
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120,
                              env={**self.environment, **{name: str(value) for name, value in environment.items()}})
        if check and done.returncode != 0:
            raise RuntimeError(f"{words}: {done.returncode}: {done.stderr}")
        return done.stdout.strip()

    def node_states(self):
        out = self.command("sinfo", "-h", "-N", "-o", "%N %T", check=False)
        return dict(line.split() for line in out.splitlines())

    def job(self, number):
        """The fields of a job, or of each task of an array."""
        found = []
        for line in self.command("scontrol", "-o", "show", "job", number).splitlines():
            found.append(dict(word.split("=", 1) for word in line.split() if "=" in word))
        return found

    def wait_until(self, condition, seconds, what):
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None:
                raise RuntimeError(f"SLURM ended; {self.logs()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"waited {seconds} s for {what}; {self.logs()}")
            time.sleep(0.1)

    def wait_for_end(self, number, seconds=300):
        """Waits for a job or all tasks of an array, and returns their fields."""
        def ended():
            return all(job["JobState"] in ENDED for job in self.job(number))
        self.wait_until(ended, seconds, f"job {number} to end")
        return self.job(number)

    def declare_dead(self, node):
        """As an administrator may, or SLURM itself after SlurmdTimeout."""
        self.command("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=died")

    def kill_node(self, node):
        """All of its processes end at once, and it stays away until let_return."""
        (self.folder / f"down.{node}").touch()
        wanted = ["slurmd", "-D", "-N", node, "-f", str(self.folder / "slurm.conf")]
        for folder in pathlib.Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                words = (folder / "cmdline").read_text().split("\0")[:-1]
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if words == wanted:
                os.kill(parent, signal.SIGKILL)
                return
        raise RuntimeError(f"node {node} does not run")

    def let_return(self, node):
        (self.folder / f"down.{node}").unlink(missing_ok=True)

    def logs(self):
        text = ""
        for path in sorted(self.folder.glob("*.log")):
            text += f"\n== {path.name}\n{path.read_text(errors='replace')[-3000:]}"
        return text
