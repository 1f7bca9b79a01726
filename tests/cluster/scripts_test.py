"""Protects: the helpers of cluster/ that need no SLURM: staging a model, and choosing a rank's GPU."""

import os
import pathlib
import subprocess
import tempfile
import shutil
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "cluster"


class ScriptTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="riverrun-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def start(self, *words, **environment):
        return subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env={"PATH": os.environ["PATH"], **environment})

    def run_script(self, *words, expect=0, **environment):
        process = self.start(*words, **environment)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, expect, err)
        return out.strip() if expect == 0 else err


class StageTest(ScriptTest):
    def setUp(self):
        super().setUp()
        (self.folder / "models").mkdir()
        self.model = self.folder / "models" / "a model.pth"
        self.model.write_bytes(os.urandom(3_000_000))
        self.disk = self.folder / "disk"

    def stage(self, model=None, **how):
        return self.run_script(SCRIPTS / "stage_model.sh", model or self.model, self.disk, **how)

    def test_ranks_that_stage_at_once_get_one_copy(self):
        processes = [self.start(SCRIPTS / "stage_model.sh", self.model, self.disk) for _ in range(6)]
        places = {process.communicate(timeout=60)[0].strip() for process in processes}
        self.assertEqual([process.returncode for process in processes], [0] * 6)
        self.assertEqual(len(places), 1)
        self.assertEqual(pathlib.Path(places.pop()).read_bytes(), self.model.read_bytes())
        self.assertEqual(list(self.disk.rglob("*.partial")), [])

    def test_a_good_copy_is_kept_and_a_damaged_one_replaced(self):
        copy = pathlib.Path(self.stage())
        made = copy.stat().st_ino
        self.assertEqual(pathlib.Path(self.stage()).stat().st_ino, made)
        damaged = bytearray(copy.read_bytes())
        damaged[1000] ^= 1
        copy.write_bytes(damaged)
        self.assertEqual(pathlib.Path(self.stage()).read_bytes(), self.model.read_bytes())

    def test_a_copy_that_was_broken_off_is_made_again(self):
        copy = pathlib.Path(self.stage())
        copy.rename(copy.with_name(copy.name + ".partial"))
        copy.with_name(copy.name + ".sha256").unlink()
        self.assertEqual(pathlib.Path(self.stage()).read_bytes(), self.model.read_bytes())

    def test_another_model_of_the_same_name_has_another_place(self):
        first = self.stage()
        self.model.write_bytes(b"another")
        second = self.stage()
        self.assertNotEqual(first, second)
        self.assertEqual(pathlib.Path(second).read_bytes(), b"another")

    def test_the_vocabulary_beside_a_model_comes_along(self):
        for name in ("rwkv_vocab_v20230424.txt", "notes.txt"):
            (self.model.parent / name).write_text(name)
        names = {path.name for path in pathlib.Path(self.stage()).parent.iterdir() if path.suffix in (".txt", ".pth")}
        self.assertEqual(names, {"a model.pth", "rwkv_vocab_v20230424.txt"})

    def test_a_folder_is_staged_whole(self):
        (self.model.parent / "config.json").write_text("{}")
        place = pathlib.Path(self.stage(self.model.parent))
        self.assertTrue(place.is_dir())
        self.assertEqual((place / "config.json").read_text(), "{}")
        self.assertEqual((place / "a model.pth").read_bytes(), self.model.read_bytes())

    def test_an_index_without_its_shards_is_refused(self):
        index = self.folder / "model.safetensors.index.json"
        index.write_text("{}")
        self.assertIn("name their folder", self.stage(index, expect=1))

    def test_a_model_that_is_not_there_is_named(self):
        self.assertIn("missing.pth", self.stage(self.folder / "missing.pth", expect=1))


class BindGpuTest(ScriptTest):
    def gpu(self, **environment):
        return self.run_script(SCRIPTS / "bind_gpu.sh", "bash", "-c", "echo $CUDA_VISIBLE_DEVICES", **environment)

    def test_the_rank_of_this_node_chooses(self):
        for rank, gpu in enumerate("4657"):
            self.assertEqual(self.gpu(CUDA_VISIBLE_DEVICES="4,6,5,7", SLURM_LOCALID=str(rank)), gpu)
            # Under mpirun, SLURM's number is that of a daemon.
            self.assertEqual(self.gpu(CUDA_VISIBLE_DEVICES="4,6,5,7", SLURM_LOCALID="0", OMPI_COMM_WORLD_LOCAL_RANK=str(rank)), gpu)

    def test_more_ranks_than_gpus_share_them(self):
        self.assertEqual(self.gpu(CUDA_VISIBLE_DEVICES="GPU-a,GPU-b", SLURM_LOCALID="3"), "GPU-b")

    def test_without_a_list_the_driver_is_asked(self):
        tool = self.folder / "nvidia-smi"
        for output, expect in (("GPU-a\\nGPU-b\\n", 0), ("", 2), ("No devices were found\\n", 2)):
            tool.write_text(f"#!/bin/sh\nprintf '{output}'\n")
            tool.chmod(0o755)
            found = self.run_script(SCRIPTS / "bind_gpu.sh", "bash", "-c", "echo $CUDA_VISIBLE_DEVICES", expect=expect,
                                    SLURM_LOCALID="1", PATH=f"{self.folder}:{os.environ['PATH']}")
            self.assertIn("GPU-b" if expect == 0 else "there is no GPU", found)


if __name__ == "__main__":
    unittest.main()
