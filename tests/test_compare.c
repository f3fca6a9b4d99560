/* SPDX-License-Identifier: Apache-2.0 */
/* Pairing of runs, verdicts, and the four ways a report is written. */
#include <CUnit/Basic.h>
#include <cjson/cJSON.h>
#include <csv.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/compare/print.h"
#include "harness/compare/select.h"
#include "harness/format_name.h"
#include "harness/record/csv.h"
#include "tests/results.h"

enum { N = 12 };
static struct jm_record row[2 * N];
static const struct jm_record *ptr[2 * N];
static struct jm_runs a, b, all;

/* N runs a side; B's speed is A's times factor. */
static void fill(double factor)
{
    jm_rng rng = { .state = 3 };
    for (size_t i = 0; i < 2 * N; i++) {
        make_run(&row[i], &rng, i < N ? 1.0 : factor);
        ptr[i] = &row[i];
    }
    a = (struct jm_runs){ .row = ptr, .n = N };
    b = (struct jm_runs){ .row = ptr + N, .n = N };
    all = (struct jm_runs){ .row = ptr, .n = 2 * N };
}

static const struct jm_finding *find(const struct jm_report *r, size_t section, const char *column)
{
    for (size_t i = 0; section < r->n && i < r->section[section].n; i++)
        if (strcmp(r->section[section].finding[i].metric->column, column) == 0)
            return &r->section[section].finding[i];
    return NULL;
}

static enum jm_verdict verdict(const struct jm_report *r, const char *column)
{
    const struct jm_finding *f = find(r, 0, column);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    return f->verdict;
}

static void build(const char *across, struct jm_pairing *p, struct jm_report *r)
{
    jm_err err = { .status = JM_OK };
    CU_ASSERT_EQUAL_FATAL(jm_pair_runs(&a, &b, across, p, &err), JM_OK);
    CU_ASSERT_EQUAL_FATAL(jm_report_build(p, &jm_report_default, r, &err), JM_OK);
}

static void drop(struct jm_pairing *p, struct jm_report *r)
{
    jm_report_free(r);
    jm_pairing_free(p);
}

static void test_verdicts(void)
{
    struct jm_pairing p;
    struct jm_report r;
    fill(0.95);
    build(NULL, &p, &r);
    CU_ASSERT_EQUAL(p.n, 1);
    CU_ASSERT(p.n_keys >= 14); /* fields that pair; more where load has bounds */
    CU_ASSERT_EQUAL(verdict(&r, "tokens_out_per_s"), JM_VERDICT_WORSE);
    CU_ASSERT_EQUAL(verdict(&r, "latency_p50_ms"), JM_VERDICT_WORSE);
    CU_ASSERT_EQUAL(verdict(&r, "energy_j_per_query"), JM_VERDICT_WORSE);
    CU_ASSERT_EQUAL(verdict(&r, "quality_value"), JM_VERDICT_SAME);
    CU_ASSERT_PTR_NULL(find(&r, 0, "queries_per_s")); /* tokens stand for it */
    CU_ASSERT_PTR_NULL(find(&r, 0, "ttft_p50_ms"));   /* on neither side */
    const struct jm_finding *f = find(&r, 0, "tokens_out_per_s");
    CU_ASSERT(fabs(f->c.ratio.value - 0.95) <= 0.01 && f->p_holm > f->c.p && f->p_holm < 0.05);
    drop(&p, &r);
    fill(1.05);
    build(NULL, &p, &r);
    CU_ASSERT_EQUAL(verdict(&r, "tokens_out_per_s"), JM_VERDICT_BETTER);
    CU_ASSERT_EQUAL(verdict(&r, "latency_p99_ms"), JM_VERDICT_BETTER);
    drop(&p, &r);
    fill(1.0);
    build(NULL, &p, &r);
    CU_ASSERT_EQUAL(verdict(&r, "tokens_out_per_s"), JM_VERDICT_SAME);
    drop(&p, &r);
}

static void test_undetectable(void)
{
    struct jm_pairing p;
    struct jm_report r;
    jm_rng rng = { .state = 5 };
    char text[160];
    fill(1.0);
    for (size_t i = 0; i < 2 * N; i++) /* noise of +-20% */
        row[i].tokens_out_per_s = 1000 * (0.8 + 0.4 * jm_rng_double(&rng));
    build(NULL, &p, &r);
    const struct jm_finding *f = find(&r, 0, "tokens_out_per_s");
    CU_ASSERT_EQUAL(f->verdict, JM_VERDICT_UNKNOWN);
    CU_ASSERT(f->more > 50 && f->more < 1000);
    jm_verdict_text(f, &jm_report_default, text);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "no difference detectable: needs about "));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, " more repeats"));
    drop(&p, &r);
}

static void test_few(void)
{
    struct jm_pairing p;
    struct jm_report r;
    char text[160];
    fill(0.9);
    a.n = b.n = 1;
    build(NULL, &p, &r);
    const struct jm_finding *f = find(&r, 0, "tokens_out_per_s");
    CU_ASSERT_EQUAL(f->verdict, JM_VERDICT_FEW);
    CU_ASSERT(isfinite(f->c.ratio.value) && isnan(f->c.ratio.low) && isnan(f->c.p));
    jm_verdict_text(f, &jm_report_default, text);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "one run supports no interval"));
    drop(&p, &r);
    a.n = b.n = 3;
    build(NULL, &p, &r);
    f = find(&r, 0, "tokens_out_per_s");
    CU_ASSERT_EQUAL(f->verdict, JM_VERDICT_FEW);
    CU_ASSERT(f->more >= 6);
    drop(&p, &r);
}

static void test_unavailable(void)
{
    struct jm_pairing p;
    struct jm_report r;
    fill(1.0);
    row[3].latency_p50_ms = NAN; /* one run of A lacks it */
    for (size_t i = N; i < 2 * N; i++)
        jm_record_text(row[i].energy_scope, "wall");
    row[N + 1].quality_value = 0.0;
    build(NULL, &p, &r);
    const struct jm_finding *f = find(&r, 0, "latency_p50_ms");
    CU_ASSERT(f->verdict == JM_VERDICT_NONE && strstr(f->why, "empty in 1 of A's"));
    f = find(&r, 0, "energy_j_per_query");
    CU_ASSERT(f->verdict == JM_VERDICT_NONE && strstr(f->why, "energy_scope differs"));
    f = find(&r, 0, "quality_value");
    CU_ASSERT(f->verdict == JM_VERDICT_NONE && strstr(f->why, "no ratio"));
    drop(&p, &r);
}

static void test_pairing(void)
{
    struct jm_pairing p;
    struct jm_report r;
    jm_err err = { .status = JM_OK };
    char text[JM_PAIR_TEXT];
    fill(1.0);
    for (size_t i = 0; i < 2 * N; i++) {
        row[i].threads = i % 2 ? 1 : 2;
        jm_record_text(row[i].commit, i < N ? "old" : "new");
    }
    row[2 * N - 1].threads = 8; /* only in B */
    build(NULL, &p, &r);
    CU_ASSERT_EQUAL(p.n, 3);
    CU_ASSERT_EQUAL(r.n, 2);
    CU_ASSERT_EQUAL(p.pair[0].a.n, N / 2);
    CU_ASSERT_EQUAL(p.pair[1].b.n, N / 2 - 1);
    jm_pair_title(&p, &p.pair[1], text);
    CU_ASSERT_STRING_EQUAL(text, "tiny-mt F16 single-stream, threads 1");
    jm_pair_differences(&p.pair[0], text);
    CU_ASSERT_STRING_EQUAL(text, "commit old -> new");
    jm_pair_nearest(&p, &p.pair[2], text);
    CU_ASSERT_STRING_EQUAL(text, "threads 2 -> 8");
    drop(&p, &r);
    build("threads", &p, &r);
    CU_ASSERT_EQUAL(p.n, 1);
    jm_pair_differences(&p.pair[0], text);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "threads varies within a side"));
    drop(&p, &r);
    CU_ASSERT_EQUAL(jm_pair_runs(&a, &b, "threads,nosuch", &p, &err), JM_EUSAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "nosuch"));
    jm_pairing_free(&p);
}

static void test_format_name(void)
{
    struct jm_pairing p;
    struct jm_report r;
    char text[JM_PAIR_TEXT];
    CU_ASSERT(jm_name_has_format("hy-mt-1.8b-q4_0", "Q4_0"));
    CU_ASSERT(jm_name_has_format("Hy MT.Q4_K_M", "Q4_K"));
    CU_ASSERT(jm_name_has_format("F16", "F16"));
    CU_ASSERT(jm_name_has_format("bf16 or f16", "F16"));
    CU_ASSERT(!jm_name_has_format("hy-mt-bf16", "F16"));
    CU_ASSERT(!jm_name_has_format("hy-mt-1.8b-Q4_0", "Q4_K"));
    CU_ASSERT(!jm_name_has_format("hy-mt-Q4_02", "Q4_0"));
    CU_ASSERT(!jm_name_has_format("", "Q4_0"));
    CU_ASSERT(jm_name_has_format("", ""));
    fill(1.0);
    for (size_t i = 0; i < 2 * N; i++) {
        jm_record_text(row[i].model, i < N ? "hy-mt-F16" : "hy-mt-Q4_0");
        jm_record_text(row[i].weight_format, i < N ? "F16" : "Q4_0");
    }
    build("model,model_sha256,weight_format", &p, &r);
    jm_pair_title(&p, &p.pair[0], text);
    CU_ASSERT_STRING_EQUAL(text, "hy-mt-F16 -> hy-mt-Q4_0 single-stream");
    drop(&p, &r);
    for (size_t i = N; i < 2 * N; i++)
        jm_record_text(row[i].model, "hy-mt"); /* one side's name does not say it */
    build("model,model_sha256,weight_format", &p, &r);
    jm_pair_title(&p, &p.pair[0], text);
    CU_ASSERT_STRING_EQUAL(text, "hy-mt-F16 -> hy-mt F16 -> Q4_0 single-stream");
    drop(&p, &r);
}

static void alternate(void)
{
    static const char order[] = "ABBA";
    fill(0.97);
    for (size_t i = 0; i < 2 * N; i++) {
        jm_record_text(row[i].ab_id, "s1");
        row[i].ab_pair = i / 2 + 1;
        (void)snprintf(row[i].ab_side, sizeof row[i].ab_side, "%c", order[i % 4]);
        row[i].threads = order[i % 4] == 'A' ? 1 : 2;
    }
}

static void test_alternating(void)
{
    struct jm_pairing p;
    struct jm_report r;
    jm_err err = { .status = JM_OK };
    char text[JM_PAIR_TEXT];
    alternate();
    row[7].ab_pair = 99; /* leaves two without a partner */
    CU_ASSERT_EQUAL_FATAL(jm_pair_alternating(&all, &p, &err), JM_OK);
    CU_ASSERT_EQUAL(p.n, 3);
    CU_ASSERT(p.pair[0].alternating && p.pair[0].a.n == N - 1 && p.pair[0].b.n == N - 1);
    for (size_t i = 0; i < p.pair[0].a.n; i++) {
        CU_ASSERT_EQUAL(p.pair[0].a.row[i]->ab_pair, p.pair[0].b.row[i]->ab_pair);
        CU_ASSERT(p.pair[0].a.row[i]->threads == 1 && p.pair[0].b.row[i]->threads == 2);
    }
    jm_pair_differences(&p.pair[0], text);
    CU_ASSERT_STRING_EQUAL(text, "threads 1 -> 2");
    CU_ASSERT_EQUAL(jm_report_build(&p, &jm_report_default, &r, &err), JM_OK);
    CU_ASSERT(r.n == 1 && r.section[0].finding[0].c.paired);
    drop(&p, &r);
    alternate();
    row[3].ab_pair = 1; /* A of pair 1 twice */
    CU_ASSERT_EQUAL(jm_pair_alternating(&all, &p, &err), JM_EINPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "twice"));
    fill(1.0);
    err = (jm_err){ .status = JM_OK };
    CU_ASSERT_EQUAL(jm_pair_alternating(&all, &p, &err), JM_EINPUT);
}

static char *print(enum jm_report_format format)
{
    struct jm_pairing p;
    struct jm_report r;
    char *text = NULL;
    size_t bytes;
    FILE *f = open_memstream(&text, &bytes);
    build(NULL, &p, &r);
    struct jm_report_text t = {
        .pairing = &p, .report = &r, .how = &jm_report_default, .a = "a.csv", .b = "b.csv"
    };
    CU_ASSERT_EQUAL(jm_report_print(f, &t, format, NULL), JM_OK);
    (void)fclose(f);
    drop(&p, &r);
    return text;
}

static void on_field(void *s, size_t n, void *user)
{
    (void)s, (void)n;
    ++*(size_t *)user;
}

static void on_row(int c, void *user)
{
    (void)c;
    size_t *fields = user;
    CU_ASSERT_EQUAL(*fields, 16);
    *fields = 0;
}

/* Names from a hostile file reach no terminal, table or web page as commands. */
static void test_print(void)
{
    struct csv_parser parser;
    size_t fields = 0;
    fill(0.9);
    for (size_t i = 0; i < 2 * N; i++)
        jm_record_text(row[i].model, "m\033[31m|<b>\n\"x\"");
    row[2 * N - 1].threads = 8;
    char *s = print(JM_REPORT_TABLE);
    CU_ASSERT(strstr(s, "% worse") && strstr(s, "only in B (1)") && !strchr(s, '\033'));
    free(s);
    s = print(JM_REPORT_MARKDOWN);
    CU_ASSERT(strstr(s, "\\|\\<b\\>") && strstr(s, "| tokens/s |") && !strchr(s, '\033'));
    free(s);
    s = print(JM_REPORT_CSV);
    CU_ASSERT_EQUAL(csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI), 0);
    CU_ASSERT_EQUAL(csv_parse(&parser, s, strlen(s), on_field, on_row, &fields), strlen(s));
    CU_ASSERT_EQUAL(csv_fini(&parser, on_field, on_row, &fields), 0);
    csv_free(&parser);
    free(s);
    s = print(JM_REPORT_JSON);
    cJSON *json = cJSON_Parse(s);
    CU_ASSERT_PTR_NOT_NULL_FATAL(json);
    const cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "pairs"), 0);
    const cJSON *m = cJSON_GetArrayItem(cJSON_GetObjectItem(first, "metrics"), 0);
    CU_ASSERT_STRING_EQUAL(cJSON_GetStringValue(cJSON_GetObjectItem(m, "verdict")), "worse");
    CU_ASSERT_EQUAL(cJSON_GetArraySize(cJSON_GetObjectItem(json, "unpaired")), 1);
    cJSON_Delete(json);
    free(s);
}

static void test_select(void)
{
    char path[] = "/tmp/jm-test-compare-XXXXXX";
    struct jm_side s;
    jm_err err = { .status = JM_OK };
    int fd = mkstemp(path);
    CU_ASSERT_FATAL(fd >= 0);
    (void)close(fd);
    fill(1.0);
    jm_record_text(row[0].status, "interrupted");
    jm_record_text(row[1].status, "Complete");
    row[2].threads = 7;
    CU_ASSERT_EQUAL(jm_csv_write(path, row, N, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_side_read(path, NULL, &s, &err), JM_OK);
    CU_ASSERT(s.runs.n == N - 2 && s.left_out == 2 && strstr(s.reason, "status is interrupted"));
    jm_side_free(&s);
    CU_ASSERT_EQUAL(jm_side_read(path, "threads=7", &s, &err), JM_OK);
    CU_ASSERT(s.runs.n == 1 && s.left_out == 0);
    jm_side_free(&s);
    CU_ASSERT_EQUAL(jm_side_read(path, "nosuch=7", &s, &err), JM_EUSAGE);
    jm_side_free(&s);
    CU_ASSERT_EQUAL(jm_side_read(path, "threads", &s, &err), JM_EUSAGE);
    jm_side_free(&s);
    (void)unlink(path);
    CU_ASSERT_EQUAL(jm_side_read(path, NULL, &s, NULL), JM_ENOTFOUND);
    jm_side_free(&s);
}

int main(void)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite s = CU_add_suite("compare", NULL, NULL);
    CU_ADD_TEST(s, test_verdicts);
    CU_ADD_TEST(s, test_undetectable);
    CU_ADD_TEST(s, test_few);
    CU_ADD_TEST(s, test_unavailable);
    CU_ADD_TEST(s, test_pairing);
    CU_ADD_TEST(s, test_format_name);
    CU_ADD_TEST(s, test_alternating);
    CU_ADD_TEST(s, test_print);
    CU_ADD_TEST(s, test_select);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    bool ok = CU_get_number_of_tests_run() > 0 && CU_get_number_of_failures() == 0;
    CU_cleanup_registry();
    return ok ? 0 : 1;
}
