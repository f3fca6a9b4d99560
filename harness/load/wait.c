/* SPDX-License-Identifier: Apache-2.0 */
/* See wait.h. */
#include "harness/load/wait.h"

#include <math.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/clock.h"

enum { LOOKS = 512 };

static const int64_t longest_ns = 100000000, look_ns = 100000, looks_ns = 100000000;
static const double shortest_spin_ns = 50e3, longest_spin_ns = 2e6;
static const double longer = 1.5, beyond = 0.001; /* share of sleeps */

/* The clock slept on is another than jm_now_ns, which cannot be: in a tenth of a second they drift
 * apart far less than the stretch that is spun. False: a signal. */
static bool sleep_ns(struct jm_wait *w, int64_t ns)
{
    struct timespec t = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
    int64_t until_ns = jm_now_ns() + ns;
    if (nanosleep(&t, NULL) != 0)
        return false;
    jm_wait_learn(w, jm_now_ns() - until_ns);
    return true;
}

void jm_wait_learn(struct jm_wait *w, int64_t late_ns)
{
    double late = (double)late_ns;

    if (late > w->spin_ns)
        w->spin_ns = fmax(w->spin_ns * longer, late);
    else
        w->spin_ns *= 1.0 - beyond * log(longer);
    w->spin_ns = fmin(fmax(w->spin_ns, shortest_spin_ns), longest_spin_ns);
}

void jm_wait_begin(struct jm_wait *w)
{
    int64_t most_ns = 0;

    *w = (struct jm_wait){ .slack_ns = prctl(PR_GET_TIMERSLACK), .spin_ns = shortest_spin_ns };
    (void)prctl(PR_SET_TIMERSLACK, 1UL);
    const int64_t end_ns = jm_now_ns() + looks_ns;
    for (int i = 0; i < LOOKS && jm_now_ns() < end_ns; i++) {
        int64_t start_ns = jm_now_ns();
        if (!sleep_ns(w, look_ns))
            continue;
        int64_t late_ns = jm_now_ns() - start_ns - look_ns;
        most_ns = late_ns > most_ns ? late_ns : most_ns;
    }
    w->spin_ns = fmin(fmax(2.0 * (double)most_ns, shortest_spin_ns), longest_spin_ns);
}

void jm_wait_end(const struct jm_wait *w)
{
    if (w->slack_ns > 0)
        (void)prctl(PR_SET_TIMERSLACK, (unsigned long)w->slack_ns);
}

void jm_wait_until(struct jm_wait *w, int64_t at_ns)
{
    int64_t left_ns = at_ns - jm_now_ns() - (int64_t)w->spin_ns;

    if (left_ns > longest_ns) {
        (void)sleep_ns(w, longest_ns);
        return; /* not yet */
    }
    if (left_ns > 0 && !sleep_ns(w, left_ns))
        return;
    while (jm_now_ns() < at_ns) {
    }
}
