/* SPDX-License-Identifier: Apache-2.0 */
/* Each meter by itself: what it finds, what it refuses, and what it says. */
#include <CUnit/Basic.h>

#include "harness/energy/meter.h"
#include "harness/energy/recorder.h"
#include "harness/energy/series.h"
#include "tests/energy_tree.h"

static jm_err err;

static jm_meter *open_at(const char *name, const char *path, jm_status want)
{
    struct jm_meter_config cfg = {
        .root = root, .path = path, .gap_s = 0.5, .scope = JM_SCOPE_WALL
    };
    const struct jm_meter_ops *ops = jm_meter_find(name);
    jm_meter *m;

    CU_ASSERT_PTR_NOT_NULL_FATAL(ops);
    err = (jm_err){ .status = JM_OK };
    jm_status st = ops->open(&cfg, &m, &err);
    if (st != want)
        printf("%s: %s\n", name, err.text);
    CU_ASSERT_EQUAL_FATAL(st, want);
    CU_ASSERT((st == JM_OK) == (m != NULL));
    return m;
}

static jm_status read_of(const char *name, jm_meter *m, double *value)
{
    uint32_t wraps;
    err = (jm_err){ .status = JM_OK };
    return jm_meter_find(name)->read(m, value, &wraps, &err);
}

static struct jm_meter_domain domain_of(const char *name, const jm_meter *m, uint32_t i)
{
    struct jm_meter_domain d;
    jm_meter_find(name)->domain(m, i, &d);
    return d;
}

/* ---- hwmon ---- */

static const char card[] = "sys/class/hwmon/hwmon0", board[] = "sys/class/hwmon/hwmon1";

static void test_hwmon_kinds(void)
{
    double v[JM_METER_DOMAINS];

    tree_new();
    open_at("hwmon", NULL, JM_EUNSUPPORTED);
    CU_ASSERT(strstr(err.text, "no sensor") != NULL);
    put(card, "name", "amdgpu\n");
    put(card, "power1_average", "35000000\n");
    put(card, "power1_label", "PPT\n");
    put(board, "name", "ina3221\n");
    put(board, "in1_label", "VDD_CPU\n");
    put(board, "in1_input", "12000\n");
    put(board, "curr1_input", "500\n");
    put(board, "in2_label", "VDD_IN\n");
    put(board, "in2_input", "19000\n");
    put(board, "curr2_input", "1000\n");
    put(board, "in4_input", "80\n"); /* a shunt: no current, no power */
    put("sys/class/hwmon/hwmon2", "name", "BAT0\n");
    put("sys/class/hwmon/hwmon2/device", "type", "Battery\n");
    put("sys/class/hwmon/hwmon2", "power1_input", "9000000\n");
    jm_meter *m = open_at("hwmon", NULL, JM_OK);
    CU_ASSERT_EQUAL_FATAL(jm_meter_find("hwmon")->count(m), 3);
    struct jm_meter_domain gpu = domain_of("hwmon", m, 0), rail = domain_of("hwmon", m, 1),
                           whole = domain_of("hwmon", m, 2);
    CU_ASSERT(gpu.part == JM_PART_GPU && gpu.scope == JM_SCOPE_CHIP && gpu.counted);
    CU_ASSERT_STRING_EQUAL(gpu.name, "amdgpu/PPT");
    CU_ASSERT(!rail.counted && rail.parent == 2 && rail.scope == JM_SCOPE_BOARD);
    CU_ASSERT(whole.counted && whole.parent == -1 && whole.part == JM_PART_ALL);
    CU_ASSERT_EQUAL(read_of("hwmon", m, v), JM_OK);
    CU_ASSERT_DOUBLE_EQUAL(v[0], 35.0, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(v[1], 6.0, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(v[2], 19.0, 1e-9);
    put(board, "curr1_input", "-1\n"); /* not counted: no matter */
    CU_ASSERT_EQUAL(read_of("hwmon", m, v), JM_OK);
    put(board, "curr2_input", "-3\n");
    CU_ASSERT_EQUAL(read_of("hwmon", m, v), JM_EDEVICE);
    put(board, "curr2_input", "9223372036854775807\n");
    CU_ASSERT_EQUAL(read_of("hwmon", m, v), JM_EDEVICE);
    put(board, "curr2_input", "1e3\n");
    CU_ASSERT_EQUAL(read_of("hwmon", m, v), JM_EINPUT);
    jm_meter_find("hwmon")->close(m);
}

static void test_hwmon_energy(void)
{
    double v[JM_METER_DOMAINS];
    char path[200];

    tree_new();
    put(card, "name", "xe\n");
    put(card, "energy1_input", "18446744073709551615\n"); /* more than the kernel's type holds */
    put(card, "power1_input", "5\n");                     /* the counter is preferred */
    open_at("hwmon", NULL, JM_EINPUT);
    put(card, "energy1_input", "9000000000000000000\n");
    jm_meter *m = open_at("hwmon", NULL, JM_OK);
    CU_ASSERT_EQUAL(jm_meter_find("hwmon")->count(m), 1);
    CU_ASSERT_EQUAL(domain_of("hwmon", m, 0).kind, JM_METER_COUNTER);
    put(card, "energy1_input", "9000000000002500000\n");
    CU_ASSERT_EQUAL(read_of("hwmon", m, v), JM_OK);
    CU_ASSERT_DOUBLE_EQUAL(v[0], 2.5, 1e-9);
    put(card, "energy1_input", "9000000000000000001\n");
    CU_ASSERT_EQUAL(read_of("hwmon", m, v), JM_EDEVICE);
    CU_ASSERT(strstr(err.text, "backwards") != NULL);
    snprintf(path, sizeof path, "%s/%s/energy1_input", root, card);
    remove(path);
    CU_ASSERT_EQUAL(read_of("hwmon", m, v), JM_EIO);
    CU_ASSERT(strstr(err.text, "energy1_input: No such file") != NULL);
    jm_meter_find("hwmon")->close(m);
}

static void test_hwmon_many(void)
{
    char dir[64];

    tree_new();
    for (int i = 0; i <= JM_METER_DOMAINS; i++) {
        snprintf(dir, sizeof dir, "sys/class/hwmon/hwmon%d", i);
        put(dir, "name", "ina226\n");
        put(dir, "power1_input", "1\n");
    }
    open_at("hwmon", NULL, JM_EUNSUPPORTED);
    CU_ASSERT(strstr(err.text, "more than") != NULL);
}

/* ---- battery ---- */

static const char bat[] = "sys/class/power_supply/BAT1";

static void test_battery(void)
{
    double v[JM_METER_DOMAINS];

    tree_new();
    open_at("battery", NULL, JM_EUNSUPPORTED);
    put("sys/class/power_supply/mouse", "type", "Battery\n");
    put("sys/class/power_supply/mouse", "scope", "Device\n");
    put("sys/class/power_supply/mouse", "status", "Discharging\n");
    put("sys/class/power_supply/mouse", "energy_now", "5\n");
    put("sys/class/power_supply/AC", "type", "Mains\n");
    open_at("battery", NULL, JM_EUNSUPPORTED);
    put(bat, "type", "Battery\n");
    put(bat, "status", "Full\n");
    put(bat, "energy_now", "30000000\n");
    open_at("battery", NULL, JM_EUNSUPPORTED);
    CU_ASSERT(strstr(err.text, "unplug the power supply") && strstr(err.text, "Full"));
    put(bat, "status", "Discharging\n");
    jm_meter *m = open_at("battery", NULL, JM_OK);
    CU_ASSERT_EQUAL(jm_meter_find("battery")->count(m), 1);
    CU_ASSERT_EQUAL(domain_of("battery", m, 0).scope, JM_SCOPE_NODE);
    put(bat, "energy_now", "29990000\n"); /* 10 mWh less */
    CU_ASSERT_EQUAL(read_of("battery", m, v), JM_OK);
    CU_ASSERT_DOUBLE_EQUAL(v[0], 36.0, 1e-9);
    put(bat, "energy_now", "29995000\n");
    CU_ASSERT_EQUAL(read_of("battery", m, v), JM_EDEVICE);
    CU_ASSERT(strstr(err.text, "rose") != NULL);
    put(bat, "energy_now", "29980000\n");
    put(bat, "status", "Charging\n"); /* plugged in during the run */
    CU_ASSERT_EQUAL(read_of("battery", m, v), JM_EUNSUPPORTED);
    jm_meter_find("battery")->close(m);
}

static void test_battery_current(void)
{
    double v[JM_METER_DOMAINS];

    tree_new();
    put(bat, "type", "Battery\n");
    put(bat, "status", "Discharging\n");
    put(bat, "current_now", "-1500000\n");
    open_at("battery", NULL, JM_EUNSUPPORTED); /* a current without a voltage */
    put(bat, "voltage_now", "4000000\n");
    jm_meter *m = open_at("battery", NULL, JM_OK);
    CU_ASSERT_EQUAL(domain_of("battery", m, 0).kind, JM_METER_POWER);
    CU_ASSERT_EQUAL(read_of("battery", m, v), JM_OK);
    CU_ASSERT_DOUBLE_EQUAL(v[0], 6.0, 1e-9);
    jm_meter_find("battery")->close(m);
}

/* ---- powerlog ---- */

static char log_path[120];

static void log_add(double ago_s, const char *rest)
{
    struct timespec now;
    FILE *f = fopen(log_path, "a");
    if (!f)
        abort();
    clock_gettime(CLOCK_REALTIME, &now);
    if (ago_s < 1e6)
        fprintf(f, "%.6f", (double)now.tv_sec + (double)now.tv_nsec * 1e-9 - ago_s);
    fputs(rest, f);
    fclose(f);
}

static const double no_time = 1e9;

static void log_new(void)
{
    tree_new();
    snprintf(log_path, sizeof log_path, "%s/log", root);
    log_add(no_time, "time,watts\r\n");
}

struct drained {
    int n;
    double last_w;
};

static void count_sample(int64_t t_ns, const double *value, void *user)
{
    struct drained *d = user;
    (void)t_ns;
    d->n++;
    d->last_w = *value;
}

static jm_status drain(jm_meter *m, struct drained *d)
{
    err = (jm_err){ .status = JM_OK };
    *d = (struct drained){ .n = 0 };
    return jm_meter_find("powerlog")->drain(m, count_sample, d, &err);
}

static void test_powerlog_lines(void)
{
    static const struct {
        double ago_s;
        const char *rest, *says;
    } bad[] = {
        { -100.0, ",5\n", "future" },
        { 100.0, ",5\n", "earlier" },
        { 0.0, ",-5\n", "no power" },
        { 0.0, ",1e300\n", "no power" },
        { 0.0, ",nan\n", "time,watts" },
        { 0.0, ",0x10\n", "time,watts" },
        { 0.0, ",5,6\n", "time,watts" },
        { 0.0, "\n", "time,watts" },
        { no_time, ",5\n", "time,watts" },
        { no_time, "time,watts\n", "time,watts" },
        { 0.0, ",5 ; rm -rf\n", "time,watts" },
        { no_time, "1e999,5\n", "time,watts" },
        { no_time, "\033[2J,5\n", "time,watts" },
        { no_time,
          "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
          "0"
          "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
          "0"
          ",5\n",
          "too long" },
    };
    struct drained d;

    log_new();
    log_add(0.01, ",40.5\n");
    jm_meter *m = open_at("powerlog", log_path, JM_OK);
    CU_ASSERT_EQUAL(drain(m, &d), JM_OK);
    CU_ASSERT(d.n == 1 && d.last_w == 40.5);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        log_add(bad[i].ago_s, bad[i].rest);
        log_add(0.0, " , 41 \r\n"); /* what follows is read all the same */
        jm_status st = drain(m, &d);
        CU_ASSERT_EQUAL(st, JM_EINPUT);
        CU_ASSERT(strstr(err.text, bad[i].says) != NULL && strchr(err.text, '\033') == NULL);
        CU_ASSERT(d.n == 1 && d.last_w == 41.0);
    }
    log_add(0.0, ",4"); /* half a line waits for its end */
    CU_ASSERT_EQUAL(drain(m, &d), JM_OK);
    CU_ASSERT_EQUAL(d.n, 0);
    log_add(no_time, "2\n# said by the meter\n\n");
    CU_ASSERT_EQUAL(drain(m, &d), JM_OK);
    CU_ASSERT(d.n == 1 && d.last_w == 42.0);
    if (truncate(log_path, 5) != 0)
        abort();
    CU_ASSERT_EQUAL(drain(m, &d), JM_EDEVICE);
    CU_ASSERT(strstr(err.text, "cut short") != NULL);
    jm_meter_find("powerlog")->close(m);
}

static void test_powerlog_open(void)
{
    char path[200];

    log_new();
    CU_ASSERT_PTR_NULL(open_at("powerlog", NULL, JM_EUNSUPPORTED));
    open_at("powerlog", "/nonexistent/log", JM_ENOTFOUND);
    open_at("powerlog", root, JM_EIO);
    log_add(3600.0, ",40\n"); /* an hour old */
    open_at("powerlog", log_path, JM_EIO);
    CU_ASSERT(strstr(err.text, "start what writes it first") != NULL);
    log_add(no_time, "gibberish\n");
    open_at("powerlog", log_path, JM_EINPUT);
    log_new();
    for (int i = 0; i < 20000; i++) /* a long log is read from its end */
        log_add(3000.0 - i * 0.1, ",40\n");
    log_add(0.0, ",40\n");
    jm_meter *m = open_at("powerlog", log_path, JM_OK);
    jm_meter_find("powerlog")->close(m);
    snprintf(path, sizeof path, "%s/fifo", root);
    if (mkfifo(path, 0600) != 0)
        abort();
    open_at("powerlog", path, JM_EIO); /* nobody writes */
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    dprintf(fd, "%lld.%09ld,7.5\n", (long long)now.tv_sec, now.tv_nsec);
    m = open_at("powerlog", path, JM_OK);
    struct drained d;
    CU_ASSERT_EQUAL(drain(m, &d), JM_OK);
    CU_ASSERT(d.n == 1 && d.last_w == 7.5);
    jm_meter_find("powerlog")->close(m);
    close(fd);
}

/* A writer that pauses for longer than is allowed voids the windows that touch the pause. */
static void test_powerlog_gap(void)
{
    jm_recorder *r;
    struct jm_window w;

    log_new();
    log_add(0.0, ",10\n");
    jm_meter *m = open_at("powerlog", log_path, JM_OK);
    CU_ASSERT_EQUAL(jm_recorder_start(jm_meter_find("powerlog"), m, 0.02, &r, NULL), JM_OK);
    int64_t t0 = jm_recorder_mark(r);
    wait_s(0.1);
    int64_t t1 = jm_recorder_mark(r);
    log_add(0.0, ",10\n");
    wait_s(0.7);
    log_add(0.0, ",10\n");
    int64_t t2 = jm_recorder_mark(r);
    wait_s(0.05);
    log_add(0.0, ",10\n");
    jm_recorder_stop(r);
    jm_series_window(jm_recorder_series(r), 0, 0.02, t0, t1, &w);
    CU_ASSERT(w.available);
    CU_ASSERT_DOUBLE_EQUAL(w.average_w, 10.0, 1e-9);
    jm_series_window(jm_recorder_series(r), 0, 0.02, t0, t2, &w);
    CU_ASSERT(!w.available && strstr(w.reason, "gap") != NULL);
    jm_recorder_free(r);
    jm_meter_find("powerlog")->close(m);
}

/* ---- ipmi: commands of that name in a folder of ours ---- */

static void command_new(const char *name, const char *script)
{
    char path[200], text[1000];
    snprintf(text, sizeof text, "#!/bin/sh\n%s\n", script);
    put("bin", name, text);
    snprintf(path, sizeof path, "%s/bin/%s", root, name);
    chmod(path, 0755);
}

static jm_meter *ipmi_open(jm_status want)
{
    jm_meter *m;
    err = (jm_err){ .status = JM_OK };
    jm_status st = jm_meter_find("ipmi")->open(NULL, &m, &err);
    if (st != want)
        printf("ipmi: %d %s\n", st, err.text);
    CU_ASSERT_EQUAL_FATAL(st, want);
    return m;
}

static void test_ipmi(void)
{
    static const char good[] =
        "[ \"$*\" = 'dcmi power reading' ] || exit 9\n"
        "echo '    Instantaneous power reading:                   212 Watts'\n"
        "echo '    Power reading state is:                   activated'";
    char path[200];
    double v;

    tree_new();
    snprintf(path, sizeof path, "%s/bin", root);
    const char *was = getenv("PATH");
    char *keep = strdup(was ? was : "/bin");
    setenv("PATH", path, 1);
    ipmi_open(JM_EUNSUPPORTED);
    CU_ASSERT(strstr(err.text, "not installed") != NULL);
    command_new("ipmi-dcmi", "echo 'Current Power                        : 164 Watts'\n"
                             "echo 'Power Measurement                    : Active'");
    jm_meter *m = ipmi_open(JM_OK);
    CU_ASSERT_EQUAL(read_of("ipmi", m, &v), JM_OK);
    CU_ASSERT_DOUBLE_EQUAL(v, 164.0, 0);
    jm_meter_find("ipmi")->close(m);
    command_new("ipmitool", good); /* preferred */
    m = ipmi_open(JM_OK);
    CU_ASSERT_EQUAL(read_of("ipmi", m, &v), JM_OK);
    CU_ASSERT_DOUBLE_EQUAL(v, 212.0, 0);
    CU_ASSERT_EQUAL(domain_of("ipmi", m, 0).scope, JM_SCOPE_NODE);
    command_new("ipmitool", "echo 'Instantaneous power reading: 212 Watts'\n"
                            "echo 'Power reading state is: deactivated'");
    CU_ASSERT_EQUAL(read_of("ipmi", m, &v), JM_EDEVICE);
    command_new("ipmitool", "echo 'Instantaneous power reading: -3 Watts'");
    CU_ASSERT_EQUAL(read_of("ipmi", m, &v), JM_EINPUT);
    command_new("ipmitool", "echo 'Instantaneous power reading: 70000 Watts'");
    CU_ASSERT_EQUAL(read_of("ipmi", m, &v), JM_EINPUT);
    command_new("ipmitool", "i=0; while [ $i -lt 3000 ]; do echo 'noise noise'; i=$((i+1)); done");
    CU_ASSERT_EQUAL(read_of("ipmi", m, &v), JM_EINPUT);
    command_new("ipmitool", "echo 'Could not open device at /dev/ipmi0' >&2; exit 1");
    CU_ASSERT_EQUAL(read_of("ipmi", m, &v), JM_EIO);
    CU_ASSERT(strstr(err.text, "Could not open device at /dev/ipmi0") != NULL);
    command_new("ipmitool", "exec /bin/sleep 60");
    int64_t t0 = jm_now_ns();
    CU_ASSERT_EQUAL(read_of("ipmi", m, &v), JM_EDEVICE);
    CU_ASSERT(strstr(err.text, "no answer") != NULL);
    CU_ASSERT((double)(jm_now_ns() - t0) * 1e-9 < 30.0);
    jm_meter_find("ipmi")->close(m);
    setenv("PATH", keep, 1);
    free(keep);
}

/* ---- estimate ---- */

static void test_estimate(void)
{
    static const char *const bad[] = { "idle_w = 10\n",
                                       "idle_w = 10\nmax_w = 5\n",
                                       "idle_w = x\nmax_w = 5\n",
                                       "idle_w = 1\nidle_w = 1\nmax_w = 5\n",
                                       "idle_w = 1\nmax_w = 5\nwatts = 3\n",
                                       "idle_w = nan\nmax_w = 5\n",
                                       "idle_w\n" };
    char model[120];
    double a, b;

    tree_new();
    snprintf(model, sizeof model, "%s/model.ini", root);
    put("proc", "stat", "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 2 3 4\n");
    open_at("estimate", model, JM_ENOTFOUND);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        put(".", "model.ini", bad[i]);
        open_at("estimate", model, JM_EINPUT);
    }
    put(".", "model.ini", "; a server\n[power]\nidle_w = 50\nmax_w = 150\npackages = 2\n");
    jm_meter *m = open_at("estimate", model, JM_OK);
    CU_ASSERT(jm_meter_find("estimate")->estimated);
    put("proc", "stat", "cpu  101 0 100 801 0 0 0 0 0 0\n"); /* half busy */
    int64_t t0 = jm_now_ns();
    wait_s(0.05);
    CU_ASSERT_EQUAL(read_of("estimate", m, &a), JM_OK);
    wait_s(0.2);
    put("proc", "stat", "cpu  104 0 100 802 0 0 0 0 0 0\n"); /* three quarters */
    CU_ASSERT_EQUAL(read_of("estimate", m, &b), JM_OK);
    CU_ASSERT(a >= 200.0 * 0.05 && b - a >= 250.0 * 0.2);
    CU_ASSERT(b <= 250.0 * (double)(jm_now_ns() - t0) * 1e-9 + 200.0);
    put("proc", "stat", "cpu  1 0 1 8 0 0 0 0 0 0\n");
    CU_ASSERT_EQUAL(read_of("estimate", m, &a), JM_EDEVICE);
    put("proc", "stat", "nothing\n");
    CU_ASSERT_EQUAL(read_of("estimate", m, &a), JM_EIO);
    jm_meter_find("estimate")->close(m);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "hwmon kinds", test_hwmon_kinds },
        { "hwmon energy", test_hwmon_energy },
        { "hwmon with too many sensors", test_hwmon_many },
        { "battery", test_battery },
        { "battery with a current", test_battery_current },
        { "powerlog lines", test_powerlog_lines },
        { "powerlog open", test_powerlog_open },
        { "powerlog gap", test_powerlog_gap },
        { "ipmi", test_ipmi },
        { "estimate", test_estimate },
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = { { .pName = "meters", .pTests = tests }, CU_SUITE_INFO_NULL };

    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 2;
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    if (root[0])
        tree_remove(root);
    return failed ? 1 : 0;
}
