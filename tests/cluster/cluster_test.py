"""Protects: the batch scripts of cluster/, run by a real SLURM with four nodes, end with the bytes of an undisturbed run,
whatever happens to a node on the way; what the user cancels stays cancelled."""

import atexit
import contextlib
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "jobs"))

import slurm
from resume_support import count_done, processes_with
from support import GOLDEN_MODEL, PROGRAM, JobTest, make_tokens, read_output, run, write_jsonl

SCRIPTS = ROOT / "cluster"
DOCUMENTS = 48
JOB = ("embed", "--window", 100, "--save-states", "--block-tokens", 128, "--threads", 1, "--progress", "log")
# That one rank needs for a corpus: what is to be disturbed has to last until it is found at work.
SHORT, LONG = 1, 4
RUN_ATTRIBUTES = ("command", "created", "input_crc32c", "model_path", "merged_from")

cluster = None
folder = None
short = long = None


def setUpModule():
    global cluster, folder, short, long
    why = slurm.reason_to_skip()
    if why:
        print(f"SKIPPED: {why}")  # for ctest
        raise unittest.SkipTest(why)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="riverrun-cluster-"))
    # At exit, not by unittest, which leaves its cleanups out when it is interrupted. SLURM ends with this process in any case.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    (folder / "slurm").mkdir()
    short, long = Corpus("short", SHORT), Corpus("long", LONG)
    cluster = slurm.Slurm(folder / "slurm")
    atexit.register(cluster.stop)


class Corpus:
    """Documents that all differ, as long as this machine is fast; and the output of a run that nobody disturbed."""

    def __init__(self, name, seconds):
        self.path, self.output = folder / f"{name}.jsonl", folder / f"{name}.h5"
        self.tokens, self.seconds = 250, seconds
        self.lengthen()

    def lengthen(self, factor=2):
        while True:
            self.tokens = int(self.tokens * factor)
            write_jsonl(self.path, [(f"d{i}", make_tokens(self.tokens + 13 * i, seed=i)) for i in range(DOCUMENTS)])
            done = run(*JOB, "--model", GOLDEN_MODEL, "--input", self.path, "--output", self.output, "--overwrite")
            if done.code != 0:
                raise RuntimeError(done.err)
            if done.seconds >= self.seconds:
                break
            factor = min(8, 1.2 * self.seconds / max(done.seconds, 0.1))
        self.expected = read_output(self.output)


class ClusterTest(JobTest):
    def setUp(self):
        super().setUp()
        self.output = self.folder / "out.h5"
        self.corpus = short

    def submit(self, script, *options, command=JOB, program=PROGRAM, **environment):
        """sbatch, with `options` before the script; returns the job's number."""
        return cluster.command(
            "sbatch", "--parsable", "--output", self.folder / "%x-%j.log", *options, SCRIPTS / script, *self.arguments(command),
            RIVERRUN=program, RIVERRUN_CLUSTER=SCRIPTS, **environment)

    def submit_array(self, shards, program=PROGRAM):
        """Returns the numbers of the array and of the merge."""
        return cluster.command(SCRIPTS / "submit_array.sh", shards, *self.arguments(), RIVERRUN=program,
                               SBATCH_OUTPUT=self.folder / "%x-%A-%a.log").split()

    def arguments(self, command=JOB):
        return (*command, "--model", GOLDEN_MODEL, "--input", self.corpus.path, "--output", self.output)

    def log(self):
        return "".join(f"\n== {path.name}\n{path.read_text(errors='replace')}" for path in sorted(self.folder.glob("*.log")))

    def died_in_mpi_init(self, number):
        """Open MPI 4.1 may crash in MPI_Init, in its TCP module, before riverrun has said a word: one start in fifty on these nodes, which
        share an address. Nothing of what is tested has begun then."""
        job = cluster.job(number)[0]
        said = "".join(path.read_text(errors="replace") for path in self.folder.glob(f"*-{number}.log"))
        return (job["JobState"], job["ExitCode"]) == ("FAILED", "139:0") and " info " not in said

    def nodes_of(self, number):
        job = cluster.job(number)[0]
        return job["BatchHost"], cluster.command("scontrol", "show", "hostnames", job["NodeList"]).split()

    def check_completed(self, number, restarts=0, or_more=False):
        for job in cluster.wait_for_end(number):
            self.assertEqual((job["JobState"], job["ExitCode"]), ("COMPLETED", "0:0"), self.log())
            (self.assertGreaterEqual if or_more else self.assertEqual)(int(job["Restarts"]), restarts, self.log())

    def check_output(self):
        attributes, arrays = read_output(self.output)
        wanted_attributes, wanted = self.corpus.expected
        self.assert_same({name: array for name, array in arrays.items() if not name.startswith("shards/")}, wanted, self.log())
        self.assertEqual({name: value for name, value in attributes.items() if name not in RUN_ATTRIBUTES},
                         {name: value for name, value in wanted_attributes.items() if name not in RUN_ATTRIBUTES})

    def kill_for_a_while(self, node):
        cluster.kill_node(node)
        self.addCleanup(cluster.let_return, node)


class CaughtTest(ClusterTest):
    """Jobs that something happens to in the middle."""

    def setUp(self):
        super().setUp()
        self.corpus = long

    def signal_ranks(self, number):
        for process in processes_with(str(self.output), program=PROGRAM):
            try:
                os.kill(process, number)
            except ProcessLookupError:
                pass

    @contextlib.contextmanager
    def caught(self, *options, **how):
        """Submits a job and gives its number when it has done documents, and has others to do. Its ranks stand still meanwhile:
        what is done to it cannot come too late."""
        for _ in range(6):
            number = self.submit("one_node.sbatch", *options, **how)
            try:
                if self.is_caught(number):
                    yield number
                    return
            finally:
                self.signal_ranks(signal.SIGCONT)
            if self.died_in_mpi_init(number):
                continue
            self.check_completed(number)
            self.output.unlink()
            self.corpus.lengthen()
        self.fail(f"no job over documents of {self.corpus.tokens} tokens and more was caught in the middle")

    def is_caught(self, number):
        """Waits for the middle of a job, and stops its ranks there; false when it came too late."""
        def begun():
            if self.died_in_mpi_init(number):
                return True
            state = cluster.job(number)[0]["JobState"]
            self.assertIn(state, ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "COMPLETED"), self.log())
            return count_done(self.output) > 0
        cluster.wait_until(begun, 180, f"job {number} to have documents done")
        if self.died_in_mpi_init(number):
            return False
        self.signal_ranks(signal.SIGSTOP)
        return count_done(self.output) <= DOCUMENTS * 3 // 4


class UndisturbedTest(ClusterTest):
    def test_one_node_with_srun_and_mpirun(self):
        jobs = []
        for launcher in ("srun", "mpirun"):
            for options in ((), ("--ntasks-per-node=1", "--cpus-per-task=2")):
                self.output = self.folder / f"{launcher}{len(options)}.h5"
                jobs.append((self.submit("one_node.sbatch", *options, RIVERRUN_LAUNCHER=launcher), self.output))
        for number, self.output in jobs:
            self.check_completed(number)
            self.check_output()

    def test_two_nodes_with_a_gpu_per_rank_and_the_model_staged(self):
        # The program computes on the CPU here; what matters is where its ranks start, and with which model.
        for _ in range(4):
            number = self.submit("gpu_nodes.sbatch", "--nodes=2", "--ntasks-per-node=2", "--gpus-per-node=2",
                                 command=(*JOB, "--backend", "cpu"), RIVERRUN_STAGE_DIR=self.folder / "staged")
            cluster.wait_for_end(number)
            if not self.died_in_mpi_init(number):
                break
        self.check_completed(number)
        self.check_output()
        path = read_output(self.output)[0]["model_path"]
        self.assertTrue(path.startswith(str(self.folder / "staged")), path)
        self.assertIn("on 4 ranks", self.log())

    def test_every_rank_of_a_node_has_a_gpu_of_its_own(self):
        show = "echo rank $SLURM_PROCID $SLURM_LOCALID $CUDA_VISIBLE_DEVICES"
        number = cluster.command("sbatch", "--parsable", "--nodes=2", "--ntasks-per-node=2", "--gpus-per-node=2", "--output", self.folder / "gpu.log",
                                 "--wrap", f"srun --mpi=pmix {SCRIPTS}/bind_gpu.sh bash -c '{show}'")
        self.check_completed(number)
        lines = sorted(line for line in self.log().splitlines() if line.startswith("rank "))
        self.assertEqual(lines, ["rank 0 0 0", "rank 1 1 1", "rank 2 0 0", "rank 3 1 1"])

    def test_an_array_of_shards_is_merged(self):
        for number in self.submit_array("3%2"):
            self.check_completed(number)
        self.check_output()
        self.assertEqual(read_output(self.output)[1]["shards/shard"].tolist(), [1, 2, 3])

    def test_a_shard_that_failed_is_named_by_the_merge(self):
        # The second shard's output cannot be made.
        (self.folder / "out.h5.shard-2-of-2").mkdir()
        array, merge = self.submit_array("2")
        self.assertEqual(sorted(job["ExitCode"] for job in cluster.wait_for_end(array)), ["0:0", "2:0"], self.log())
        self.assertEqual(cluster.wait_for_end(merge)[0]["ExitCode"], "2:0", self.log())
        self.assertIn("out.h5.shard-2-of-2", self.log())
        self.assertFalse(self.output.exists())


class DisturbedTest(CaughtTest):
    def kill_one_of_two(self, which, *more):
        """A job on two nodes, of which one dies: that of the batch script, or the other. Returns the job's number and the dead node."""
        with self.caught("--nodes=2", command=(*JOB, *more)) as number:
            first, nodes = self.nodes_of(number)
            dead = next(node for node in nodes if (node == first) == (which == "first"))
            self.kill_for_a_while(dead)
        return number, dead

    def test_a_node_dies(self):
        """The ranks of the other node find out before SLURM does, which by default takes minutes, and end with an error."""
        number, dead = self.kill_one_of_two("second", "--timeout", 15)
        cluster.wait_until(lambda: "not every node answers: the job goes back into the queue" in self.log(), 180, "the script to requeue")
        # The job starts again when SLURM knows that nothing of it is left on the dead node.
        cluster.declare_dead(dead)
        self.check_completed(number, restarts=1)
        self.check_output()

    def test_the_node_of_the_batch_script_dies(self):
        number, dead = self.kill_one_of_two("first")
        cluster.declare_dead(dead)
        self.check_completed(number, restarts=1)
        self.check_output()

    def test_what_the_user_cancels_is_not_requeued(self):
        with self.caught() as number:
            cluster.command("scancel", number)
        job = cluster.wait_for_end(number)[0]
        self.assertEqual((job["JobState"], job["Restarts"]), ("CANCELLED", "0"), self.log())
        done = count_done(self.output)
        self.assertLess(done, DOCUMENTS)
        # Submitted again, it goes on.
        self.check_completed(self.submit("one_node.sbatch"))
        self.check_output()
        self.assertIn(f" {DOCUMENTS - done} documents, ", self.log())

    def test_wrong_usage_is_not_requeued(self):
        number = self.submit("one_node.sbatch", command=(*JOB, "--no-such-option"))
        job = cluster.wait_for_end(number)[0]
        self.assertEqual((job["JobState"], job["ExitCode"], job["Restarts"]), ("FAILED", "2:0", "0"), self.log())


class StoppedTest(ClusterTest):
    """What the scripts do when SLURM's time is up. On the first start, USR1 ends a program that stands in for riverrun with 75."""

    def stopping_program(self):
        path = self.folder / "stopping"
        path.write_text(f"""#!/usr/bin/env bash
            if [[ -z ${{SLURM_RESTART_COUNT-}} && $1 != merge && ${{SLURM_ARRAY_TASK_ID:-3}} == 3 ]]; then
              trap 'kill -KILL $running; exit 75' USR1
              {PROGRAM} "$@" & running=$!
              [[ -z ${{SLURM_ARRAY_TASK_ID-}} ]] || kill -USR1 $$
              while true; do sleep 0.1; done
            fi
            exec {PROGRAM} "$@"
            """)
        path.chmod(0o755)
        return path

    def test_a_job_goes_on_after_its_time_limit(self):
        jobs = []
        for launcher in ("srun", "mpirun"):
            self.output = self.folder / f"{launcher}.h5"
            # SLURM may send the signal a minute early; launchers lose one that comes while they start the ranks.
            number = self.submit("one_node.sbatch", "--ntasks-per-node=1", "--time=2", "--signal=B:USR1@30", program=self.stopping_program(),
                                 RIVERRUN_LAUNCHER=launcher)
            jobs.append((number, self.output))
        for number, self.output in jobs:
            # On a busy machine the time may be up once more.
            self.check_completed(number, restarts=1, or_more=True)
            self.check_output()
        self.assertGreaterEqual(self.log().count("stopped after a checkpoint: the job goes back into the queue"), 2, self.log())

    def test_a_task_of_an_array_is_requeued_alone(self):
        # Only the last one is stopped, whose SLURM_JOB_ID is the number of the whole array.
        array, merge = self.submit_array("3", program=self.stopping_program())
        self.check_completed(merge)
        tasks = {job["ArrayTaskId"]: (job["JobState"], job["Restarts"]) for job in cluster.job(array)}
        self.assertEqual(tasks, {"1": ("COMPLETED", "0"), "2": ("COMPLETED", "0"), "3": ("COMPLETED", "1")}, self.log())
        self.check_output()


@unittest.skipUnless("75" in run("--help").out, "this riverrun does not stop on a signal yet")
class CheckpointTest(CaughtTest):
    def test_a_job_that_is_told_to_stop_goes_on_from_its_checkpoint(self):
        for launcher in ("srun", "mpirun"):
            self.output = self.folder / f"{launcher}.h5"
            with self.caught(RIVERRUN_LAUNCHER=launcher) as number:
                cluster.command("scancel", "--batch", "--signal=USR1", number)
            self.check_completed(number, restarts=1)
            self.check_output()
            self.assertIn("stopped after a checkpoint", self.log())


if __name__ == "__main__":
    unittest.main()
