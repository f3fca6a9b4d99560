/* SPDX-License-Identifier: Apache-2.0 */
/* What of this machine's state makes figures worse or less repeatable, and what would help. */
#ifndef JM_HARNESS_SYSTEM_PROBE_H
#define JM_HARNESS_SYSTEM_PROBE_H

#include <stddef.h>

enum { JM_FINDINGS = 16 };

enum jm_state {
    JM_STATE_OK,
    JM_STATE_NOTE,    /* it costs speed, steadiness or a measurement */
    JM_STATE_UNKNOWN, /* unavailable; text says why */
};

struct jm_finding {
    enum jm_state state;
    const char *name;  /* "governor" */
    char text[512];    /* what there is */
    const char *means; /* what it does to a run; "" when all is well */
    const char *fix;   /* the command that helps; "": there is none */
};

struct jm_findings {
    size_t n;
    struct jm_finding f[JM_FINDINGS];
};

/* "ok", "note", "unknown". */
const char *jm_state_name(enum jm_state state);

/* Adds one; means and fix are static text and kept only with a note. */
void jm_finding_add(struct jm_findings *list, enum jm_state state, const char *name,
                    const char *text, const char *means, const char *fix);

/**
 * Adds: governor, boost, rapl, perf_event_paranoid, numa, memory, swap, load, hypervisor,
 * throttling, huge_pages. root: prefix of /proc and /sys, "" for this machine. Each stands there
 * whatever is missing.
 */
void jm_probe(const char *root, struct jm_findings *list);

/* NULL: no such finding. */
const struct jm_finding *jm_finding_find(const struct jm_findings *list, const char *name);

#endif
