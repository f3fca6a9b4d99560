/* SPDX-License-Identifier: Apache-2.0 */
/* All meters of one run through its phases, and the run's energy: what is nested is never added
 * twice, what cannot be known is unavailable. */
#ifndef JM_HARNESS_ENERGY_SESSION_H
#define JM_HARNESS_ENERGY_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "harness/energy/meter.h"
#include "harness/energy/series.h"

enum { JM_SESSION_METERS = 8 };

enum jm_phase { JM_PHASE_IDLE, JM_PHASE_WARMUP, JM_PHASE_MEASURED, JM_PHASE_COOLDOWN, JM_PHASES };

/* "idle", "warmup", "measured" or "cooldown". */
const char *jm_phase_name(enum jm_phase phase);

struct jm_session_config {
    /* "auto": the best meter of the CPU and that of the GPUs; without either a board's, a battery,
     * a server's. "none". Or names, comma separated, NAME=FILE where a meter needs a file. */
    const char *meters;
    struct jm_meter_config meter; /* root, and what powerlog wants; path is taken from meters */
    double interval_s;            /* between readings; 0: each meter's own */
    double stated_error;          /* share of energy_j that its error may have; 0: 0.01 */
};

/* The energy of the measured phase. Numbers are NAN where unavailable. */
struct jm_energy {
    bool available;
    bool valid;     /* available, within the stated error, and both idle phases agree */
    bool estimated; /* no measurement but a model */
    char reason[JM_ENERGY_REASON]; /* why not available, not valid, or not net */
    char source[64], scope[32];    /* meters and what they cover, joined by '+' */
    double joules, net_j;          /* net: less idle power over the same time */
    double average_w, peak_w, idle_w, idle_after_w;
    double error_j, net_error_j; /* bounds, without a meter's gain error */
    double min_window_s;         /* for the stated error at this power; INFINITY: none */
    double update_s, interval_s; /* the longest of the meters' */
    uint32_t readings, wraps;
};

typedef struct jm_session jm_session;

/**
 * Opens the meters and sees how often they update (up to 0.3 s each). With "auto" no meter is no
 * error: the energy is then unavailable and says why. JM_EUSAGE: an unknown name, a name twice, a
 * missing or useless file; JM_EUNSUPPORTED, JM_EIO: a meter asked for does not work, the text says
 * why.
 */
jm_status jm_session_open(const struct jm_session_config *config, jm_session **out, jm_err *err);

/* Meters that are open: 0 means that idle phases are of no use. */
size_t jm_session_meters(const jm_session *s);

/* With "auto" and no meter: there are counters, but no permission to read them. */
bool jm_session_denied(const jm_session *s);

/**
 * Before the first phase: reads the meters every *interval_s, the longest of theirs, as in a phase,
 * until end, and keeps nothing. What carries its own times (a power log) is left alone, as what was
 * read is gone. JM_EUNSUPPORTED: there is nothing to read; JM_ENOMEM, JM_EIO. End returns the
 * processor time that reading took over the time since begin.
 */
jm_status jm_session_trial_begin(jm_session *s, double *interval_s, jm_err *err);
double jm_session_trial_end(jm_session *s);

/* Begins a phase, ends the one before. The first starts to read. */
jm_status jm_session_phase(jm_session *s, enum jm_phase phase, jm_err *err);

/* Ends the last phase and all reading. Takes NULL; a second call does nothing. */
void jm_session_end(jm_session *s);

/* After end: processor time that reading took in the measured phase, programs that meters run
 * included, over the length of that phase. A reading holds one core at a time, so a run without
 * meters would be faster by no more than this. NAN without meters or without that phase. */
double jm_session_reading_share(const jm_session *s);

/* After end. s may be NULL: unavailable. */
void jm_session_energy(const jm_session *s, struct jm_energy *out);

/**
 * After end: DIR/power.csv, one row a reading and counted domain (time_s since the measured phase
 * began, phase, source, domain, power_w: mean since the reading before, energy_j: since the first
 * reading), and DIR/energy.csv, one row a phase and domain. Writes nothing without meters.
 */
jm_status jm_session_write(const jm_session *s, const char *dir, jm_err *err);

/* Takes NULL. */
void jm_session_close(jm_session *s);

/**
 * Which domains are added up: domain [n] of meter [n] (an index; the lower was named first).
 * What covers all excludes the rest: then the widest such meter alone. Else for each part the
 * meter of the widest scope, the first named of equals. Only counted domains are chosen.
 */
void jm_energy_choose(const struct jm_meter_domain *domain, const size_t *meter, size_t n,
                      bool *chosen);

#endif
