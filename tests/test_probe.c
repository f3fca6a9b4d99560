/* SPDX-License-Identifier: Apache-2.0 */
/* What doctor finds in made-up trees of /proc and /sys: a healthy one, a sick one, and none. */
#include <CUnit/Basic.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "harness/system/machine.h"
#include "harness/system/probe.h"

#define CPU "/sys/devices/system/cpu"

static char root[] = "/tmp/jm-test-probe-XXXXXX";

static void put(const char *path, const char *text)
{
    char full[256], folder[256];
    (void)snprintf(full, sizeof full, "%s%s", root, path);
    (void)snprintf(folder, sizeof folder, "%s", full);
    *strrchr(folder, '/') = 0;
    CU_ASSERT_EQUAL(jm_make_dirs(folder, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_write_file(full, text, strlen(text), NULL), JM_OK);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *f)
{
    (void)st, (void)kind;
    return f->level > 0 ? remove(path) : 0;
}

static void clear(void)
{
    (void)nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void expect(const struct jm_findings *list, const char *name, enum jm_state state,
                   const char *text, const char *fix)
{
    const struct jm_finding *f = jm_finding_find(list, name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    bool good = f->state == state && strstr(f->text, text) && strstr(f->fix, fix) &&
                (state == JM_STATE_NOTE) == (*f->means != 0);
    if (!good)
        (void)printf("\n%s: %s, \"%s\", means \"%s\", fix \"%s\"\n", name, jm_state_name(f->state),
                     f->text, f->means, f->fix);
    CU_ASSERT(good);
}

static void test_healthy(void)
{
    struct jm_findings list = { .n = 0 };
    clear();
    for (int i = 0; i < 2; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, CPU "/cpu%d/cpufreq/scaling_governor", i);
        put(path, "performance\n");
        (void)snprintf(path, sizeof path, CPU "/cpu%d/thermal_throttle/core_throttle_count", i);
        put(path, "0\n");
        (void)snprintf(path, sizeof path, CPU "/cpu%d/topology/core_id", i);
        put(path, "0\n");
    }
    put(CPU "/intel_pstate/no_turbo", "1\n");
    put("/sys/class/powercap/intel-rapl:0/energy_uj", "123456\n");
    put("/proc/sys/kernel/perf_event_paranoid", "-1\n");
    put("/sys/devices/system/node/online", "0\n");
    put("/proc/meminfo", "MemTotal:       8388608 kB\nMemFree: 1 kB\nMemAvailable:   6291456 kB\n"
                         "SwapTotal:      1048576 kB\nSwapFree:       1048576 kB\n");
    put("/proc/loadavg", "0.08 0.03 0.01 1/123 4567\n");
    put("/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu sse2 avx2\n");
    put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    jm_probe(root, &list);
    CU_ASSERT_EQUAL(list.n, 11);
    expect(&list, "governor", JM_STATE_OK, "performance on all 2", "");
    expect(&list, "boost", JM_STATE_OK, "off", "");
    expect(&list, "rapl", JM_STATE_OK, "can be read", "");
    expect(&list, "perf_event_paranoid", JM_STATE_OK, "-1", "");
    expect(&list, "numa", JM_STATE_OK, "1 node", "");
    expect(&list, "memory", JM_STATE_OK, "6.0 of 8.0 GiB", "");
    expect(&list, "swap", JM_STATE_OK, "0.0 of 1.0 GiB", "");
    expect(&list, "load", JM_STATE_OK, "0.08 over the last minute, 2 processors", "");
    expect(&list, "hypervisor", JM_STATE_OK, "none", "");
    expect(&list, "throttling", JM_STATE_OK, "0 times", "");
    expect(&list, "huge_pages", JM_STATE_OK, "madvise", "");
    for (size_t i = 0; i < list.n; i++)
        CU_ASSERT_STRING_EQUAL(list.f[i].fix, "");
}

static void test_sick(void)
{
    struct jm_findings list = { .n = 0 };
    char path[256];
    clear();
    put(CPU "/cpu0/cpufreq/scaling_governor", "performance\n");
    put(CPU "/cpu1/cpufreq/scaling_governor", "powersave\n");
    put(CPU "/cpu0/thermal_throttle/core_throttle_count", "3\n");
    put(CPU "/cpu1/thermal_throttle/core_throttle_count", "4\n");
    put(CPU "/cpufreq/boost", "1\n");
    put("/sys/class/powercap/intel-rapl:0/energy_uj", "123456\n");
    put("/proc/sys/kernel/perf_event_paranoid", "2\n");
    put("/sys/devices/system/node/online", "0-1,4\n");
    put("/proc/meminfo", "MemTotal:  8388608 kB\nMemAvailable:  524288 kB\n"
                         "SwapTotal: 1048576 kB\nSwapFree:  524288 kB\n");
    put("/proc/loadavg", "3.50 3 3 1/123 4567\n");
    put("/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu hypervisor avx2\n");
    put("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
    /* Only someone without root's powers is refused. */
    (void)snprintf(path, sizeof path, "%s/sys/class/powercap/intel-rapl:0/energy_uj", root);
    CU_ASSERT_EQUAL(chmod(root, 0755) | chmod(path, 0), 0);
    uid_t me = geteuid();
    if (me == 0)
        CU_ASSERT_EQUAL(seteuid(65534), 0);
    jm_probe(root, &list);
    if (me == 0)
        CU_ASSERT_EQUAL(seteuid(0), 0);
    expect(&list, "governor", JM_STATE_NOTE, "powersave on 1 of 2", "cpupower frequency-set");
    expect(&list, "boost", JM_STATE_NOTE, "on", "echo 0 | sudo tee /sys");
    expect(&list, "rapl", JM_STATE_NOTE, "Permission denied", "chmod a+r");
    expect(&list, "perf_event_paranoid", JM_STATE_NOTE, "2", "sysctl kernel.perf_event_paranoid=0");
    expect(&list, "numa", JM_STATE_NOTE, "3 nodes", "numactl");
    expect(&list, "memory", JM_STATE_NOTE, "0.5 of 8.0 GiB", "ps ");
    expect(&list, "swap", JM_STATE_NOTE, "0.5 of 1.0 GiB", "swapoff");
    expect(&list, "load", JM_STATE_NOTE, "3.50", "pcpu");
    expect(&list, "hypervisor", JM_STATE_NOTE, "virtual machine", "");
    expect(&list, "throttling", JM_STATE_NOTE, "7 times", "");
    expect(&list, "huge_pages", JM_STATE_NOTE, "never", "echo madvise");
}

static void test_nothing(void)
{
    struct jm_findings list = { .n = 0 };
    struct jm_machine m;
    clear();
    jm_probe(root, &list);
    CU_ASSERT_EQUAL(list.n, 11);
    for (size_t i = 0; i < list.n; i++)
        expect(&list, list.f[i].name, JM_STATE_UNKNOWN, "unavailable: /", "");
    put("/sys/devices/system/node/online", "\n");
    jm_machine_read(root, &m);
    CU_ASSERT_STRING_EQUAL(jm_machine_fact(&m, "numa_nodes")->value, "unavailable");
    put("/sys/devices/system/node/online", "5-2\n");
    jm_machine_read(root, &m);
    CU_ASSERT_STRING_EQUAL(jm_machine_fact(&m, "numa_nodes")->value, "unavailable");
    put("/proc/loadavg", "often\n");
    put("/proc/sys/kernel/perf_event_paranoid", "x\n");
    put("/sys/kernel/mm/transparent_hugepage/enabled", "[");
    list.n = 0;
    jm_probe(root, &list);
    for (size_t i = 0; i < list.n; i++)
        expect(&list, list.f[i].name, JM_STATE_UNKNOWN, "unavailable: /", "");
}

int main(void)
{
    if (!mkdtemp(root) || CU_initialize_registry() != CUE_SUCCESS)
        return EXIT_FAILURE;
    CU_pSuite s = CU_add_suite("probe", NULL, NULL);
    CU_add_test(s, "healthy", test_healthy);
    CU_add_test(s, "sick", test_sick);
    CU_add_test(s, "nothing", test_nothing);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    clear();
    (void)rmdir(root);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
