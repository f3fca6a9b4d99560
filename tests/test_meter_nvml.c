/* SPDX-License-Identifier: Apache-2.0 */
/* The NVML meter against a library of that name built for this test (nvml/fake_nvml.c). */
#include <CUnit/Basic.h>

#include "harness/energy/session.h"
#include "tests/energy_tree.h"

static void run(const char *how, double update_s)
{
    jm_session *s;
    struct jm_energy e;

    setenv("JM_FAKE_NVML", how, 1);
    struct jm_session_config cfg = { .meters = "nvml", .stated_error = 0.5 };
    CU_ASSERT_EQUAL_FATAL(jm_session_open(&cfg, &s, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_session_phase(s, JM_PHASE_MEASURED, NULL), JM_OK);
    wait_s(0.5);
    jm_session_end(s);
    jm_session_energy(s, &e);
    CU_ASSERT_FATAL(e.available);
    printf("    %s: %.3f W, error %.3f J of %.3f, update %.4f s\n", how, e.average_w, e.error_j,
           e.joules, e.update_s);
    CU_ASSERT(fabs(e.average_w - 50.0) * (e.joules / e.average_w) <= e.error_j);
    CU_ASSERT(e.update_s >= update_s);
    CU_ASSERT_STRING_EQUAL(e.source, "nvml");
    CU_ASSERT_STRING_EQUAL(e.scope, "chip");
    jm_session_close(s);
}

static void test_energy(void)
{
    puts("");
    run("energy", 0.019);
}

static void test_power(void)
{
    run("power", 1.0); /* older GPUs: power only */
}

static void test_faults(void)
{
    static const struct {
        const char *how, *says;
    } bad[] = { { "no driver", "Driver Not Loaded" }, { "no gpu", "no GPU" } };
    jm_meter *m;
    jm_err err;
    double v[JM_METER_DOMAINS];
    uint32_t wraps;
    const struct jm_meter_ops *ops = jm_meter_find("nvml");

    for (size_t i = 0; i < 2; i++) {
        setenv("JM_FAKE_NVML", bad[i].how, 1);
        err = (jm_err){ .status = JM_OK };
        CU_ASSERT_EQUAL(ops->open(NULL, &m, &err), JM_EUNSUPPORTED);
        CU_ASSERT(m == NULL && strstr(err.text, bad[i].says) != NULL);
    }
    setenv("JM_FAKE_NVML", "energy", 1);
    CU_ASSERT_EQUAL_FATAL(ops->open(NULL, &m, NULL), JM_OK);
    CU_ASSERT_EQUAL(ops->count(m), 2);
    setenv("JM_FAKE_NVML", "lost", 1); /* falls off the bus in the middle */
    err = (jm_err){ .status = JM_OK };
    CU_ASSERT_EQUAL(ops->read(m, v, &wraps, &err), JM_EDEVICE);
    CU_ASSERT(strstr(err.text, "gpu1") && strstr(err.text, "GPU is lost"));
    setenv("JM_FAKE_NVML", "back", 1);
    err = (jm_err){ .status = JM_OK };
    CU_ASSERT_EQUAL(ops->read(m, v, &wraps, &err), JM_EDEVICE);
    CU_ASSERT(strstr(err.text, "backwards") != NULL);
    ops->close(m);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "energy counter", test_energy },
        { "power only", test_power },
        { "faults", test_faults },
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = { { .pName = "nvml", .pTests = tests }, CU_SUITE_INFO_NULL };

    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 2;
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed ? 1 : 0;
}
