/* SPDX-License-Identifier: Apache-2.0 */
/* A backend for tests whose memory the host cannot touch: each plan lives in a child process that
 * runs the cpu backend, and only the door's own data go through a socket pair. A workload that held
 * a host pointer into device memory would fail here. Compiling forks, so that the child has the
 * graph and its weights without copying them. JM_REMOTE_LACKS names an op that it then cannot run.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/loader.h"

struct jm_device {
    struct jm_device_options opt;
};

struct jm_plan {
    pid_t child;
    int fd;
    struct jm_plan_memory memory;
    jm_graph shape; /* its inputs, no nodes */
};

enum command { EXECUTE, FETCH };

struct request {
    enum command command;
    uint32_t a, b, c;    /* EXECUTE: n_rows, n_gather, n_runs; FETCH: out, first, n */
    uint32_t entry, has; /* EXECUTE: the entry, and which of the batch's arrays follow */
};

/* The arrays of a batch one by one, so that both sides send and receive the same. Bit i of `has`
 * says whether array i is there. */
enum { N_ARRAYS = 7 + JM_MAX_INPUTS };

struct array {
    const void **at;
    size_t bytes;
};

static void arrays_of(struct jm_batch *b, const jm_graph *g, struct array out[N_ARRAYS])
{
    size_t rows = b->n_rows * sizeof(uint32_t);
    const struct array first[] = {
        { .at = (const void **)&b->token, .bytes = rows },
        { .at = (const void **)&b->slot, .bytes = rows },
        { .at = (const void **)&b->pos, .bytes = rows },
        { .at = (const void **)&b->pos_h, .bytes = rows },
        { .at = (const void **)&b->pos_w, .bytes = rows },
        { .at = (const void **)&b->gather, .bytes = b->n_gather * sizeof(uint32_t) },
        { .at = (const void **)&b->run, .bytes = b->n_runs * sizeof(uint32_t) }
    };
    memcpy(out, first, sizeof first);
    for (uint32_t i = 0; i < JM_MAX_INPUTS; i++) {
        size_t n = g->input_rows[i] == JM_ROWS_RUN ? b->n_runs : b->n_rows;
        out[7 + i] = (struct array){ .at = (const void **)&b->input[i],
                                     .bytes = n * g->input_cols[i] * sizeof(float) };
    }
}

struct reply {
    jm_err err;
    size_t bytes;
    struct jm_plan_memory memory; /* of the plan */
};

static bool send_all(int fd, const void *data, size_t n)
{
    for (const char *p = data; n;) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k <= 0 && errno != EINTR)
            return false;
        if (k > 0) {
            p += k;
            n -= (size_t)k;
        }
    }
    return true;
}

static bool receive_all(int fd, void *data, size_t n)
{
    for (char *p = data; n;) {
        ssize_t k = recv(fd, p, n, 0);
        if (k == 0 || (k < 0 && errno != EINTR))
            return false;
        if (k > 0) {
            p += k;
            n -= (size_t)k;
        }
    }
    return true;
}

static jm_status count(uint32_t *n, jm_err *err)
{
    (void)err;
    *n = 1;
    return JM_OK;
}

static jm_status open_device(uint32_t index, const struct jm_device_options *opt, jm_device **out,
                             jm_err *err)
{
    *out = index == 0 ? malloc(sizeof **out) : NULL;
    if (!*out)
        return jm_fail(err, JM_ENOTFOUND, "remote: no device %u", index);
    **out = (jm_device){ .opt = *opt };
    return JM_OK;
}

static void close_device(jm_device *dev)
{
    free(dev);
}

static void info(const jm_device *dev, struct jm_device_info *out)
{
    *out = (struct jm_device_info){ .threads = dev->opt.threads };
    snprintf(out->name, sizeof out->name, "a child process");
    snprintf(out->isa, sizeof out->isa, "%s", dev->opt.isa ? dev->opt.isa : "");
}

static bool supports(const jm_device *dev, const struct jm_node *op)
{
    const char *lacks = getenv("JM_REMOTE_LACKS");
    (void)dev;
    return (unsigned)op->op < JM_OP_COUNT && !(lacks && strcmp(lacks, jm_op_name(op->op)) == 0);
}

/* ---- the child ---- */

struct child {
    int fd;
    const struct jm_backend_ops *ops;
    jm_plan *plan;
    uint32_t max_rows;
    const jm_graph *g;
};

static bool child_execute(struct child *c, const struct request *q)
{
    struct reply reply = { 0 };
    struct jm_batch b = { .entry = q->entry, .n_rows = q->a, .n_gather = q->b, .n_runs = q->c };
    struct array arrays[N_ARRAYS];
    void *copy[N_ARRAYS] = { 0 };
    bool ok = q->a <= c->max_rows && q->b <= q->a && q->c <= q->a;
    arrays_of(&b, c->g, arrays);
    for (int i = 0; i < N_ARRAYS && ok; i++) {
        if (!(q->has >> i & 1))
            continue;
        copy[i] = malloc(arrays[i].bytes + 1);
        ok = copy[i] && receive_all(c->fd, copy[i], arrays[i].bytes);
        *arrays[i].at = copy[i];
    }
    if (ok && c->ops->execute(c->plan, &b, &reply.err) == JM_OK)
        c->ops->wait(c->plan, &reply.err);
    for (int i = 0; i < N_ARRAYS; i++)
        free(copy[i]);
    return ok && send_all(c->fd, &reply, sizeof reply);
}

static bool child_fetch(struct child *c, const struct request *q)
{
    struct reply reply = { 0 };
    size_t bytes =
        q->a < c->g->n_outputs ? (size_t)q->c * c->g->nodes[c->g->outputs[q->a]].cols * 4 : 0;
    void *data = malloc(bytes + 1);
    if (!data)
        return false;
    if (c->ops->fetch(c->plan, q->a, q->b, q->c, data, &reply.err) == JM_OK)
        reply.bytes = bytes;
    bool ok = send_all(c->fd, &reply, sizeof reply) && send_all(c->fd, data, reply.bytes);
    free(data);
    return ok;
}

static void child_serve(struct child *c)
{
    struct request q;
    while (receive_all(c->fd, &q, sizeof q)) {
        if (!(q.command == EXECUTE ? child_execute(c, &q) : child_fetch(c, &q)))
            return;
    }
}

static void child_main(int fd, const struct jm_device_options *opt, const jm_graph *g,
                       const struct jm_limits *lim)
{
    struct reply hello = { 0 };
    jm_backend cpu = { 0 };
    jm_device *dev = NULL;
    struct child c = { .fd = fd, .max_rows = lim->max_rows, .g = g };
    if (jm_backend_load("cpu", &cpu, &hello.err) == JM_OK &&
        cpu.ops->open(0, opt, &dev, &hello.err) == JM_OK &&
        cpu.ops->compile(dev, g, lim, &c.plan, &hello.err) == JM_OK)
        cpu.ops->plan_memory(c.plan, &hello.memory);
    c.ops = cpu.ops;
    if (send_all(fd, &hello, sizeof hello) && hello.err.status == JM_OK)
        child_serve(&c);
    _exit(0);
}

/* ---- the host's side ---- */

static void plan_close(jm_plan *p)
{
    if (!p)
        return;
    close(p->fd);
    if (p->child > 0)
        waitpid(p->child, NULL, 0);
    free(p);
}

static jm_status read_reply(const jm_plan *p, struct reply *r, jm_err *err)
{
    if (!receive_all(p->fd, r, sizeof *r))
        return jm_fail(err, JM_EDEVICE, "remote: the device process is gone");
    return r->err.status == JM_OK ? JM_OK : jm_fail(err, r->err.status, "%s", r->err.text);
}

static jm_status compile(jm_device *dev, const jm_graph *g, const struct jm_limits *lim,
                         jm_plan **out, jm_err *err)
{
    int fds[2];
    *out = NULL;
    jm_status st = jm_graph_check(g, err);
    if (st != JM_OK)
        return st;
    jm_plan *p = calloc(1, sizeof *p);
    if (!p || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
        free(p);
        return jm_fail(err, JM_EDEVICE, "remote: no socket pair");
    }
    memcpy(p->shape.input_cols, g->input_cols, sizeof p->shape.input_cols);
    memcpy(p->shape.input_rows, g->input_rows, sizeof p->shape.input_rows);
    p->fd = fds[0];
    p->child = fork();
    if (p->child == 0) {
        close(fds[0]);
        child_main(fds[1], &dev->opt, g, lim);
    }
    close(fds[1]);
    struct reply hello;
    st =
        p->child < 0 ? jm_fail(err, JM_EDEVICE, "remote: cannot fork") : read_reply(p, &hello, err);
    if (st != JM_OK) {
        plan_close(p);
        return st;
    }
    p->memory = hello.memory;
    *out = p;
    return JM_OK;
}

static void plan_memory(const jm_plan *p, struct jm_plan_memory *out)
{
    *out = p->memory;
}

static jm_status execute(jm_plan *p, const struct jm_batch *in, jm_err *err)
{
    struct request q = {
        .command = EXECUTE, .a = in->n_rows, .b = in->n_gather, .c = in->n_runs, .entry = in->entry
    };
    struct jm_batch b = *in;
    struct array arrays[N_ARRAYS];
    arrays_of(&b, &p->shape, arrays);
    for (uint32_t i = 0; i < N_ARRAYS; i++)
        q.has |= (uint32_t)(*arrays[i].at != NULL) << i;
    bool ok = send_all(p->fd, &q, sizeof q);
    for (int i = 0; i < N_ARRAYS && ok; i++)
        ok = !*arrays[i].at || send_all(p->fd, *arrays[i].at, arrays[i].bytes);
    return ok ? JM_OK : jm_fail(err, JM_EDEVICE, "remote: the device process is gone");
}

static jm_status wait_plan(jm_plan *p, jm_err *err)
{
    struct reply r;
    return read_reply(p, &r, err);
}

static jm_status fetch(jm_plan *p, uint32_t out, uint32_t first, uint32_t n, void *dst, jm_err *err)
{
    struct request q = { .command = FETCH, .a = out, .b = first, .c = n };
    struct reply r;
    if (!send_all(p->fd, &q, sizeof q))
        return jm_fail(err, JM_EDEVICE, "remote: the device process is gone");
    jm_status st = read_reply(p, &r, err);
    if (st == JM_OK && !receive_all(p->fd, dst, r.bytes))
        st = jm_fail(err, JM_EDEVICE, "remote: the device process is gone");
    return st;
}

static const struct jm_backend_ops ops = {
    .abi = JM_BACKEND_ABI,
    .name = "remote",
    .summary = "the cpu backend in another process (for tests)",
    .count = count,
    .open = open_device,
    .close = close_device,
    .info = info,
    .supports = supports,
    .compile = compile,
    .plan_close = plan_close,
    .plan_memory = plan_memory,
    .execute = execute,
    .wait = wait_plan,
    .fetch = fetch,
};

const struct jm_backend_ops *jm_backend_entry(void)
{
    return &ops;
}
