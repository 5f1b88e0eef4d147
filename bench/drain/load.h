/* Shared by the workloads: the job, and the records of each thread. */
#ifndef DRAIN_LOAD_H
#define DRAIN_LOAD_H

#include <stddef.h>
#include <stdint.h>

#define MAX_FILES 16

enum method { GET, HEAD };
enum upload { MONOLITHIC, CHUNKED };

struct file {
  const char *path;
  const char *digest;
};

/* Shared by all threads, and constant while they run. */
struct job {
  int port;
  int connections;
  long requests;   /* maximum per connection */
  double deadline; /* no request starts after this */
  enum method method;
  enum upload upload;
  const char *target; /* the path to GET, or the repository to push to */
  struct file files[MAX_FILES];
  int file_count;
};

struct worker {
  const struct job *job;
  int id;
  uint64_t bytes;
  long errors;
  double to_first_byte; /* total of the seconds from request to first byte of the body */
  double *latencies;
  size_t done;
  size_t room;
};

/* Returns whether the worker may start another request. */
int may_begin(const struct worker *worker);
/* Records a success. */
void note(struct worker *worker, double seconds, uint64_t bytes);
/* Records a failure and prints the reason. */
void note_failure(struct worker *worker, const char *step, int status);

/* Thread bodies; the argument is the worker. */
void *fetch_again_and_again(void *worker);
void *push_blobs(void *worker);
void *push_images(void *worker);

#endif
