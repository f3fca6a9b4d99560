/* SPDX-License-Identifier: Apache-2.0 */
/* Batches dealt out to threads: nothing lost or twice, sequences and runs whole, loads alike, and
 * each sequence where it was before. */
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/deal.h"
#include "base/rng.h"

enum { ROWS = 256, SLOTS = 32, MOST = 4 };

static const struct jm_limits limits = { .max_rows = ROWS,
                                         .max_slots = SLOTS,
                                         .max_gather = SLOTS };
static const uint64_t row_cost[3] = { [JM_ROWS_ALL] = 5, [JM_ROWS_GATHERED] = 3 };
static const struct jm_deal_terms terms = { .row_cost = row_cost, .least_rows = 6 };

/* A batch and the arrays that it points to. */
struct text {
    uint32_t token[ROWS], slot[ROWS], pos[ROWS], gather[ROWS];
    struct jm_batch b;
};

static void add_sequence(struct text *t, uint32_t slot, uint32_t pos, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t r = t->b.n_rows++;
        t->token[r] = 1000 * slot + pos + i;
        t->slot[r] = slot;
        t->pos[r] = pos + i;
    }
    t->gather[t->b.n_gather++] = t->b.n_rows - 1;
}

static void clear(struct text *t)
{
    t->b =
        (struct jm_batch){ .token = t->token, .slot = t->slot, .pos = t->pos, .gather = t->gather };
}

static void open_deal(struct jm_deal *d, uint32_t members, void **memory)
{
    size_t bytes = jm_deal_bytes(members, &limits);
    *memory = calloc(1, bytes); /* of just that size: what is written behind it is seen */
    CU_ASSERT_FATAL(bytes > 0 && *memory);
    jm_deal_place(d, members, &limits, *memory);
}

/* The member whose rows have row `at`. */
static uint32_t member_of(const struct jm_deal *d, uint32_t at)
{
    for (uint32_t m = 0; m < d->members; m++)
        if (at >= d->at[m] && at < d->at[m] + d->rows[m])
            return m;
    return UINT32_MAX;
}

/* Every row and gathered row of the caller is somewhere, once, as it was. */
static void check_rows(const struct jm_deal *d, const struct text *t)
{
    bool used[ROWS] = { false };
    uint32_t wrong = 0, rows = 0, gathered = 0;
    for (uint32_t m = 0; m < d->members; m++) {
        rows += d->rows[m];
        gathered += d->gathered[m];
        wrong += m > 0 && d->at[m] < d->at[m - 1] + d->rows[m - 1];
    }
    wrong += rows != t->b.n_rows || gathered != t->b.n_gather;
    for (uint32_t r = 0; r < t->b.n_rows; r++) {
        uint32_t at = d->row_at[r];
        wrong += at >= ROWS || used[at] || member_of(d, at) == UINT32_MAX;
        used[at % ROWS] = true;
        wrong += d->batch.token[at] != t->token[r] || d->batch.slot[at] != t->slot[r] ||
                 d->batch.pos[at] != t->pos[r];
        wrong += r > 0 && t->slot[r] == t->slot[r - 1] && at != d->row_at[r - 1] + 1;
    }
    const uint32_t room = jm_deal_gathered_rows(d->members, &limits);
    for (uint32_t i = 0; i < t->b.n_gather; i++) {
        uint32_t at = d->gather_at[i], m = member_of(d, d->row_at[t->gather[i]]);
        wrong += at >= room || d->batch.gather[at] != d->row_at[t->gather[i]];
        wrong += at < d->gathered_at[m] || at >= d->gathered_at[m] + d->gathered[m];
        wrong += m + 1 < d->members && at >= d->gathered_at[m + 1];
    }
    CU_ASSERT_EQUAL(wrong, 0);
}

static void check_loads(const struct jm_deal *d)
{
    uint64_t most = 0, total = 0;
    for (uint32_t m = 0; m < d->members; m++) {
        uint64_t load =
            d->rows[m] * row_cost[JM_ROWS_ALL] + d->gathered[m] * row_cost[JM_ROWS_GATHERED];
        most = load > most ? load : most;
        total += load;
    }
    CU_ASSERT(most * d->members <= total + total / 4 + d->members);
}

/* Decoding goes on while prompts join; who has a sequence keeps it, but for a few that even out. */
static void test_text(void)
{
    static struct text t;
    for (uint32_t members = 1; members <= MOST; members++) {
        struct jm_deal d;
        void *memory;
        jm_rng rng = { .state = members };
        uint32_t length[SLOTS] = { 0 }, was[SLOTS], dealt = 0, moved = 0, stayed = 0;
        open_deal(&d, members, &memory);
        memset(was, 0xff, sizeof was);
        for (int step = 0; step < 300; step++) {
            clear(&t);
            for (uint32_t s = 0; s < SLOTS; s++) {
                if (length[s] > 0 && jm_rng_below(&rng, 12) == 0)
                    length[s] = 0;
                uint32_t rows = length[s] > 0 ? 1 : 3 + (uint32_t)jm_rng_below(&rng, 10);
                if (t.b.n_rows + rows > 120)
                    continue;
                was[s] = length[s] > 0 ? was[s] : UINT32_MAX;
                add_sequence(&t, s, length[s], rows);
                length[s] += rows;
            }
            if (!jm_deal_out(&d, &t.b, &terms))
                continue;
            dealt++;
            check_rows(&d, &t);
            check_loads(&d);
            for (uint32_t r = 0; r < t.b.n_rows; r++) {
                uint32_t m = member_of(&d, d.row_at[r]), s = t.slot[r];
                moved += was[s] != UINT32_MAX && was[s] != m;
                stayed += was[s] == m;
                was[s] = m;
            }
        }
        CU_ASSERT(dealt > 200);
        CU_ASSERT(members == 1 ? moved == 0 : moved * 4 < stayed);
        free(memory);
    }
}

static void test_refused(void)
{
    static struct text t;
    static const float x[1];
    struct jm_deal d;
    void *memory;
    open_deal(&d, 2, &memory);
    clear(&t);
    for (uint32_t s = 0; s < 11; s++)
        add_sequence(&t, s, 4, 1);
    CU_ASSERT_FALSE(jm_deal_out(&d, &t.b, &terms)); /* too few rows */
    add_sequence(&t, 11, 4, 1);
    CU_ASSERT_TRUE(jm_deal_out(&d, &t.b, &terms));
    t.b.input[1] = x;
    CU_ASSERT_FALSE(jm_deal_out(&d, &t.b, &terms)); /* values that lie in the caller's order */
    t.b.input[1] = NULL;
    add_sequence(&t, 3, 5, 1);
    CU_ASSERT_FALSE(jm_deal_out(&d, &t.b, &terms)); /* a slot twice */
    clear(&t);
    add_sequence(&t, 0, 0, 40);
    CU_ASSERT_FALSE(jm_deal_out(&d, &t.b, &terms)); /* nobody else has anything */
    add_sequence(&t, 1, 0, 8);
    CU_ASSERT_FALSE(jm_deal_out(&d, &t.b, &terms)); /* one has much more */
    clear(&t);
    add_sequence(&t, 0, 0, 126);
    add_sequence(&t, 1, 0, 130);
    CU_ASSERT_FALSE(jm_deal_out(&d, &t.b, &terms)); /* more than its room */
    free(memory);
}

/* Runs stay where they are, and are cut between, not within. */
static void test_runs(void)
{
    uint32_t run[4];
    struct jm_batch b = { .n_rows = 48, .n_runs = 4, .run = run };
    struct jm_deal d;
    void *memory;
    open_deal(&d, 2, &memory);
    for (uint32_t i = 0; i < 4; i++)
        run[i] = 12 * i;
    CU_ASSERT_TRUE(jm_deal_out(&d, &b, &terms));
    CU_ASSERT(!d.moved && d.at[0] == 0 && d.rows[0] == 24 && d.at[1] == 24 && d.rows[1] == 24);
    run[3] = 24;
    run[2] = 20;
    CU_ASSERT_TRUE(jm_deal_out(&d, &b, &terms));
    CU_ASSERT(d.rows[0] == 24 && d.rows[1] == 24);
    run[1] = 3;
    run[2] = 6;
    run[3] = 9;
    CU_ASSERT_FALSE(jm_deal_out(&d, &b, &terms)); /* the last is nearly all */
    b.n_runs = 1;
    CU_ASSERT_FALSE(jm_deal_out(&d, &b, &terms));
    free(memory);
}

int main(void)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite s = CU_add_suite("deal", NULL, NULL);
    CU_add_test(s, "text", test_text);
    CU_add_test(s, "refused", test_refused);
    CU_add_test(s, "runs", test_runs);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
