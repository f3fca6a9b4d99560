/* SPDX-License-Identifier: Apache-2.0 */
/* A plan's memory. Taking costs address space only: nothing is real before it is touched, so that a
 * plan can be laid out whole, and refused, before it takes anything from the machine. */
#ifndef JM_BACKENDS_CPU_ARENA_H
#define JM_BACKENDS_CPU_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Begins at a multiple of 2 MB: huge pages where the OS has them. With small ones the faults of a
 * large model take longer than packing its weights. */
struct jm_arena_block {
    uint8_t *at;
    size_t bytes, used;
    bool touched; /* by whoever fills it */
};

struct jm_arena {
    struct jm_arena_block *blocks; /* [n] */
    uint32_t n, cap;
    size_t bytes;  /* given out */
    size_t wanted; /* 0, or when there was no room: given out and asked for */
};

/* Zeroed bytes at a multiple of 64. NULL: there is no room. */
void *jm_arena_take(struct jm_arena *m, size_t bytes);
/* The same in a block of its own that jm_arena_touch leaves alone. */
void *jm_arena_take_alone(struct jm_arena *m, size_t bytes);
/* Makes this member's part of all that was given out real; its contents stay. */
void jm_arena_touch(const struct jm_arena *m, uint32_t member, uint32_t members);
void jm_arena_free(struct jm_arena *m);

/* What lies in a file that is mapped, bytes from `at` on: read ahead in one call, and given back
 * (it stays in the page cache). Both are wishes. */
void jm_pages_want(const void *at, size_t bytes);
void jm_pages_drop(const void *at, size_t bytes);

#endif
