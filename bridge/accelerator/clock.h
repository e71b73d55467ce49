/* The time in seconds, as `time.perf_counter` gives it, without its price.

   Of a processor whose counter of cycles the kernel itself takes for its clock, that counter is
   read: in half of the time that the kernel's clock takes. Once a second it is set by the
   kernel's clock anew, so that it is wrong by some microseconds at most. Each thread has a clock of
   its own, which counts after the first tenth of a second; until then, and everywhere else, the
   kernel's clock is read. */

#ifndef BRIDGE_CLOCK_H
#define BRIDGE_CLOCK_H

#include <Python.h>

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Seconds by the kernel's clock. */
static double
kernel_seconds(void)
{
#if defined(__linux__)
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
#elif PY_VERSION_HEX >= 0x030D0000
    PyTime_t now;
    (void)PyTime_PerfCounterRaw(&now);
    return PyTime_AsSecondsDouble(now);
#else
    return (double)_PyTime_GetPerfCounter() * 1e-9;
#endif
}

#if defined(__linux__) && defined(__x86_64__)

#include <x86intrin.h>

/* Seconds for which the counter is believed, and after which it may be set at the earliest. */
#define LONGEST 1.0
#define SHORTEST 0.1
/* Cycles that reading both clocks may take: more, and something has come between. */
#define QUICK 2000
/* How far two measures of the counter's pace may be apart. */
#define TOLERANCE 0.001

static int counter_is_trusted;

/* Where both clocks stood when they were last read together. */
static _Thread_local struct {
    double seconds;
    uint64_t cycles;
    /* Seconds for a cycle; 0: not known yet. */
    double pace;
    /* Cycles from there on for which the counter is believed; 0: it is not. */
    uint64_t valid;
} mark;

/* Ask the kernel what its clock is; once, when the module is loaded. */
static void
set_up_clock(void)
{
    char name[8] = "";
    FILE *file = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
    if (file == NULL)
        return;
    if (fgets(name, sizeof name, file) != NULL)
        counter_is_trusted = strcmp(name, "tsc\n") == 0;
    fclose(file);
}

/* Read the kernel's clock, and set the counter by it if that is due. */
static double
read_both(void)
{
    uint64_t before = __rdtsc(), after;
    double now = kernel_seconds(), passed = now - mark.seconds, pace;
    if (!counter_is_trusted || passed < SHORTEST)
        return now;
    after = __rdtsc();
    if (after - before > QUICK)
        return now;
    pace = passed / (double)(after - mark.cycles);
    /* Not after the first look of all; nor if the counter was set, or stood still in a sleep. */
    mark.valid = pace > mark.pace * (1 - TOLERANCE) && pace < mark.pace * (1 + TOLERANCE)
                     ? (uint64_t)(LONGEST / pace)
                     : 0;
    mark.pace = pace;
    mark.seconds = now;
    mark.cycles = after;
    return now;
}

/* Seconds by the clock of `time.perf_counter`. */
static inline double
seconds_now(void)
{
    uint64_t cycles = __rdtsc() - mark.cycles;
    if (cycles < mark.valid)
        return mark.seconds + (double)cycles * mark.pace;
    return read_both();
}

#else

static void
set_up_clock(void)
{
}

static double
seconds_now(void)
{
    return kernel_seconds();
}

#endif

#endif
