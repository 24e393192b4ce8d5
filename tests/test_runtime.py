"""Threads, instruction sets, algorithm and seed: the environment, calls, and the report."""

import subprocess
import sys

import numpy as np
import pytest

import convkit
from convkit import runtime

SHOW = "import convkit; print(convkit.runtime.{})"


@pytest.fixture
def refused(run_script):
    """Return a function that imports convkit with environment variables and returns its error."""

    def run(**variables):
        source = "try: import convkit\nexcept ImportError as error: print(error)\nelse: print('ok')"
        return run_script(source, **variables).strip()

    return run


# ---- environment ---------------------------------------------------------------------------------


def test_each_usable_isa_can_be_chosen(run_script):
    for isa in runtime.isas_usable():
        assert run_script(SHOW.format("active_isa()"), CONVKIT_ISA=isa).strip() == isa
    fastest = runtime.isas_usable()[-1]
    assert run_script(SHOW.format("active_isa()"), CONVKIT_ISA="").strip() == fastest


def test_a_wrong_isa_is_an_import_error_that_lists_the_right_ones(refused):
    message = refused(CONVKIT_ISA="avx9")
    assert message == "CONVKIT_ISA='avx9' is not one of: baseline, avx2, avx512"


@pytest.mark.parametrize(
    ("isas", "words"),
    [
        ([("baseline", True, True), ("avx2", False, False)], "was not built into this copy"),
        ([("baseline", True, True), ("avx2", True, False)], "this CPU or operating system does"),
    ],
)
def test_an_isa_that_is_not_there_is_named(isas, words, monkeypatch):
    monkeypatch.setenv("CONVKIT_ISA", "avx2")
    monkeypatch.setattr(runtime._core, "isas", lambda: isas)
    with pytest.raises(ImportError, match=f"CONVKIT_ISA='avx2' .*{words}.*use one of: baseline$"):
        runtime._choose_isa()


def test_threads_from_the_environment(run_script, refused):
    ask = SHOW.format("get_num_threads(), convkit.runtime.config()['threads']")
    for variables, threads, why in (
        ({"CONVKIT_NUM_THREADS": "3", "OMP_NUM_THREADS": "2"}, 3, "CONVKIT_NUM_THREADS"),
        ({"CONVKIT_NUM_THREADS": "", "OMP_NUM_THREADS": "2"}, 2, "OMP_NUM_THREADS"),
        ({"CONVKIT_NUM_THREADS": "", "OMP_NUM_THREADS": "2,4"}, 2, "OMP_NUM_THREADS"),
    ):
        assert run_script(ask, **variables).strip() == f"{threads} {threads} ({why})"
    allowed = run_script(ask, CONVKIT_NUM_THREADS="", OMP_NUM_THREADS="nonsense").strip()
    assert "CPU" in allowed and 1 <= int(allowed.split()[0]) <= runtime.MAX_THREADS
    for wrong in ("0", "-1", "two", "1.5", "1025"):
        assert refused(CONVKIT_NUM_THREADS=wrong) == (
            f"CONVKIT_NUM_THREADS must be a whole number from 1 to 1024, got '{wrong}'"
        )


def test_threads_are_those_the_process_may_use(monkeypatch):
    monkeypatch.delenv("CONVKIT_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(runtime.os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    for quota, expected in ((None, 6), (8.0, 6), (2.5, 2), (0.5, 1)):
        monkeypatch.setattr(runtime, "_cgroup_limit", lambda quota=quota: quota)
        threads, why = runtime._choose_threads()
        assert threads == expected and ("quota" in why) == (expected < 6)


def test_quotas_of_control_groups(tmp_path):
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "none").write_text("max 100000\n")
    (tmp_path / "empty").write_text("")
    (tmp_path / "quota").write_text("-1\n")
    (tmp_path / "period").write_text("100000\n")
    assert runtime._quota(tmp_path / "cpu.max") == 1.5
    for files in (["none"], ["empty"], ["missing"], ["quota", "period"]):
        assert runtime._quota(*(tmp_path / name for name in files)) is None


def test_algorithm_from_the_environment(run_script, refused):
    assert run_script(SHOW.format("get_algorithm()"), CONVKIT_CONV="direct").strip() == "direct"
    assert run_script(SHOW.format("get_algorithm()"), CONVKIT_CONV="").strip() == "auto"
    assert refused(CONVKIT_CONV="winograd") == (
        "CONVKIT_CONV='winograd' is not one of: auto, direct"
    )


def test_the_cache_is_where_CONVKIT_HOME_says(run_script, tmp_path):
    ask = SHOW.format("config()['cache']")
    assert run_script(ask, CONVKIT_HOME=str(tmp_path / "c")).strip() == str(tmp_path / "c")
    assert run_script(ask, CONVKIT_HOME="~/x", HOME=str(tmp_path)).strip() == str(tmp_path / "x")
    platform = run_script(ask, CONVKIT_HOME="", XDG_CACHE_HOME=str(tmp_path)).strip()
    assert platform.endswith("convkit")
    assert not (tmp_path / "c").exists()


# ---- calls ---------------------------------------------------------------------------------------


def test_set_num_threads():
    before = convkit.get_num_threads()
    try:
        for threads in (1, np.int64(8), runtime.MAX_THREADS):
            convkit.set_num_threads(threads)
            assert convkit.get_num_threads() == threads
            assert runtime.config()["threads"] == f"{threads} (set_num_threads)"
        for wrong in (0, -1, 1025):
            with pytest.raises(ValueError, match=f"n must be from 1 to 1024, got n={wrong}"):
                convkit.set_num_threads(wrong)
        for wrong in (True, 2.0, "2", None):
            with pytest.raises(TypeError, match=f"n must be an int, got n={wrong!r}"):
                convkit.set_num_threads(wrong)
        assert convkit.get_num_threads() == runtime.MAX_THREADS
    finally:
        convkit.set_num_threads(before)


def test_set_algorithm(direct):
    assert runtime.get_algorithm() == "direct"
    for wrong in ("winograd", None, 3):
        with pytest.raises(ValueError, match=r"must be one of \('auto', 'direct'\), got name="):
            convkit.set_algorithm(wrong)
    assert runtime.get_algorithm() == "direct"


def test_set_seed():
    convkit.set_seed(3)
    first = [runtime.next_seed(), runtime.random_generator().random()]
    convkit.set_seed(np.int32(3))
    assert [runtime.next_seed(), runtime.random_generator().random()] == first
    before = np.random.get_state()[1].copy()
    convkit.set_seed(4)
    assert runtime.next_seed() != first[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    for wrong in (True, 1.0, "1", None):
        with pytest.raises(TypeError, match=f"seed must be an int, got seed={wrong!r}"):
            convkit.set_seed(wrong)
    with pytest.raises(ValueError, match="seed must not be negative, got seed=-1"):
        convkit.set_seed(-1)


# ---- report --------------------------------------------------------------------------------------

ROWS = (
    *("convkit", "python", "numpy", "compiler", "cpu", "isas built", "isas usable", "isa active"),
    *("isas missing", "threads", "openmp", "algorithm", "cache"),
)


def test_the_report_names_what_is_running(capsys):
    convkit.show_config()
    lines = capsys.readouterr().out.splitlines()
    assert tuple(line.partition(":")[0] for line in lines) == ROWS
    report = runtime.config()
    assert report["convkit"] == convkit.__version__
    assert report["isa active"] in report["isas usable"].split(", ")
    assert all(report.values())


def test_the_report_says_what_the_build_lacks(monkeypatch):
    isas = [("baseline", True, True), ("avx2", True, False), ("avx512", False, False)]
    monkeypatch.setattr(runtime._core, "isas", lambda: isas)
    monkeypatch.setattr(runtime._core, "has_openmp", False)
    report = runtime.config()
    assert report["isas missing"] == "avx512"
    assert report["isas built"] == "baseline, avx2" and report["isas usable"] == "baseline"
    assert report["threads"] == "1 (built without OpenMP)"
    assert report["openmp"].startswith("none: the compiler had no OpenMP")


def test_import_is_light():
    """Only numpy of what convkit depends on is loaded; 50 ms over it where numpy takes 85."""
    source = (
        "import sys, time; start = time.process_time(); import numpy\n"
        "begin = time.process_time(); import convkit\n"
        "print((time.process_time() - begin) / (begin - start))\n"  # whatever the machine's speed
        "print(*{n.partition('.')[0] for n in sys.modules} & "
        "{'tqdm', 'pooch', 'safetensors', 'requests', 'matplotlib', 'pandas', 'PIL', 'h5py'})"
    )
    ratio, others = min(
        tuple(subprocess.check_output([sys.executable, "-c", source], text=True).split("\n")[:2])
        for _ in range(5)
    )
    assert others == ""
    assert float(ratio) < 0.6
