/* SPDX-License-Identifier: Apache-2.0 */
/* Byte-pair encoding (Sennrich, Haddow, Birch 2016): the pair of lowest rank merges first, the
 * leftmost of equals. Symbols form a linked list, candidate pairs a binary heap; a candidate whose
 * pair has changed since it was pushed no longer has the rank of its symbol and is dropped. */
#include "workloads/model/bpe.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

static size_t hash_pair(uint64_t pair)
{
    pair *= UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(pair ^ (pair >> 29));
}

jm_status jm_bpe_init(jm_bpe *b, size_t n, jm_err *err)
{
    size_t slots = 2, bytes, want;

    if (!jm_mul_size(n, 2, &want) || !jm_mul_size(want, 2 * sizeof *b->slots, &bytes))
        return jm_fail(err, JM_ENOMEM, "tokenizer: %zu merges do not fit in memory", n);
    while (slots < want)
        slots *= 2;
    b->slots = malloc(slots * sizeof *b->slots);
    if (!b->slots)
        return jm_fail(err, JM_ENOMEM, "tokenizer: out of memory for %zu merges", n);
    for (size_t i = 0; i < slots; i++)
        b->slots[i] = (struct jm_bpe_merge){ .rank = JM_BPE_NONE };
    b->mask = slots - 1;
    return JM_OK;
}

void jm_bpe_free(jm_bpe *b)
{
    free(b->slots);
    b->slots = NULL;
}

static struct jm_bpe_merge *find_slot(const jm_bpe *b, uint32_t left, uint32_t right)
{
    uint64_t pair = (uint64_t)left << 32 | right;
    size_t i = hash_pair(pair) & b->mask;

    while (b->slots[i].rank != JM_BPE_NONE && b->slots[i].pair != pair)
        i = (i + 1) & b->mask;
    return &b->slots[i];
}

void jm_bpe_add(jm_bpe *b, uint32_t left, uint32_t right, uint32_t rank, uint32_t id)
{
    struct jm_bpe_merge *m = find_slot(b, left, right);

    if (m->rank == JM_BPE_NONE)
        *m = (struct jm_bpe_merge){ .pair = (uint64_t)left << 32 | right, .rank = rank, .id = id };
}

static void heap_push(uint64_t *heap, size_t *n, uint64_t v)
{
    size_t i = (*n)++;

    while (i > 0 && heap[(i - 1) / 2] > v) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = v;
}

static uint64_t heap_pop(uint64_t *heap, size_t *n)
{
    uint64_t top = heap[0], v = heap[--*n];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= *n)
            break;
        if (child + 1 < *n && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= v)
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = v;
    return top;
}

/* Looks up what the symbol at pos and its next would become, and makes it a candidate. */
static void offer(const jm_bpe *b, jm_bpe_work *w, size_t *n_heap, uint32_t pos)
{
    struct jm_bpe_symbol *s = &w->symbols[pos];
    const struct jm_bpe_merge *m;

    s->rank = JM_BPE_NONE;
    if (s->next == JM_BPE_NONE)
        return;
    m = find_slot(b, s->id, w->symbols[s->next].id);
    s->rank = m->rank;
    s->merged = m->id;
    if (m->rank != JM_BPE_NONE)
        heap_push(w->heap, n_heap, (uint64_t)m->rank << 32 | pos);
}

static jm_status grow(jm_bpe_work *w, size_t n, jm_err *err)
{
    size_t cap = n < 64 ? 64 : n, symbol_bytes, heap_bytes;
    void *p;

    /* n - 1 candidates to begin with and two more for each of at most n - 1 merges. */
    if (n >= JM_BPE_NONE || !jm_mul_size(cap, sizeof *w->symbols, &symbol_bytes) ||
        !jm_mul_size(cap, 3 * sizeof *w->heap, &heap_bytes))
        return jm_fail(err, JM_ENOMEM, "tokenizer: a piece of %zu bytes is too long", n);
    p = realloc(w->symbols, symbol_bytes);
    if (p)
        w->symbols = p;
    if (p && (p = realloc(w->heap, heap_bytes)))
        w->heap = p;
    if (!p)
        return jm_fail(err, JM_ENOMEM, "tokenizer: out of memory for a piece of %zu bytes", n);
    w->cap = cap;
    return JM_OK;
}

jm_status jm_bpe_push(jm_bpe_work *w, uint32_t id, jm_err *err)
{
    if (w->n_ids == w->cap_ids) {
        size_t cap, bytes;
        uint32_t *p = NULL;
        if (jm_mul_size(w->cap_ids, 2, &cap) && jm_add_size(cap, 32, &cap) &&
            jm_mul_size(cap, sizeof *p, &bytes))
            p = realloc(w->ids, bytes);
        if (!p)
            return jm_fail(err, JM_ENOMEM, "tokenizer: out of memory after %zu ids", w->n_ids);
        w->ids = p;
        w->cap_ids = cap;
    }
    w->ids[w->n_ids++] = id;
    return JM_OK;
}

static void merge_all(const jm_bpe *b, jm_bpe_work *w, size_t n_heap)
{
    struct jm_bpe_symbol *sym = w->symbols;

    while (n_heap > 0) {
        uint64_t top = heap_pop(w->heap, &n_heap);
        uint32_t pos = (uint32_t)top, right;
        if (sym[pos].rank != (uint32_t)(top >> 32))
            continue;
        right = sym[pos].next;
        sym[pos].id = sym[pos].merged;
        sym[pos].next = sym[right].next;
        sym[right].rank = JM_BPE_NONE; /* its candidate is stale */
        if (sym[pos].next != JM_BPE_NONE)
            sym[sym[pos].next].prev = pos;
        offer(b, w, &n_heap, pos);
        if (sym[pos].prev != JM_BPE_NONE)
            offer(b, w, &n_heap, sym[pos].prev);
    }
}

jm_status jm_bpe_encode(const jm_bpe *b, const uint8_t *piece, size_t n, jm_bpe_work *w,
                        jm_err *err)
{
    size_t n_heap = 0;
    jm_status st = JM_OK;

    if (n == 0)
        return JM_OK;
    if (n == 1)
        return jm_bpe_push(w, b->byte_id[piece[0]], err);
    if (n > w->cap && (st = grow(w, n, err)) != JM_OK)
        return st;
    for (uint32_t i = 0; i < n; i++)
        w->symbols[i] = (struct jm_bpe_symbol){ .id = b->byte_id[piece[i]],
                                                .prev = i > 0 ? i - 1 : JM_BPE_NONE,
                                                .next = i + 1 < n ? i + 1 : JM_BPE_NONE };
    for (uint32_t i = 0; i < n; i++)
        offer(b, w, &n_heap, i);
    merge_all(b, w, n_heap);
    for (uint32_t i = 0; i != JM_BPE_NONE && st == JM_OK; i = w->symbols[i].next)
        st = jm_bpe_push(w, w->symbols[i].id, err);
    return st;
}

void jm_bpe_work_free(jm_bpe_work *w)
{
    free(w->symbols);
    free(w->heap);
    free(w->ids);
    *w = (jm_bpe_work){ 0 };
}
