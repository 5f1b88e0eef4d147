/* What a process used, from /proc. */
#ifndef DRAIN_PROCESS_H
#define DRAIN_PROCESS_H

/* Seconds of all its threads, in user and kernel mode (10 ms ticks). 0 when there is none. */
double process_cpu(int pid);
/* Its largest resident size in MB since `process_reset_peak` (never less than what it had then). */
double process_peak(int pid);
void process_reset_peak(int pid);

#endif
