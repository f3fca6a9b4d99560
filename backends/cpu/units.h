/* SPDX-License-Identifier: Apache-2.0 */
/* Work that is dealt among threads while they do it. It is cut into as many units for each thread;
 * a thread takes its own, in order, and then what others have left, so that nobody waits long for
 * one whose core is slow or has other work too. What a thread begins with is always the same, and
 * so lies in its caches, and in its memory where there are several. */
#ifndef JM_BACKENDS_CPU_UNITS_H
#define JM_BACKENDS_CPU_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of one thread: units that are left of its own. */
struct jm_units;

/* Parts [from, to) of `of` equal ones. */
struct jm_span {
    uint32_t from, to, of;
};

/* Bytes for so many threads, zeroed and 8-byte aligned. */
size_t jm_units_bytes(uint32_t members);

/* Takes thread m's next units of the `each`, at most 65535, that all have of some work: *out is of
 * members * each. false: none is left. work: its number, not 0 and never used before; all threads
 * must have met, or been started, since one last took units of another. */
bool jm_units_take(struct jm_units *u, uint32_t work, uint32_t m, uint32_t members, uint32_t each,
                   struct jm_span *out);

#endif
