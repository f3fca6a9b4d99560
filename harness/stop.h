/* SPDX-License-Identifier: Apache-2.0 */
/* Ctrl-C and SIGTERM as a flag: what must not be left half done asks it and ends in order. */
#ifndef JM_HARNESS_STOP_H
#define JM_HARNESS_STOP_H

#include <signal.h>

/* From now on both signals set the flag that is returned (non-zero: end) and interrupt waiting; a
 * closed pipe is a failed write rather than the end. */
const volatile sig_atomic_t *jm_stop_on_signals(void);

#endif
