/* SPDX-License-Identifier: Apache-2.0 */
/* Claim files, good and hostile, and what intervals say of a claim. */
#include <CUnit/Basic.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "harness/record/claim.h"
#include "harness/record/past_run.h"
#include "harness/record/csv.h"

static char dir[] = "/tmp/jm-test-claim-XXXXXX";
static char file[64];

#define HEAD "[claim]\nmetric = tokens_out_per_s\nrelation = at-least\nvalue = 1.5\n"
#define SUBJECT "[subject]\nthreads = 2\n"

static jm_status load(const void *text, size_t bytes, struct jm_claim *c, jm_err *err)
{
    *err = (jm_err){ .status = JM_OK };
    FILE *f = fopen(file, "wb"); /* thousands of files: not each to the disk */
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    CU_ASSERT_EQUAL(fwrite(text, 1, bytes, f), bytes);
    CU_ASSERT_EQUAL(fclose(f), 0);
    return jm_claim_load(file, c, err);
}

static void test_good(void)
{
    static const char text[] =
        HEAD "text = twice as fast\ntolerance = 2%\nmin-quality = 0.97\nrepeats = 12\n" SUBJECT
             "min-duration-s = 3\nmodel-sha256 = "
             "A0169A75577B059A95A8355DC128A190A25FFA8238B988667E1350471A43173C\n[other]\nbatch=4\n";
    struct jm_claim c;
    jm_err err;
    CU_ASSERT_EQUAL_FATAL(load(text, sizeof text - 1, &c, &err), JM_OK);
    CU_ASSERT_STRING_EQUAL(c.metric, "tokens_out_per_s");
    CU_ASSERT(fabs(c.value - 1.5) <= 0.0 && fabs(c.tolerance - 0.02) <= 1e-12);
    CU_ASSERT(c.repeats == 12 && c.has_other && c.relation == JM_AT_LEAST);
    CU_ASSERT(fabs(c.min_quality - 0.97) <= 1e-12);
    CU_ASSERT(c.subject.run.threads == 2 && c.other.run.batch == 4 && c.other.run.threads == 0);
    CU_ASSERT_EQUAL(strncmp(c.subject.model_sha256, "a0169a75", 8), 0);
    CU_ASSERT_EQUAL(load(HEAD SUBJECT, strlen(HEAD SUBJECT), &c, &err), JM_OK);
    CU_ASSERT(!c.has_other && isnan(c.min_quality) && c.repeats == 9);
    CU_ASSERT_EQUAL(jm_claim_load(JM_SOURCE "/claims/stq1-vs-q4.ini", &c, &err), JM_OK);
    CU_ASSERT(c.has_other && strlen(c.subject.model_sha256) == 64);
}

static void test_bad(void)
{
    static const struct {
        const char *text, *word;
    } bad[] = {
        { "", "needs metric" },
        { HEAD, "[subject]" },
        { "[claim]\nmetric = x\nvalue = 1\n" SUBJECT, "needs metric" },
        { "[claim]\nrelation = at-least\nvalue = 1\n" SUBJECT, "needs metric" },
        { "[claim]\nmetric = x\nrelation = at-least\n" SUBJECT, "needs metric" },
        { HEAD "relation = faster\n" SUBJECT, "twice" },
        { "[claim]\nrelation = faster\n", "relation cannot be 'faster'" },
        { "[claim]\nvalue = 0\n", "value cannot be" },
        { "[claim]\nvalue = -1\n", "value cannot be" },
        { "[claim]\nvalue = nan\n", "value cannot be" },
        { "[claim]\nvalue = inf\n", "value cannot be" },
        { "[claim]\nvalue = 1e999\n", "value cannot be" },
        { "[claim]\nvalue = 1.5 times\n", "value cannot be" },
        { "[claim]\ntolerance = 99%\n", "tolerance cannot be" },
        { "[claim]\nrepeats = 1\n", "repeats cannot be" },
        { "[claim]\nrepeats = 1e9\n", "repeats cannot be" },
        { "[claim]\nrepeats = 9.5\n", "repeats cannot be" },
        { "[claim]\nrepeats = 900%\n", "repeats cannot be" },
        { "[claim]\ncommand = rm\n", "no key 'command'" },
        { "[claim]\ntext = a\001b\n", "text cannot be" },
        { HEAD "[subject]\nthreads = -1\n", "threads" },
        { HEAD "[subject]\nthread = 1\n", "did you mean" },
        { HEAD "[subject]\nmodel-sha256 = abc\n", "64 hexadecimal" },
        { HEAD SUBJECT "threads = 3\n", "twice" },
        { HEAD SUBJECT "[other]\nbatch = 0\n", "batch" },
        { HEAD SUBJECT "[third]\nbatch = 1\n", "not [third]" },
        { "metric = x\n", "not []" },
        { HEAD SUBJECT "nonsense\n", "neither" },
        { HEAD SUBJECT "[open\n", "neither" },
    };
    struct jm_claim c;
    jm_err err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        jm_status st = load(bad[i].text, strlen(bad[i].text), &c, &err);
        CU_ASSERT_EQUAL(st, JM_EINPUT);
        if (!strstr(err.text, bad[i].word))
            printf("\n    %zu: wanted /%s/ in: %s ", i, bad[i].word, err.text);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, bad[i].word));
        CU_ASSERT_PTR_NULL(strchr(err.text, '\n'));
    }
    CU_ASSERT_EQUAL(jm_claim_load("/nonexistent.ini", &c, NULL), JM_ENOTFOUND);
}

/* Any byte changed, any length: an answer, never a crash; run under sanitizers. */
static void test_mutated(void)
{
    static const char text[] = HEAD "text = fast\nrepeats = 9\n" SUBJECT "[other]\nbatch = 4\n";
    static const char poison[] = { 0, '\n', '[', ']', '=', ';', ' ', '%', '-', '9', (char)0xff };
    struct jm_claim c;
    jm_err err;
    int answers = 0;
    for (size_t i = 0; i < sizeof text - 1; i++) {
        char copy[sizeof text];
        for (size_t k = 0; k < sizeof poison; k++) {
            memcpy(copy, text, sizeof text);
            copy[i] = poison[k];
            jm_status st = load(copy, sizeof text - 1, &c, &err);
            CU_ASSERT(st == JM_OK || (st == JM_EINPUT && *err.text));
            answers++;
        }
        jm_status st = load(text, i, &c, &err);
        CU_ASSERT(st == JM_OK || st == JM_EINPUT);
    }
    CU_ASSERT(answers > 1000);
    size_t big = 70000;
    char *s = malloc(big);
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    memset(s, ';', big);
    CU_ASSERT_EQUAL(load(s, big, &c, &err), JM_EINPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "64 KiB"));
    CU_ASSERT_EQUAL(load(s, 500, &c, &err), JM_EINPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "line over"));
    free(s);
}

static void judge(enum jm_relation r, double ratio, double low, double high,
                  enum jm_claim_verdict want, double least_more)
{
    double more;
    enum jm_claim_verdict got = jm_claim_judge(r, 0.03, ratio, low, high, 9, &more);
    CU_ASSERT_EQUAL(got, want);
    CU_ASSERT(more >= least_more && (want != JM_CLAIM_UNDERPOWERED || more >= 1.0));
}

static void test_judge(void)
{
    judge(JM_AT_LEAST, 1.2, 1.1, 1.3, JM_CLAIM_REPRODUCED, 0);
    judge(JM_AT_LEAST, 1.0, 0.98, 1.02, JM_CLAIM_REPRODUCED, 0); /* within the tolerance */
    judge(JM_AT_LEAST, 0.9, 0.85, 0.96, JM_CLAIM_REFUTED, 0);
    judge(JM_AT_LEAST, 1.0, 0.9, 1.1, JM_CLAIM_UNDERPOWERED, 80);
    judge(JM_AT_MOST, 0.9, 0.85, 0.96, JM_CLAIM_REPRODUCED, 0);
    judge(JM_AT_MOST, 1.2, 1.1, 1.3, JM_CLAIM_REFUTED, 0);
    judge(JM_EQUAL, 1.0, 0.98, 1.02, JM_CLAIM_REPRODUCED, 0);
    judge(JM_EQUAL, 1.2, 1.1, 1.3, JM_CLAIM_REFUTED, 0);
    judge(JM_EQUAL, 0.9, 0.85, 0.96, JM_CLAIM_REFUTED, 0);
    judge(JM_EQUAL, 1.0, 0.9, 1.1, JM_CLAIM_UNDERPOWERED, 80);
    judge(JM_AT_LEAST, 1.5, NAN, NAN, JM_CLAIM_UNDERPOWERED, 1);
    judge(JM_EQUAL, NAN, 1, 1, JM_CLAIM_UNDERPOWERED, 1);
}

/* ---- folders of past runs ---- */

static void put(const char *name, const char *text)
{
    char *path = jm_asprintf("%s/suite/run/%s", dir, name);
    CU_ASSERT_EQUAL(jm_write_file(path, text, strlen(text), NULL), JM_OK);
    free(path);
}

static jm_status past(const char *manifest, struct jm_past_run *p, jm_err *err)
{
    char *folder = jm_asprintf("%s/suite/run", dir);
    *err = (jm_err){ .status = JM_OK };
    put("manifest.json", manifest);
    jm_status st = jm_past_run_read(folder, p, err);
    free(folder);
    return st;
}

#define FILES "\"files\":{\"samples.csv\":\"%s\"}"

static void test_past_run(void)
{
    struct jm_record row;
    char hex[JM_SHA256_HEX], text[600], csv[80];
    struct jm_past_run p;
    jm_err err;
    char *folder = jm_asprintf("%s/suite/run", dir);
    CU_ASSERT_EQUAL(jm_make_dirs(folder, NULL), JM_OK);
    free(folder);
    put("samples.csv", "id\n");
    CU_ASSERT_EQUAL(jm_sha256("id\n", 3, hex, NULL), JM_OK);
    jm_record_clear(&row);
    jm_record_text(row.run_id, "r1");
    jm_record_text(row.model_sha256, "aa");
    (void)snprintf(csv, sizeof csv, "%s/suite.csv", dir);
    CU_ASSERT_EQUAL(jm_csv_write(csv, &row, 1, NULL), JM_OK);
    (void)snprintf(text, sizeof text,
                   "{\"run_id\":\"r1\",\"model_sha256\":\"aa\",\"settings\":{\"threads\":3,"
                   "\"min_duration_s\":0.5,\"format\":\"Q8_0\"}," FILES "}",
                   hex);
    CU_ASSERT_EQUAL(past(text, &p, &err), JM_OK);
    CU_ASSERT(p.config.threads == 3 && fabs(p.config.min_duration_s - 0.5) <= 0.0);
    CU_ASSERT_STRING_EQUAL(p.config.format, "Q8_0");
    CU_ASSERT_STRING_EQUAL(p.record.model_sha256, "aa");
    put("samples.csv", "ID\n");
    CU_ASSERT_EQUAL(past(text, &p, &err), JM_EINPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "the record was changed"));
    static const char *const bad[] = {
        "",
        "[]",
        "{",
        "{\"run_id\":\"r1\"}",
        "{\"settings\":{\"nosuch\":1},\"files\":{}}",
        "{\"settings\":{\"threads\":1e300},\"files\":{}}",
        "{\"settings\":{\"threads\":-1},\"files\":{}}",
        "{\"settings\":{\"threads\":[]},\"files\":{}}",
        "{\"settings\":{\"\":1},\"files\":{}}",
        "{\"settings\":{},\"files\":{}}",
        "{\"settings\":{},\"files\":{\"../x\":\"aa\"}}",
        "{\"settings\":{},\"files\":{\"samples.csv\":7}}",
        "{\"settings\":{},\"files\":{\"missing.csv\":\"aa\"}}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        jm_status st = past(bad[i], &p, &err);
        if (st != JM_EINPUT)
            printf("\n    %zu: %s: %s ", i, jm_status_name(st), err.text);
        CU_ASSERT_EQUAL(st, JM_EINPUT);
    }
}

int main(void)
{
    if (!mkdtemp(dir) || CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    (void)snprintf(file, sizeof file, "%s/claim.ini", dir);
    CU_pSuite s = CU_add_suite("claim", NULL, NULL);
    CU_ADD_TEST(s, test_good);
    CU_ADD_TEST(s, test_bad);
    CU_ADD_TEST(s, test_mutated);
    CU_ADD_TEST(s, test_judge);
    CU_ADD_TEST(s, test_past_run);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    bool ok = CU_get_number_of_tests_run() > 0 && CU_get_number_of_failures() == 0;
    CU_cleanup_registry();
    static const char *const made[] = {
        "claim.ini", "suite/run/manifest.json", "suite/run/samples.csv", "suite/run", "suite",
        "suite.csv"
    };
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", dir, made[i]);
        (void)remove(path);
    }
    (void)rmdir(dir);
    return ok ? 0 : 1;
}
