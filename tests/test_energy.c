/* SPDX-License-Identifier: Apache-2.0 */
/* Energy meters and the integrator against a simulated powercap tree, whose counters advance at
 * known watts. */
#include <CUnit/Basic.h>
#include <ftw.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "harness/energy/integrator.h"
#include "harness/energy/meter.h"
#include "harness/energy/powercap.h"

static char root[64], cpuinfo[96];
static const int64_t second_ns = 1000000000;

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void tree_remove(const char *path)
{
    nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void tree_new(void)
{
    if (root[0])
        tree_remove(root);
    snprintf(root, sizeof root, "/tmp/jm_energy_XXXXXX");
    if (!mkdtemp(root))
        abort();
    snprintf(cpuinfo, sizeof cpuinfo, "%s/cpuinfo", root);
}

static void put(const char *zone, const char *file, const char *text)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s/%s", root, zone, file);
    FILE *f = fopen(path, "w");
    if (!f)
        abort();
    fputs(text, f);
    fclose(f);
}

static void put_uj(const char *zone, uint64_t uj)
{
    char text[32];
    snprintf(text, sizeof text, "%llu\n", (unsigned long long)uj);
    put(zone, "energy_uj", text);
}

static void zone_new(const char *zone, const char *name, uint64_t uj, const char *range)
{
    char path[160], text[64];
    snprintf(path, sizeof path, "%s/%s", root, zone);
    if (mkdir(path, 0755) != 0)
        abort();
    snprintf(text, sizeof text, "%s\n", name);
    put(zone, "name", text);
    put(zone, "max_energy_range_uj", range);
    put_uj(zone, uj);
}

static jm_meter *meter_open(void)
{
    struct jm_meter_config cfg = { .root = root, .cpuinfo = cpuinfo };
    jm_meter *m;
    CU_ASSERT_EQUAL(jm_powercap_ops.open(&cfg, &m, NULL), JM_OK);
    if (!m)
        abort();
    return m;
}

static void test_known_watts(void)
{
    tree_new();
    zone_new("intel-rapl:0", "package-0", 1000, "65536000000\n");
    jm_meter *m = meter_open();
    struct jm_integral it;
    struct jm_energy e;
    jm_integral_begin(&it, &jm_powercap_ops, m, 0);
    for (int k = 1; k <= 40; k++) { /* 50 W for 10 s in steps of 250 ms */
        put_uj("intel-rapl:0", 1000 + (uint64_t)k * 12500000);
        jm_integral_tick(&it, k * second_ns / 4);
    }
    jm_integral_end(&it, 10 * second_ns, &e);
    CU_ASSERT(e.available);
    CU_ASSERT_DOUBLE_EQUAL(e.joules, 500.0, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(e.average_w, 50.0, 1e-7);
    CU_ASSERT_DOUBLE_EQUAL(e.error_j, 0.05, 1e-3);
    CU_ASSERT(isnan(e.idle_w));
    CU_ASSERT_EQUAL(e.wraps, 0);
    CU_ASSERT_EQUAL(e.reads, 42);
    CU_ASSERT_STRING_EQUAL(e.source, "powercap");
    CU_ASSERT_STRING_EQUAL(e.scope, "chip");
    jm_powercap_ops.close(m);
}

static void test_wrap(void)
{
    const uint64_t range = 262143328850;
    uint64_t c = range - 30000000;
    tree_new();
    zone_new("intel-rapl:0", "package-0", c, "262143328850\n");
    jm_meter *m = meter_open();
    struct jm_integral it;
    struct jm_energy e;
    jm_integral_begin(&it, &jm_powercap_ops, m, 0);
    for (int k = 1; k <= 10; k++) { /* 100 W, 0.1 s */
        c = (c + 10000000) % range;
        put_uj("intel-rapl:0", c);
        jm_integral_tick(&it, k * second_ns / 10);
    }
    jm_integral_end(&it, second_ns, &e);
    CU_ASSERT(e.available);
    CU_ASSERT_EQUAL(e.wraps, 1);
    CU_ASSERT_DOUBLE_EQUAL(e.joules, 100.0, 1e-6);
    /* A small step back is no wrap: it would be a whole range of joules. */
    jm_integral_begin(&it, &jm_powercap_ops, m, 0);
    put_uj("intel-rapl:0", c - 5);
    jm_integral_tick(&it, second_ns / 10);
    jm_integral_end(&it, second_ns, &e);
    CU_ASSERT(!e.available && isnan(e.joules) && strstr(e.reason, "jumped") != NULL);
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
    struct jm_integral it;
    struct jm_energy e;
    jm_integral_begin(&it, &jm_powercap_ops, m, 0);
    for (size_t i = 0; i < N; i++)
        put_uj(z[i].zone, z[i].w * 2000000);
    jm_integral_end(&it, 2 * second_ns, &e);
    CU_ASSERT(e.available);
    CU_ASSERT_DOUBLE_EQUAL(e.average_w, 35.0, 1e-9);
    /* One memory counter that stands still voids the whole: it is not 0 W. */
    jm_integral_begin(&it, &jm_powercap_ops, m, 0);
    for (size_t i = 0; i < N; i++)
        if (i != 5)
            put_uj(z[i].zone, z[i].w * 4000000);
    jm_integral_end(&it, 2 * second_ns, &e);
    CU_ASSERT(!e.available && strstr(e.reason, "package-1/dram stood still") != NULL);
    jm_powercap_ops.close(m);
}

static void test_psys_alone(void)
{
    tree_new();
    zone_new("intel-rapl:0", "psys", 5, "65536000000\n");
    zone_new("intel-rapl:0:0", "core", 5, "65536000000\n");
    jm_meter *m = meter_open();
    struct jm_integral it;
    struct jm_energy e;
    jm_integral_begin(&it, &jm_powercap_ops, m, 0);
    put_uj("intel-rapl:0", 4000005);
    put_uj("intel-rapl:0:0", 9000005);
    jm_integral_end(&it, second_ns, &e);
    CU_ASSERT(e.available);
    CU_ASSERT_DOUBLE_EQUAL(e.joules, 4.0, 1e-9);
    jm_powercap_ops.close(m);
}

static void test_still(void)
{
    tree_new();
    zone_new("intel-rapl:0", "package-0", 0, "65536000000\n");
    jm_meter *m = meter_open();
    struct jm_integral it;
    struct jm_energy e;
    for (int k = 1; k <= 2; k++) {
        jm_integral_begin(&it, &jm_powercap_ops, m, 0);
        jm_integral_tick(&it, second_ns / 4);
        jm_integral_end(&it, k * second_ns / 2, &e);
        CU_ASSERT(!e.available && isnan(e.joules) && isnan(e.average_w) && isnan(e.error_j));
        CU_ASSERT(strstr(e.reason, "stood still") != NULL);
    }
    jm_powercap_ops.close(m);
}

static void test_vanishing(void)
{
    tree_new();
    zone_new("intel-rapl:0", "package-0", 100, "65536000000\n");
    jm_meter *m = meter_open();
    struct jm_integral it;
    struct jm_energy e;
    char path[128];
    jm_integral_begin(&it, &jm_powercap_ops, m, 0);
    put_uj("intel-rapl:0", 1000100);
    jm_integral_tick(&it, second_ns / 2);
    snprintf(path, sizeof path, "%s/intel-rapl:0", root);
    tree_remove(path);
    jm_integral_tick(&it, second_ns);
    zone_new("intel-rapl:0", "package-0", 2000100, "65536000000\n"); /* coming back is too late */
    jm_integral_end(&it, 2 * second_ns, &e);
    CU_ASSERT(!e.available && isnan(e.joules));
    CU_ASSERT(strstr(e.reason, "No such file") != NULL);
    jm_powercap_ops.close(m);
}

static jm_status open_status(jm_err *err)
{
    struct jm_meter_config cfg = { .root = root, .cpuinfo = cpuinfo };
    const struct jm_meter_ops *ops;
    jm_meter *m;
    *err = (jm_err){ .status = JM_OK };
    jm_status st = jm_meter_best(&cfg, &ops, &m, err);
    CU_ASSERT((st == JM_OK) == (m != NULL) && (st == JM_OK) == (ops != NULL));
    if (ops)
        ops->close(m);
    return st;
}

static void test_unreadable(void)
{
    jm_err err;
    char path[128];
    tree_new();
    zone_new("intel-rapl:0", "package-0", 100, "65536000000\n");
    zone_new("intel-rapl:0:0", "core", 100, "65536000000\n");
    put("intel-rapl:0:0", "energy_uj", "many"); /* not in the sum: dropped */
    CU_ASSERT_EQUAL(open_status(&err), JM_OK);
    snprintf(path, sizeof path, "%s/intel-rapl:0/energy_uj", root);
    if (geteuid() != 0) { /* root reads everything */
        chmod(path, 0);
        CU_ASSERT_EQUAL(open_status(&err), JM_EIO);
        CU_ASSERT(strstr(err.text, "chmod a+r") != NULL);
        chmod(path, 0644);
    }
    put("intel-rapl:0", "energy_uj", "-5\n");
    CU_ASSERT_EQUAL(open_status(&err), JM_EINPUT);
    put("intel-rapl:0", "energy_uj", "99999999999999999999999\n");
    CU_ASSERT_EQUAL(open_status(&err), JM_EINPUT);
    put("intel-rapl:0", "energy_uj", "");
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
    put(".", "cpuinfo", "processor : 0\nflags\t\t: fpu sse2 hypervisor avx2\n");
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
    struct jm_integral it;
    struct jm_energy e;
    tree_new();
    zone_new("intel-rapl:0", "package-0", 100, "1000000\n");
    jm_meter *m = meter_open();
    jm_integral_begin(&it, &jm_powercap_ops, m, 0);
    put_uj("intel-rapl:0", 1000001);
    jm_integral_end(&it, second_ns, &e);
    CU_ASSERT(!e.available && strstr(e.reason, "above its range") != NULL);
    jm_powercap_ops.close(m);
    put("intel-rapl:0", "max_energy_range_uj", "?");
    m = meter_open();
    jm_integral_begin(&it, &jm_powercap_ops, m, 0);
    put_uj("intel-rapl:0", 5);
    jm_integral_end(&it, second_ns, &e);
    CU_ASSERT(!e.available && strstr(e.reason, "backwards") != NULL);
    jm_powercap_ops.close(m);
}

static atomic_bool drive_stop;

/* A counter as a kernel would show it: replaced whole, at 40 W of real time. */
static void *drive(void *arg)
{
    char path[128], tmp[128];
    (void)arg;
    snprintf(path, sizeof path, "%s/intel-rapl:0/energy_uj", root);
    snprintf(tmp, sizeof tmp, "%s/next", root);
    int64_t t0 = jm_now_ns();
    while (!drive_stop) {
        FILE *f = fopen(tmp, "w");
        if (!f)
            abort();
        fprintf(f, "%lld\n", (long long)((jm_now_ns() - t0) / 1000 * 40 % 10000000));
        fclose(f);
        rename(tmp, path);
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    return NULL;
}

static void test_thread(void)
{
    pthread_t t;
    jm_integrator *g;
    struct jm_energy e;
    double idle_w;
    volatile sig_atomic_t stop = 1;
    jm_err err = { .status = JM_OK };
    tree_new();
    zone_new("intel-rapl:0", "package-0", 0, "10000000\n"); /* wraps every 0.25 s */
    CU_ASSERT_EQUAL(pthread_create(&t, NULL, drive, NULL), 0);
    jm_meter *m = meter_open();
    CU_ASSERT_EQUAL(jm_integrator_start(&jm_powercap_ops, m, 20, NULL, &g, NULL), JM_OK);
    nanosleep(&(struct timespec){ .tv_nsec = 600000000 }, NULL);
    jm_integrator_stop(g, &e);
    CU_ASSERT(e.available);
    CU_ASSERT(e.wraps >= 2);
    CU_ASSERT(e.reads >= 10);
    CU_ASSERT_DOUBLE_EQUAL(e.average_w, 40.0, 8.0); /* both threads share a busy machine */
    CU_ASSERT_EQUAL(jm_energy_idle(&jm_powercap_ops, m, 0.2, NULL, &idle_w, NULL), JM_OK);
    CU_ASSERT_DOUBLE_EQUAL(idle_w, 40.0, 12.0);
    CU_ASSERT_EQUAL(jm_energy_idle(&jm_powercap_ops, m, 5.0, &stop, &idle_w, NULL),
                    JM_EINTERRUPTED);
    CU_ASSERT(isnan(idle_w));
    drive_stop = true;
    pthread_join(t, NULL);
    CU_ASSERT_EQUAL(jm_energy_idle(&jm_powercap_ops, m, 0.05, NULL, &idle_w, &err), JM_EDEVICE);
    CU_ASSERT(strstr(err.text, "stood still") != NULL);
    jm_powercap_ops.close(m);
}

static void test_no_meter(void)
{
    jm_integrator *g;
    struct jm_energy e;
    CU_ASSERT_EQUAL(jm_integrator_start(NULL, NULL, 0, "no RAPL zones", &g, NULL), JM_OK);
    jm_integrator_stop(g, &e);
    CU_ASSERT(!e.available && isnan(e.joules));
    CU_ASSERT_STRING_EQUAL(e.reason, "no RAPL zones");
    jm_integrator_stop(NULL, &e);
    CU_ASSERT(!e.available && e.reason[0] != '\0');
}

/* Whatever this machine has: a meter opens and reads, or says why it does not. */
static void test_this_machine(void)
{
    size_t n;
    const struct jm_meter_ops *const *all = jm_meters(&n);
    CU_ASSERT_EQUAL(n, 2);
    for (size_t i = 0; i < n; i++) {
        jm_err err = { .status = JM_OK };
        jm_meter *m;
        jm_status st = all[i]->open(NULL, &m, &err);
        double j[JM_METER_DOMAINS];
        uint32_t wraps;
        CU_ASSERT(st == JM_OK || st == JM_EUNSUPPORTED || st == JM_EIO);
        CU_ASSERT(st == JM_OK || (m == NULL && err.text[0] != '\0'));
        if (st == JM_OK)
            CU_ASSERT_EQUAL(all[i]->read(m, j, &wraps, NULL), JM_OK);
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
        { "thread", test_thread },
        { "no meter", test_no_meter },
        { "this machine", test_this_machine },
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = { { .pName = "energy", .pTests = tests }, CU_SUITE_INFO_NULL };

    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 2;
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    if (root[0])
        tree_remove(root);
    return failed ? 1 : 0;
}
