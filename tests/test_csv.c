/* SPDX-License-Identifier: Apache-2.0 */
/* The results file: what is written reads back, and damage is refused. Also the run's folder. */
#include <CUnit/Basic.h>
#include <ftw.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "harness/record/csv.h"
#include "harness/record/folder.h"
#include "harness/system/machine.h"

static char dir[] = "/tmp/jm-test-csv-XXXXXX";
static char file[64];
static struct jm_record row;

static char *slurp(const char *path)
{
    jm_map m;
    char *s = NULL;
    if (jm_map_open(path, &m, NULL) != JM_OK)
        return NULL;
    s = calloc(m.bytes + 1, 1);
    if (s && m.bytes)
        memcpy(s, m.data, m.bytes);
    jm_map_close(&m);
    return s;
}

static void fill(void)
{
    jm_record_clear(&row);
    jm_record_text(row.run_id, "a \"quoted\", text\nof two lines ");
    jm_record_text(row.model, "模型 é");
    row.parameters = UINT64_C(18446744073709551614);
    row.duration_s = 0.1 + 0.2;
    row.energy_j = 0;
    row.latency_mean_ms = 0x1.fffffffffffffp-1022;
}

/* Text in place of the file, and what the reader says of it. */
static jm_status read_text(const char *text, size_t bytes, jm_err *err)
{
    struct jm_record *rows;
    size_t n;
    *err = (jm_err){ .status = JM_OK };
    CU_ASSERT_EQUAL(jm_write_file(file, text, bytes, NULL), JM_OK);
    jm_status st = jm_csv_read(file, &rows, &n, err);
    if (st != JM_OK)
        CU_ASSERT_PTR_NULL(rows);
    free(rows);
    return st;
}

static void test_round_trip(void)
{
    struct jm_record *rows;
    size_t n;
    fill();
    (void)unlink(file);
    CU_ASSERT_EQUAL(jm_csv_append(file, &row, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_csv_append(file, &row, NULL), JM_OK);
    CU_ASSERT_EQUAL_FATAL(jm_csv_read(file, &rows, &n, NULL), JM_OK);
    CU_ASSERT_EQUAL_FATAL(n, 2);
    CU_ASSERT_STRING_EQUAL(rows[1].run_id, row.run_id);
    CU_ASSERT_STRING_EQUAL(rows[1].model, row.model);
    CU_ASSERT_EQUAL(rows[1].parameters, row.parameters);
    CU_ASSERT(rows[1].duration_s == row.duration_s);
    CU_ASSERT(rows[1].latency_mean_ms == row.latency_mean_ms);
    CU_ASSERT(rows[1].energy_j == 0 && isnan(rows[1].power_idle_w));
    CU_ASSERT_EQUAL(rows[1].seed, JM_U64_EMPTY);
    free(rows);
    char *text = slurp(file);
    CU_ASSERT(text && !strstr(text, "nan") && strstr(text, "\"0.30000000000000004\""));
    free(text);
}

static void test_damage(void)
{
    jm_err err;
    fill();
    (void)unlink(file);
    CU_ASSERT_EQUAL_FATAL(jm_csv_append(file, &row, NULL), JM_OK);
    char *text = slurp(file);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    size_t len = strlen(text);
    CU_ASSERT_EQUAL(read_text(text, len, &err), JM_OK);
    CU_ASSERT_EQUAL(read_text(text, len - 2, &err), JM_EINPUT);  /* open quote */
    CU_ASSERT_EQUAL(read_text(text, len - 4, &err), JM_EINPUT);  /* ragged */
    CU_ASSERT_EQUAL(jm_csv_append(file, &row, NULL), JM_EINPUT); /* not replaced */
    CU_ASSERT_EQUAL(read_text("", 0, &err), JM_EINPUT);
    CU_ASSERT_EQUAL(read_text("\"a\",\"b\"\n", 8, &err), JM_EINPUT);
    char version[16];
    (void)snprintf(version, sizeof version, "\n\"%d\"", JM_SCHEMA_VERSION);
    char *digit = strstr(text, version);
    CU_ASSERT_PTR_NOT_NULL_FATAL(digit);
    digit[2] = '7';
    CU_ASSERT_EQUAL(read_text(text, len, &err), JM_EUNSUPPORTED);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "schema 7"));
    digit[2] = 'x';
    CU_ASSERT_EQUAL(read_text(text, len, &err), JM_EINPUT);
    free(text);
}

/* Runs that end at the same moment: no row of either is lost. */
static void test_together(void)
{
    enum { WRITERS = 3, ROWS = 20 };
    (void)remove(file);
    fill();
    for (int i = 0; i < WRITERS; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            int failed = 0;
            for (int k = 0; k < ROWS; k++)
                failed += jm_csv_append(file, &row, NULL) != JM_OK;
            _exit(failed);
        }
        CU_ASSERT(pid > 0);
    }
    for (int i = 0, status; i < WRITERS; i++)
        CU_ASSERT(wait(&status) > 0 && status == 0);
    struct jm_record *rows;
    size_t n;
    CU_ASSERT_EQUAL(jm_csv_read(file, &rows, &n, NULL), JM_OK);
    CU_ASSERT_EQUAL(n, WRITERS * ROWS);
    free(rows);
}

/* As a spreadsheet saves it: a byte order mark, lines ended with CR LF. */
static void test_spreadsheet(void)
{
    static const char saved[] = "\xef\xbb\xbf"
                                "schema_version,run_id\r\n1,first\r\n";
    jm_err err;
    CU_ASSERT_EQUAL(read_text(saved, sizeof saved - 1, &err), JM_OK);
    CU_ASSERT_EQUAL(read_text(saved, 2, &err), JM_EINPUT); /* no whole mark */
    CU_ASSERT_EQUAL(read_text(saved, 3, &err), JM_EINPUT); /* no header */
}

/* A file of an older schema is read, and grows on under the new header. */
static void test_older(void)
{
    static const char older[] = "schema_version,run_id,duration_s\n1,first,2.5\n";
    static const char strange[] = "schema_version,strange\n1,first\n";
    struct jm_record *rows;
    jm_err err;
    size_t n;
    char lacks[64];
    int length =
        snprintf(lacks, sizeof lacks, "schema_version,run_id\n%d,first\n", JM_SCHEMA_VERSION);
    CU_ASSERT_EQUAL(read_text(lacks, (size_t)length, &err), JM_EINPUT);
    CU_ASSERT_EQUAL(read_text(strange, sizeof strange - 1, &err), JM_EINPUT);
    CU_ASSERT_EQUAL(read_text("run_id\nfirst\n", 13, &err), JM_EINPUT);
    CU_ASSERT_EQUAL(read_text(older, sizeof older - 1, &err), JM_OK);
    fill();
    CU_ASSERT_EQUAL(jm_csv_append(file, &row, NULL), JM_OK);
    CU_ASSERT_EQUAL_FATAL(jm_csv_read(file, &rows, &n, NULL), JM_OK);
    CU_ASSERT_EQUAL_FATAL(n, 2);
    CU_ASSERT_EQUAL(rows[0].schema_version, 1);
    CU_ASSERT(rows[0].duration_s == 2.5 && isnan(rows[0].energy_j));
    CU_ASSERT_STRING_EQUAL(rows[0].run_id, "first");
    CU_ASSERT_EQUAL(rows[0].threads, JM_U64_EMPTY);
    CU_ASSERT_EQUAL(rows[1].schema_version, JM_SCHEMA_VERSION);
    free(rows);
}

static void test_refused_write(void)
{
    struct rlimit old, none;
    fill();
    (void)unlink(file);
    CU_ASSERT_EQUAL(jm_csv_append(file, &row, NULL), JM_OK);
    CU_ASSERT_EQUAL(getrlimit(RLIMIT_FSIZE, &old), 0);
    none = old;
    none.rlim_cur = 100;
    (void)signal(SIGXFSZ, SIG_IGN);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &none), 0);
    jm_status st = jm_csv_append(file, &row, NULL);
    (void)setrlimit(RLIMIT_FSIZE, &old);
    CU_ASSERT_EQUAL(st, JM_EIO);
    struct jm_record *rows;
    size_t n;
    CU_ASSERT_EQUAL(jm_csv_read(file, &rows, &n, NULL), JM_OK);
    CU_ASSERT_EQUAL(n, 1); /* the old file is whole */
    free(rows);
    CU_ASSERT_NOT_EQUAL(jm_csv_append("/proc/none/r.csv", &row, NULL), JM_OK);
}

static void test_documented(void)
{
    size_t n, lines = 0;
    const struct jm_column *c = jm_columns(&n);
    static const char *const kind[] = { "text", "u64", "double" };
    char *doc = slurp(JM_SOURCE "/results/README.md");
    CU_ASSERT_PTR_NOT_NULL_FATAL(doc);
    for (size_t i = 0; i < n; i++) {
        char line[512];
        (void)snprintf(line, sizeof line, "\n| `%s` | %s | %s | %s |\n", c[i].name, kind[c[i].kind],
                       c[i].unit, c[i].text);
        CU_ASSERT_PTR_NOT_NULL(strstr(doc, line));
    }
    char *end = strstr(doc, "\n## "); /* other tables come behind */
    CU_ASSERT_PTR_NOT_NULL_FATAL(end);
    *end = '\0';
    for (const char *s = doc; (s = strstr(s, "\n| `")) != NULL; s++)
        lines++;
    CU_ASSERT_EQUAL(lines, n);
    free(doc);
}

static jm_status answer(void *user, uint32_t id, const char **text, jm_err *err)
{
    (void)user, (void)id, (void)err;
    *text = "say \"hi\"";
    return JM_OK;
}

static void test_folder(void)
{
    char sub[96], path[128];
    (void)snprintf(sub, sizeof sub, "%s/run", dir);
    struct jm_timing t[2] = { { .issue_ns = 1000, .done_ns = 1500, .tokens_out = 3 },
                              { .issue_ns = 1200, .index = 7 } };
    struct jm_folder_source src = { .answer = answer };
    struct jm_run_config cfg;
    jm_run_config_init(&cfg);
    cfg.seed = UINT64_MAX;
    fill();
    CU_ASSERT_EQUAL(jm_folder_samples(sub, t, 2, 1000, &src, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_folder_machine(sub, dir, NULL), JM_OK);
    (void)snprintf(path, sizeof path, "%s/answers", sub);
    CU_ASSERT_EQUAL(jm_make_dirs(path, NULL), JM_OK);
    (void)snprintf(path, sizeof path, "%s/answers/7.png", sub);
    CU_ASSERT_EQUAL(jm_write_file(path, "abc", 3, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_folder_manifest(sub, &row, &cfg, NULL), JM_OK);
    (void)snprintf(path, sizeof path, "%s/samples.csv", sub);
    char *s = slurp(path);
    CU_ASSERT(s && strstr(s, "0,0,\"\",0,,500,0,3,\"say \"\"hi\"\"\"\n1,7,\"\",200,,,0,0,\"\"\n"));
    free(s);
    (void)snprintf(path, sizeof path, "%s/manifest.json", sub);
    s = slurp(path);
    CU_ASSERT(s && strstr(s, "topology.xml") && strstr(s, "18446744073709551615"));
    /* SHA-256 of "abc": FIPS 180-4, example */
    CU_ASSERT(s && strstr(s, "\"answers/7.png\":\t\"ba7816bf8f01cfea414140de5dae2223"
                             "b00361a396177a9cb410ff61f20015ad\""));
    free(s);
}

static void test_machine(void)
{
    struct jm_machine m;
    char path[96];
    static const char cpu[] = "processor\t: 0\nmodel name\t: Test CPU\nflags\t\t: fpu hypervisor\n"
                              "processor\t: 1\nmodel name\t: Test CPU\n";
    (void)snprintf(path, sizeof path, "%s/proc", dir);
    CU_ASSERT_EQUAL(jm_make_dirs(path, NULL), JM_OK);
    (void)snprintf(path, sizeof path, "%s/proc/cpuinfo", dir);
    CU_ASSERT_EQUAL(jm_write_file(path, cpu, sizeof cpu - 1, NULL), JM_OK);
    jm_machine_read(dir, &m);
    CU_ASSERT_STRING_EQUAL(jm_machine_fact(&m, "cpu_model")->value, "Test CPU");
    CU_ASSERT_STRING_EQUAL(jm_machine_fact(&m, "logical_cores")->value, "2");
    CU_ASSERT_STRING_EQUAL(jm_machine_fact(&m, "hypervisor")->value, "yes");
    CU_ASSERT_STRING_EQUAL(jm_machine_fact(&m, "governor")->value, "unavailable");
    CU_ASSERT(jm_machine_fact(&m, "governor")->reason[0] != 0);
    CU_ASSERT(jm_machine_peak_rss() > 0);
}

static int remove_one(const char *path, const struct stat *s, int type, struct FTW *f)
{
    (void)s, (void)type, (void)f;
    return remove(path);
}

int main(void)
{
    if (!mkdtemp(dir) || CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    (void)snprintf(file, sizeof file, "%s/r.csv", dir);
    CU_pSuite s = CU_add_suite("csv", NULL, NULL);
    CU_add_test(s, "round trip", test_round_trip);
    CU_add_test(s, "damage", test_damage);
    CU_add_test(s, "together", test_together);
    CU_add_test(s, "spreadsheet", test_spreadsheet);
    CU_add_test(s, "older", test_older);
    CU_add_test(s, "refused write", test_refused_write);
    CU_add_test(s, "documented", test_documented);
    CU_add_test(s, "folder", test_folder);
    CU_add_test(s, "machine", test_machine);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    (void)nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return failures != 0;
}
