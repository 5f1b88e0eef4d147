/* drain: a load client that is cheap enough to leave the server the bottleneck. Loopback only, one thread per connection,
   keep-alive. The kernel discards downloads; files are uploaded with sendfile.

     drain get|head  -p PORT [options] PATH
     drain push      -p PORT [-m mono|chunked] [options] REPOSITORY FILE DIGEST [FILE DIGEST ...]
     drain images    -p PORT [-m mono|chunked] [options] REPOSITORY

   -c CONNECTIONS  (1)   -n REQUESTS per connection (1000000000)   -t SECONDS after which no request starts (60)
   -s PID of the server, for its CPU time and memory

   Prints one line of JSON. The exit status is 1 if something failed. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http.h"
#include "load.h"
#include "process.h"

enum { MAX_CONNECTIONS = 256 };

static int usage(void) {
  fprintf(stderr, "drain: invalid arguments; the head of main.c describes them\n");
  return 2;
}

static int by_value(const void *left, const void *right) {
  double a = *(const double *)left, b = *(const double *)right;
  return (a > b) - (a < b);
}

/* Prints the totals of all workers. */
static long report(const struct worker *workers, int count, double seconds, double cpu, double peak) {
  uint64_t bytes = 0;
  long errors = 0;
  size_t done = 0, filled = 0;
  double to_first_byte = 0;
  for (int i = 0; i < count; i++) {
    bytes += workers[i].bytes;
    errors += workers[i].errors;
    done += workers[i].done;
    to_first_byte += workers[i].to_first_byte;
  }
  double *latencies = malloc((done + 1) * sizeof *latencies);
  latencies[0] = 0;
  for (int i = 0; i < count; i++) {
    if (workers[i].done > 0) memcpy(latencies + filled, workers[i].latencies, workers[i].done * sizeof *latencies);
    filled += workers[i].done;
  }
  qsort(latencies, done, sizeof *latencies, by_value);
  printf("{\"seconds\":%.4f,\"done\":%zu,\"errors\":%ld,\"bytes\":%llu,\"cpuSeconds\":%.2f,\"peakMb\":%.1f,"
         "\"p50Ms\":%.3f,\"p99Ms\":%.3f,\"firstByteMs\":%.3f}\n",
         seconds, done, errors, (unsigned long long)bytes, cpu, peak, latencies[done / 2] * 1e3,
         latencies[done * 99 / 100] * 1e3, done == 0 ? 0 : to_first_byte / (double)done * 1e3);
  free(latencies);
  return errors;
}

static int run(struct job *job, void *(*body)(void *), double limit, int server) {
  struct worker workers[MAX_CONNECTIONS] = {0};
  pthread_t threads[MAX_CONNECTIONS];
  if (server > 0) process_reset_peak(server);
  double cpu = server > 0 ? process_cpu(server) : 0;
  double begin = now();
  job->deadline = begin + limit;
  for (int i = 0; i < job->connections; i++) {
    workers[i].job = job;
    workers[i].id = i;
    if (pthread_create(&threads[i], NULL, body, &workers[i]) != 0) {
      perror("drain: pthread_create");
      return 1;
    }
  }
  for (int i = 0; i < job->connections; i++) pthread_join(threads[i], NULL);
  double seconds = now() - begin;
  cpu = server > 0 ? process_cpu(server) - cpu : 0;
  return report(workers, job->connections, seconds, cpu, server > 0 ? process_peak(server) : 0) == 0 ? 0 : 1;
}

int main(int count, char **arguments) {
  struct job job = {.connections = 1, .requests = 1000000000, .upload = MONOLITHIC};
  double limit = 60;
  int server = 0, option;
  if (count < 2) return usage();
  const char *command = arguments[1];
  optind = 2;
  while ((option = getopt(count, arguments, "p:c:n:t:s:m:")) != -1) {
    if (option == 'p') job.port = atoi(optarg);
    else if (option == 'c') job.connections = atoi(optarg);
    else if (option == 'n') job.requests = atol(optarg);
    else if (option == 't') limit = atof(optarg);
    else if (option == 's') server = atoi(optarg);
    else if (option == 'm') job.upload = strcmp(optarg, "chunked") == 0 ? CHUNKED : MONOLITHIC;
    else return usage();
  }
  if (job.port <= 0 || job.connections < 1 || job.connections > MAX_CONNECTIONS || optind >= count) return usage();
  job.target = arguments[optind++];
  if (strcmp(command, "get") == 0 || strcmp(command, "head") == 0) {
    job.method = strcmp(command, "head") == 0 ? HEAD : GET;
    return run(&job, fetch_again_and_again, limit, server);
  }
  if (strcmp(command, "images") == 0) return run(&job, push_images, limit, server);
  if (strcmp(command, "push") != 0) return usage();
  for (; optind + 1 < count && job.file_count < MAX_FILES; optind += 2) {
    job.files[job.file_count++] = (struct file){arguments[optind], arguments[optind + 1]};
  }
  return job.file_count == 0 ? usage() : run(&job, push_blobs, limit, server);
}
