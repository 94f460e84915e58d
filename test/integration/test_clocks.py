"""Whose clock differs from Redis's serves nobody: of what hosts say of one name the newest counts, by their own clocks."""

import subprocess

import pytest

from fence_kit import RECOVERY, wait_not_ready, wait_well
from rest_client import rest

SANDBOX_OPTIONS = ("--workers", "1")
SHIFT = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
int gettimeofday(struct timeval *now, void *zone) {
    int (*real)(struct timeval *, void *) = dlsym(RTLD_NEXT, "gettimeofday");
    int status = real(now, zone);
    now->tv_sec += SECONDS;
    return status;
}
int clock_gettime(clockid_t id, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(id, now);
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
        now->tv_sec += SECONDS;
    return status;
}
time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL)
        *out = now.tv_sec;
    return now.tv_sec;
}
"""


@pytest.mark.parametrize("seconds, words", [(-120, "ahead of that of Redis"), (120, "behind that of Redis")])
def test_a_host_whose_clock_is_not_that_of_redis_serves_nobody(own_sandbox, tmp_path, seconds, words):
    box, source, shim = own_sandbox, tmp_path / "shift.c", tmp_path / "shift.so"
    wait_well(box)
    source.write_text(SHIFT)
    subprocess.run(["cc", "-shared", "-fPIC", f"-DSECONDS=({seconds})", "-o", shim, source, "-ldl"], check=True, timeout=60)
    box.kill_redis()
    box.processes.start("redis", ["redis-server", str(box.directory / "redis.conf")], {"LD_PRELOAD": str(shim)})
    reason = wait_not_ready(box, "ledger", words)
    assert reason.startswith("the clock of this host is 1") and "redis_max_clock_difference_ms" in reason
    answer = rest(box).create([box.name()])
    assert answer.status == 503, answer.body
    box.kill_redis()
    box.start_redis()
    wait_well(box)
    assert rest(box).create([box.name()]).status == 200
