/* SPDX-License-Identifier: Apache-2.0 */
/* See arena.h. */
#include "backends/cpu/arena.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checked.h"

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#endif

enum {
    ALIGN = 64,
    HUGE_PAGE = 2 << 20,
    PAGE = 4096,            /* the smallest there is: touching one twice costs nothing */
    LEAST_BLOCK = 32 << 20, /* of address space; pieces lie close in it, or each ends a huge page */
    POPULATE_READ = 22,     /* MADV_POPULATE_READ of Linux 5.14, which older headers lack */
};

static bool add_block(struct jm_arena *m, size_t bytes)
{
    size_t whole;
    if (m->n == m->cap) {
        uint32_t cap = m->cap ? m->cap * 2 : 16;
        struct jm_arena_block *more = realloc(m->blocks, cap * sizeof *more);
        if (!more)
            return false;
        m->blocks = more;
        m->cap = cap;
    }
    bytes = bytes < LEAST_BLOCK ? LEAST_BLOCK : bytes;
    if (!jm_add_size(bytes, HUGE_PAGE - 1, &bytes))
        return false;
    bytes -= bytes % HUGE_PAGE;
    if (!jm_add_size(bytes, HUGE_PAGE, &whole))
        return false;
    uint8_t *p = mmap(NULL, whole, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return false;
    size_t before = (HUGE_PAGE - (uintptr_t)p % HUGE_PAGE) % HUGE_PAGE;
    if (before > 0)
        munmap(p, before);
    if (before < HUGE_PAGE)
        munmap(p + before + bytes, HUGE_PAGE - before);
    (void)madvise(p + before, bytes, MADV_HUGEPAGE);
    m->blocks[m->n++] = (struct jm_arena_block){ .at = p + before, .bytes = bytes };
    return true;
}

/* Under AddressSanitizer what lies between two pieces must not be touched. */
static void guard(const uint8_t *p, size_t bytes, size_t rounded)
{
#ifdef HAS_ASAN
    ASAN_POISON_MEMORY_REGION(p + bytes, rounded - bytes + ALIGN);
#else
    (void)p, (void)bytes, (void)rounded;
#endif
}

static size_t gap(void)
{
#ifdef HAS_ASAN
    return ALIGN;
#else
    return 0;
#endif
}

static void *take(struct jm_arena *m, size_t bytes, bool alone)
{
    size_t rounded, with_gap;
    if (!jm_add_size(bytes ? bytes : 1, ALIGN - 1, &rounded) ||
        !jm_add_size(rounded -= rounded % ALIGN, gap(), &with_gap))
        return NULL;
    struct jm_arena_block *b = m->n > 0 ? &m->blocks[m->n - 1] : NULL;
    if (alone || !b || b->touched || b->bytes - b->used < with_gap) {
        if (!add_block(m, with_gap)) {
            if (!jm_add_size(m->bytes, rounded, &m->wanted))
                m->wanted = SIZE_MAX;
            return NULL;
        }
        b = &m->blocks[m->n - 1];
        b->touched = alone;
    }
    uint8_t *p = b->at + b->used;
    b->used += with_gap;
    m->bytes += rounded;
    guard(p, bytes, rounded);
    return p;
}

void *jm_arena_take(struct jm_arena *m, size_t bytes)
{
    return take(m, bytes, false);
}

void *jm_arena_take_alone(struct jm_arena *m, size_t bytes)
{
    return take(m, bytes, true);
}

/* The guards between pieces are touched too. */
__attribute__((no_sanitize("address"))) static void touch(uint8_t *from, const uint8_t *to)
{
    for (volatile uint8_t *p = from; p < to; p += PAGE)
        *p = *p;
}

void jm_arena_touch(const struct jm_arena *m, uint32_t member, uint32_t members)
{
    for (uint32_t i = 0; i < m->n; i++) {
        const struct jm_arena_block *b = &m->blocks[i];
        size_t pages = (b->used + PAGE - 1) / PAGE;
        if (!b->touched)
            touch(b->at + pages * member / members * PAGE,
                  b->at + pages * (member + 1) / members * PAGE);
    }
}

void jm_arena_free(struct jm_arena *m)
{
    for (uint32_t i = 0; i < m->n; i++) {
#ifdef HAS_ASAN
        ASAN_UNPOISON_MEMORY_REGION(m->blocks[i].at, m->blocks[i].bytes);
#endif
        munmap(m->blocks[i].at, m->blocks[i].bytes);
    }
    free(m->blocks);
    *m = (struct jm_arena){ 0 };
}

/* The whole pages that hold any of it. */
static void advise(const void *at, size_t bytes, int what)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = (uintptr_t)at / page * page, to = (uintptr_t)at + bytes;
    to = (to + page - 1) / page * page;
    if (bytes > 0)
        (void)madvise((void *)from, to - from, what);
}

void jm_pages_want(const void *at, size_t bytes)
{
    advise(at, bytes, POPULATE_READ);
}

void jm_pages_drop(const void *at, size_t bytes)
{
    advise(at, bytes, MADV_DONTNEED);
}
