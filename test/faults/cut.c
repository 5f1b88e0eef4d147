/*
 * cut FOLDER: simulates a power cut of the ext4 or xfs file system mounted at FOLDER. Nothing more reaches its disk, not
 * even its unwritten journal, and every later operation fails until it is mounted again.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>

/* EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are the same. */
#define SHUTDOWN _IOR('X', 125, uint32_t)
#define WITHOUT_LOG_FLUSH 2

int main(int count, char **arguments) {
  if (count != 2) {
    fprintf(stderr, "usage: cut FOLDER\n");
    return 2;
  }
  uint32_t how = WITHOUT_LOG_FLUSH;
  int fd = open(arguments[1], O_RDONLY | O_DIRECTORY);
  if (fd < 0 || ioctl(fd, SHUTDOWN, &how) != 0) {
    perror(arguments[1]);
    return 1;
  }
  return 0;
}
