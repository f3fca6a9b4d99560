/* SPDX-License-Identifier: Apache-2.0 */
/* See memory_line.h. */
#include "harness/memory_line.h"

#include "base/memory.h"

void jm_memory_line(FILE *f, const char *who, const struct jm_plan_memory *m, uint64_t other)
{
    static const uint64_t WORTH_SAYING = (uint64_t)256 << 20;
    struct jm_memory_room room;
    if (m->weights + m->caches + m->work + other < WORTH_SAYING)
        return;
    fprintf(f, "%s: memory: %.3f GB weights, %.3f GB caches, %.3f GB work space, %.3f GB answers",
            who, (double)m->weights / 1e9, (double)m->caches / 1e9, (double)m->work / 1e9,
            (double)other / 1e9);
    if (jm_memory_room("", &room))
        fprintf(f, "; %.1f GB more are available (%s)", (double)room.bytes / 1e9, room.limit);
    fputc('\n', f);
}
