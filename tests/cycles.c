/* SPDX-License-Identifier: Apache-2.0 */
/* See cycles.h. Linux: perf_event_open(2). */
#include "tests/cycles.h"

#include <linux/perf_event.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>

/* Whether it runs at one rate: CPUID 80000007h, EDX bit 8. */
static bool tsc_is_constant(void)
{
    unsigned a, b, c, d = 0;
    return __get_cpuid(0x80000007u, &a, &b, &c, &d) && (d & 1u << 8);
}

static uint64_t tsc(void)
{
    return __rdtsc();
}
#else
static bool tsc_is_constant(void)
{
    return false;
}

static uint64_t tsc(void)
{
    return 0;
}
#endif

static int counter = -1;
static bool use_tsc;

static bool read_counter(uint64_t *out)
{
    return counter >= 0 && read(counter, out, sizeof *out) == (ssize_t)sizeof *out;
}

/* Virtual machines may open a counter that stands still. */
static bool counter_runs(void)
{
    uint64_t before = 0, after = 0;
    int64_t until = jm_now_ns() + 2000000;
    if (!read_counter(&before))
        return false;
    while (jm_now_ns() < until)
        continue;
    return read_counter(&after) && after > before;
}

/* Ticks a nanosecond, over 20 ms of the monotonic clock. */
static double tsc_rate(void)
{
    int64_t from = jm_now_ns(), now;
    uint64_t start = tsc();
    do
        now = jm_now_ns();
    while (now < from + 20000000);
    return (double)(tsc() - start) / (double)(now - from);
}

const char *jm_cycles_open(void)
{
    static char text[96];
    struct perf_event_attr a = { .type = PERF_TYPE_HARDWARE,
                                 .size = sizeof a,
                                 .config = PERF_COUNT_HW_CPU_CYCLES,
                                 .exclude_kernel = 1,
                                 .exclude_hv = 1 };
    if (counter < 0)
        counter = (int)syscall(SYS_perf_event_open, &a, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (counter_runs())
        return "cycles: of the core, counted by perf";
    use_tsc = tsc_is_constant();
    if (!use_tsc)
        return "cycles: unavailable; perf counts none here, and there is no constant TSC";
    snprintf(text, sizeof text,
             "cycles: ticks of the TSC, %.3f a ns whatever the core's clock; perf counts none here",
             tsc_rate());
    return text;
}

bool jm_cycles_now(uint64_t *out)
{
    if (use_tsc)
        *out = tsc();
    return use_tsc || read_counter(out);
}
