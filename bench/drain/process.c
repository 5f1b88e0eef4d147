#include "process.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static FILE *open_entry(int pid, const char *name, const char *mode) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  return fopen(path, mode);
}

double process_cpu(int pid) {
  char line[2048];
  unsigned long user = 0, kernel = 0;
  FILE *entry = open_entry(pid, "stat", "r");
  if (entry == NULL) return 0;
  /* The second field, the name in parentheses, may itself contain blanks and parentheses. */
  char *name_end = fgets(line, sizeof line, entry) == NULL ? NULL : strrchr(line, ')');
  fclose(entry);
  if (name_end == NULL) return 0;
  sscanf(name_end + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel);
  return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

double process_peak(int pid) {
  char line[256];
  long kilobytes = 0;
  FILE *entry = open_entry(pid, "status", "r");
  if (entry == NULL) return 0;
  while (fgets(line, sizeof line, entry) != NULL && sscanf(line, "VmHWM: %ld", &kilobytes) != 1) continue;
  fclose(entry);
  return (double)kilobytes / 1024;
}

void process_reset_peak(int pid) {
  FILE *entry = open_entry(pid, "clear_refs", "w");
  if (entry == NULL) return;
  fputs("5", entry);
  fclose(entry);
}
