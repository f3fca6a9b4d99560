/* SPDX-License-Identifier: Apache-2.0 */
/* Energy meters and the integrator against a simulated powercap tree, whose counters advance at
 * known watts. */
#include <CUnit/Basic.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/energy/powercap.h"
#include "harness/energy/recorder.h"
#include "harness/energy/series.h"
#include "harness/energy/session.h"
#include "harness/load/meter_cost.h"
#include "tests/energy_tree.h"

static const int64_t second_ns = 1000000000;
static struct jm_series series;

static void put_uj(const char *zone, uint64_t uj)
{
    char text[32];
    snprintf(text, sizeof text, "%llu\n", (unsigned long long)uj);
    char dir[160];
    snprintf(dir, sizeof dir, "sys/class/powercap/%s", zone);
    put(dir, "energy_uj", text);
}

static void zone_put(const char *zone, const char *file, const char *text)
{
    char dir[160];
    snprintf(dir, sizeof dir, "sys/class/powercap/%s", zone);
    put(dir, file, text);
}

static void zone_new(const char *zone, const char *name, uint64_t uj, const char *range)
{
    zone_put(zone, "name", name);
    zone_put(zone, "max_energy_range_uj", range);
    put_uj(zone, uj);
}

static jm_meter *meter_open(void)
{
    struct jm_meter_config cfg = { .root = root };
    jm_meter *m;
    CU_ASSERT_EQUAL(jm_powercap_ops.open(&cfg, &m, NULL), JM_OK);
    if (!m)
        abort();
    return m;
}

static void tick(jm_meter *m, int64_t t_ns)
{
    double value[JM_METER_DOMAINS];
    uint32_t wraps;
    jm_err err = { .status = JM_OK };
    if (jm_powercap_ops.read(m, value, &wraps, &err) == JM_OK)
        jm_series_add(&series, t_ns, value, wraps, true);
    else
        jm_series_fault(&series, t_ns, t_ns, err.text);
}

static void begin(jm_meter *m, int64_t t_ns)
{
    jm_series_free(&series);
    CU_ASSERT_EQUAL(jm_series_init(&series, &jm_powercap_ops, m, 0, NULL), JM_OK);
    tick(m, t_ns);
}

/* Reads at t1 and takes the window from 0 to it. */
static void end(jm_meter *m, int64_t t1_ns, struct jm_window *w)
{
    tick(m, t1_ns);
    jm_series_window(&series, jm_powercap_ops.update_s, 0.1, 0, t1_ns, w);
    CU_ASSERT(w->available != isnan(w->total_j));
    CU_ASSERT(w->available != (w->reason[0] != '\0'));
}

static void test_known_watts(void)
{
    tree_new();
    zone_new("intel-rapl:0", "package-0", 1000, "65536000000\n");
    jm_meter *m = meter_open();
    struct jm_window e;
    begin(m, 0);
    for (int k = 1; k <= 40; k++) { /* 50 W for 10 s in steps of 250 ms */
        put_uj("intel-rapl:0", 1000 + (uint64_t)k * 12500000);
        tick(m, k * second_ns / 4);
    }
    end(m, 10 * second_ns, &e);
    CU_ASSERT(e.available);
    CU_ASSERT_DOUBLE_EQUAL(e.total_j, 500.0, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(e.average_w, 50.0, 1e-7);
    CU_ASSERT_DOUBLE_EQUAL(e.error_j, 0.05, 1e-3);
    CU_ASSERT_EQUAL(e.wraps, 0);
    CU_ASSERT_EQUAL(e.readings, 41);
    CU_ASSERT_DOUBLE_EQUAL(e.peak_w, 50.0, 1e-6);
    /* 1 ms of 50 W and a step of 61 uJ: 1 % needs 0.1 s. */
    CU_ASSERT_DOUBLE_EQUAL(jm_window_needed_s(&e, 0.01), 0.1, 1e-3);
    CU_ASSERT(isinf(jm_window_needed_s(&e, 0.0)));
    jm_powercap_ops.close(m);
}

static void test_wrap(void)
{
    const uint64_t range = 262143328850;
    uint64_t c = range - 30000000;
    tree_new();
    zone_new("intel-rapl:0", "package-0", c, "262143328850\n");
    jm_meter *m = meter_open();
    struct jm_window e;
    begin(m, 0);
    for (int k = 1; k <= 10; k++) { /* 100 W, 0.1 s */
        c = (c + 10000000) % range;
        put_uj("intel-rapl:0", c);
        tick(m, k * second_ns / 10);
    }
    end(m, second_ns, &e);
    CU_ASSERT(e.available);
    CU_ASSERT_EQUAL(e.wraps, 1);
    CU_ASSERT_DOUBLE_EQUAL(e.total_j, 100.0, 1e-6);
    /* A small step back is no wrap: it would be a whole range of joules. */
    begin(m, 0);
    put_uj("intel-rapl:0", c - 5);
    tick(m, second_ns / 10);
    end(m, second_ns, &e);
    CU_ASSERT(!e.available && isnan(e.total_j) && strstr(e.reason, "jumped") != NULL);
    jm_powercap_ops.close(m);
}

static void test_nested(void)
{
    static const struct {
        const char *zone, *name;
        uint64_t w;
    } z[] = { { "intel-rapl:0", "package-0", 10 },     { "intel-rapl:0:0", "core", 7 },
              { "intel-rapl:0:1", "dram", 2 },         { "intel-rapl:1", "psys", 100 },
              { "intel-rapl:2", "package-1", 20 },     { "intel-rapl:2:0", "dram", 3 },
              { "intel-rapl-mmio:0", "package-0", 10 } };
    enum { N = sizeof z / sizeof z[0] };
    tree_new();
    for (size_t i = 0; i < N; i++)
        zone_new(z[i].zone, z[i].name, 0, "65536000000\n");
    jm_meter *m = meter_open();
    CU_ASSERT_EQUAL(jm_powercap_ops.count(m), N - 1); /* one of the two package-0 */
    unsigned counted = 0;
    for (uint32_t i = 0; i < jm_powercap_ops.count(m); i++) {
        struct jm_meter_domain d;
        jm_powercap_ops.domain(m, i, &d);
        counted += d.counted;
        CU_ASSERT(!d.counted || strcmp(d.name, "package-0") == 0 ||
                  strcmp(d.name, "package-1") == 0 || strcmp(d.name, "package-0/dram") == 0 ||
                  strcmp(d.name, "package-1/dram") == 0);
        CU_ASSERT_DOUBLE_EQUAL(d.range_j, 65536.0, 1e-9);
    }
    CU_ASSERT_EQUAL(counted, 4);
    struct jm_window e;
    begin(m, 0);
    for (size_t i = 0; i < N; i++)
        put_uj(z[i].zone, z[i].w * 2000000);
    end(m, 2 * second_ns, &e);
    CU_ASSERT(e.available);
    CU_ASSERT_DOUBLE_EQUAL(e.average_w, 35.0, 1e-9);
    /* One memory counter that stands still voids the whole: it is not 0 W. */
    begin(m, 0);
    for (size_t i = 0; i < N; i++)
        if (i != 5)
            put_uj(z[i].zone, z[i].w * 4000000);
    end(m, 2 * second_ns, &e);
    CU_ASSERT(!e.available && strstr(e.reason, "package-1/dram stood still") != NULL);
    jm_powercap_ops.close(m);
}

static void test_psys_alone(void)
{
    tree_new();
    zone_new("intel-rapl:0", "psys", 5, "65536000000\n");
    zone_new("intel-rapl:0:0", "core", 5, "65536000000\n");
    jm_meter *m = meter_open();
    struct jm_window e;
    begin(m, 0);
    put_uj("intel-rapl:0", 4000005);
    put_uj("intel-rapl:0:0", 9000005);
    end(m, second_ns, &e);
    CU_ASSERT(e.available);
    CU_ASSERT_DOUBLE_EQUAL(e.total_j, 4.0, 1e-9);
    jm_powercap_ops.close(m);
}

static void test_still(void)
{
    tree_new();
    zone_new("intel-rapl:0", "package-0", 0, "65536000000\n");
    jm_meter *m = meter_open();
    struct jm_window e;
    for (int k = 1; k <= 2; k++) {
        begin(m, 0);
        tick(m, second_ns / 4);
        end(m, k * second_ns / 2, &e);
        CU_ASSERT(!e.available && isnan(e.total_j) && isnan(e.average_w) && isnan(e.error_j));
        CU_ASSERT(strstr(e.reason, "stood still") != NULL);
    }
    jm_powercap_ops.close(m);
}

static void test_vanishing(void)
{
    tree_new();
    zone_new("intel-rapl:0", "package-0", 100, "65536000000\n");
    jm_meter *m = meter_open();
    struct jm_window e;
    char path[200];
    begin(m, 0);
    put_uj("intel-rapl:0", 1000100);
    tick(m, second_ns / 2);
    snprintf(path, sizeof path, "%s/sys/class/powercap/intel-rapl:0", root);
    tree_remove(path);
    tick(m, second_ns);
    zone_new("intel-rapl:0", "package-0", 2000100, "65536000000\n"); /* coming back is too late */
    end(m, 2 * second_ns, &e);
    CU_ASSERT(!e.available && isnan(e.total_j));
    CU_ASSERT(strstr(e.reason, "No such file") != NULL);
    jm_powercap_ops.close(m);
}

static jm_status open_status(jm_err *err)
{
    struct jm_meter_config cfg = { .root = root };
    jm_meter *m;
    *err = (jm_err){ .status = JM_OK };
    jm_status st = jm_powercap_ops.open(&cfg, &m, err);
    CU_ASSERT((st == JM_OK) == (m != NULL));
    jm_powercap_ops.close(m);
    return st;
}

static void test_unreadable(void)
{
    jm_err err;
    char path[200];
    tree_new();
    zone_new("intel-rapl:0", "package-0", 100, "65536000000\n");
    zone_new("intel-rapl:0:0", "core", 100, "65536000000\n");
    zone_put("intel-rapl:0:0", "energy_uj", "many"); /* not in the sum: dropped */
    CU_ASSERT_EQUAL(open_status(&err), JM_OK);
    snprintf(path, sizeof path, "%s/sys/class/powercap/intel-rapl:0/energy_uj", root);
    zone_put("intel-rapl:0", "energy_uj", "-5\n");
    CU_ASSERT_EQUAL(open_status(&err), JM_EINPUT);
    zone_put("intel-rapl:0", "energy_uj", "99999999999999999999999\n");
    CU_ASSERT_EQUAL(open_status(&err), JM_EINPUT);
    zone_put("intel-rapl:0", "energy_uj", "");
    CU_ASSERT_EQUAL(open_status(&err), JM_EINPUT);
    remove(path);
    mkdir(path, 0755);
    CU_ASSERT_EQUAL(open_status(&err), JM_EIO);
}

static void test_empty(void)
{
    jm_err err;
    tree_new();
    CU_ASSERT_EQUAL(open_status(&err), JM_EUNSUPPORTED);
    CU_ASSERT(strstr(err.text, "no RAPL zones (no such counter") != NULL);
    put("proc", "cpuinfo", "processor : 0\nflags\t\t: fpu sse2 hypervisor avx2\n");
    CU_ASSERT_EQUAL(open_status(&err), JM_EUNSUPPORTED);
    CU_ASSERT(strstr(err.text, "no RAPL zones (virtual machine)") != NULL);
    zone_new("intel-rapl:0", "core", 1, "5\n"); /* nothing that may be counted */
    CU_ASSERT_EQUAL(open_status(&err), JM_EUNSUPPORTED);
    CU_ASSERT(strstr(err.text, "neither") != NULL);
    tree_remove(root);
    CU_ASSERT_EQUAL(open_status(&err), JM_EUNSUPPORTED);
}

static void test_bad_counter(void)
{
    struct jm_window e;
    tree_new();
    zone_new("intel-rapl:0", "package-0", 100, "1000000\n");
    jm_meter *m = meter_open();
    begin(m, 0);
    put_uj("intel-rapl:0", 1000001);
    end(m, second_ns, &e);
    CU_ASSERT(!e.available && strstr(e.reason, "above its range") != NULL);
    jm_powercap_ops.close(m);
    zone_put("intel-rapl:0", "max_energy_range_uj", "?");
    m = meter_open();
    begin(m, 0);
    put_uj("intel-rapl:0", 5);
    end(m, second_ns, &e);
    CU_ASSERT(!e.available && strstr(e.reason, "backwards") != NULL);
    jm_powercap_ops.close(m);
}

/* Stands still in the middle only: the sum moves, but what moved is not all. */
static void test_still_middle(void)
{
    tree_new();
    zone_new("intel-rapl:0", "package-0", 0, "65536000000\n");
    jm_meter *m = meter_open();
    struct jm_window e;
    begin(m, 0);
    for (int k = 1; k <= 40; k++) { /* still from 1 s to 2.5 s */
        put_uj("intel-rapl:0", (uint64_t)(k < 10 ? k : k < 25 ? 10 : k) * 5000000);
        tick(m, k * second_ns / 10);
    }
    end(m, 4 * second_ns, &e);
    CU_ASSERT(!e.available && strstr(e.reason, "stood still for 1 s") != NULL);
    /* A window beside it is sound. */
    jm_series_window(&series, 0.001, 0.1, 3 * second_ns, 4 * second_ns, &e);
    CU_ASSERT(e.available);
    CU_ASSERT_DOUBLE_EQUAL(e.total_j, 50.0, 1e-9);
    jm_powercap_ops.close(m);
}

/* Sampled power: the trapezoid rule, ends between samples, a bound that holds. */
static uint32_t one(const jm_meter *m)
{
    (void)m;
    return 1;
}

static void power_domain(const jm_meter *m, uint32_t i, struct jm_meter_domain *out)
{
    (void)m;
    (void)i;
    *out = (struct jm_meter_domain){ .name = "rail",
                                     .kind = JM_METER_POWER,
                                     .parent = -1,
                                     .counted = true,
                                     .step = 0.001,
                                     .gap_s = 0.5 };
}

static const struct jm_meter_ops power_ops = {
    .name = "power", .update_s = 0.01, .count = one, .domain = power_domain
};

static void test_sampled(void)
{
    struct jm_window e;
    double w;
    jm_series_free(&series);
    CU_ASSERT_EQUAL(jm_series_init(&series, &power_ops, NULL, 0, NULL), JM_OK);
    for (int k = 0; k <= 100; k++) { /* 10 W + 4 W a second: 1/2 a t^2 + 10 t */
        w = 10.0 + 4.0 * k / 10.0;
        jm_series_add(&series, k * second_ns / 10, &w, 0, false);
    }
    jm_series_window(&series, power_ops.update_s, 0.1, second_ns * 5 / 4, second_ns * 27 / 4, &e);
    CU_ASSERT(e.available);
    CU_ASSERT_DOUBLE_EQUAL(e.total_j, 10 * 5.5 + 2 * (6.75 * 6.75 - 1.25 * 1.25), 1e-9);
    /* 22 W of change at 0.1 s, 10 ms of 37 W, 1 mW over 5.5 s; whole samples are taken. */
    CU_ASSERT_DOUBLE_EQUAL(e.error_j, 22 * 0.05 + 0.37 + 0.0055, 0.05);
    CU_ASSERT_DOUBLE_EQUAL(e.peak_w, 10 + 4 * 6.75, 0.3);
    jm_series_window(&series, power_ops.update_s, 0.1, second_ns, 11 * second_ns, &e);
    CU_ASSERT(!e.available && strstr(e.reason, "cover") != NULL);
    w = 30.0;
    jm_series_add(&series, 11 * second_ns, &w, 0, false); /* 1 s later, 0.5 s allowed */
    jm_series_window(&series, power_ops.update_s, 0.1, second_ns, 11 * second_ns, &e);
    CU_ASSERT(!e.available && strstr(e.reason, "gap of 1 s") != NULL);
    w = -1.0;
    jm_series_add(&series, 11 * second_ns + second_ns / 10, &w, 0, false);
    w = -500.0;
    jm_series_add(&series, 11 * second_ns + second_ns / 5, &w, 0, false);
    jm_series_window(&series, power_ops.update_s, 0.1, 11 * second_ns,
                     11 * second_ns + second_ns / 5, &e);
    CU_ASSERT(!e.available && isnan(e.total_j));
}

/* A square wave seen through slow samples: the truth lies within the bound. */
static void test_sampled_bound(void)
{
    struct jm_window e;
    for (int phase = 0; phase < 20; phase++) {
        jm_series_free(&series);
        CU_ASSERT_EQUAL(jm_series_init(&series, &power_ops, NULL, 0, NULL), JM_OK);
        double truth_j = 0.0;
        for (int ms = 0; ms <= 10000; ms++) { /* 700 ms of 50 W, 700 ms of 10 W */
            double w = (ms + 70 * phase) / 700 % 2 ? 50.0 : 10.0;
            truth_j += ms < 10000 ? w * 1e-3 : 0.0;
            if (ms % 100 == 0)
                jm_series_add(&series, ms * second_ns / 1000, &w, 0, false);
        }
        jm_series_window(&series, 0.0, 0.1, 0, 10 * second_ns, &e);
        CU_ASSERT(e.available);
        CU_ASSERT(fabs(e.total_j - truth_j) <= e.error_j);
        CU_ASSERT(e.error_j < 0.15 * truth_j);
    }
}

/* More readings than there is room for: none of the joules are lost. */
static void test_thinning(void)
{
    struct jm_window e;
    jm_series_free(&series);
    CU_ASSERT_EQUAL(jm_series_init(&series, &power_ops, NULL, 100, NULL), JM_OK);
    for (int k = 0; k <= 10000; k++) {
        double w = k % 2 ? 30.0 : 10.0;
        jm_series_add(&series, k * second_ns / 1000, &w, 0, k == 1000 || k == 9000);
    }
    CU_ASSERT(series.n <= 100 && series.n > 40);
    jm_series_window(&series, 0.001, 0.1, second_ns, 9 * second_ns, &e);
    CU_ASSERT(e.available);
    CU_ASSERT_DOUBLE_EQUAL(e.total_j, 160.0, 1e-6);
}

static void test_faults(void)
{
    struct jm_window e;
    double w = 5.0;
    jm_series_free(&series);
    CU_ASSERT_EQUAL(jm_series_init(&series, &power_ops, NULL, 0, NULL), JM_OK);
    for (int k = 0; k <= 100; k++) {
        jm_series_add(&series, k * second_ns / 10, &w, 0, false);
        if (k >= 30 && k < 70)
            jm_series_fault(&series, k * second_ns / 10 + 1, k * second_ns / 10 + 1, "unreadable");
    }
    jm_series_window(&series, 0.01, 0.1, 0, 2 * second_ns, &e);
    CU_ASSERT(e.available);
    jm_series_window(&series, 0.01, 0.1, 0, 4 * second_ns, &e);
    CU_ASSERT(!e.available && strcmp(e.reason, "unreadable") == 0);
    jm_series_window(&series, 0.01, 0.1, 6 * second_ns, 8 * second_ns, &e); /* not kept */
    CU_ASSERT(!e.available);
    jm_series_window(&series, 0.01, 0.1, 8 * second_ns, 9 * second_ns, &e);
    CU_ASSERT(e.available);
    jm_series_free(&series);
    CU_ASSERT_EQUAL(jm_series_init(&series, &power_ops, NULL, 0, NULL), JM_OK);
    for (int k = 0; k <= 10; k++)
        jm_series_add(&series, k * second_ns / 10, &w, 0, false);
    jm_series_add(&series, second_ns / 2, &w, 0, false); /* time goes back */
    jm_series_window(&series, 0.01, 0.1, second_ns / 4, second_ns * 3 / 4, &e);
    CU_ASSERT(!e.available && strstr(e.reason, "before") != NULL);
}

/* A counter that wraps every 0.25 s, read by the thread every 20 ms; its update period is seen. */
static void test_recorder(void)
{
    jm_recorder *r;
    struct jm_window e;
    tree_new();
    sim_clear();
    zone_new("intel-rapl:0", "package-0", 0, "10000000\n");
    sim_add("sys/class/powercap/intel-rapl:0", "energy_uj", 0, 1e6, 10000000);
    sim_start(40.0);
    jm_meter *m = meter_open();
    double update_s = jm_meter_update_s(&jm_powercap_ops, m, 0.3);
    CU_ASSERT(update_s >= 0.001);
    CU_ASSERT_EQUAL(jm_recorder_start(&jm_powercap_ops, m, 0.02, &r, NULL), JM_OK);
    double most_j = -sim_joules();
    int64_t t0 = jm_recorder_mark(r);
    double least_j = -sim.next;
    while (sim_joules() + least_j < 25.0)
        wait_s(0.01);
    least_j += sim_joules();
    int64_t t1 = jm_recorder_mark(r);
    most_j += sim.next;
    jm_recorder_stop(r);
    sim_end();
    CU_ASSERT_DOUBLE_EQUAL(jm_recorder_interval_s(r), 0.005, 1e-9); /* range / 2 kW */
    jm_series_window(jm_recorder_series(r), update_s, 0.1, t0, t1, &e);
    if (sim.stall_ns < second_ns / 2) { /* else it stood still, or wrapped unseen */
        CU_ASSERT(e.available && e.wraps >= 2 && e.readings >= 10);
        CU_ASSERT(e.total_j <= most_j + e.error_j && e.total_j >= least_j - e.error_j);
    } else {
        printf("recorder: inconclusive, the simulated counter stood still\n");
    }
    jm_recorder_free(r);
    jm_powercap_ops.close(m);
}

static atomic_int busy_reads;

/* Takes 3 ms of its thread's processor time. */
static jm_status busy_read(jm_meter *m, double *value, uint32_t *wraps, jm_err *err)
{
    (void)m;
    (void)err;
    struct timespec a, b;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
    while ((b.tv_sec - a.tv_sec) * second_ns + b.tv_nsec - a.tv_nsec < 3000000);
    value[0] = 10.0;
    *wraps = 0;
    busy_reads++; /* once a reading is over, as its caller then asks for the time spent */
    return JM_OK;
}

/* What readings cost is seen: those of the thread, and not the caller's own at marks. */
static void test_reading_cost(void)
{
    struct jm_meter_ops busy = power_ops;
    jm_recorder *r;
    busy.read = busy_read;
    busy_reads = 0;
    CU_ASSERT_EQUAL_FATAL(jm_recorder_start(&busy, NULL, 0.01, &r, NULL), JM_OK);
    wait_s(0.1);
    int64_t t0 = jm_recorder_mark(r), cpu0 = jm_recorder_cpu_ns(r);
    int before = busy_reads;
    wait_s(0.3);
    int64_t t1 = jm_recorder_mark(r), cpu1 = jm_recorder_cpu_ns(r);
    int reads = busy_reads - before - 1; /* the last is the mark's */
    CU_ASSERT(reads >= 1 && cpu1 - cpu0 <= t1 - t0);
    CU_ASSERT(cpu1 - cpu0 >= (int64_t)(reads - 1) * 3000000); /* one may have begun before */
    jm_recorder_stop(r);
    CU_ASSERT_EQUAL(jm_recorder_cpu_ns(r), 0);
    jm_recorder_free(r);
}

static void test_reading_share(void)
{
    jm_session *s;
    tree_new();
    zone_new("intel-rapl:0", "package-0", 100, "65536000000\n");
    struct jm_session_config how = { .meters = "powercap",
                                     .interval_s = 0.002,
                                     .meter = { .root = root } };
    CU_ASSERT_EQUAL_FATAL(jm_session_open(&how, &s, NULL), JM_OK);
    CU_ASSERT(isnan(jm_session_reading_share(s)));
    CU_ASSERT_EQUAL(jm_session_phase(s, JM_PHASE_WARMUP, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_session_phase(s, JM_PHASE_MEASURED, NULL), JM_OK);
    wait_s(0.2);
    CU_ASSERT_EQUAL(jm_session_phase(s, JM_PHASE_COOLDOWN, NULL), JM_OK);
    jm_session_end(s);
    double share = jm_session_reading_share(s);
    CU_ASSERT(share > 0 && share < 1);
    jm_session_close(s);
    CU_ASSERT(isnan(jm_session_reading_share(NULL)));
}

/* A session is as new after a trial of what reading costs; what writes its own readings down, or
 * nothing at all, is not tried. */
static void test_trial(void)
{
    jm_session *s;
    struct jm_energy e;
    struct jm_meter_cost cost;
    jm_err err = { .status = JM_OK };
    tree_new();
    struct jm_session_config how = { .meters = "auto",
                                     .interval_s = 0.002,
                                     .meter = { .root = root } };
    CU_ASSERT_EQUAL_FATAL(jm_session_open(&how, &s, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_meter_cost_measure(s, NULL, &cost, NULL), JM_OK);
    CU_ASSERT(!cost.available && isnan(cost.share) && strstr(cost.reason, "no RAPL zones"));
    jm_session_close(s);
    zone_new("intel-rapl:0", "package-0", 100, "65536000000\n");
    CU_ASSERT_EQUAL_FATAL(jm_session_open(&how, &s, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_meter_cost_measure(s, NULL, &cost, NULL), JM_OK);
    CU_ASSERT(cost.available && cost.share > 0 && cost.share < 1 && cost.ratio.value > 0);
    CU_ASSERT(cost.ratio.low <= cost.ratio.value && cost.ratio.value <= cost.ratio.high);
    volatile sig_atomic_t stop = 1;
    CU_ASSERT_EQUAL(jm_meter_cost_measure(s, &stop, &cost, NULL), JM_EINTERRUPTED);
    CU_ASSERT(!cost.available);
    CU_ASSERT_EQUAL(jm_session_phase(s, JM_PHASE_MEASURED, NULL), JM_OK);
    wait_s(0.02);
    zone_put("intel-rapl:0", "energy_uj", "3000100\n");
    CU_ASSERT_EQUAL(jm_session_phase(s, JM_PHASE_COOLDOWN, NULL), JM_OK);
    jm_session_end(s);
    jm_session_energy(s, &e);
    CU_ASSERT(e.available);
    CU_ASSERT_DOUBLE_EQUAL(e.joules, 3.0, 1e-9);
    jm_session_close(s);
    how.interval_s = 5.0;
    CU_ASSERT_EQUAL_FATAL(jm_session_open(&how, &s, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_meter_cost_measure(s, NULL, &cost, &err), JM_OK);
    CU_ASSERT(!cost.available && strstr(cost.reason, "5 s is too rare"));
    jm_session_close(s);
    CU_ASSERT_EQUAL(err.status, JM_OK);
}

static struct jm_meter_domain of(enum jm_meter_part part, enum jm_meter_scope scope, bool counted)
{
    return (struct jm_meter_domain){ .part = part, .scope = scope, .counted = counted };
}

/* Meters: 0 psys of a laptop, 1 RAPL, 2 a GPU, 3 a server's power supply, 4 the wall. */
static void test_choose(void)
{
    const struct jm_meter_domain d[] = {
        of(JM_PART_CPU, JM_SCOPE_BOARD, true), of(JM_PART_CPU, JM_SCOPE_CHIP, true),
        of(JM_PART_CPU, JM_SCOPE_CHIP, false), of(JM_PART_GPU, JM_SCOPE_CHIP, true),
        of(JM_PART_GPU, JM_SCOPE_CHIP, true),  of(JM_PART_ALL, JM_SCOPE_NODE, true),
        of(JM_PART_ALL, JM_SCOPE_WALL, true)
    };
    const size_t meter[] = { 0, 1, 1, 2, 2, 3, 4 };
    bool chosen[7];
    for (size_t n = 1; n <= 5; n++) { /* psys instead of package, GPUs beside it */
        jm_energy_choose(d, meter, n, chosen);
        CU_ASSERT(chosen[0]);
        for (size_t i = 1; i < n; i++)
            CU_ASSERT_EQUAL(chosen[i], d[i].part == JM_PART_GPU);
    }
    jm_energy_choose(d + 1, meter + 1, 4, chosen); /* package and GPUs, never what is inside */
    CU_ASSERT(chosen[0] && !chosen[1] && chosen[2] && chosen[3]);
    jm_energy_choose(d, meter, 6, chosen); /* the power supply alone */
    for (size_t i = 0; i < 6; i++)
        CU_ASSERT_EQUAL(chosen[i], i == 5);
    jm_energy_choose(d, meter, 7, chosen);
    for (size_t i = 0; i < 7; i++)
        CU_ASSERT_EQUAL(chosen[i], i == 6);
}

static jm_status session_status(const char *meters, jm_err *err)
{
    jm_session *s;
    struct jm_session_config how = { .meters = meters, .meter = { .root = root } };
    *err = (jm_err){ .status = JM_OK };
    jm_status st = jm_session_open(&how, &s, err);
    CU_ASSERT((st == JM_OK) == (s != NULL));
    jm_session_close(s);
    return st;
}

static void test_session_names(void)
{
    jm_err err;
    jm_session *s;
    struct jm_energy e;
    tree_new();
    CU_ASSERT_EQUAL(session_status("nosuch", &err), JM_EUSAGE);
    CU_ASSERT(strstr(err.text, "nosuch") && strstr(err.text, "joulemark list"));
    CU_ASSERT_EQUAL(session_status("", &err), JM_EUSAGE);
    CU_ASSERT_EQUAL(session_status("powercap", &err), JM_EUNSUPPORTED);
    CU_ASSERT_EQUAL(session_status("powercap=/x", &err), JM_EUSAGE);
    CU_ASSERT_EQUAL(session_status("none", &err), JM_OK);
    zone_new("intel-rapl:0", "package-0", 100, "65536000000\n");
    CU_ASSERT_EQUAL(session_status("powercap,powercap", &err), JM_EUSAGE);
    CU_ASSERT_EQUAL(session_status("powercap,papi", &err), JM_EUNSUPPORTED);
    tree_new(); /* nothing here */
    struct jm_session_config how = { .meters = "auto", .meter = { .root = root } };
    CU_ASSERT_EQUAL(jm_session_open(&how, &s, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_session_meters(s), 0);
    CU_ASSERT_EQUAL(jm_session_phase(s, JM_PHASE_MEASURED, NULL), JM_OK);
    jm_session_end(s);
    jm_session_energy(s, &e);
    CU_ASSERT(!e.available && !e.valid && isnan(e.joules) && isnan(e.net_j));
    CU_ASSERT(strstr(e.reason, "no RAPL zones") != NULL);
    jm_session_close(s);
    jm_session_energy(NULL, &e);
    CU_ASSERT(!e.available && e.reason[0] != '\0');
}

/* Without permission it says how to get it, and does not say that there is nothing. */
static void test_permission(void)
{
    jm_err err;
    char path[200];
    tree_new();
    zone_new("intel-rapl:0", "package-0", 100, "65536000000\n");
    snprintf(path, sizeof path, "%s/sys/class/powercap/intel-rapl:0/energy_uj", root);
    chmod(path, 0400); /* as the kernel has it */
    chmod(root, 0755);
    bool was_root = geteuid() == 0;
    if (was_root && seteuid(65534) != 0)
        abort();
    else if (!was_root)
        chmod(path, 0);
    CU_ASSERT_EQUAL(open_status(&err), JM_EIO);
    CU_ASSERT(strstr(err.text, "no permission") && strstr(err.text, "sudo chmod a+r"));
    struct jm_session_config how = { .meters = "auto", .meter = { .root = root } };
    jm_session *s;
    CU_ASSERT_EQUAL(jm_session_open(&how, &s, NULL), JM_OK);
    CU_ASSERT(jm_session_denied(s) && jm_session_meters(s) == 0);
    jm_session_close(s);
    if (was_root && seteuid(0) != 0)
        abort();
}

/* Whatever this machine has: a meter opens and reads, or says why it does not. */
static void test_this_machine(void)
{
    size_t n;
    const struct jm_meter_ops *const *all = jm_meters(&n);
    for (size_t i = 0; i < n; i++) {
        jm_err err = { .status = JM_OK };
        jm_meter *m;
        jm_status st = all[i]->open(NULL, &m, &err);
        CU_ASSERT(st == JM_OK || st == JM_EUNSUPPORTED || st == JM_EIO || st == JM_EUSAGE);
        CU_ASSERT(st == JM_OK || (m == NULL && err.text[0] != '\0'));
        printf("%s: %s\n", all[i]->name, st == JM_OK ? "available" : err.text);
        all[i]->close(m);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "known watts", test_known_watts },
        { "wrap", test_wrap },
        { "nested", test_nested },
        { "psys alone", test_psys_alone },
        { "still", test_still },
        { "vanishing", test_vanishing },
        { "unreadable", test_unreadable },
        { "empty", test_empty },
        { "bad counter", test_bad_counter },
        { "still in the middle", test_still_middle },
        { "sampled power", test_sampled },
        { "bound of sampled power", test_sampled_bound },
        { "thinning", test_thinning },
        { "faults", test_faults },
        { "recorder", test_recorder },
        { "cost of reading", test_reading_cost },
        { "share of reading", test_reading_share },
        { "trial of reading", test_trial },
        { "choose", test_choose },
        { "session names", test_session_names },
        { "permission", test_permission },
        { "this machine", test_this_machine },
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = { { .pName = "energy", .pTests = tests }, CU_SUITE_INFO_NULL };

    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 2;
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    jm_series_free(&series);
    if (root[0])
        tree_remove(root);
    return failed ? 1 : 0;
}
