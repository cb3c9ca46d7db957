/*
 * sleepbox-watch: looks at, and waits for, the sockets of other processes.
 *
 * Why: a frozen program cannot say that data has come, and re-reading /proc/net/tcp costs more the more
 * connections the machine has. This helper borrows duplicates of the program's very sockets
 * (pidfd_getfd(2)) and waits for them with epoll: no work at all while nothing arrives.
 *
 * What it must not do: read from a socket, and hold a duplicate while the program runs. A duplicate keeps a
 * connection open that its owner has closed. So `scan` gives each one back at once, and `hold` is for
 * frozen programs only; everything is given back on the first event, on `release`, when the owner dies and
 * when the other end of standard input is gone.
 *
 * Protocol: one command per line on standard input, one JSON line for each on standard output, and besides
 * these one line {"event":...} when something comes to a held socket.
 *   scan PID...             all TCP connections and UDP sockets of these processes
 *   hold PID:FD:INODE...    wait for these sockets; answers with their state after waiting has begun
 *   release                 give all of them back
 *   cut PID... / uncut PID... drop whatever arrives for their sockets / let it in again
 *   destroy PID...          abort their TCP connections (RST to the peer, an error to the program)
 *
 * Written in the common part of C and C++, so that either compiler will do.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The same numbers on every architecture but Alpha; older libc headers lack the names. */
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

enum { HELD_MAX = 4096, EVENTS_MAX = 64, LINE_BYTES_MAX = 1 << 20 };

struct held {
  int pid, fd, is_process; /* is_process: fd is a pidfd, watched for the owner's death */
  unsigned long inode;
};

static struct held held[HELD_MAX];
static int held_count = 0;
static int epoll_fd = -1;

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int int_option(int fd, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

static void print_address(const struct sockaddr_storage *address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address->ss_family == AF_INET) {
    const struct sockaddr_in *in4 = (const struct sockaddr_in *)address;
    inet_ntop(AF_INET, &in4->sin_addr, text, sizeof text);
    printf("\"%s:%d\"", text, ntohs(in4->sin_port));
  } else if (address->ss_family == AF_INET6) {
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
    inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
      printf("\"%s:%d\"", text + 7, ntohs(in6->sin6_port));
    else
      printf("\"[%s]:%d\"", text, ntohs(in6->sin6_port));
  } else {
    printf("\"\"");
  }
}

/* Prints what the kernel knows of one TCP socket. */
static void print_tcp(int pid, int number, unsigned long inode, int fd) {
  struct tcp_info info;
  socklen_t size = sizeof info;
  struct sockaddr_storage local, peer;
  socklen_t local_size = sizeof local, peer_size = sizeof peer;
  int unread = 0;
  memset(&info, 0, sizeof info);
  memset(&local, 0, sizeof local);
  memset(&peer, 0, sizeof peer);
  getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size);
  getsockname(fd, (struct sockaddr *)&local, &local_size);
  getpeername(fd, (struct sockaddr *)&peer, &peer_size);
  if (info.tcpi_state != 10 /* LISTEN */) ioctl(fd, SIOCINQ, &unread);
  printf("{\"pid\":%d,\"fd\":%d,\"inode\":%lu,\"state\":%d,\"unread\":%d,\"received\":%llu,\"sent\":%llu,\"local\":",
         pid, number, inode, info.tcpi_state, unread, (unsigned long long)info.tcpi_bytes_received,
         (unsigned long long)info.tcpi_bytes_sent);
  print_address(&local);
  printf(",\"peer\":");
  print_address(&peer);
  printf("}");
}

typedef void (*visitor)(int pid, int number, unsigned long inode, int fd, int is_tcp);

static unsigned long seen[65536];
static int seen_count, denied_count;

static int is_seen(unsigned long inode) {
  for (int i = 0; i < seen_count; i++)
    if (seen[i] == inode) return 1;
  if (seen_count < 65536) seen[seen_count++] = inode;
  return 0;
}

/* Calls `visit` with a duplicate of each internet socket of a process, and closes the duplicate. */
static void visit_sockets(int pid, visitor visit) {
  char path[64], link[64];
  snprintf(path, sizeof path, "/proc/%d/fd", pid);
  DIR *directory = opendir(path);
  if (directory == NULL) {
    if (errno != ENOENT) denied_count++;
    return;
  }
  int pidfd = -1;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    unsigned long inode;
    ssize_t size = readlinkat(dirfd(directory), entry->d_name, link, sizeof link - 1);
    if (size <= 0) continue;
    link[size] = 0;
    if (sscanf(link, "socket:[%lu]", &inode) != 1 || is_seen(inode)) continue;
    if (pidfd < 0) pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    int number = atoi(entry->d_name);
    int fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
    if (fd < 0) {
      if (errno == EPERM || errno == ENOSYS) denied_count++;
      continue;
    }
    int domain = int_option(fd, SO_DOMAIN), protocol = int_option(fd, SO_PROTOCOL);
    if ((domain == AF_INET || domain == AF_INET6) && (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP))
      visit(pid, number, inode, fd, protocol == IPPROTO_TCP);
    close(fd);
  }
  if (pidfd >= 0) close(pidfd);
  closedir(directory);
}

static int printed_count;

static void print_if_tcp(int pid, int number, unsigned long inode, int fd, int is_tcp) {
  if (!is_tcp) return;
  if (printed_count++ > 0) printf(",");
  print_tcp(pid, number, inode, fd);
}

static unsigned long udp_inodes[1024];
static int udp_count;

static void scan_one(int pid, int number, unsigned long inode, int fd, int is_tcp) {
  if (!is_tcp && udp_count < 1024) udp_inodes[udp_count++] = inode;
  print_if_tcp(pid, number, inode, fd, is_tcp);
}

/* A filter that lets nothing in: the segment is dropped before TCP sees it, so its sender repeats it. */
static void cut_one(int pid, int number, unsigned long inode, int fd, int is_tcp) {
  struct sock_filter drop = {BPF_RET | BPF_K, 0, 0, 0};
  struct sock_fprog program = {1, &drop};
  (void)pid, (void)number, (void)inode, (void)is_tcp;
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0) printed_count++;
}

static void uncut_one(int pid, int number, unsigned long inode, int fd, int is_tcp) {
  int none = 0;
  (void)pid, (void)number, (void)inode, (void)is_tcp;
  if (setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none) == 0) printed_count++;
}

/* connect(2) to AF_UNSPEC aborts a TCP connection: RST to the peer, ECONNRESET to the owner. */
static void destroy_one(int pid, int number, unsigned long inode, int fd, int is_tcp) {
  struct tcp_info info;
  socklen_t size = sizeof info;
  struct sockaddr nowhere;
  (void)pid, (void)number, (void)inode;
  memset(&nowhere, 0, sizeof nowhere);
  nowhere.sa_family = AF_UNSPEC;
  if (!is_tcp || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return;
  if (info.tcpi_state == 7 /* CLOSE */ || info.tcpi_state == 10 /* LISTEN */) return;
  if (connect(fd, &nowhere, sizeof nowhere) == 0) printed_count++;
}

static void visit_all(char *arguments, visitor visit) {
  seen_count = denied_count = printed_count = udp_count = 0;
  char *rest = NULL;
  for (char *word = strtok_r(arguments, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
    visit_sockets(atoi(word), visit);
}

static void release_all(void) {
  for (int i = 0; i < held_count; i++) close(held[i].fd); /* closing removes it from epoll: nobody else holds this number */
  held_count = 0;
  /* The owner still has the sockets, so their epoll entries outlive close(2): begin with a new epoll. */
  close(epoll_fd);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event input;
  memset(&input, 0, sizeof input);
  input.events = EPOLLIN;
  input.data.u32 = HELD_MAX;
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &input);
}

static void hold_one(int pid, int fd, unsigned long inode, int is_process) {
  if (held_count >= HELD_MAX) {
    close(fd);
    return;
  }
  struct epoll_event interest;
  memset(&interest, 0, sizeof interest);
  /* Edge-triggered: unread data that lay there before is not news. */
  interest.events = is_process ? EPOLLIN : EPOLLIN | EPOLLRDHUP | EPOLLET;
  interest.data.u32 = (unsigned)held_count;
  held[held_count].pid = pid;
  held[held_count].fd = fd;
  held[held_count].inode = inode;
  held[held_count].is_process = is_process;
  held_count++;
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &interest);
}

static void hold(char *arguments) {
  int numbers[HELD_MAX], pidfd = -1, pidfd_pid = -1, denied = 0;
  char *rest = NULL;
  release_all();
  for (char *word = strtok_r(arguments, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
    int pid, number;
    unsigned long inode;
    struct stat status;
    if (sscanf(word, "%d:%d:%lu", &pid, &number, &inode) != 3) continue;
    if (pid != pidfd_pid) {
      pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
      pidfd_pid = pid;
      if (pidfd >= 0) hold_one(pid, pidfd, 0, 1);
    }
    int fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
    if (fd < 0) {
      denied++;
      continue;
    }
    if (fstat(fd, &status) != 0 || status.st_ino != inode) {
      close(fd);
      continue;
    }
    if (held_count < HELD_MAX) numbers[held_count] = number;
    hold_one(pid, fd, inode, 0);
  }
  /* First drop the edges of what lay there before, then look: whatever comes from now on is in one or both. */
  struct epoll_event events[EVENTS_MAX];
  while (epoll_wait(epoll_fd, events, EVENTS_MAX, 0) == EVENTS_MAX) continue;
  printf("{\"reply\":\"hold\",\"denied\":%d,\"tcp\":[", denied);
  for (int i = 0, printed = 0; i < held_count; i++) {
    if (held[i].is_process) continue;
    if (printed++ > 0) printf(",");
    print_tcp(held[i].pid, numbers[i], held[i].inode, held[i].fd);
  }
  printf("]}\n");
}

static void handle_command(char *line) {
  char *arguments = strchr(line, ' ');
  static char nothing[1] = "";
  if (arguments != NULL)
    *arguments++ = 0;
  else
    arguments = nothing;
  if (strcmp(line, "scan") == 0) {
    printf("{\"reply\":\"scan\",\"tcp\":[");
    visit_all(arguments, scan_one);
    printf("],\"udp\":[");
    for (int i = 0; i < udp_count; i++) printf(i > 0 ? ",%lu" : "%lu", udp_inodes[i]);
    printf("],\"denied\":%d}\n", denied_count);
  } else if (strcmp(line, "hold") == 0) {
    hold(arguments);
  } else if (strcmp(line, "release") == 0) {
    release_all();
    printf("{\"reply\":\"release\"}\n");
  } else if (strcmp(line, "cut") == 0 || strcmp(line, "uncut") == 0 || strcmp(line, "destroy") == 0) {
    visit_all(arguments, line[0] == 'c' ? cut_one : line[0] == 'u' ? uncut_one : destroy_one);
    printf("{\"reply\":\"%s\",\"count\":%d,\"denied\":%d}\n", line, printed_count, denied_count);
  } else {
    printf("{\"reply\":\"unknown\"}\n");
  }
  fflush(stdout);
}

/* Reads what there is and handles each whole line. False: the other end is gone. */
static int read_commands(void) {
  static char buffer[LINE_BYTES_MAX];
  static size_t used = 0;
  ssize_t size = read(STDIN_FILENO, buffer + used, sizeof buffer - 1 - used);
  if (size <= 0) return size < 0 && errno == EINTR;
  used += (size_t)size;
  for (char *end; (end = (char *)memchr(buffer, '\n', used)) != NULL;) {
    size_t line_size = (size_t)(end - buffer) + 1;
    *end = 0;
    handle_command(buffer);
    used -= line_size;
    memmove(buffer, buffer + line_size, used);
  }
  return used < sizeof buffer - 1;
}

int main(void) {
  prctl(PR_SET_NAME, "sleepbox-watch");
  release_all();
  printf("{\"reply\":\"ready\"}\n");
  fflush(stdout);
  for (;;) {
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(epoll_fd, events, EVENTS_MAX, -1), has_input = 0, ready = -1, gone = -1;
    double at = now_ms();
    if (count < 0 && errno != EINTR) return 1;
    for (int i = 0; i < count; i++) {
      unsigned slot = events[i].data.u32;
      if (slot == HELD_MAX)
        has_input = 1;
      else if ((int)slot < held_count && held[slot].is_process)
        gone = held[slot].pid;
      else if ((int)slot < held_count && ready < 0)
        ready = (int)slot;
    }
    if (ready >= 0) {
      printf("{\"event\":\"ready\",\"at\":%.3f,\"tcp\":", at);
      print_tcp(held[ready].pid, -1, held[ready].inode, held[ready].fd);
      printf("}\n");
      release_all(); /* before it is told: the program may run as soon as the line is read */
      fflush(stdout);
    } else if (gone >= 0) {
      release_all(); /* its connections must end with it */
      printf("{\"event\":\"gone\",\"at\":%.3f,\"pid\":%d}\n", at, gone);
      fflush(stdout);
    }
    if (has_input && !read_commands()) return 0;
  }
}
