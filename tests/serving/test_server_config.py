"""What a worker finds out about its server, from folders as ``/proc`` has them."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path

import pytest

from eisen_deploy.serving.runtime import cores as cores_module
from eisen_deploy.serving.runtime.cores import count_cores
from eisen_deploy.serving.runtime.torchserve import java_properties, server_config
from eisen_deploy.serving.runtime.torchserve.server_config import ServerConfig, read

JAVA = ["java", "-cp", ".:ts/frontend/*", "org.pytorch.serve.ModelServer", "--python", "python"]


class Proc:
    """An invented ``/proc`` in which 20 is a TorchServe, 30 something below it."""

    def __init__(self, folder):
        self.folder = folder
        self.cwd = folder / "work"
        self.cwd.mkdir()
        self.add(10, 1, ["init"])
        self.add(20, 10, [*JAVA, "-s", "store", "-ncs"])
        self.add(30, 20, ["python", "torchrun"], name="a (strange) name 1 2")

    def add(self, pid, parent, command, environment=None, name="java"):
        folder = self.folder / str(pid)
        folder.mkdir(exist_ok=True)
        (folder / "cmdline").write_bytes(b"".join(os.fsencode(c) + b"\0" for c in command))
        (folder / "stat").write_text(f"{pid} ({name}) S {parent} {pid} 0")
        pairs = (f"{key}={value}\0" for key, value in (environment or {}).items())
        (folder / "environ").write_text("".join(pairs))
        if not (folder / "cwd").exists():
            (folder / "cwd").symlink_to(self.cwd)

    def configure(self, text, name="config.properties"):
        path = self.cwd / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def read(self, pid=20):
        return read(self.folder, pid)


@pytest.fixture
def proc(tmp_path):
    return Proc(tmp_path)


def test_stock_values_where_there_is_no_file(proc):
    assert proc.read() == ServerConfig(
        max_response_size=6_553_500,
        max_request_size=6_553_500,
        default_response_timeout=120,
        default_workers_per_model=count_cores(),
        reads_model_metrics=False,
        source="config.properties",
    )


def test_a_file_in_the_working_folder_is_read_though_nothing_names_it(proc):
    proc.configure(
        "max_response_size=7\nmax_request_size=8\ndefault_response_timeout=9\n"
        "default_workers_per_model=3\nmodel_metrics_auto_detect=true\n"
    )
    assert proc.read() == ServerConfig(7, 8, 9, 3, {}, True, "config.properties")


def test_the_command_line_names_another_file(proc):
    proc.configure("max_response_size=1")
    proc.configure("max_response_size=2", "etc/mine.properties")
    proc.add(20, 10, [*JAVA, "-f", "etc/mine.properties"])
    assert proc.read().max_response_size == 2
    assert proc.read().source == "mine.properties"


def test_the_environment_names_a_file_before_the_command_line_does(proc, tmp_path):
    (tmp_path / "third").write_text("max_response_size=3")
    proc.configure("max_response_size=2", "second")
    proc.add(20, 10, [*JAVA, "-f", "second"], {"TS_CONFIG_FILE": str(tmp_path / "third")})
    assert proc.read().max_response_size == 3


def test_a_file_that_is_named_and_missing_leaves_the_stock_values(proc):
    proc.configure("max_response_size=1")
    proc.add(20, 10, [*JAVA, "-f", "nowhere"])
    assert proc.read().max_response_size == 6_553_500


def test_the_last_snapshot_counts_unless_snapshots_are_off(proc):
    proc.configure("max_response_size=1")
    proc.configure("max_response_size=2", "logs/config/20261122111111000-startup.cfg")
    proc.configure("max_response_size=3", "logs/config/20261122111111001-snapshot.cfg")
    assert proc.read().max_response_size == 1
    proc.add(20, 10, JAVA)
    assert proc.read().max_response_size == 3
    proc.add(20, 10, JAVA, {"LOG_LOCATION": "elsewhere"})
    assert proc.read().max_response_size == 1


def test_variables_count_only_where_the_file_says_so(proc):
    environment = {"TS_MAX_RESPONSE_SIZE": "5", "TS_DEFAULT_RESPONSE_TIMEOUT": "6"}
    proc.add(20, 10, [*JAVA, "-ncs"], environment)
    proc.configure("max_response_size=1")
    assert proc.read().max_response_size == 1
    proc.configure("max_response_size=1\nenable_envvars_config=TRUE")
    assert proc.read().max_response_size == 5
    assert proc.read().default_response_timeout == 6
    assert proc.read().source == "TS_MAX_RESPONSE_SIZE in its environment"


def test_values_may_refer_to_the_environment(proc):
    proc.add(20, 10, [*JAVA, "-ncs"], {"SIZE": "12"})
    proc.configure("max_response_size=$$SIZE$$00")
    assert proc.read().max_response_size == 1200


def test_a_word_with_a_blank_behind_it_is_false_as_java_reads_it(proc):
    proc.add(20, 10, [*JAVA, "-ncs"], {"TS_MAX_RESPONSE_SIZE": "5"})
    proc.configure("max_response_size=1\nenable_envvars_config=true ")
    assert proc.read().max_response_size == 1


def test_the_server_may_be_a_more_distant_ancestor(proc):
    proc.configure("max_response_size=4")
    assert proc.read(pid=30).max_response_size == 4


@pytest.mark.parametrize(
    "text", ["max_response_size=many", "models={", "default_response_timeout="]
)
def test_what_the_server_itself_could_not_read_is_unknown(proc, text):
    proc.configure(text)
    assert proc.read() == ServerConfig()


@pytest.mark.parametrize("pid", [10, 99])
def test_without_a_parent_server_no_setting_is_known(proc, pid):
    assert proc.read(pid) == ServerConfig()


def test_without_proc_no_setting_is_known(tmp_path):
    assert read(tmp_path / "nowhere") == ServerConfig()


def test_these_tests_do_not_run_below_a_server():
    assert read() == ServerConfig()


def test_the_number_of_workers_with_debugging_or_gpus(proc):
    gpus = proc.folder / "driver" / "nvidia" / "gpus"
    for name in ("0000:01:00.0", "0000:02:00.0", "0000:03:00.0"):
        (gpus / name).mkdir(parents=True)
    assert proc.read().default_workers_per_model == 3
    proc.configure("number_of_gpu=2")
    assert proc.read().default_workers_per_model == 2
    proc.configure("default_workers_per_model=5")
    assert proc.read().default_workers_per_model == 5
    proc.configure("debug=true")
    assert proc.read().default_workers_per_model == 1


def test_settings_of_one_model(proc):
    proc.configure(
        'models={"m": {"1.0": {"responseTimeout": 7, "minWorkers": 0, "x": "y"}}, "n": 3}'
    )
    config = proc.read()
    assert config.find_setting("m", "1.0", "responseTimeout") == 7
    for wanted in [
        ("m", "1.0", "minWorkers"),
        ("m", "1.0", "x"),
        ("m", "2.0", "a"),
        ("n", "1", "a"),
    ]:
        assert config.find_setting(*wanted) is None


# --- what it stands on ----------------------------------------------------------------------


def test_only_the_standard_library_is_needed():
    """It is read before numpy and torch are known to be there."""
    for module in (server_config, java_properties, cores_module):
        tree = ast.parse(Path(module.__file__).read_text())
        names = {
            alias.name.partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        assert names <= sys.stdlib_module_names
