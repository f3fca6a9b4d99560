/* SPDX-License-Identifier: Apache-2.0 */
/* Kept answers: equal ones share a row, others do not, and memory follows. */
#include <CUnit/Basic.h>
#include <string.h>

#include "workloads/translate/answers.h"

enum { IDS = 10000, SAMPLES = 20, MAX_NEW = 6, ACTIVE = 3 };

static void write_answer(struct jm_answers *a, uint32_t id, uint32_t first, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        CU_ASSERT(jm_answers_push(a, id, first + i));
}

static bool reads(const struct jm_answers *a, uint32_t id, uint32_t first, uint32_t n)
{
    uint32_t got;
    const uint32_t *t = jm_answers_tokens(a, id, &got);
    bool same = got == n;
    for (uint32_t i = 0; same && i < n; i++)
        same = t[i] == first + i;
    return same;
}

/* Every copy of the data set answered alike, three answers being written at a time. */
static void test_alike(void)
{
    struct jm_answers a;
    CU_ASSERT_EQUAL_FATAL(jm_answers_init(&a, IDS, SAMPLES, MAX_NEW, ACTIVE, NULL), JM_OK);
    CU_ASSERT_EQUAL(a.rows, SAMPLES + ACTIVE);
    for (uint32_t id = 0; id + ACTIVE <= IDS; id += ACTIVE) {
        for (uint32_t k = 0; k < ACTIVE; k++)
            jm_answers_start(&a, id + k, (id + k) % SAMPLES);
        for (uint32_t k = 0; k < ACTIVE; k++)
            write_answer(&a, id + k, 100 * ((id + k) % SAMPLES), (id + k) % SAMPLES % 6);
        for (uint32_t k = 0; k < ACTIVE; k++)
            jm_answers_finish(&a, id + k);
    }
    CU_ASSERT_EQUAL(a.rows, SAMPLES + ACTIVE); /* as little as at the start */
    uint32_t wrong = 0;
    for (uint32_t id = 0; id < IDS - IDS % ACTIVE; id++)
        wrong += !reads(&a, id, 100 * (id % SAMPLES), id % SAMPLES % 6) || a.answer[id].pending;
    CU_ASSERT_EQUAL(wrong, 0);
    jm_answers_free(&a);
}

/* The same sample answered in another way each time: all are kept, and memory grows. */
static void test_different(void)
{
    struct jm_answers a;
    CU_ASSERT_EQUAL_FATAL(jm_answers_init(&a, IDS, SAMPLES, MAX_NEW, ACTIVE, NULL), JM_OK);
    for (uint32_t id = 0; id < IDS; id++) {
        jm_answers_start(&a, id, id % SAMPLES);
        write_answer(&a, id, id, 1 + id % MAX_NEW);
        jm_answers_finish(&a, id);
    }
    uint32_t wrong = 0;
    for (uint32_t id = 0; id < IDS; id++)
        wrong += !reads(&a, id, id, 1 + id % MAX_NEW);
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_EQUAL(a.rows, IDS);
    jm_answers_free(&a);
}

static void test_edges(void)
{
    struct jm_answers a;
    CU_ASSERT_EQUAL_FATAL(jm_answers_init(&a, 2, 1, MAX_NEW, 8, NULL), JM_OK);
    CU_ASSERT_EQUAL(a.rows, 2);
    jm_answers_start(&a, 0, 0);
    jm_answers_start(&a, 1, 0);
    write_answer(&a, 0, 5, MAX_NEW + 3); /* too many are dropped */
    CU_ASSERT(reads(&a, 0, 5, MAX_NEW));
    write_answer(&a, 1, 5, 2); /* a part of it is not the same */
    jm_answers_finish(&a, 1);
    jm_answers_finish(&a, 0);
    CU_ASSERT(reads(&a, 0, 5, MAX_NEW) && reads(&a, 1, 5, 2));
    jm_answers_free(&a);
    jm_answers_free(&a);
}

int main(void)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite s = CU_add_suite("answers", NULL, NULL);
    CU_add_test(s, "alike", test_alike);
    CU_add_test(s, "different", test_different);
    CU_add_test(s, "edges", test_edges);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
