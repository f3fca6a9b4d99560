/* SPDX-License-Identifier: Apache-2.0 */
/* See units.h. What is left of a thread's units is one word, which its owner shortens at the front
 * and others at the back, each time by a part of it: large pieces first, small ones at the end
 * (guided self-scheduling, Polychronopoulos and Kuck 1987). The word tells which work it is of, so
 * that nobody has to reset it: whoever comes first begins it anew. */
#include "backends/cpu/units.h"

#include <stdatomic.h>

enum {
    PART = 3,   /* a third of what is left */
    LINE = 128, /* cache lines are fetched in pairs */
};

/* Bits 32 to 63: the work's number; 16 to 31 and 0 to 15: from and to, of its own units. */
struct jm_units {
    _Atomic(uint64_t) left;
    uint8_t apart[LINE - sizeof(_Atomic(uint64_t))];
};

size_t jm_units_bytes(uint32_t members)
{
    return members * sizeof(struct jm_units);
}

static uint64_t word(uint32_t work, uint32_t from, uint32_t to)
{
    return (uint64_t)work << 32 | from << 16 | to;
}

/* Some of what is left to a thread, [from, to). Nothing but the word itself passes between threads:
 * what units read and write is ordered by meetings. */
static bool take_some(struct jm_units *u, uint32_t work, uint32_t each, bool own,
                      struct jm_span *out)
{
    uint64_t now = atomic_load_explicit(&u->left, memory_order_relaxed), then;
    do {
        bool begun = now >> 32 == work;
        uint32_t from = begun ? (uint32_t)(now >> 16 & UINT16_MAX) : 0;
        uint32_t to = begun ? (uint32_t)(now & UINT16_MAX) : each;
        uint32_t n = (to - from + PART - 1) / PART;
        if (n == 0)
            return false;
        *out = own ? (struct jm_span){ .from = from, .to = from + n }
                   : (struct jm_span){ .from = to - n, .to = to };
        then = own ? word(work, from + n, to) : word(work, from, to - n);
    } while (!atomic_compare_exchange_weak_explicit(&u->left, &now, then, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

bool jm_units_take(struct jm_units *u, uint32_t work, uint32_t m, uint32_t members, uint32_t each,
                   struct jm_span *out)
{
    for (uint32_t i = 0; i < members; i++) {
        uint32_t whose = m + i < members ? m + i : m + i - members;
        if (take_some(&u[whose], work, each, i == 0, out)) {
            out->from += whose * each;
            out->to += whose * each;
            out->of = members * each;
            return true;
        }
    }
    return false;
}
