/* The resource usage of a process, from /proc. */
#ifndef DRAIN_PROCESS_H
#define DRAIN_PROCESS_H

/* Returns the CPU seconds of all threads, in user and kernel mode (10 ms ticks); 0 if there is no such process. */
double process_cpu(int pid);
/* Returns the peak resident size in MB since `process_reset_peak` (at least the size at that time). */
double process_peak(int pid);
void process_reset_peak(int pid);

#endif
