/* What the workloads share: the job they do and what each of its threads notes down. */
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

/* The same for all threads, and not changed while they run. */
struct job {
  int port;
  int connections;
  long requests;   /* at most so many by each connection */
  double deadline; /* nothing new is begun after this */
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
  double to_first_byte; /* seconds from request to the first byte of the body, summed up */
  double *latencies;
  size_t done;
  size_t room;
};

/* Whether the worker may begin another one. */
int may_begin(const struct worker *worker);
/* Notes one that went well. */
void note(struct worker *worker, double seconds, uint64_t bytes);
/* Notes one that failed, and says why. */
void note_failure(struct worker *worker, const char *step, int status);

/* Thread bodies; the argument is the worker. */
void *fetch_again_and_again(void *worker);
void *push_blobs(void *worker);
void *push_images(void *worker);

#endif
