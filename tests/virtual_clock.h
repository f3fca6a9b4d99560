/* SPDX-License-Identifier: Apache-2.0 */
/* A clock for tests of schedules: it moves when it is read, by virtual_read_ns, and by sleeping,
 * and by nothing else, so that what a busy machine does to a process is not seen. Whoever includes
 * this takes the place of the C library's clock_gettime and nanosleep for the whole program. */
#ifndef JM_TESTS_VIRTUAL_CLOCK_H
#define JM_TESTS_VIRTUAL_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static bool virtual_clock = true; /* false: the real one */
static int64_t virtual_ns = 1000000000, virtual_read_ns = 200;

int clock_gettime(clockid_t id, struct timespec *t)
{
    if (!virtual_clock)
        return (int)syscall(SYS_clock_gettime, id, t);
    virtual_ns += virtual_read_ns;
    *t = (struct timespec){ .tv_sec = virtual_ns / 1000000000, .tv_nsec = virtual_ns % 1000000000 };
    return 0;
}

int nanosleep(const struct timespec *t, struct timespec *left)
{
    if (!virtual_clock)
        return (int)syscall(SYS_nanosleep, t, left);
    virtual_ns += (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
    return 0;
}

#endif
