/* SPDX-License-Identifier: Apache-2.0 */
/* See wait.h. */
#include "harness/load/wait.h"

#include <stdbool.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/clock.h"

static const int64_t spin_ns = 200000;
static const int64_t longest_ns = 100000000;

int jm_wait_begin(void)
{
    int slack = prctl(PR_GET_TIMERSLACK);
    (void)prctl(PR_SET_TIMERSLACK, 1UL);
    return slack;
}

void jm_wait_end(int slack_ns)
{
    if (slack_ns > 0)
        (void)prctl(PR_SET_TIMERSLACK, (unsigned long)slack_ns);
}

void jm_wait_until(int64_t at_ns)
{
    int64_t left_ns = at_ns - jm_now_ns() - spin_ns;

    bool more = left_ns > longest_ns;
    if (more)
        left_ns = longest_ns;
    if (left_ns > 0) {
        /* Of another clock than jm_now_ns, which cannot be slept on: a tenth of a second apart
         * they drift far less than the stretch that is spun. */
        struct timespec t = { .tv_sec = left_ns / 1000000000, .tv_nsec = left_ns % 1000000000 };
        (void)nanosleep(&t, NULL);
    }
    if (more || at_ns - jm_now_ns() > 2 * spin_ns)
        return; /* not yet, or a signal */
    while (jm_now_ns() < at_ns) {
    }
}
