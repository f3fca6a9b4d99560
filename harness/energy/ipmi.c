/* SPDX-License-Identifier: Apache-2.0 */
/* See ipmi.h. The answers are text, whole watts; a child that hangs is killed. */
#include "harness/energy/ipmi.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/number.h"

enum { ANSWER = 4096 };

static const int timeout_ms = 4000;

extern char **environ;

/* A command, the words before its watts and before its state, and the state that is good. */
struct command {
    const char *argv[5];
    const char *watts, *state, *active;
};

static const struct command commands[] = {
    { .argv = { "ipmitool", "dcmi", "power", "reading" },
      .watts = "Instantaneous power reading",
      .state = "Power reading state is",
      .active = "activated" },
    { .argv = { "ipmi-dcmi", "--get-system-power-statistics" },
      .watts = "Current Power",
      .state = "Power Measurement",
      .active = "Active" },
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

struct jm_meter {
    const struct command *command;
};

static int spawn(const struct command *c, int *fd, pid_t *pid)
{
    int pipes[2], e;
    posix_spawn_file_actions_t actions;

    if (pipe2(pipes, O_CLOEXEC) != 0)
        return errno;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, pipes[1], 1);
    posix_spawn_file_actions_adddup2(&actions, pipes[1], 2);
    e = posix_spawnp(pid, c->argv[0], &actions, NULL, (char *const *)(uintptr_t)c->argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(pipes[1]);
    if (e != 0)
        close(pipes[0]);
    *fd = pipes[0];
    return e;
}

/* Reads to the end, what does not fit is dropped. False: time ran out. */
static bool collect(int fd, char *text, size_t size)
{
    int64_t end_ns = jm_now_ns() + (int64_t)timeout_ms * 1000000;
    char rest[512];
    size_t n = 0;

    for (;;) {
        int left_ms = (int)((end_ns - jm_now_ns()) / 1000000);
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int rc = left_ms > 0 ? poll(&p, 1, left_ms) : 0;
        if (rc == 0)
            return false;
        if (rc < 0 && errno == EINTR)
            continue;
        bool room = n + 1 < size;
        ssize_t got = read(fd, room ? text + n : rest, room ? size - 1 - n : sizeof rest);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        n += room ? (size_t)got : 0;
    }
    text[n] = '\0';
    return true;
}

static jm_status run(const struct command *c, char *text, size_t size, jm_err *err)
{
    int fd = -1, status = 0;
    pid_t pid = -1;
    int e = spawn(c, &fd, &pid);

    if (e != 0)
        return jm_fail(err, JM_EUNSUPPORTED, "%s: %s", c->argv[0],
                       e == ENOENT ? "not installed" : strerror(e));
    bool answered = collect(fd, text, size);
    close(fd);
    if (!answered)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!answered)
        return jm_fail(err, JM_EDEVICE, "%s: no answer within %d s", c->argv[0], timeout_ms / 1000);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        text[strcspn(text, "\n")] = '\0';
        return jm_fail(err, JM_EIO, "%s failed: %.160s", c->argv[0],
                       text[0] ? text : "it said nothing");
    }
    return JM_OK;
}

/* The text after WORDS and a colon, or NULL. */
static const char *after(const char *text, const char *words)
{
    const char *s = strstr(text, words);

    s = s ? strchr(s, ':') : NULL;
    return s ? s + 1 + strspn(s + 1, " \t") : NULL;
}

static jm_status reading(const struct command *c, double *watts, jm_err *err)
{
    char text[ANSWER];
    const char *end;
    uint64_t v;
    jm_status st = run(c, text, sizeof text, err);

    if (st != JM_OK)
        return st;
    const char *w = after(text, c->watts), *state = after(text, c->state);
    if (!w || !jm_number_begins_u64(w, &v, &end))
        return jm_fail(err, JM_EINPUT, "%s: no power in its answer", c->argv[0]);
    if (strncmp(end, " Watts", 6) != 0 || v > 65535)
        return jm_fail(err, JM_EINPUT, "%s: '%.20s' is no power in watts", c->argv[0], w);
    if (state && strncmp(state, c->active, strlen(c->active)) != 0)
        return jm_fail(err, JM_EDEVICE, "%s: power measurement is off: '%.30s'", c->argv[0], state);
    *watts = (double)v;
    return JM_OK;
}

static void ipmi_close(jm_meter *m)
{
    free(m);
}

static jm_status ipmi_open(const struct jm_meter_config *config, jm_meter **out, jm_err *err)
{
    jm_err why = { .status = JM_OK };
    jm_status st = JM_EUNSUPPORTED;

    *out = NULL;
    if (config && config->root)
        return jm_fail(err, JM_EUNSUPPORTED, "ipmi: reads this machine only, not %s", config->root);
    for (int i = 0; i < COMMANDS; i++) {
        double w;
        jm_err e = { .status = JM_OK };
        jm_status one = reading(&commands[i], &w, &e);
        if (one == JM_OK && w > 0.0) {
            *out = malloc(sizeof **out);
            if (!*out)
                return jm_fail(err, JM_ENOMEM, "ipmi: no memory for a meter");
            (*out)->command = &commands[i];
            return JM_OK;
        }
        if (one == JM_OK)
            one = jm_fail(&e, JM_EUNSUPPORTED, "%s shows 0 W", commands[i].argv[0]);
        if (why.status == JM_OK || one != JM_EUNSUPPORTED) {
            why = e;
            st = one == JM_EUNSUPPORTED ? JM_EUNSUPPORTED : JM_EIO;
        }
    }
    return jm_fail(err, st, "ipmi: %s", why.text);
}

static uint32_t ipmi_count(const jm_meter *m)
{
    (void)m;
    return 1;
}

static void ipmi_domain(const jm_meter *m, uint32_t i, struct jm_meter_domain *out)
{
    (void)m;
    (void)i;
    *out = (struct jm_meter_domain){ .name = "dcmi",
                                     .scope = JM_SCOPE_NODE,
                                     .part = JM_PART_ALL,
                                     .kind = JM_METER_POWER,
                                     .parent = -1,
                                     .counted = true,
                                     .step = 1.0,
                                     .gap_s = 10.0 };
}

static jm_status ipmi_read(jm_meter *m, double *value, uint32_t *wraps, jm_err *err)
{
    *wraps = 0;
    return reading(m->command, value, err);
}

const struct jm_meter_ops jm_ipmi_ops = {
    .name = "ipmi",
    .summary = "a server's power through ipmitool or ipmi-dcmi; whole watts, for long runs",
    .update_s = 2.0, /* one of the controller, one of the command */
    .interval_s = 1.0,
    .slow = true,
    .open = ipmi_open,
    .close = ipmi_close,
    .count = ipmi_count,
    .domain = ipmi_domain,
    .read = ipmi_read,
};
