/* SPDX-License-Identifier: Apache-2.0 */
/* See progress.h. */
#include "harness/progress.h"

#include <stdbool.h>
#include <unistd.h>

#include "base/clock.h"

static void print_json(struct jm_progress *p, double done, double seconds)
{
    (void)fputs("{\"phase\":\"", p->f);
    for (const unsigned char *s = (const unsigned char *)p->label; *s; s++) {
        if (*s == '"' || *s == '\\' || *s < 0x20)
            (void)fprintf(p->f, "\\u%04x", *s);
        else
            (void)fputc(*s, p->f);
    }
    (void)fprintf(p->f, "\",\"done\":%.4f,\"elapsed_s\":%.3f", done, seconds);
    if (done > 0)
        (void)fprintf(p->f, ",\"left_s\":%.1f", seconds * (1 - done) / done);
    (void)fputs("}\n", p->f);
    (void)fflush(p->f);
}

void jm_progress_start(struct jm_progress *p, enum jm_progress_mode mode, FILE *f,
                       const char *label)
{
    *p = (struct jm_progress){ .f = f, .mode = mode, .start_ns = jm_now_ns() };
    if (mode == JM_PROGRESS_AUTO && !isatty(fileno(f)))
        p->mode = JM_PROGRESS_NONE;
    (void)snprintf(p->label, sizeof p->label, "%s", label);
}

void jm_progress_update(struct jm_progress *p, double done)
{
    int64_t now = jm_now_ns();
    if (p->mode == JM_PROGRESS_NONE || (p->last_ns && now - p->last_ns < 100000000))
        return;
    p->last_ns = now;
    if (!(done >= 0))
        done = 0;
    if (done > 1)
        done = 1;
    double seconds = (double)(now - p->start_ns) * 1e-9;
    if (p->mode == JM_PROGRESS_JSON) {
        print_json(p, done, seconds);
        return;
    }
    (void)fprintf(p->f, "\r\033[K%s %3.0f %%", p->label, done * 100);
    if (done > 0.005) {
        double left = seconds * (1 - done) / done;
        (void)fprintf(p->f, ", %d:%02d left", (int)(left / 60), (int)left % 60);
    }
    (void)fflush(p->f);
}

void jm_progress_end(struct jm_progress *p)
{
    if (p->mode == JM_PROGRESS_JSON)
        print_json(p, 1, (double)(jm_now_ns() - p->start_ns) * 1e-9);
    else if (p->mode == JM_PROGRESS_AUTO)
        (void)fputs("\r\033[K", p->f);
    p->mode = JM_PROGRESS_NONE;
}
