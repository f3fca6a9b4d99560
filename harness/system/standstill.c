/* SPDX-License-Identifier: Apache-2.0 */
/* See standstill.h. Sources: clock_gettime(2), signal(7): a process that continues gets SIGCONT,
 * whatever it does with it. */
#include "harness/system/standstill.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>

static volatile sig_atomic_t continued;
static struct sigaction before;

static void on_continue(int number)
{
    (void)number;
    continued++;
}

static int64_t read_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void jm_standstill_begin(struct jm_standstill *s)
{
    struct sigaction count = { .sa_handler = on_continue, .sa_flags = SA_RESTART };
    *s = (struct jm_standstill){ .continued = 0 };
    continued = 0;
    (void)sigaction(SIGCONT, &count, &before);
    int64_t awake_ns = read_ns(CLOCK_MONOTONIC);
    s->slept_most_ns = read_ns(CLOCK_BOOTTIME) - awake_ns;
}

void jm_standstill_end(struct jm_standstill *s)
{
    int64_t all_ns = read_ns(CLOCK_BOOTTIME);
    s->slept_least_ns = all_ns - read_ns(CLOCK_MONOTONIC);
    (void)sigaction(SIGCONT, &before, NULL);
    s->continued = continued;
}

bool jm_standstill_seen(const struct jm_standstill *s, char *why, size_t room)
{
    int64_t slept_ns = s->slept_least_ns - s->slept_most_ns;
    if (slept_ns > 0)
        (void)snprintf(why, room, "the machine slept for %.3g s while it was measured",
                       (double)slept_ns * 1e-9);
    else if (s->continued > 0)
        (void)snprintf(why, room, "the program was stopped and continued while it was measured");
    return slept_ns > 0 || s->continued > 0;
}
