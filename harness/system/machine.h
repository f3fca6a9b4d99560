/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of the machine, each fact with its value or the reason why there is none. */
#ifndef JM_HARNESS_SYSTEM_MACHINE_H
#define JM_HARNESS_SYSTEM_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JM_MACHINE_FACTS = 32 };

struct jm_fact {
    const char *name; /* "cpu_model"; with unit where it has one */
    bool known;       /* false: value is "unavailable" */
    char value[192];
    char reason[160]; /* "" when known */
};

struct jm_machine {
    size_t n;
    struct jm_fact fact[JM_MACHINE_FACTS];
};

/* root: prefix of /proc and /sys, "" for this machine. Never fails as a whole. */
void jm_machine_read(const char *root, struct jm_machine *out);

/* NULL: no such fact. */
const struct jm_fact *jm_machine_fact(const struct jm_machine *m, const char *name);

/* Physical cores this process may use; 0 when unavailable. */
uint32_t jm_machine_cores(void);

/* Highest resident memory of this process so far, in bytes; 0 when unavailable. */
uint64_t jm_machine_peak_rss(void);

struct jm_build {
    const char *version, *commit, *compiler, *flags; /* static text, never NULL */
};
struct jm_build jm_machine_build(void);

#endif
