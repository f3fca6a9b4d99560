/* SPDX-License-Identifier: Apache-2.0 */
/* Progress on stderr: one line rewritten on a terminal, JSON lines on request, else nothing. */
#ifndef JM_HARNESS_PROGRESS_H
#define JM_HARNESS_PROGRESS_H

#include <stdint.h>
#include <stdio.h>

enum jm_progress_mode {
    JM_PROGRESS_AUTO, /* a line on a terminal, else nothing */
    JM_PROGRESS_JSON, /* one object a line */
    JM_PROGRESS_NONE
};

struct jm_progress {
    FILE *f;
    enum jm_progress_mode mode;
    int64_t start_ns, last_ns;
    char label[64];
};

/* Starts a phase ("q4_0: measure"). f: stderr; not owned. */
void jm_progress_start(struct jm_progress *p, enum jm_progress_mode mode, FILE *f,
                       const char *label);
/* done: share done, 0..1. Prints ten times a second at most. */
void jm_progress_update(struct jm_progress *p, double done);
/* Ends the phase; clears the line on a terminal. */
void jm_progress_end(struct jm_progress *p);

#endif
