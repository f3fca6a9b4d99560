/* SPDX-License-Identifier: Apache-2.0 */
/* See powerlog.h. Times are seconds since 1970 by the clock of whoever writes; an offset makes
 * them this machine's. The file is read as it grows. */
#include "harness/energy/powerlog.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/number.h"

enum { CHUNK = 1 << 16, LINE = 128, CHUNKS = 16 };

static const double default_gap_s = 3.0;
static const double most_w = 1e7;

struct sample {
    int64_t t_ns;
    double w;
};

struct jm_meter {
    struct jm_meter_domain d;
    char *path; /* owned */
    int fd;
    bool fifo;
    off_t at;        /* bytes read of a file */
    char line[LINE]; /* what has come of a line without its end */
    size_t filled;
    bool skip;            /* the rest of the line: it began before the part that is read */
    bool started;         /* some line was understood: no header any more */
    int64_t last_ns;      /* of the last sample */
    double to_raw_s;      /* jm_now_ns's clock less this machine's wall clock, plus the offset */
    struct sample *queue; /* [CHUNK], owned */
    size_t queued;
};

static double wall_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static const char *spaces(const char *s)
{
    while (*s == ' ' || *s == '\t')
        s++;
    return s;
}

/* "1700000000.25, 93.5": false unless exactly two finite decimal numbers. */
static bool line_parse(const char *s, double *t, double *w)
{
    if (!jm_number_begins_real(s, t, &s))
        return false;
    s = spaces(s);
    if (*s != ',' || !jm_number_begins_real(spaces(s + 1), w, &s))
        return false;
    s = spaces(s);
    s += *s == '\r';
    return *s == '\0';
}

static jm_status bad(const jm_meter *m, const char *why, jm_err *err)
{
    char text[41];
    size_t n = 0;

    for (const char *s = m->line; *s && n < 40; s++)
        text[n++] = isprint((unsigned char)*s) ? *s : '?';
    text[n] = '\0';
    return jm_fail(err, JM_EINPUT, "%s: '%s': %s", m->path, text, why);
}

static jm_status line_take(jm_meter *m, jm_err *err)
{
    const char *s = spaces(m->line);
    double t, w;

    if (!*s || *s == '#' || *s == '\r')
        return JM_OK;
    if (!line_parse(s, &t, &w)) {
        if (!m->started && isalpha((unsigned char)*s)) {
            m->started = true; /* one header line */
            return JM_OK;
        }
        return bad(m, "is not time,watts", err);
    }
    m->started = true;
    if (!(w >= 0.0 && w <= most_w))
        return bad(m, "is no power that can be added up", err);
    double raw_s = t + m->to_raw_s;
    int64_t now_ns = jm_now_ns();
    if (raw_s * 1e9 > (double)now_ns + m->d.gap_s * 1e9)
        return bad(m, "lies in the future; correct the clock with --powerlog-offset-s", err);
    /* Old lines may be older than this machine's start; only their order matters. */
    int64_t t_ns = (int64_t)fmax(raw_s * 1e9, -9e18);
    if (t_ns < m->last_ns)
        return bad(m, "is earlier than the line before", err);
    if (t_ns == m->last_ns)
        return JM_OK;
    m->last_ns = t_ns;
    m->queue[m->queued++] = (struct sample){ .t_ns = t_ns, .w = w };
    return JM_OK;
}

/* Every line of a chunk is looked at, whatever is wrong with one. */
static jm_status chunk_take(jm_meter *m, const char *data, size_t n, jm_err *err)
{
    jm_status first = JM_OK, st;

    for (size_t i = 0; i < n; i++) {
        if (data[i] != '\n') {
            if (m->filled < LINE - 1)
                m->line[m->filled] = data[i] ? data[i] : '?';
            m->filled += m->filled < LINE;
            continue;
        }
        bool long_line = m->filled >= LINE;
        m->line[long_line ? LINE - 1 : m->filled] = '\0';
        st = m->skip ? JM_OK : long_line ? bad(m, "is too long a line", err) : line_take(m, err);
        first = first == JM_OK ? st : first;
        m->skip = false;
        m->filled = 0;
    }
    return first;
}

/* One chunk. *n: bytes that came. */
static jm_status fill(jm_meter *m, size_t *n, jm_err *err)
{
    char data[CHUNK / 4]; /* a sample takes four bytes at least: the queue holds them all */
    struct stat st;

    *n = 0;
    if (!m->fifo && fstat(m->fd, &st) == 0 && st.st_size < m->at) {
        m->at = st.st_size;
        m->filled = 0;
        (void)lseek(m->fd, m->at, SEEK_SET);
        return jm_fail(err, JM_EDEVICE, "%s: was cut short while being read", m->path);
    }
    ssize_t got = read(m->fd, data, sizeof data);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR
                   ? JM_OK
                   : jm_fail(err, JM_EIO, "%s: %s", m->path, strerror(errno));
    *n = (size_t)got;
    m->at += got;
    return chunk_take(m, data, *n, err);
}

static jm_status file_open(jm_meter *m, jm_err *err)
{
    struct stat st;

    m->fd = open(m->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (m->fd < 0 || fstat(m->fd, &st) != 0)
        return jm_fail(err, errno == ENOENT ? JM_ENOTFOUND : JM_EIO, "%s: %s", m->path,
                       strerror(errno));
    m->fifo = S_ISFIFO(st.st_mode);
    if (!m->fifo && !S_ISREG(st.st_mode))
        return jm_fail(err, JM_EIO, "%s: neither a regular file nor a FIFO", m->path);
    if (!m->fifo && st.st_size > CHUNK / 8) { /* what is long past is of no use */
        m->at = lseek(m->fd, st.st_size - CHUNK / 8, SEEK_SET);
        m->skip = m->started = true;
    }
    return JM_OK;
}

/* Waits until a line of now has come. */
static jm_status first_wait(jm_meter *m, jm_err *err)
{
    int64_t begin_ns = jm_now_ns(), gap_ns = (int64_t)(m->d.gap_s * 1e9);

    for (;;) {
        size_t n;
        m->queued = m->queued > 1 ? 0 : m->queued;
        jm_status st = fill(m, &n, err);
        if (st != JM_OK)
            return st;
        if (m->queued && m->last_ns > begin_ns - gap_ns)
            return JM_OK;
        if (n == 0 && jm_now_ns() - begin_ns > gap_ns)
            return jm_fail(err, JM_EIO,
                           "%s: no line of the last %.3g s: start what writes it first, and "
                           "correct its clock with --powerlog-offset-s",
                           m->path, m->d.gap_s);
        if (n == 0)
            (void)poll(NULL, 0, 10);
    }
}

static void powerlog_close(jm_meter *m)
{
    if (!m)
        return;
    if (m->fd >= 0)
        close(m->fd);
    free(m->path);
    free(m->queue);
    free(m);
}

static jm_status powerlog_open(const struct jm_meter_config *config, jm_meter **out, jm_err *err)
{
    *out = NULL;
    if (!config || !config->path)
        return jm_fail(err, JM_EUNSUPPORTED, "powerlog: give a file, as powerlog=FILE");
    jm_meter *m = calloc(1, sizeof *m);
    if (!m)
        return jm_fail(err, JM_ENOMEM, "powerlog: no memory for a meter");
    m->fd = -1;
    m->last_ns = INT64_MIN;
    m->path = strdup(config->path);
    m->queue = malloc(CHUNK / 4 * sizeof *m->queue);
    m->to_raw_s = (double)jm_now_ns() * 1e-9 - wall_s() + config->offset_s;
    m->d = (struct jm_meter_domain){ .name = "log",
                                     .scope = config->scope,
                                     .part = config->scope >= JM_SCOPE_BOARD ? JM_PART_ALL
                                                                             : JM_PART_CPU,
                                     .kind = JM_METER_POWER,
                                     .parent = -1,
                                     .counted = true,
                                     .gap_s = config->gap_s > 0.0 ? config->gap_s : default_gap_s };
    jm_status st =
        m->path && m->queue ? JM_OK : jm_fail(err, JM_ENOMEM, "powerlog: no memory for a meter");
    if (st == JM_OK)
        st = file_open(m, err);
    if (st == JM_OK)
        st = first_wait(m, err);
    if (st != JM_OK) {
        powerlog_close(m);
        return st;
    }
    *out = m;
    return JM_OK;
}

static uint32_t powerlog_count(const jm_meter *m)
{
    (void)m;
    return 1;
}

static void powerlog_domain(const jm_meter *m, uint32_t i, struct jm_meter_domain *out)
{
    (void)i;
    *out = m->d;
}

static jm_status powerlog_drain(jm_meter *m, jm_meter_sample_fn *sink, void *user, jm_err *err)
{
    jm_status first = JM_OK;
    size_t n = 1;

    for (int k = 0; k < CHUNKS && n > 0; k++) {
        for (size_t i = 0; i < m->queued; i++)
            sink(m->queue[i].t_ns, &m->queue[i].w, user);
        m->queued = 0;
        jm_status st = fill(m, &n, err);
        first = first == JM_OK ? st : first;
    }
    for (size_t i = 0; i < m->queued; i++)
        sink(m->queue[i].t_ns, &m->queue[i].w, user);
    m->queued = 0;
    return first;
}

const struct jm_meter_ops jm_powerlog_ops = {
    .name = "powerlog",
    .summary = "time,watts lines of an outside meter, from a file or FIFO: powerlog=FILE",
    .takes_file = true,
    .open = powerlog_open,
    .close = powerlog_close,
    .count = powerlog_count,
    .domain = powerlog_domain,
    .drain = powerlog_drain,
};
