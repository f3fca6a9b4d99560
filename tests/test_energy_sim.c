/* SPDX-License-Identifier: Apache-2.0 */
/* Whole runs of meters against simulated hardware at known watts: idle, warm-up, measured window
 * with a wrap-around in its middle, cool-down. The joules must agree with the truth within the
 * error that is stated.
 *
 * Usage: test_energy_sim [namespace [METER...]]. With "namespace" the simulated tree is laid over
 * /sys/class in a mount namespace of its own, and the meters look where they always look; exit 77
 * where that is not permitted. */
#include <CUnit/Basic.h>
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>

#include "harness/energy/session.h"
#include "tests/energy_tree.h"

static const double start_w = 1.0, idle_w = 20.0, load_w = 60.0;
static const double wrap_j = 43.0; /* in the middle of the measured window */
static bool own_namespace;
static char scratch[64]; /* for power logs and CSV files */
static const char *only;

static void zone(const char *dir, const char *name, const char *range)
{
    char path[120];
    snprintf(path, sizeof path, "sys/class/powercap/%s", dir);
    put(path, "name", name);
    put(path, "max_energy_range_uj", range);
    put(path, "energy_uj", "0\n");
}

struct sim_zone {
    const char *dir, *name;
    double share;
};

/* The first wraps. */
static void zones_new(const struct sim_zone *z, size_t n, double first_share, bool in_place)
{
    char path[120];

    for (size_t i = 0; i < n; i++) {
        zone(z[i].dir, z[i].name, "65532610987\n");
        snprintf(path, sizeof path, "sys/class/powercap/%s", z[i].dir);
        struct sim_file *f =
            sim_add(path, "energy_uj", i == 0 ? 65532610987.0 - first_share * wrap_j * 1e6 : 1e9,
                    1e6, 65532610987u);
        f->share = z[i].share;
        f->in_place = in_place;
    }
}

/* Two packages, memory, what lies inside and what contains them. */
static void setup_powercap(void)
{
    static const struct sim_zone z[] = {
        { "intel-rapl:0", "package-0", 0.6 }, { "intel-rapl:0:0", "core", 0.5 },
        { "intel-rapl:0:1", "dram", 0.1 },    { "intel-rapl:1", "package-1", 0.25 },
        { "intel-rapl:1:0", "dram", 0.05 },   { "intel-rapl:2", "psys", 3.0 },
    };
    zones_new(z, sizeof z / sizeof z[0], 0.6, false);
}

/* As PAPI sees it: it keeps the files open, and looks for as many packages as there are sockets,
 * which is one at least. */
static void setup_papi(void)
{
    static const struct sim_zone z[] = { { "intel-rapl:0", "package-0", 0.8 },
                                         { "intel-rapl:0:0", "core", 0.5 },
                                         { "intel-rapl:0:1", "dram", 0.2 } };
    zones_new(z, sizeof z / sizeof z[0], 0.8, true);
}

static void setup_hwmon_energy(void)
{
    put("sys/class/hwmon/hwmon0", "name", "amd_energy\n");
    put("sys/class/hwmon/hwmon0", "energy1_label", "Ecore000\n");
    put("sys/class/hwmon/hwmon0", "energy2_label", "Esocket0\n");
    put("sys/class/hwmon/hwmon0", "energy1_input", "5\n");
    put("sys/class/hwmon/hwmon0", "energy2_input", "5\n");
    put("sys/class/hwmon/hwmon1", "name", "k10temp\n");
    sim_add("sys/class/hwmon/hwmon0", "energy1_input", 7, 1e6, 0)->share = 0.1;
    sim_add("sys/class/hwmon/hwmon0", "energy2_input", 7, 1e6, 0);
}

/* A Jetson's three rails, of which the first is the board's input. */
static void setup_hwmon_power(void)
{
    static const char *const label[] = { "VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC" };
    char file[32];

    put("sys/class/hwmon/hwmon3", "name", "ina3221\n");
    put("sys/class/hwmon/hwmon3", "update_interval", "5\n");
    for (int k = 1; k <= 3; k++) {
        snprintf(file, sizeof file, "in%d_label", k);
        put("sys/class/hwmon/hwmon3", file, label[k - 1]);
        snprintf(file, sizeof file, "in%d_input", k);
        put("sys/class/hwmon/hwmon3", file, "5000\n");
        snprintf(file, sizeof file, "curr%d_input", k);
        put("sys/class/hwmon/hwmon3", file, "0\n");
        struct sim_file *f = sim_add("sys/class/hwmon/hwmon3", file, 0, 0, 0);
        f->per_watt = 200.0; /* mA at 5 V */
        f->share = k == 1 ? 1.0 : 0.4;
    }
}

static void setup_battery(void)
{
    put("sys/class/power_supply/BAT0", "type", "Battery\n");
    put("sys/class/power_supply/BAT0", "status", "Discharging\n");
    put("sys/class/power_supply/BAT0", "energy_now", "50000000\n");
    put("sys/class/power_supply/AC", "type", "Mains\n");
    sim_add("sys/class/power_supply/BAT0", "energy_now", 50000000, -1 / 3.6e-3, 0);
}

/* The meter's clock is 1,234.5 s ahead. */
static void setup_powerlog(void)
{
    char path[120];
    snprintf(path, sizeof path, "%s/log", scratch);
    FILE *f = fopen(path, "w");
    if (!f)
        abort();
    fputs("time,watts\n# a comment\n", f);
    fclose(f);
    struct sim_file *s = sim_add("", "log", 0, 0, 0);
    snprintf(s->path, sizeof s->path, "%s", path);
    s->log = true;
    sim.log_offset_s = 1234.5;
}

struct scene {
    const char *name, *meters, *source, *scope;
    void (*setup)(void);
    double stated; /* error that the window is long enough for; 0: it never is */
    bool wraps;    /* the meter counts the wrap-around */
    bool wall;     /* power, true by the time of the wall */
};

static const struct scene scenes[] = {
    { "powercap", "powercap", "powercap", "chip", setup_powercap, 0.2, true, false },
    { "papi", "papi", "papi", "chip", setup_papi, 0.2, false, false },
    { "hwmon energy", "hwmon", "hwmon", "chip", setup_hwmon_energy, 0.2, false, false },
    { "hwmon power", "hwmon", "hwmon", "board", setup_hwmon_power, 0.3, false, true },
    { "battery", "battery", "battery", "node", setup_battery, 0, false, false },
    { "powerlog", "powerlog", "powerlog", "wall", setup_powerlog, 0.3, false, true },
};

/* Without a namespace a new folder; with one, /sys/class itself, emptied; but only once for PAPI,
 * which keeps open what it finds first. */
static void place_new(void)
{
    static bool made;

    if (made && only && strcmp(only, "papi") == 0)
        return;
    made = true;
    if (!own_namespace) {
        tree_new();
        return;
    }
    (void)umount2("/sys/class", MNT_DETACH);
    if (mount("tmpfs", "/sys/class", "tmpfs", 0, "size=1m") != 0)
        abort();
    root[0] = '\0';
}

/* What the measured window held at least and at most: the marks lie between. */
struct truth {
    double least_j, most_j;
};

static double now_j(const struct scene *c)
{
    return c->wall ? sim_wall_joules(jm_now_ns()) : sim_joules();
}

static void wait_j(const struct scene *c, double joules)
{
    double end_j = now_j(c) + joules;
    while (now_j(c) < end_j)
        wait_s(0.002);
}

static struct truth phases(const struct scene *c, jm_session *s)
{
    struct truth t;

    sim_watts(idle_w);
    CU_ASSERT_EQUAL(jm_session_phase(s, JM_PHASE_IDLE, NULL), JM_OK);
    wait_j(c, 0.4 * idle_w);
    CU_ASSERT_EQUAL(jm_session_phase(s, JM_PHASE_WARMUP, NULL), JM_OK);
    sim_watts(load_w);
    wait_j(c, 0.1 * load_w);
    t.most_j = -now_j(c);
    CU_ASSERT_EQUAL(jm_session_phase(s, JM_PHASE_MEASURED, NULL), JM_OK);
    t.least_j = c->wall ? -now_j(c) : -sim.next;
    CU_ASSERT(now_j(c) < wrap_j);
    wait_j(c, load_w);
    t.least_j += now_j(c);
    CU_ASSERT_EQUAL(jm_session_phase(s, JM_PHASE_COOLDOWN, NULL), JM_OK);
    t.most_j += c->wall ? now_j(c) : sim.next;
    CU_ASSERT(now_j(c) > wrap_j);
    sim_watts(idle_w);
    wait_j(c, 0.4 * idle_w);
    jm_session_end(s);
    return t;
}

static void csv_check(const jm_session *s)
{
    char path[120], line[300];
    int rows = 0, measured = 0;
    double joules = 0.0;

    CU_ASSERT_EQUAL(jm_session_write(s, scratch, NULL), JM_OK);
    snprintf(path, sizeof path, "%s/power.csv", scratch);
    FILE *f = fopen(path, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    CU_ASSERT(fgets(line, sizeof line, f) && strncmp(line, "time_s,phase,source,domain,", 27) == 0);
    while (fgets(line, sizeof line, f)) {
        rows++;
        measured += strstr(line, ",measured,") != NULL;
    }
    fclose(f);
    CU_ASSERT(rows > measured && measured >= 2);
    snprintf(path, sizeof path, "%s/energy.csv", scratch);
    f = fopen(path, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    while (fgets(line, sizeof line, f)) {
        const char *counted = strstr(line, ",yes,");
        double duration, j;
        if (strncmp(line, "measured,", 9) == 0 && counted &&
            sscanf(counted, ",yes,%lf,%lf", &duration, &j) == 2)
            joules += j;
    }
    fclose(f);
    struct jm_energy e;
    jm_session_energy(s, &e);
    CU_ASSERT(fabs(joules - e.joules) <= 1e-6 * e.joules);
}

static void check(const struct scene *c, const jm_session *s, const struct truth *t)
{
    struct jm_energy e;
    jm_session_energy(s, &e);
    double stall_s = (double)sim.stall_ns * 1e-9;
    printf("    %s: %.4f J, truth %.4f to %.4f J, error %.4f J (update %.4f s, hardware held up "
           "%.4f s), net %.3f J, idle %.2f and %.2f W, peak %.2f W, wraps %u%s%s\n",
           c->name, e.joules, t->least_j, t->most_j, e.error_j, e.update_s, stall_s, e.net_j,
           e.idle_w, e.idle_after_w, e.peak_w, e.wraps, e.reason[0] ? "; " : "", e.reason);
    CU_ASSERT_FATAL(e.available);
    CU_ASSERT(e.joules >= t->least_j - e.error_j && e.joules <= t->most_j + e.error_j);
    CU_ASSERT_EQUAL(e.estimated, false);
    CU_ASSERT_STRING_EQUAL(e.source, c->source);
    CU_ASSERT_STRING_EQUAL(e.scope, c->scope);
    CU_ASSERT(e.peak_w >= e.average_w * (1 - 1e-9) && e.readings >= 2);
    CU_ASSERT(!c->wraps || e.wraps >= 1);
    if (c->stated == 0) {
        CU_ASSERT(!e.valid && strstr(e.reason, "too short") != NULL);
        return;
    }
    /* Held up, the hardware has less power than it should: no fault of the meter. */
    CU_ASSERT(stall_s > 0.02 || e.valid);
    if (!e.valid || stall_s > 0.02)
        return;
    double net_j = t->least_j * (load_w - idle_w) / load_w;
    CU_ASSERT(fabs(e.net_j - net_j) <= e.net_error_j + 0.05 * net_j);
    CU_ASSERT(e.min_window_s <= 1.1);
}

/* The thread that plays the hardware came too late to prove anything. */
static bool inconclusive(const struct scene *c, int tries)
{
    double stall_s = (double)sim.stall_ns * 1e-9;
    if (stall_s < (tries > 5 ? 0.02 : 0.5) || tries == 0)
        return false;
    printf("    %s: inconclusive, the simulated hardware stood still for %.2f s; again\n", c->name,
           stall_s);
    return true;
}

static jm_session *scene_open(const struct scene *c)
{
    jm_session *s;
    jm_err err = { .status = JM_OK };
    char meters[120];

    place_new();
    sim_clear();
    c->setup();
    sim_start(start_w); /* opening takes as long as it takes */
    bool log = sim.file[0].log;
    snprintf(meters, sizeof meters, "%s%s%s%s", c->meters, log ? "=" : "", log ? scratch : "",
             log ? "/log" : "");
    struct jm_session_config how = { .meters = meters,
                                     .stated_error = c->stated > 0 ? c->stated : 0.01,
                                     .meter = { .root = own_namespace ? NULL : root,
                                                .offset_s = -sim.log_offset_s,
                                                .gap_s = 1.0,
                                                .scope = JM_SCOPE_WALL } };
    jm_status st = jm_session_open(&how, &s, &err);
    if (st != JM_OK)
        printf("    %s: %s\n", c->name, err.text);
    return s;
}

static void scene_run(const struct scene *c)
{
    struct truth t = { 0 };

    if (only && strcmp(only, c->name) != 0)
        return;
    for (int tries = 6; tries >= 0; tries--) {
        jm_session *s = scene_open(c);
        if (s)
            t = phases(c, s);
        sim_end();
        if (inconclusive(c, tries)) {
            jm_session_close(s);
            continue;
        }
        CU_ASSERT_PTR_NOT_NULL_FATAL(s);
        check(c, s, &t);
        csv_check(s);
        jm_session_close(s);
        return;
    }
}

static void test_scenes(void)
{
    puts("");
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++)
        if (only || strcmp(scenes[i].name, "papi") != 0)
            scene_run(&scenes[i]);
}

/* At load_w in the idle phase after too. Seconds that a meter's value may be old, or that the
 * simulated hardware stood still: what is longer. */
static double idles_differ(struct jm_energy *e)
{
    const struct scene *c = &scenes[0];
    jm_session *s = scene_open(c);

    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    sim_watts(idle_w);
    CU_ASSERT_EQUAL(jm_session_phase(s, JM_PHASE_IDLE, NULL), JM_OK);
    wait_j(c, 0.6 * idle_w);
    CU_ASSERT_EQUAL(jm_session_phase(s, JM_PHASE_MEASURED, NULL), JM_OK);
    sim_watts(load_w);
    wait_j(c, 0.6 * load_w);
    CU_ASSERT_EQUAL(jm_session_phase(s, JM_PHASE_COOLDOWN, NULL), JM_OK);
    wait_j(c, 0.6 * load_w);
    jm_session_end(s);
    sim_end();
    jm_session_energy(s, e);
    jm_session_close(s);
    return fmax(e->update_s, (double)sim.stall_ns * 1e-9);
}

/* Something else begins to run: idle power after is not what it was before. 20 and 60 W are told
 * apart where values are u = 0.12 s old at most: their bounds are u * (20 + 60 + 60) W / 0.6 s. */
static void test_idles_differ(void)
{
    enum { TRIES = 6 };
    struct jm_energy e;
    double old_s = INFINITY;

    for (int i = 0; i < TRIES && !(old_s < 0.12); i++)
        old_s = idles_differ(&e);
    if (old_s < 0.12) {
        CU_ASSERT(e.available && !e.valid && isnan(e.net_j) && e.joules > 0);
        CU_ASSERT(strstr(e.reason, "something else ran") != NULL);
    } else {
        printf("idles differ: inconclusive, the simulated hardware stood still for %.2f s\n",
               old_s);
    }
}

static bool enter_namespace(void)
{
    if (unshare(CLONE_NEWNS) != 0) {
        printf("SKIPPED: no mount namespace of its own: %s; run it as root\n", strerror(errno));
        return false;
    }
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", "/sys/class", "tmpfs", 0, "size=1m") != 0) {
        printf("SKIPPED: cannot mount over /sys/class: %s\n", strerror(errno));
        return false;
    }
    return true;
}

/* PAPI's powercap component works with Intel's processors only, and believes /proc/cpuinfo. Where
 * it is another's, PAPI is shown a changed copy: its own code stays as it is. */
static bool pose_as_intel(void)
{
    char path[96], line[4096];
    bool changed = false;
    FILE *in = fopen("/proc/cpuinfo", "re"), *out;

    snprintf(path, sizeof path, "%s/cpuinfo", scratch);
    out = fopen(path, "we");
    if (!in || !out)
        return false;
    while (fgets(line, sizeof line, in)) {
        bool vendor = strncmp(line, "vendor_id", 9) == 0 && !strstr(line, "GenuineIntel");
        changed |= vendor;
        fputs(vendor ? "vendor_id\t: GenuineIntel\n" : line, out);
    }
    fclose(in);
    fclose(out);
    if (!changed)
        return true;
    puts("NOTE: this processor is not Intel's; PAPI is shown a /proc/cpuinfo that says it is, as "
         "its powercap component refuses others");
    return mount(path, "/proc/cpuinfo", NULL, MS_BIND, NULL) == 0;
}

int main(int argc, char **argv)
{
    CU_TestInfo tests[] = {
        { "known watts", test_scenes },
        { "idles differ", test_idles_differ },
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = { { .pName = "simulated meters", .pTests = tests },
                              CU_SUITE_INFO_NULL };

    own_namespace = argc > 1 && strcmp(argv[1], "namespace") == 0;
    only = argc > 2 ? argv[2] : NULL;
    snprintf(scratch, sizeof scratch, "/tmp/jm_sim_XXXXXX");
    if (own_namespace && !enter_namespace())
        return 77;
    if (!mkdtemp(scratch))
        return 2;
    if (only && strcmp(only, "papi") == 0 && !pose_as_intel()) {
        printf("SKIPPED: no /proc/cpuinfo for PAPI: %s\n", strerror(errno));
        return 77;
    }
    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 2;
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    if (root[0])
        tree_remove(root);
    tree_remove(scratch);
    return failed ? 1 : 0;
}
