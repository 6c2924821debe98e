"""How much a slot has: CPUs by control groups, sizes as people write them, threads of libraries."""

from __future__ import annotations

import pytest

from masterslave.slave.capacity import bytes_of, cpu_quota, thread_limits, usable_cpus

V2 = {"/proc/self/cgroup": "0::/user.slice/lab\n"}
V1 = {"/proc/self/cgroup": "7:memory:/lab\n4:cpu,cpuacct:/docker/af01\n"}
V1_FOLDER = "/sys/fs/cgroup/cpu,cpuacct"


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        (V2, None),
        (V2 | {"/sys/fs/cgroup/user.slice/lab/cpu.max": "max 100000\n"}, None),
        (V2 | {"/sys/fs/cgroup/user.slice/lab/cpu.max": "150000 100000\n"}, 1.5),
        (V2 | {"/sys/fs/cgroup/user.slice/cpu.max": "50000 100000\n"}, 0.5),
        (
            V2
            | {
                "/sys/fs/cgroup/user.slice/lab/cpu.max": "300000 100000\n",
                "/sys/fs/cgroup/cpu.max": "200000 100000\n",
            },
            2.0,
        ),
        ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "200000 100000"}, 2.0),
        (V2 | {"/sys/fs/cgroup/user.slice/lab/cpu.max": "nonsense"}, None),
        (
            V1
            | {
                f"{V1_FOLDER}/docker/af01/cpu.cfs_quota_us": "-1\n",
                f"{V1_FOLDER}/docker/af01/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        (
            V1
            | {
                f"{V1_FOLDER}/cpu.cfs_quota_us": "250000\n",
                f"{V1_FOLDER}/cpu.cfs_period_us": "100000\n",
            },
            2.5,
        ),
    ],
)
def test_the_lowest_quota_of_a_group_and_those_above_counts(
    files: dict[str, str], quota: float | None
) -> None:
    assert cpu_quota(files.get) == quota


def test_there_is_always_a_cpu() -> None:
    assert usable_cpus() >= 1


@pytest.mark.parametrize(
    ("text", "size"),
    [("4G", 4 * 2**30), ("512M", 2**29), ("1.5GiB", 3 * 2**29), ("64kb", 2**16), ("1000", 1000)],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1G", "4X", "0"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="4G"):
        bytes_of(text)


def test_what_the_user_has_said_of_threads_stays() -> None:
    limits = thread_limits(2, {"OMP_NUM_THREADS": "7"})
    assert "OMP_NUM_THREADS" not in limits
    assert limits["OPENBLAS_NUM_THREADS"] == "2"
