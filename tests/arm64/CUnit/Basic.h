/* SPDX-License-Identifier: Apache-2.0 */
/* As much of CUnit as tests/test_kernels.c uses, for the cross build: Debian has no CUnit for
 * another architecture beside this machine's. */
#ifndef JM_TESTS_ARM64_CUNIT_BASIC_H
#define JM_TESTS_ARM64_CUNIT_BASIC_H

#include <stdio.h>
#include <stdlib.h>

typedef int CU_pSuite;
enum { CU_BRM_VERBOSE, CU_MOST = 64 };

static struct {
    const char *name;
    void (*run)(void);
} cu_tests[CU_MOST];
static unsigned cu_count, cu_failures;

static inline void cu_check(int ok, int fatal, const char *what, const char *file, int line)
{
    if (ok)
        return;
    cu_failures++;
    if (cu_failures <= 20 || fatal)
        printf("\n  %s:%d: %s", file, line, what);
    if (fatal)
        exit(1);
}

#define CU_CHECK(ok, fatal, what) cu_check((ok) != 0, fatal, what, __FILE__, __LINE__)
#define CU_ASSERT(x) CU_CHECK(x, 0, #x)
#define CU_ASSERT_FATAL(x) CU_CHECK(x, 1, #x)
#define CU_ASSERT_EQUAL(a, b) CU_CHECK((a) == (b), 0, #a " == " #b)
#define CU_ASSERT_PTR_EQUAL(a, b) CU_CHECK((const void *)(a) == (const void *)(b), 0, #a " == " #b)
#define CU_ASSERT_PTR_NULL(a) CU_CHECK((a) == NULL, 0, #a " == NULL")
#define CU_ASSERT_PTR_NOT_NULL(a) CU_CHECK((a) != NULL, 0, #a " != NULL")

static inline int CU_initialize_registry(void)
{
    return 0;
}

static inline CU_pSuite CU_add_suite(const char *name, int (*begin)(void), int (*end)(void))
{
    printf("suite %s\n", name);
    return begin || end ? 1 : 0;
}

static inline void CU_add_test(CU_pSuite suite, const char *name, void (*run)(void))
{
    if (suite != 0 || cu_count >= CU_MOST)
        exit(1); /* nothing here runs set-ups, and no test may be lost */
    cu_tests[cu_count].name = name;
    cu_tests[cu_count++].run = run;
}

static inline void CU_basic_set_mode(int mode)
{
    (void)mode;
}

static inline void CU_basic_run_tests(void)
{
    for (unsigned i = 0; i < cu_count; i++) {
        const unsigned before = cu_failures;
        printf("  %s ...", cu_tests[i].name);
        fflush(stdout);
        cu_tests[i].run();
        printf("%s\n", cu_failures == before ? " passed" : " FAILED");
    }
}

static inline unsigned CU_get_number_of_failures(void)
{
    return cu_failures;
}

static inline void CU_cleanup_registry(void)
{
}

#endif
