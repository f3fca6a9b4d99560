/* SPDX-License-Identifier: Apache-2.0 */
/* What a window leaves in a record: settings, bounds, the harness's share, clocks, peak.csv. */
#include <CUnit/Basic.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "harness/load_record.h"

static char dir[] = "/tmp/jm-test-load-record-XXXXXX";

static void test_settings(void)
{
    struct jm_run_config c;
    struct jm_load_config out = { .max_ids = 7 };
    jm_run_config_init(&c);
    (void)snprintf(c.scenario, sizeof c.scenario, "server");
    CU_ASSERT_EQUAL(jm_load_settings(&c, &out, NULL), JM_EUSAGE); /* no rate */
    c.target_qps = 5;
    c.latency_ms = 1500;
    CU_ASSERT_EQUAL(jm_load_settings(&c, &out, NULL), JM_OK);
    CU_ASSERT(out.max_ids == 7 && out.scenario == JM_SERVER && out.target_qps == 5);
    CU_ASSERT_DOUBLE_EQUAL(out.latency_s, 1.5, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(out.ttft_s, 2.0, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(out.tpot_s, 0.2, 1e-12);
    (void)snprintf(c.scenario, sizeof c.scenario, "offline");
    CU_ASSERT_EQUAL(jm_load_settings(&c, &out, NULL), JM_OK);
    c.find_peak = 1;
    CU_ASSERT_EQUAL(jm_load_settings(&c, &out, NULL), JM_EUSAGE);
    (void)snprintf(c.scenario, sizeof c.scenario, "streams");
    CU_ASSERT_EQUAL(jm_load_settings(&c, &out, NULL), JM_EUSAGE);
}

static double meter_share;

static void recorded(enum jm_scenario scenario, double null_ns, struct jm_load_evidence *e,
                     struct jm_record *row)
{
    enum { N = 1000 };
    static struct jm_timing t[N];
    struct jm_latency l;
    for (int i = 0; i < N; i++) /* 1 ms each, one after the other; issued 20 us late */
        t[i] = (struct jm_timing){ .issue_ns = 1000 + i * 1000000,
                                   .done_ns = 1000 + (i + 1) * 1000000,
                                   .delay_ns = 20000 };
    e->cfg = (struct jm_load_config){
        .scenario = scenario, .latency_s = 0.01, .target_qps = 1000, .samples_per_query = 2
    };
    e->result = (struct jm_load_result){ .timings = t, .issued = N, .n = N, .t_start_ns = 1000 };
    e->null_ns = null_ns;
    e->meter_share = meter_share;
    e->verdict = (struct jm_verdict){ .valid = true };
    jm_record_clear(row);
    CU_ASSERT_EQUAL(jm_load_latency(e, 100, &l, NULL), JM_OK);
    jm_record_load(row, e, &l);
}

static void test_share(void)
{
    static const enum jm_scenario all[] = { JM_SINGLE_STREAM, JM_MULTI_STREAM, JM_SERVER,
                                            JM_OFFLINE };
    static struct jm_load_evidence e;
    static struct jm_record row;
    meter_share = (double)NAN;
    for (size_t i = 0; i < 4; i++) {
        /* Of two samples that share an issue time 1 ms apart, the query takes 2 ms. */
        recorded(all[i], 9900, &e, &row);
        CU_ASSERT(e.verdict.valid);
        CU_ASSERT_DOUBLE_EQUAL(row.harness_share, 0.0099, 1e-9);
        CU_ASSERT_DOUBLE_EQUAL(row.issue_delay_p99_us, 20, 1e-6);
        recorded(all[i], 10100, &e, &row);
        CU_ASSERT(!e.verdict.valid && strstr(e.verdict.reason, "measuring costs 1 %"));
        recorded(all[i], (double)NAN, &e, &row);
        CU_ASSERT(e.verdict.valid && isnan(row.harness_ns) && isnan(row.harness_share));
    }
}

/* Meters cost too: queries and readings together may take 1 %. */
static void test_meter_share(void)
{
    static struct jm_load_evidence e;
    static struct jm_record row;
    meter_share = 0.004;
    recorded(JM_OFFLINE, 5900, &e, &row);
    CU_ASSERT(e.verdict.valid && row.meter_share == 0.004);
    recorded(JM_OFFLINE, 6100, &e, &row);
    CU_ASSERT(!e.verdict.valid && strstr(e.verdict.reason, "0.4 % for reading meters"));
    meter_share = 0.011;
    recorded(JM_OFFLINE, (double)NAN, &e, &row);
    CU_ASSERT(!e.verdict.valid);
    meter_share = (double)NAN;
    recorded(JM_OFFLINE, 5900, &e, &row);
    CU_ASSERT(e.verdict.valid && isnan(row.meter_share));
}

/* So does the difference that they make, where it is certain. */
static void test_meter_difference(void)
{
    static struct jm_load_evidence e;
    static struct jm_record row;
    meter_share = 0.002;
    e.meters = (struct jm_meter_cost){ .available = true, .ratio = { 1.03, 1.004, 1.05 } };
    recorded(JM_OFFLINE, 5900, &e, &row);
    CU_ASSERT(e.verdict.valid && row.meter_difference_reason[0] == 0);
    CU_ASSERT_DOUBLE_EQUAL(row.meter_difference, 0.03, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(row.meter_difference_low, 0.004, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(row.meter_difference_high, 0.05, 1e-12);
    recorded(JM_OFFLINE, 6100, &e, &row);
    CU_ASSERT(!e.verdict.valid && strstr(e.verdict.reason, "0.4 % for reading meters"));
    e.meters = (struct jm_meter_cost){ .reason = "no meter" };
    recorded(JM_OFFLINE, 6100, &e, &row);
    CU_ASSERT(e.verdict.valid && isnan(row.meter_difference) && isnan(row.meter_difference_low));
    CU_ASSERT_STRING_EQUAL(row.meter_difference_reason, "no meter");
}

static void test_columns(void)
{
    static struct jm_load_evidence e;
    static struct jm_record row;
    recorded(JM_SERVER, 80, &e, &row);
    CU_ASSERT(row.target_qps == 1000 && row.bound_latency_ms == 10 && isnan(row.bound_ttft_ms));
    CU_ASSERT(row.over_bound == 0 && row.peak_probes == JM_U64_EMPTY);
    CU_ASSERT_STRING_EQUAL(row.percentiles_supported, "p50 p90 p99");
    CU_ASSERT(fabs(row.latency_p99_bound_ms - 1) < 1e-9 && isnan(row.latency_p999_bound_ms));
    CU_ASSERT(row.frequency_start_khz == JM_U64_EMPTY && row.throttle_events == JM_U64_EMPTY);
    e.before = (struct jm_frequency){
        .known = true, .mean_khz = 3000000, .throttle_known = true, .throttles = 5
    };
    e.after = e.before;
    e.after.mean_khz = 2000000;
    e.after.throttles = 9;
    recorded(JM_OFFLINE, 80, &e, &row);
    CU_ASSERT(row.frequency_start_khz == 3000000 && row.frequency_end_khz == 2000000);
    CU_ASSERT(row.throttle_events == 4 && row.frequency_reason[0] == 0);
    CU_ASSERT(isnan(row.target_qps) && row.over_bound == JM_U64_EMPTY);
}

static void write_at(const char *path, const char *text)
{
    char *full = jm_asprintf("%s/%s", dir, path);
    CU_ASSERT_PTR_NOT_NULL_FATAL(full);
    char *slash = strrchr(full, '/');
    *slash = 0;
    CU_ASSERT_EQUAL(jm_make_dirs(full, NULL), JM_OK);
    *slash = '/';
    CU_ASSERT_EQUAL(jm_write_file(full, text, strlen(text), NULL), JM_OK);
    free(full);
}

static void test_frequency(void)
{
    struct jm_frequency f;
    jm_frequency_read(dir, &f);
    CU_ASSERT(!f.known && !f.throttle_known && strstr(f.reason, "scaling_cur_freq"));
#define CPU "sys/devices/system/cpu/cpu0/"
    write_at(CPU "cpufreq/scaling_cur_freq", "2400000\n");
    jm_frequency_read(dir, &f);
    CU_ASSERT(f.known && f.mean_khz == 2400000 && !f.throttle_known);
    CU_ASSERT_PTR_NOT_NULL(strstr(f.reason, "core_throttle_count"));
    write_at(CPU "thermal_throttle/core_throttle_count", "7\n");
    jm_frequency_read(dir, &f);
    CU_ASSERT(f.throttle_known && f.throttles == 7 && f.reason[0] == 0);
    write_at(CPU "cpufreq/scaling_cur_freq", "<unknown>\n");
    jm_frequency_read(dir, &f);
    CU_ASSERT(!f.known && strstr(f.reason, "Invalid argument"));
#undef CPU
}

static void test_core_wait(void)
{
    struct jm_core_wait a = jm_core_wait_read(), b = jm_core_wait_read();
    CU_ASSERT(b.at_ns > a.at_ns && b.wait_ns >= a.wait_ns);
    a = (struct jm_core_wait){ .at_ns = 1000, .wait_ns = 50 };
    b = (struct jm_core_wait){ .at_ns = 3000, .wait_ns = 550 };
    CU_ASSERT_DOUBLE_EQUAL(jm_core_wait_share(a, b), 0.25, 1e-12);
    CU_ASSERT_EQUAL(jm_core_wait_share(a, (struct jm_core_wait){ .at_ns = 3000, .wait_ns = 50 }),
                    0);
    b.wait_ns = -1;
    CU_ASSERT(isnan(jm_core_wait_share(a, b)) && isnan(jm_core_wait_share(b, a)));
}

static void test_peak_file(void)
{
    static struct jm_peak p;
    jm_map m;
    char *path = jm_asprintf("%s/peak.csv", dir);
    CU_ASSERT_EQUAL(jm_load_write_peak(dir, &p, NULL), JM_OK);
    CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0); /* no search, no file */
    p.n = 2;
    p.probe[0] = (struct jm_probe){ .qps = 8,
                                    .queries = 662,
                                    .duration_s = 82,
                                    .p99_s = 0.5,
                                    .ttft_p99_s = (double)NAN,
                                    .tpot_p99_s = (double)NAN,
                                    .served_qps = 7.5,
                                    .verdict = { .reason = "a \"quoted\", reason" } };
    p.probe[1] = p.probe[0];
    p.probe[1].confirmation = true;
    p.probe[1].verdict = (struct jm_verdict){ .valid = true };
    CU_ASSERT_EQUAL(jm_load_write_peak(dir, &p, NULL), JM_OK);
    CU_ASSERT_EQUAL_FATAL(jm_map_open(path, &m, NULL), JM_OK);
    static const char want[] =
        "window,kind,target_qps,valid,queries,duration_s,latency_p99_ms,ttft_p99_ms,tpot_p99_ms,"
        "issue_delay_p99_us,served_qps,reason\n"
        "1,probe,8,no,662,82,500,,,0,7.5,\"a \"\"quoted\"\", reason\"\n"
        "2,confirmation,8,yes,662,82,500,,,0,7.5,\"\"\n";
    CU_ASSERT(m.bytes == sizeof want - 1 && memcmp(m.data, want, m.bytes) == 0);
    jm_map_close(&m);
    free(path);
}

static void test_standstill(void)
{
    struct jm_record row;
    struct jm_load_evidence e;
    memset(&e, 0, sizeof e);
    meter_share = (double)NAN;
    recorded(JM_OFFLINE, 100, &e, &row);
    CU_ASSERT(e.verdict.valid);
    jm_standstill_begin(&e.standstill);
    jm_standstill_end(&e.standstill);
    recorded(JM_OFFLINE, 100, &e, &row);
    CU_ASSERT(e.verdict.valid);
    jm_standstill_begin(&e.standstill);
    CU_ASSERT_EQUAL(raise(SIGCONT), 0);
    jm_standstill_end(&e.standstill);
    CU_ASSERT_EQUAL(raise(SIGCONT), 0); /* not in it */
    recorded(JM_OFFLINE, 100, &e, &row);
    CU_ASSERT(!e.verdict.valid && strstr(e.verdict.reason, "stopped and continued"));
    e.standstill =
        (struct jm_standstill){ .slept_most_ns = 4000000000, .slept_least_ns = 6500000000 };
    recorded(JM_OFFLINE, 100, &e, &row);
    CU_ASSERT(!e.verdict.valid && strstr(e.verdict.reason, "slept for 2.5 s"));
}

int main(void)
{
    if (!mkdtemp(dir) || CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite s = CU_add_suite("load record", NULL, NULL);
    CU_add_test(s, "settings", test_settings);
    CU_add_test(s, "share", test_share);
    CU_add_test(s, "meter share", test_meter_share);
    CU_add_test(s, "meter difference", test_meter_difference);
    CU_add_test(s, "columns", test_columns);
    CU_add_test(s, "frequency", test_frequency);
    CU_add_test(s, "core wait", test_core_wait);
    CU_add_test(s, "standstill", test_standstill);
    CU_add_test(s, "peak file", test_peak_file);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    char *command = jm_asprintf("rm -rf %s", dir);
    int removed = command ? system(command) : 1;
    free(command);
    return failures != 0 || removed != 0;
}
