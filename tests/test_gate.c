/* SPDX-License-Identifier: Apache-2.0 */
/* The gate against known-bad results: each mutation of a good file must be caught, with the exit
 * code and the word that says why. Nothing unknown, missing or damaged may pass. */
#include <CUnit/Basic.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "harness/commands.h"
#include "harness/exit_code.h"
#include "harness/record/csv.h"
#include "tests/results.h"

enum { N = 12 };
static char dir[] = "/tmp/jm-test-gate-XXXXXX";
static char base_csv[64], new_csv[64], out_txt[64], junit[64];
static struct jm_record base[N], fresh[N];
static size_t n_fresh;

static void fill(double factor)
{
    jm_rng rng = { .state = 11 };
    for (size_t i = 0; i < N; i++)
        make_run(&base[i], &rng, 1.0);
    for (size_t i = 0; i < N; i++)
        make_run(&fresh[i], &rng, factor);
    n_fresh = N;
}

static char *slurp(const char *path)
{
    jm_map m;
    if (jm_map_open(path, &m, NULL) != JM_OK)
        return NULL;
    char *s = calloc(m.bytes + 1, 1);
    if (s && m.bytes)
        memcpy(s, m.data, m.bytes);
    jm_map_close(&m);
    return s;
}

/* Runs the command with both streams in out_txt; up to 4 more words. */
static int run_gate(const char *a, const char *b, const char *c, const char *d)
{
    const char *word[] = { "gate", "--baseline", base_csv, new_csv, a, b, c, d };
    char *argv[10];
    int argc = 0;
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        if (word[i])
            argv[argc++] = (char *)(uintptr_t)word[i];
    argv[argc] = NULL;
    (void)fflush(NULL);
    int out = dup(1), err = dup(2);
    FILE *f = fopen(out_txt, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    (void)dup2(fileno(f), 1);
    (void)dup2(fileno(f), 2);
    int code = jm_cmd_gate(argc, argv);
    (void)fflush(NULL);
    (void)dup2(out, 1);
    (void)dup2(err, 2);
    (void)close(out);
    (void)close(err);
    (void)fclose(f);
    return code;
}

static bool said(const char *what)
{
    char *s = slurp(out_txt);
    bool found = s && strstr(s, what);
    if (!found)
        printf("\n    wanted /%s/ in:\n%s", what, s ? s : "");
    free(s);
    return found;
}

static void write_both(void)
{
    CU_ASSERT_EQUAL(jm_csv_write(base_csv, base, N, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_csv_write(new_csv, fresh, n_fresh, NULL), JM_OK);
}

/* ---- mutations of rows ---- */

#define TEXT_MUTATION(name, array, i, field, value)                                                \
    static void name(void)                                                                         \
    {                                                                                              \
        jm_record_text(array[i].field, value);                                                     \
    }
#define ALL_MUTATION(name, array, statement)                                                       \
    static void name(void)                                                                         \
    {                                                                                              \
        for (size_t i = 0; i < N; i++) {                                                           \
            struct jm_record *r = &array[i];                                                       \
            statement;                                                                             \
        }                                                                                          \
    }

static void nothing(void)
{
}
TEXT_MUTATION(interrupted, fresh, 5, status, "interrupted")
TEXT_MUTATION(failed, fresh, 5, status, "failed")
TEXT_MUTATION(twice, fresh, 5, run_id, fresh[6].run_id)
TEXT_MUTATION(base_twice, base, 5, run_id, base[6].run_id)
TEXT_MUTATION(both_sides, fresh, 5, run_id, base[6].run_id)
TEXT_MUTATION(odd_status, fresh, 5, status, "Complete")
TEXT_MUTATION(no_status, fresh, 5, status, "")
TEXT_MUTATION(base_interrupted, base, 5, status, "interrupted")
TEXT_MUTATION(quality_no, fresh, 5, quality_valid, "no")
TEXT_MUTATION(quality_odd, fresh, 5, quality_valid, "maybe")
TEXT_MUTATION(quality_none, fresh, 5, quality_valid, "")
TEXT_MUTATION(base_quality_no, base, 5, quality_valid, "no")
TEXT_MUTATION(metric_differs, fresh, 5, quality_metric, "BLEU")
TEXT_MUTATION(scope_differs, fresh, 5, energy_scope, "wall")
TEXT_MUTATION(estimate, fresh, 5, energy_source, "estimated")
ALL_MUTATION(all_estimates, fresh, jm_record_text(r->energy_source, "estimated");
             jm_record_text(base[i].energy_source, "estimated"))
ALL_MUTATION(other_cpu, fresh, jm_record_text(r->host_cpu, "Faster CPU"))
ALL_MUTATION(other_model, fresh, jm_record_text(r->model_sha256, "cc"))
ALL_MUTATION(other_data, fresh, jm_record_text(r->data_sha256, "cc"))
ALL_MUTATION(other_isa, fresh, jm_record_text(r->simd, "scalar"))
ALL_MUTATION(other_kv, fresh, jm_record_text(r->kv_format, "Q8_0");
             jm_record_text(base[i].kv_format, "F16"))
ALL_MUTATION(other_threads, fresh, r->threads = 1)
ALL_MUTATION(other_scenario, fresh, jm_record_text(r->scenario, "offline"))
ALL_MUTATION(synthetic, fresh, jm_record_text(r->weights, "synthetic"))
ALL_MUTATION(no_energy_new, fresh, r->energy_j_per_query = NAN)
ALL_MUTATION(no_quality_new, fresh, r->quality_value = NAN)
ALL_MUTATION(no_speed_new, fresh, r->tokens_out_per_s = r->queries_per_s = NAN)
ALL_MUTATION(lower_quality, fresh, r->quality_value = 49.0)
ALL_MUTATION(worse_language, fresh, r->quality_worst = 39.0)
ALL_MUTATION(no_worst_new, fresh, r->quality_worst = NAN)
ALL_MUTATION(no_worst, fresh, r->quality_worst = base[i].quality_worst = NAN)
ALL_MUTATION(other_languages, fresh, jm_record_text(r->languages, "de,fr"))
ALL_MUTATION(other_pictures, fresh, jm_record_text(r->picture_settings, "32x32"))
ALL_MUTATION(slight_quality, fresh, r->quality_value = 49.8)
ALL_MUTATION(hungry, fresh, r->energy_j_per_query *= 1.06)
ALL_MUTATION(zero_speed, fresh, r->tokens_out_per_s = 0)
ALL_MUTATION(negative_speed, fresh, r->tokens_out_per_s = -r->tokens_out_per_s)

static void nameless(void)
{
    for (size_t i = 0; i < N; i++)
        base[i].model_sha256[0] = fresh[i].model_sha256[0] = '\0';
}

static void no_energy(void)
{
    for (size_t i = 0; i < N; i++)
        base[i].energy_j_per_query = fresh[i].energy_j_per_query = NAN;
}

static void no_speed(void)
{
    no_speed_new();
    for (size_t i = 0; i < N; i++)
        base[i].tokens_out_per_s = base[i].queries_per_s = NAN;
}

static void one_gap(void)
{
    fresh[3].tokens_out_per_s = NAN;
}

static void few(void)
{
    n_fresh = 8;
}

static void none(void)
{
    n_fresh = 0;
}

static void half_missing(void) /* the baseline has a setting that was not run again */
{
    base[0].threads = 1;
}

/* Server: the rate is given, so the tail is what may get worse. */
static void slow_tail(void)
{
    for (size_t i = 0; i < N; i++) {
        jm_record_text(base[i].scenario, "server");
        jm_record_text(fresh[i].scenario, "server");
        fresh[i].latency_p99_ms *= 1.1;
    }
}

static const struct mutation {
    const char *name;
    void (*mutate)(void);
    double factor;
    int code;
    const char *word;
} mutations[] = {
    { "unchanged", nothing, 1.0, 0, "gate: pass" },
    { "2% slower", nothing, 0.98, 0, "gate: pass" },
    { "7% faster", nothing, 1.07, 0, "gate: pass" },
    { "5% slower", nothing, 0.95, 1,
      "REGRESSION      tiny-mt F16 single-stream: tokens_out_per_s" },
    { "hungry", hungry, 1.0, 1, "energy_j_per_query" },
    { "lower quality", lower_quality, 1.0, 1, "quality_value: 50 -> 49" },
    { "one language lower", worse_language, 1.0, 1, "quality_worst: 40 -> 39" },
    { "new without worst language", no_worst_new, 1.0, 2, "quality_worst is missing" },
    { "no languages", no_worst, 1.0, 0, "gate: pass" },
    { "other languages", other_languages, 1.0, 2, "languages (empty) -> de,fr" },
    { "other pictures", other_pictures, 1.0, 2, "picture_settings" },
    { "slightly lower quality", slight_quality, 1.0, 0, "gate: pass" },
    { "slow tail", slow_tail, 1.0, 1, "latency_p99_ms" },
    { "interrupted", interrupted, 1.0, 1, "status is interrupted" },
    { "failed", failed, 1.0, 1, "status is failed" },
    { "odd status", odd_status, 1.0, 1, "status is Complete" },
    { "no status", no_status, 1.0, 1, "status is (empty)" },
    { "baseline interrupted", base_interrupted, 1.0, 2, "status is interrupted" },
    { "quality_valid no", quality_no, 1.0, 1, "quality_valid is no" },
    { "quality_valid odd", quality_odd, 1.0, 1, "quality_valid is maybe" },
    { "quality_valid empty", quality_none, 1.0, 1, "quality_valid is (empty)" },
    { "baseline's quality_valid no", base_quality_no, 1.0, 2, "quality_valid is no" },
    { "quality metric", metric_differs, 1.0, 2, "quality_metric differs" },
    { "energy scope", scope_differs, 1.0, 2, "energy_scope differs" },
    { "one estimate", estimate, 1.0, 2, "energy_source differs" },
    { "estimates", all_estimates, 1.0, 2, "estimated, not measured" },
    { "other processor", other_cpu, 1.0, 2, "host_cpu Test CPU -> Faster CPU" },
    { "other model", other_model, 1.0, 2, "model_sha256 aa -> cc" },
    { "other data", other_data, 1.0, 2, "data_sha256 bb -> cc" },
    { "other instruction set", other_isa, 1.0, 2, "simd avx2 -> scalar" },
    { "other keys and values", other_kv, 1.0, 2, "kv_format F16 -> Q8_0" },
    { "other threads", other_threads, 1.0, 2, "threads 2 -> 1" },
    { "other scenario", other_scenario, 1.0, 2, "scenario single-stream -> offline" },
    { "synthetic weights", synthetic, 1.0, 2, "weights real -> synthetic" },
    { "model of unknown hash", nameless, 1.0, 2, "model_sha256 is empty" },
    { "new without energy", no_energy_new, 1.0, 2, "energy_j_per_query is empty" },
    { "no energy at all", no_energy, 1.0, 0, "not judged" },
    { "new without quality", no_quality_new, 1.0, 2, "quality_value is missing" },
    { "new without speed", no_speed_new, 1.0, 2, "tokens_out_per_s is empty" },
    { "no speed at all", no_speed, 1.0, 2, "empty on both sides" },
    { "one run without speed", one_gap, 1.0, 2, "tokens_out_per_s is empty in 0 of A's and 1" },
    { "speed 0", zero_speed, 1.0, 2, "no ratio" },
    { "speed below 0", negative_speed, 1.0, 2, "no ratio" },
    { "few repeats", few, 1.0, 2, "8 new runs; needs 9" },
    { "no rows", none, 1.0, 2, "holds no complete run" },
    { "a run twice", twice, 1.0, 2, "is twice in the new results" },
    { "a run of the baseline twice", base_twice, 1.0, 2, "is twice in the baseline" },
    { "a run as its own baseline", both_sides, 1.0, 2, "is on both sides" },
    { "a setting not run again", half_missing, 1.0, 2, "only in the baseline" },
};

static void test_rows(void)
{
    for (size_t i = 0; i < sizeof mutations / sizeof *mutations; i++) {
        const struct mutation *m = &mutations[i];
        fill(m->factor);
        m->mutate();
        write_both();
        int code = run_gate(NULL, NULL, NULL, NULL);
        if (code != m->code)
            printf("\n    %s: exit %d, wanted %d ", m->name, code, m->code);
        CU_ASSERT_EQUAL(code, m->code);
        CU_ASSERT(said(m->word));
    }
    fill(1.0);
    no_energy();
    write_both();
    CU_ASSERT_EQUAL(run_gate("--max-energy", "3%", NULL, NULL), 2);
}

/* ---- mutations of bytes ---- */

/* Replaces the first `from` in the new file. */
static void replace(const char *from, const char *to)
{
    char *s = slurp(new_csv), *at = s ? strstr(s, from) : NULL;
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    char *all = jm_asprintf("%.*s%s%s", (int)(at - s), s, to, at + strlen(from));
    CU_ASSERT_EQUAL(jm_write_file(new_csv, all, strlen(all), NULL), JM_OK);
    free(all);
    free(s);
}

static void damaged(const char *from, const char *to, const char *word)
{
    fill(1.0);
    write_both();
    replace(from, to);
    CU_ASSERT_EQUAL(run_gate(NULL, NULL, NULL, NULL), 2);
    CU_ASSERT(said(word));
}

static void test_files(void)
{
    char *s;
    char version[16];
    damaged("tokens_out_per_s", "tokens_per_s", "tokens_out_per_s");
    damaged("\"quality_valid\",", "", "row 2");
    damaged("\"run_id\"", "\"run_id\",\"cheat\"", "row 2");
    damaged("\"translate\"", "\"translate", "row");
    (void)snprintf(version, sizeof version, "\n\"%d\"", JM_SCHEMA_VERSION);
    damaged(version, "\n\"99\"", "schema version 99");
    damaged(version, "\n\"\"", "schema_version");
    damaged("\"50\"", "\"nan\"", "not a number");
    damaged("\"50\"", "\"1e999\"", "not a number");
    fill(1.0);
    write_both();
    s = slurp(new_csv);
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    size_t bytes = strlen(s);
    for (size_t cut = 0; cut < bytes - 1; cut += 1 + bytes / 97) { /* only whole rows may pass */
        CU_ASSERT_EQUAL(jm_write_file(new_csv, s, cut, NULL), JM_OK);
        int code = run_gate(NULL, NULL, NULL, NULL);
        bool whole = s[cut] == '\n' || (cut > 0 && s[cut - 1] == '\n');
        CU_ASSERT(code == 2 || (whole && code == 0));
    }
    free(s);
    CU_ASSERT_EQUAL(unlink(new_csv), 0);
    CU_ASSERT_EQUAL(run_gate(NULL, NULL, NULL, NULL), 3);
}

static void test_usage(void)
{
    fill(1.0);
    write_both();
    CU_ASSERT_EQUAL(run_gate("--max-slowdown", "-3%", NULL, NULL), 2);
    CU_ASSERT_EQUAL(run_gate("--max-slowdown", "3%x", NULL, NULL), 2);
    CU_ASSERT_EQUAL(run_gate("--max-slowdown", "nan", NULL, NULL), 2);
    CU_ASSERT_EQUAL(run_gate("--max-slowdown", NULL, NULL, NULL), 2);
    CU_ASSERT_EQUAL(run_gate("--min-repeats", "1", NULL, NULL), 2);
    CU_ASSERT_EQUAL(run_gate("--max-slowdon=3%", NULL, NULL, NULL), 2);
    CU_ASSERT_EQUAL(run_gate("--min-quality=99%", "--max-slowdown=0.03", NULL, NULL), 0);
    fill(0.95);
    write_both();
    CU_ASSERT_EQUAL(run_gate("--max-slowdown", "9%", "--max-energy", "9%"), 0);
    CU_ASSERT_EQUAL(run_gate("--junit", "/nonexistent/x.xml", NULL, NULL), 4);
}

/* Names that are commands in the one format or the other come out as text. */
static void test_reports(void)
{
    fill(0.9);
    for (size_t i = 0; i < N; i++) {
        jm_record_text(base[i].model, "m<&\"'>\xff%0A::error::x\n::warning::y");
        jm_record_text(fresh[i].model, base[i].model);
    }
    write_both();
    CU_ASSERT_EQUAL(run_gate("--github", "--junit", junit, NULL), 1);
    CU_ASSERT(said("::error title=joulemark gate%3A REGRESSION::m<&"));
    CU_ASSERT(said("%250A"));
    char *s = slurp(out_txt);
    CU_ASSERT_PTR_NULL(strstr(s, "\n::warning"));
    free(s);
    s = slurp(junit);
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    CU_ASSERT_PTR_NOT_NULL(strstr(s, "failures=\"2\" errors=\"0\" skipped=\"0\""));
    CU_ASSERT_PTR_NOT_NULL(strstr(s, "m&#60;&#38;&#34;&#39;&#62;&#63;%0A"));
    CU_ASSERT_PTR_NOT_NULL(strstr(s, "<failure message="));
    free(s);
}

int main(void)
{
    if (!mkdtemp(dir) || CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    (void)snprintf(base_csv, sizeof base_csv, "%s/base.csv", dir);
    (void)snprintf(new_csv, sizeof new_csv, "%s/new.csv", dir);
    (void)snprintf(out_txt, sizeof out_txt, "%s/out.txt", dir);
    (void)snprintf(junit, sizeof junit, "%s/gate.xml", dir);
    CU_pSuite s = CU_add_suite("gate", NULL, NULL);
    CU_ADD_TEST(s, test_rows);
    CU_ADD_TEST(s, test_files);
    CU_ADD_TEST(s, test_usage);
    CU_ADD_TEST(s, test_reports);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    bool ok = CU_get_number_of_tests_run() > 0 && CU_get_number_of_failures() == 0;
    CU_cleanup_registry();
    (void)unlink(base_csv);
    (void)unlink(new_csv);
    (void)unlink(out_txt);
    (void)unlink(junit);
    (void)rmdir(dir);
    return ok ? 0 : 1;
}
