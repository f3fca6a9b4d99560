/* SPDX-License-Identifier: Apache-2.0 */
/* See stop.h. */
#include "harness/stop.h"

#include <stddef.h>

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

const volatile sig_atomic_t *jm_stop_on_signals(void)
{
    struct sigaction stop = { .sa_handler = on_signal }, ignore = { .sa_handler = SIG_IGN };
    (void)sigaction(SIGINT, &stop, NULL);
    (void)sigaction(SIGTERM, &stop, NULL);
    (void)sigaction(SIGPIPE, &ignore, NULL);
    return &stopped;
}
